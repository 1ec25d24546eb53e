import Cryptography
import Testing

@Suite struct SecretBytesTests {
    @Test func keepsWhatItWasGiven() {
        for count in [0, 1, 31, 32, 33, 80, 4096, 3 << 20] {
            let bytes = SeededRandom(seed: 1).bytes(count)
            let secret = SecretBytes(copying: bytes)
            #expect(secret.count == count)
            #expect(secret.exposedCopy() == bytes)
            #expect(secret.withBytes { $0.byteCount } == count)
            #expect(secret.clone().exposedCopy() == bytes)
        }
    }

    @Test func startsAsZerosForTheInitialiser() {
        for _ in 0..<10 {
            let secret = SecretBytes(count: 64) { bytes in
                let isZero = unsafe bytes.bytes.withUnsafeBytes { unsafe $0.allSatisfy { $0 == 0 } }
                #expect(isZero)
                for index in 0..<64 {
                    bytes.storeBytes(of: 0xa5, toByteOffset: index, as: UInt8.self)
                }
            }
            #expect(secret.exposedCopy() == [UInt8](repeating: 0xa5, count: 64))
        }
    }

    @Test func comparesByContent() {
        let secret = SecretBytes(copying: Array(1...32))
        for index in 0..<32 {
            var bytes = Array(1...32) as [UInt8]
            bytes[index] ^= 0x80
            let isSame = secret == SecretBytes(copying: bytes)
            #expect(!isSame)
        }
        let isSame = secret == secret.clone()
        #expect(isSame)
        let isPrefixSame = secret == SecretBytes(copying: Array(1...31))
        #expect(!isPrefixSame)
        let isEmptySame = SecretBytes(copying: []) == SecretBytes(copying: [])
        #expect(isEmptySame)
    }

    @Test func constantTimeEqualComparesByContent() {
        #expect(constantTimeEqual([], []))
        #expect(constantTimeEqual([1, 2, 3], [1, 2, 3]))
        #expect(!constantTimeEqual([1, 2, 3], [1, 2, 4]))
        #expect(!constantTimeEqual([1, 2, 3], [1, 2]))
        #expect(!constantTimeEqual([], [0]))
    }

    /// Looks at the memory after the owner is gone, in a process of its own where nobody else takes
    /// the place. The arena stays mapped, so the look is harmless; the allocator may write its list
    /// links into the first bytes.
    @Test func isWipedWhenDropped() async {
        await #expect(processExitsWith: .success) {
            let count = 4096
            var address = 0
            do {
                let secret = SecretBytes(copying: [UInt8](repeating: 0xa5, count: count))
                address = secret.withBytes { bytes in
                    unsafe bytes.withUnsafeBytes { Int(bitPattern: $0.baseAddress) }
                }
            }
            guard SecretMemory.statistics.arenaBytes > 0 else {
                print("isWipedWhenDropped: skipped, the system gives no secure arena")
                return
            }
            precondition(SecretMemory.statistics.fallbackCount == 0)
            let left = unsafe UnsafeRawBufferPointer(
                start: UnsafeRawPointer(bitPattern: address), count: count)
            let nonZero = unsafe left.count { $0 != 0 }
            precondition(nonZero <= 64, "the secret is still there")
        }
    }

    @Test func manySecretsAtOnceNeverFail() async {
        let total = await withTaskGroup(of: Int.self) { group in
            for task in 0..<4 {
                group.addTask {
                    let random = SeededRandom(seed: UInt64(task))
                    var kept: [Holder] = []
                    for index in 0..<10_000 {
                        kept.append(Holder(random.secret(1 + index % 100)))
                        if index % 3 == 0 { kept.removeFirst() }
                    }
                    return kept.reduce(0) { $0 + $1.secret.count }
                }
            }
            return await group.reduce(0, +)
        }
        #expect(total > 0)
        #expect(SecretMemory.statistics.usedBytes <= SecretMemory.statistics.arenaBytes)
    }

    private final class Holder {
        let secret: SecretBytes
        init(_ secret: consuming SecretBytes) { self.secret = secret }
    }
}
