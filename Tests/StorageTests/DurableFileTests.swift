import Glibc
import Testing

@testable import Storage

@Suite struct DurableFileTests {
    @Test func replacesAFileAsAWhole() throws {
        try withDirectory { directory in
            let path = directory + "/state.json"
            try DurableFile.writeAtomically([1, 2, 3], to: path)
            try DurableFile.writeAtomically([4], to: path, mode: 0o640)
            #expect(try DurableFile.read(path, maxBytes: 10) == [4])
            #expect(mode(of: path) == 0o640)
            #expect(try DurableFile.list(directory) == ["state.json"])
            #expect(try DurableFile.size(path) == 1)
        }
    }

    @Test func newFilesAreThePrivateOnesOfTheirOwner() throws {
        try withDirectory { directory in
            try DurableFile.writeAtomically([], to: directory + "/a")
            try DurableFile.createDirectory(directory + "/b/c")
            _ = try AppendFile(directory + "/d")
            #expect(mode(of: directory + "/a") == 0o600)
            #expect(mode(of: directory + "/b") == 0o700 && mode(of: directory + "/b/c") == 0o700)
            #expect(mode(of: directory + "/d") == 0o600)
        }
    }

    /// What a crash left under the temporary name neither stays nor shines through, whatever its mode.
    @Test func takesOverWhatACrashLeft() throws {
        try withDirectory { directory in
            let path = directory + "/head"
            try DurableFile.writeAtomically(
                [UInt8](repeating: 7, count: 5000), to: path + ".new", mode: 0o666)
            try DurableFile.writeAtomically([1], to: path)
            #expect(try DurableFile.read(path, maxBytes: 10) == [1])
            #expect(mode(of: path) == 0o600)
            #expect(try DurableFile.list(directory) == ["head"])
        }
    }

    @Test func followsNoLinkUnderTheTemporaryName() throws {
        try withDirectory { directory in
            try DurableFile.writeAtomically([9], to: directory + "/victim")
            #expect(unsafe symlink(directory + "/victim", directory + "/file.new") == 0)
            #expect(
                failure { () throws(StorageError) in
                    try DurableFile.writeAtomically([1], to: directory + "/file")
                }.code == ELOOP)
            #expect(try DurableFile.read(directory + "/victim", maxBytes: 10) == [9])
        }
    }

    /// Many threads replace one file; each reader sees one whole version.
    @Test func writersOfOnePathTakeTurns() throws {
        try withDirectory { directory throws in
            let path = directory + "/shared"
            let writers = (1...4).map { (writer: Int) -> Thread in
                Thread {
                    for _ in 0..<10 {
                        let bytes = [UInt8](repeating: UInt8(writer), count: 20_000 * writer)
                        do {
                            try DurableFile.writeAtomically(bytes, to: path)
                            let found = try DurableFile.read(path, maxBytes: 100_000)
                            #expect(
                                found == [UInt8](repeating: found[0], count: 20_000 * Int(found[0]))
                            )
                        } catch { Issue.record("\(error)") }
                    }
                }
            }
            for writer in writers { writer.join() }
            #expect(try DurableFile.list(directory) == ["shared"])
        }
    }

    @Test func readsUpToItsLimitAndNoFurther() throws {
        try withDirectory { directory in
            let path = directory + "/large"
            let bytes = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            try DurableFile.writeAtomically(bytes, to: path)
            #expect(try DurableFile.read(path, maxBytes: bytes.count) == bytes)
            let error = failure { () throws(StorageError) in
                _ = try DurableFile.read(path, maxBytes: bytes.count - 1)
            }
            #expect(
                error.description
                    == "\(path): cannot read: it is larger than the limit of 2999999 bytes")
            #expect(
                failure { () throws(StorageError) in
                    _ = try DurableFile.read("/dev/zero", maxBytes: 100_000)
                }.description.contains("limit"))
            try DurableFile.writeAtomically([], to: path)
            #expect(try DurableFile.read(path, maxBytes: 0) == [])
        }
    }

    @Test func listsSortedAndRemoves() throws {
        try withDirectory { directory in
            for name in ["b", "a", "ä", "B"] {
                try DurableFile.writeAtomically([], to: directory + "/" + name)
            }
            #expect(try DurableFile.list(directory) == ["B", "a", "b", "ä"])
            try DurableFile.remove(directory + "/a")
            try DurableFile.remove(directory + "/a")
            #expect(!DurableFile.exists(directory + "/a") && DurableFile.exists(directory + "/b"))
        }
    }

    @Test func knowsParents() {
        #expect(
            DurableFile.parent(of: "/a/b") == "/a" && DurableFile.parent(of: "/a") == "/"
                && DurableFile.parent(of: "a") == ".")
        #expect(DurableFile.parent(of: "a/b/") == "a" && DurableFile.parent(of: "/") == "/")
    }
}
