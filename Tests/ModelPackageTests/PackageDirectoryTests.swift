import Cryptography
import Glibc
import Storage
import Testing

@testable import ModelPackage

@Suite struct PackageDirectoryTests {
    /// A fresh directory that is removed afterwards.
    private func withDirectory(_ body: (String) throws -> Void) throws {
        let path = "/tmp/consilium-package-\(SystemRandom.shared.word())"
        try DurableFile.createDirectory(path)
        defer { remove(path) }
        try body(path)
    }

    private func remove(_ path: String) {
        guard unsafe unlink(path) != 0, let names = try? DurableFile.list(path) else { return }
        for name in names { remove(path + "/" + name) }
        _ = unsafe rmdir(path)
    }

    private func move(_ from: String, _ to: String) { _ = unsafe rename(from, to) }
    private func link(_ target: String, _ path: String) { _ = unsafe symlink(target, path) }

    private func written(_ parent: String) throws -> String {
        try VerifiedPackage.verify(Fixture.contents(), trustedKey: Fixture.key.publicKey).write(
            under: parent)
    }

    private func expectRefusal(_ directory: String, _ expected: PackageError) {
        #expect(throws: expected) {
            try VerifiedPackage.verify(directory: directory, trustedKey: Fixture.key.publicKey)
        }
    }

    @Test func whatIsWrittenIsReadBackUnderItsDigest() throws {
        try withDirectory { parent in
            let directory = try written(parent)
            let package = try VerifiedPackage.verify(
                directory: directory, trustedKey: Fixture.key.publicKey)
            #expect(directory == parent + "/" + package.digest.hex)
            #expect(package.contents == (try Fixture.contents()))
            #expect(try written(parent) == directory)
        }
    }

    @Test func anInterruptedWriteIsNoPackageAndCanBeCompleted() throws {
        try withDirectory { parent in
            let directory = try written(parent)
            try DurableFile.remove(directory + "/" + PackageFile.signature)
            expectRefusal(directory, .missing(file: PackageFile.signature))
            _ = try written(parent)
            _ = try VerifiedPackage.verify(directory: directory, trustedKey: Fixture.key.publicKey)
        }
    }

    @Test func linksDirectoriesAndStrangeNamesAreRefused() throws {
        try withDirectory { parent in
            let directory = try written(parent)
            let tensors = directory + "/" + PackageFile.tensors
            move(tensors, parent + "/elsewhere")
            link(parent + "/elsewhere", tensors)
            expectRefusal(directory, .notRegular(file: PackageFile.tensors))
            remove(tensors)
            expectRefusal(directory, .missing(file: PackageFile.tensors))
            try DurableFile.createDirectory(tensors)
            expectRefusal(directory, .notRegular(file: PackageFile.tensors))
            remove(tensors)
            move(parent + "/elsewhere", tensors)
            try DurableFile.writeAtomically([1], to: directory + "/extra.bin")
            expectRefusal(directory, .unexpected(file: "extra.bin"))
            try DurableFile.remove(directory + "/extra.bin")
            try DurableFile.writeAtomically([1], to: directory + "/Not Allowed")
            expectRefusal(directory, .nameNotAllowed)
        }
    }

    @Test func aLinkToAPackageIsNotAPackage() throws {
        try withDirectory { parent in
            let directory = try written(parent)
            link(directory, parent + "/link")
            #expect(throws: PackageError.self) {
                try VerifiedPackage.verify(
                    directory: parent + "/link", trustedKey: Fixture.key.publicKey)
            }
            #expect(throws: PackageError.self) {
                try VerifiedPackage.verify(
                    directory: parent + "/absent", trustedKey: Fixture.key.publicKey)
            }
        }
    }

    @Test func aTruncatedFileIsNamedWithItsSizes() throws {
        try withDirectory { parent in
            let directory = try written(parent)
            let path = directory + "/" + PackageFile.tensors
            let bytes = try DurableFile.read(path, maxBytes: 1 << 20)
            try DurableFile.writeAtomically(Array(bytes.dropLast()), to: path)
            expectRefusal(
                directory,
                .wrongSize(file: PackageFile.tensors, bytes: bytes.count - 1, expected: bytes.count)
            )
            try DurableFile.writeAtomically(
                bytes.dropLast() + [bytes[bytes.count - 1] ^ 1], to: path)
            expectRefusal(directory, .wrongDigest(file: PackageFile.tensors))
        }
    }
}
