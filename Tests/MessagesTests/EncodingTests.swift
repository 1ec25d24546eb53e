import Codec
import Cryptography
import Messages
import Testing

/// What holds for every message of `protocol/federation.md`: one value, one encoding, and nothing else decodes.
@Suite struct EncodingTests {
    @Test func valuesSurviveTheWire() throws {
        for (name, message) in Samples.instructions {
            #expect(try Instruction(encoded: message.encoded) == message, "\(name)")
        }
        for (name, message) in Samples.reports {
            #expect(try Report(encoded: message.encoded) == message, "\(name)")
        }
        #expect(try InstructionBatch(encoded: Samples.batch.encoded) == Samples.batch)
        #expect(try EnrolmentRequest(encoded: Samples.request.encoded) == Samples.request)
        #expect(try EnrolmentGrant(encoded: Samples.grant.encoded) == Samples.grant)
        for work in [Samples.statistics, Samples.training, Samples.curve] {
            #expect(try RoundWork(parsing: work.canonicalBytes) == work)
        }
    }

    @Test(arguments: Samples.all) func refusesEveryPrefix(_ sample: Sample) {
        for count in sample.bytes.indices {
            #expect(throws: MessageError.self, "\(count) bytes") {
                try sample.again(Array(sample.bytes[..<count]))
            }
        }
    }

    @Test(arguments: Samples.all) func refusesLeftovers(_ sample: Sample) {
        for extra in [[0], [0x20], [0xff], Array(repeating: 0, count: 1000)] as [[UInt8]] {
            #expect(throws: MessageError.self) { try sample.again(sample.bytes + extra) }
        }
    }

    /// A changed message is refused or is another message; it is never a second encoding of the same one.
    @Test(arguments: Samples.all) func everyFlippedBitIsAnErrorOrAnotherMessage(_ sample: Sample) {
        for index in sample.bytes.indices {
            for bit in 0..<8 {
                var changed = sample.bytes
                changed[index] ^= 1 << UInt8(bit)
                guard let again = try? sample.again(changed) else { continue }
                #expect(again == changed, "byte \(index), bit \(bit) is read as something else")
            }
        }
    }

    @Test(arguments: Samples.all) func everyByteValueIsAnErrorOrAnotherMessage(_ sample: Sample) {
        // Every value of the first 64 bytes, where types, flags and lengths are.
        for index in sample.bytes.indices.prefix(64) {
            for value in UInt8.min...UInt8.max {
                var changed = sample.bytes
                changed[index] = value
                guard let again = try? sample.again(changed) else { continue }
                #expect(again == changed, "byte \(index) = \(value)")
            }
        }
    }

    @Test func noiseNeverTraps() {
        let random = SeededRandom(seed: 99)
        for _ in 0..<3000 {
            let count = random.uniform(below: 200)
            var bytes = random.bytes(count)
            // Small numbers make plausible types and lengths.
            for index in bytes.indices where random.uniform(below: 3) > 0 { bytes[index] %= 8 }
            for sample in Samples.all {
                guard let again = try? sample.again(bytes) else { continue }
                #expect(again == bytes)
            }
        }
    }

    @Test func emptyInputIsNoMessage() {
        for sample in Samples.all { #expect(throws: MessageError.self) { try sample.again([]) } }
    }

    /// A length that promises more than there is, or more than is allowed, costs nothing.
    @Test func refusesLyingLengths() {
        for length in [UInt32.max, 1 << 31, 1 << 28, 64 << 20 | 1] as [UInt32] {
            for type in UInt8(0)...8 {
                var writer = ByteWriter()
                writer.u8(type)
                writer.u32(length)
                for sample in Samples.all {
                    #expect(throws: MessageError.self) { try sample.again(writer.bytes) }
                }
                writer.u32(length)
                writer.u32(length)
                for sample in Samples.all {
                    #expect(throws: MessageError.self) { try sample.again(writer.bytes) }
                }
            }
        }
    }
}
