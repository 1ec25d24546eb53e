import Storage
import Telemetry
import Testing

@testable import AuditLog

@Suite struct VerifierTests {
    private static let isLong = environment("CONSILIUM_LONG") != nil

    private func files(_ size: Int) throws -> [String: [UInt8]] {
        let directory = TemporaryDirectory()
        let log = try Fixture.open(directory.path)
        try Fixture.fill(log, size)
        return try Files.all(directory.path + "/log")
    }

    /// One bit of one byte changed: the short form tries 400 random places, `CONSILIUM_LONG` 100,000.
    @Test func findsEveryChangedByte() throws {
        let files = try files(1000)
        let paths = files.keys.sorted()
        var random = TestRandom(5)
        var undetected: [String] = []
        for _ in 0..<(Self.isLong ? 100_000 : 400) {
            let path = paths[Int.random(in: 0..<paths.count, using: &random)]
            var spoilt = files
            let offset = Int.random(in: 0..<files[path]!.count, using: &random)
            spoilt[path]![offset] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            if (try? AuditVerifier.verify(
                MemorySource(spoilt), verifierKey: Fixture.vkey, threads: 1)) != nil
            {
                undetected.append("\(path) at \(offset)")
            }
            // With the key of the log's own vkey file the log must at least agree with itself.
            if !Self.isLong, (try? AuditVerifier.verify(MemorySource(spoilt), threads: 1)) != nil {
                undetected.append("\(path) at \(offset), own key")
            }
        }
        #expect(undetected == [])
    }

    @Test func findsMissingShortLongAndSwappedFiles() throws {
        let files = try files(600)
        _ = try AuditVerifier.verify(MemorySource(files), verifierKey: Fixture.vkey)
        for path in files.keys.sorted() {
            var spoilt = files
            spoilt[path] = nil
            if path != "vkey" {
                #expect(throws: AuditFinding.self, "\(path) missing") { try verify(spoilt) }
            }
            for change in [Array(files[path]!.dropLast()), files[path]! + [0], []] {
                spoilt[path] = change
                #expect(throws: AuditFinding.self, "\(path) of another length") {
                    try verify(spoilt)
                }
            }
            for other in files.keys.sorted() where other != path && files[other] != files[path] {
                spoilt[path] = files[other]
                #expect(throws: AuditFinding.self, "\(path) is \(other)") { try verify(spoilt) }
            }
        }
    }

    private func verify(_ files: [String: [UInt8]]) throws(AuditFinding) {
        _ = try AuditVerifier.verify(MemorySource(files), verifierKey: Fixture.vkey)
    }

    @Test func namesTheFirstBadEntry() throws {
        var files = try files(600)
        // The digit of an entry's number: still JSON, another entry.
        let bundle = "tile/entries/001"
        let entries = try #require(EntryBundle.entries(files[bundle]!))
        let place = try #require(
            entries[7].indices.first { files[bundle]![$0...].starts(with: Array("basel".utf8)) })
        files[bundle]![place] = UInt8(ascii: "B")
        #expect(
            throws: AuditFinding.file(
                "tile/0/001",
                problem:
                    "hash 7 is not that of entry 263 in tile/entries/001: one of the two was changed"
            )
        ) {
            try verify(files)
        }
    }

    @Test func findsARewrittenLog() throws {
        // All files agree with each other, but not with the key's signature.
        let files = try files(300)
        var forged = try files.merging(self.files(301)) { $1 }
        forged["checkpoint"] = files["checkpoint"]
        forged["tile/0/001.p/44"] = nil
        forged["tile/entries/001.p/44"] = nil
        #expect(throws: AuditFinding.self) { try verify(forged) }
    }

    @Test func refusesAnotherKey() throws {
        let files = try files(3)
        let other = NoteSigner(name: KeyName(Fixture.origin)!, kind: .log, key: Fixture.key(9))
            .verifierKey.text
        #expect(throws: AuditFinding.otherKey) {
            try AuditVerifier.verify(MemorySource(files), verifierKey: other)
        }
    }

    @Test func acceptsWhatReplacedAPartialFile() throws {
        let early = try files(300)
        let directory = TemporaryDirectory()
        let log = try Fixture.open(directory.path)
        try Fixture.fill(log, 300)
        let checkpoint = log.checkpoint
        try Fixture.fill(log, 300)
        var files = try Files.all(directory.path + "/log")
        files["checkpoint"] = checkpoint
        files["tile/1/000.p/1"] = early["tile/1/000.p/1"].map { _ in
            Array(files["tile/1/000.p/2"]!.prefix(32))
        }
        #expect(try AuditVerifier.verify(MemorySource(files)).size == 300)
    }
}
