import Glibc
import Testing

@testable import Storage

@Suite struct AppendFileTests {
    @Test func growsAcrossOpenings() throws {
        try withDirectory { directory in
            let path = directory + "/log"
            let first = try AppendFile(path)
            try first.append([1, 2])
            try first.sync()
            try first.append([])
            #expect(first.size == 2)
            let second = try AppendFile(path)
            #expect(second.size == 2)
            try second.append([3])
            try second.truncate(to: 1)
            try second.append([4, 5])
            try second.sync()
            #expect(second.size == 3)
            #expect(try DurableFile.read(path, maxBytes: 10) == [1, 4, 5])
        }
    }

    @Test func whatIsZeroedAheadIsWrittenOverAndTrimmed() throws {
        try withDirectory { directory in
            let path = directory + "/log"
            let file = try AppendFile(path, zeroAheadBytes: 8)
            for number in UInt8(1)...9 {
                try file.append([number, number])
                try file.sync()
                let bytes = try DurableFile.read(path, maxBytes: 1 << 20)
                let written = (UInt8(1)...number).flatMap { [$0, $0] }
                #expect(file.size == written.count && bytes.starts(with: written))
                #expect(bytes.count <= written.count + 8192 && bytes[written.count...].allSatisfy { $0 == 0 })
            }
            file.trim()
            #expect(try DurableFile.size(path) == 18)
            try file.append([7])
            #expect(try DurableFile.read(path, maxBytes: 1 << 20)[18] == 7)
        }
    }

    /// Across blocks, what is zeroed ahead, and the memory of a write; and after somebody else changed the last block.
    @Test func whatIsWrittenPastTheCacheIsWhatWasAppended() throws {
        try withDirectory { directory in
            let path = directory + "/log"
            let file = try AppendFile(path, zeroAheadBytes: 10_000)
            var expected: [UInt8] = []
            for (number, count) in [1, 4095, 1, 4095, 4097, 8192, 0, 70_000, 3, 600_000, 262_144, 5].enumerated() {
                let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ number) }
                // Whole, or in pieces.
                if number % 2 == 0 { try file.append(bytes) } else { try file.append(pieces: [Array(bytes.prefix(count / 3)), [], Array(bytes.dropFirst(count / 3))]) }
                try file.sync()
                expected += bytes
                #expect(file.size == expected.count)
                #expect(try DurableFile.read(path, maxBytes: 2 << 20).starts(with: expected))
            }
            let other = try Descriptor(opening: path, O_RDWR)
            try other.write([9, 9, 9], at: expected.count - 3)
            try file.refresh()
            try file.append([1])
            file.trim()
            #expect(try DurableFile.read(path, maxBytes: 2 << 20) == expected.dropLast(3) + [9, 9, 9, 1])
        }
    }

    @Test func followsNoLink() throws {
        try withDirectory { directory in
            try DurableFile.writeAtomically([1], to: directory + "/real")
            #expect(unsafe symlink(directory + "/real", directory + "/link") == 0)
            #expect(
                failure { () throws(StorageError) in _ = try AppendFile(directory + "/link") }.code
                    == ELOOP)
        }
    }
}

@Suite struct DirectoryLockTests {
    @Test func keepsASecondOneOutWhileItLives() throws {
        try withDirectory { directory in
            var lock: DirectoryLock? = try DirectoryLock(directory)
            let error = failure { () throws(StorageError) in _ = try DirectoryLock(directory) }
            #expect(
                error.isInUse
                    && error.description
                        == "\(directory): cannot lock: another process works in it; stop that one first"
            )
            withExtendedLifetime(lock) {}
            lock = nil
            _ = try DirectoryLock(directory)
        }
    }
}

@Suite struct BlobStoreTests {
    /// Stands for SHA-256, which lives on the same floor: 64 digits from a weak hash.
    private static let digest: @Sendable ([UInt8]) -> String = { bytes in
        var state: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { state = (state ^ UInt64(byte)) &* 0x100_0000_01b3 }
        let digits = String(state, radix: 16)
        return String(repeating: "0", count: 64 - digits.count) + digits
    }

    @Test func givesBackWhatItWasGiven() throws {
        try withDirectory { directory in
            let store = try BlobStore(directory + "/blobs", digest: Self.digest)
            let name = try store.put([1, 2, 3])
            #expect(try store.put([1, 2, 3]) == name)
            #expect(store.contains(name) && name.utf8.count == 64)
            #expect(try store.get(name, maxBytes: 3) == [1, 2, 3])
            #expect(throws: StorageError.self) { try store.get(name, maxBytes: 2) }
            #expect(
                failure { () throws(StorageError) in
                    _ = try store.get(String(repeating: "0", count: 64), maxBytes: 9)
                }.isNotFound)
        }
    }

    @Test func noticesAndRepairsADamagedBlob() throws {
        try withDirectory { directory in
            let store = try BlobStore(directory, digest: Self.digest)
            let name = try store.put([1, 2, 3])
            for damage in [[1, 2], [1, 2, 4], [1, 2, 3, 4], []] as [[UInt8]] {
                try DurableFile.writeAtomically(damage, to: directory + "/" + name)
                #expect(
                    failure { () throws(StorageError) in _ = try store.get(name, maxBytes: 9) }
                        .description.contains("changed or damaged"))
                try store.put([1, 2, 3])
                #expect(try store.get(name, maxBytes: 9) == [1, 2, 3])
            }
        }
    }

    @Test func acceptsHashesAsNamesOnly() throws {
        try withDirectory { directory in
            let store = try BlobStore(directory + "/blobs", digest: Self.digest)
            try DurableFile.writeAtomically([1], to: directory + "/secret")
            for name in [
                "", "../secret", "secret", String(repeating: "A", count: 64),
                String(repeating: "a", count: 63), String(repeating: "/", count: 64),
            ] {
                #expect(!store.contains(name))
                #expect(throws: StorageError.self) { try store.get(name, maxBytes: 9) }
            }
        }
    }
}
