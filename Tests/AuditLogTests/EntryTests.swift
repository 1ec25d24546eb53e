import Codec
import Cryptography
import Telemetry
import Testing

@testable import AuditLog

@Suite struct EntryTests {
    private func entry() -> LogEntry {
        LogEntry(
            .roundStart, actor: "coordinator \"A\"\\\n\u{1}\u{7f}é😀", role: "coordinator",
            site: "basel", model: "m", round: 3,
            subjectCommitment: SHA256.hash([1]), payloadCommitment: SHA256.hash([2]),
            payloadDigest: SHA256.hash([3]),
            details: [
                "z": [1, -2, .object([:]), .array([])], "a b": .null, "A": ["x": true, "b": "ü"],
                "0": .integer(-9_007_199_254_740_991),
            ])
    }

    @Test func writesWhatTheCanonicalFormOfCodecIs() throws {
        for entry in [entry(), LogEntry(.prediction, actor: "a", role: "b")] {
            let bytes = try entry.encoded(seq: 12, time: Timestamp(milliseconds: 1_790_000_000_000))
            #expect(try JSONValue.parse(bytes, dialect: .strict).canonicalBytes() == bytes)
            let stored = try StoredEntry(bytes)
            #expect(stored.entry == entry)
            #expect(stored.seq == 12)
            #expect(stored.actor == entry.actor)
            #expect(stored.site == entry.site)
            #expect(stored.round == entry.round)
            #expect(stored.subjectCommitment == entry.subjectCommitment)
            #expect(stored.payloadCommitment == entry.payloadCommitment)
            #expect(stored.payloadDigest == entry.payloadDigest)
            #expect(stored.details == entry.details)
        }
    }

    /// Details that are written at once make the same entry as those that are sorted and written later.
    @Test func writtenDetailsAreTheCanonicalOnes() throws {
        let id = try #require(RecordID("01a2b3c4-d5e6-7fff-8123-456789abcdef"))
        var written = EntryDetails()
        written.add("A", "text \"1\"\\\n\u{1}é")
        var more = written.copy
        for details in [written, more] { #expect(details.members == ["A": "text \"1\"\\\n\u{1}é"]) }
        more.add("b", SHA256.hash([1]))
        more.add("id", id)
        more.add("n", -9_007_199_254_740_991)
        more.add("z", "")
        let members: [String: JSONValue] = [
            "A": "text \"1\"\\\n\u{1}é", "b": .string(SHA256.hash([1]).hex), "id": .string(id.description),
            "n": .integer(-9_007_199_254_740_991), "z": "",
        ]
        for (details, members) in [(more, members), (EntryDetails(), [:])] {
            let entry = LogEntry(.prediction, actor: "a", role: "b", model: "m", payloadDigest: SHA256.hash([2]), written: details)
            let other = LogEntry(.prediction, actor: "a", role: "b", model: "m", payloadDigest: SHA256.hash([2]), details: members)
            #expect(entry == other && entry.details == members)
            let bytes = try entry.encoded(seq: 7, time: Timestamp(milliseconds: 9))
            #expect(try bytes == other.encoded(seq: 7, time: Timestamp(milliseconds: 9)))
            #expect(try StoredEntry(bytes).entry == entry)
            var changed = entry
            changed.details["q"] = 1
            #expect(changed != entry && changed.details == members.merging(["q": 1]) { $1 })
        }
        var long = EntryDetails()
        long.add("a", String(repeating: "x", count: LogEntry.bytesMax))
        #expect(throws: EntryError.self) {
            try LogEntry(.prediction, actor: "a", role: "b", written: long).encoded(seq: 0, time: Timestamp(milliseconds: 0))
        }
    }

    @Test func scansOnlyTheCanonicalForm() throws {
        let good = String(
            decoding: try entry().encoded(seq: 12, time: Timestamp(milliseconds: 5)), as: UTF8.self)
        _ = try StoredEntry(Array(good.utf8))
        let changes: [(String, String)] = [
            ("\"seq\":12", "\"seq\":012"), ("\"seq\":12", "\"seq\":+12"),
            ("\"seq\":12", "\"seq\":12.0"), ("\"seq\":12", "\"seq\":1e1"),
            ("\"seq\":12", "\"seq\": 12"), ("\"v\":1", "\"v\":2"), ("\"v\":1}", "\"v\":1} "),
            ("\"v\":1}", "\"v\":1,\"w\":1}"),
            ("\"role\"", "\"Role\""), ("\\u0001", "\\u0009"), ("\\u0001", "\u{1}"),
            ("\\n", "\\u000a"), ("é", "\\u00e9"), ("\\\"", "\\/"),
            ("\"z\"", "\"!\""), (":true", ":tru"), ("-9007199254740991", "-9007199254740992"),
            ("[1,-2", "[1,-0"), ("[1,-2", "[1,,-2"),
            (",\"round\":3", ""), ("\"round\":3,\"seq\":12", "\"seq\":12,\"round\":3"),
            ("\"type\":\"round.start\"", "\"type\":\"Round\""),
            ("coordinator \\\"A", ""), ("\"t\":5", "\"t\":-5"), ("{\"actor\"", "{ \"actor\""),
        ]
        for (from, to) in changes where from != ",\"round\":3" {
            let range = try #require(good.firstRange(of: from), "\(from)")
            let bad = good.replacingCharacters(in: range, with: to)
            if from == "coordinator \\\"A" { continue }
            #expect(throws: EntryError.self, "\(from) -> \(to)") {
                try StoredEntry(Array(bad.utf8))
            }
        }
        for end in 0..<good.utf8.count {
            #expect(throws: EntryError.self) {
                try StoredEntry(Array(Array(good.utf8).prefix(end)))
            }
        }
    }

    /// Any byte string: the scanner gives a value or an error, never traps.
    @Test func survivesRandomBytes() throws {
        var random = TestRandom(9)
        let good = try entry().encoded(seq: 12, time: Timestamp(milliseconds: 5))
        for _ in 0..<20_000 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(
                    in: 0...255, using: &random)
            }
            guard (try? EntryScanner.scan(bytes[...])) != nil else { continue }
            // What the scanner takes is what Codec calls canonical.
            #expect(try JSONValue.parse(bytes, dialect: .strict).canonicalBytes() == bytes)
        }
    }

    @Test func namesEveryTypeOnce() {
        let names = EntryType.allCases.map(\.rawValue)
        #expect(Set(names).count == names.count)
        #expect(
            names.allSatisfy {
                $0.utf8.allSatisfy { (0x61...0x7A).contains($0) || $0 == UInt8(ascii: ".") }
            })
    }

    @Test func commitsWithSaltOnly() {
        let salt = [UInt8](repeating: 3, count: 32)
        let commitment = Commitment.make(Array("patient 7".utf8), salt: salt)
        #expect(Commitment.verify(commitment, payload: Array("patient 7".utf8), salt: salt))
        #expect(!Commitment.verify(commitment, payload: Array("patient 8".utf8), salt: salt))
        #expect(
            !Commitment.verify(
                commitment, payload: Array("patient 7".utf8), salt: [UInt8](repeating: 4, count: 32)
            ))
        #expect(!Commitment.verify(commitment, payload: Array("patient 7".utf8), salt: []))
    }
}

extension String {
    func firstRange(of text: String) -> Range<String.Index>? {
        indices.first { self[$0...].hasPrefix(text) }.map { $0..<index($0, offsetBy: text.count) }
    }
    func replacingCharacters(in range: Range<String.Index>, with text: String) -> String {
        String(self[..<range.lowerBound]) + text + String(self[range.upperBound...])
    }
}
