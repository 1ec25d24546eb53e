import Cryptography
import Glibc
import Testing

/// Key files are private or refused.
@Suite final class KeyFileTests {
    let directory: String

    init() throws {
        var template = Array("/tmp/consilium-keyfile-XXXXXX".utf8CString)
        let made = unsafe mkdtemp(&template)
        try #require(unsafe made != nil)
        directory = String(
            decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        for name in ["key", "link", "pipe", "folder/key"] {
            unsafe _ = unlink("\(directory)/\(name)")
        }
        unsafe _ = rmdir("\(directory)/folder")
        unsafe _ = rmdir(directory)
    }

    var path: String { "\(directory)/key" }

    func problem(_ body: () throws -> Void) -> String? {
        do {
            try body()
            return nil
        } catch {
            return "\(error)"
        }
    }

    func mode(_ path: String) -> mode_t {
        var facts = stat()
        guard unsafe stat(path, &facts) == 0 else { return 0 }
        return facts.st_mode & 0o7777
    }

    @Test func writesPrivatelyAndReadsBack() throws {
        let key = SigningKey.generate(random: SystemRandom.shared)
        try KeyFile.write(try key.pem(), to: path)
        #expect(mode(path) == 0o600)
        let read = try SigningKey(pem: try KeyFile.read(path))
        #expect(read.publicKey == key.publicKey)
    }

    @Test func neverOverwrites() throws {
        try KeyFile.write([1, 2, 3], to: path)
        let said = problem { try KeyFile.write([4], to: path) }
        #expect(
            said
                == "key file \(path): cannot be created: it exists already, and keys are never overwritten"
        )
        #expect(try KeyFile.read(path).exposedCopy() == [1, 2, 3])
    }

    @Test func neverWritesThroughALink() throws {
        let link = "\(directory)/link"
        unsafe _ = symlink(path, link)
        #expect(throws: CryptographyError.self) { try KeyFile.write([1], to: link) }
        #expect(unsafe access(path, F_OK) != 0)
    }

    @Test func refusesALinkEvenToAGoodKey() throws {
        let link = "\(directory)/link"
        try KeyFile.write([1], to: path)
        unsafe _ = symlink(path, link)
        #expect(
            problem { _ = try KeyFile.read(link) }
                == "key file \(link): is a symbolic link; give the key's own path")
    }

    @Test(arguments: [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o666, 0o777] as [mode_t])
    func refusesAFileOpenToOthersAndSaysWhatToDo(_ mode: mode_t) throws {
        try KeyFile.write([1], to: path)
        unsafe _ = chmod(path, mode)
        let said = try #require(problem { _ = try KeyFile.read(path) })
        #expect(said.hasSuffix("run: chmod 600 \(path)"))
        unsafe _ = chmod(path, 0o600)
        #expect(try KeyFile.read(path).exposedCopy() == [1])
    }

    @Test func takesAnEvenStricterMode() throws {
        try KeyFile.write([1], to: path)
        unsafe _ = chmod(path, 0o400)
        #expect(try KeyFile.read(path).exposedCopy() == [1])
    }

    @Test func refusesAnotherOwner() throws {
        try KeyFile.write([1], to: path)
        guard geteuid() == 0, unsafe chown(path, 12_345, 0) == 0 else {
            print("refusesAnotherOwner: skipped, only the superuser can give files away")
            return
        }
        let said = try #require(problem { _ = try KeyFile.read(path) })
        #expect(said.contains("belongs to user 12345"))
    }

    @Test func refusesWhatIsNoRegularFileWithoutHanging() {
        let pipe = "\(directory)/pipe"
        unsafe _ = mkfifo(pipe, 0o600)
        #expect(problem { _ = try KeyFile.read(pipe) } == "key file \(pipe): is not a regular file")
        #expect(
            problem { _ = try KeyFile.read(directory) }
                == "key file \(directory): is not a regular file")
    }

    @Test func refusesMissingEmptyAndHugeFiles() throws {
        #expect(
            problem { _ = try KeyFile.read(path) }
                == "key file \(path): cannot be opened: the file or its directory does not exist")
        try KeyFile.write([], to: path)
        #expect(problem { _ = try KeyFile.read(path) } == "key file \(path): is empty")
        unsafe _ = unlink(path)
        try KeyFile.write([UInt8](repeating: 1, count: KeyFile.bytesMax), to: path)
        #expect(try KeyFile.read(path).count == KeyFile.bytesMax)
        unsafe _ = unlink(path)
        try KeyFile.write([UInt8](repeating: 1, count: KeyFile.bytesMax + 1), to: path)
        #expect(problem { _ = try KeyFile.read(path) }?.hasSuffix("so it is no key") == true)
    }

    @Test func refusesUnusablePaths() {
        for bad in ["", "a\0b"] {
            #expect(throws: CryptographyError.self) { _ = try KeyFile.read(bad) }
            #expect(throws: CryptographyError.self) { try KeyFile.write([1], to: bad) }
        }
        #expect(throws: CryptographyError.self) {
            try KeyFile.write([1], to: "\(directory)/missing/key")
        }
    }

    @Test func errorsNeverCarryContent() throws {
        let secret = "do-not-print-me"
        try KeyFile.write(text(secret), to: path)
        let said = try #require(problem { _ = try SigningKey(pem: try KeyFile.read(path)) })
        #expect(!said.contains(secret))
    }
}
