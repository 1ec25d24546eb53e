import AuditLog
import Codec
import Cryptography
import Glibc
import Storage
import Telemetry
import Testing

@testable import Serving

/// What a person's request for erasure leaves behind: entries that say nothing, and no byte of the identifier.
@Suite struct ErasureTests {
    private let subject = "patient-00421337"

    private func predict(_ node: TestNode, _ subject: String, rows: Int = 1) throws -> [String] {
        let rows = Array(repeating: TestModel.goodRow, count: rows).joined(separator: ",")
        let answer = node.predict(#"{"rows":[\#(rows)],"subject":"\#(subject)"}"#)
        try #require(answer.status == 200, "\(answer.string)")
        return answer.rows.compactMap { $0["id"]?.stringValue }
    }

    private func erase(_ node: TestNode, _ body: String) -> Int {
        node.post("/v1/records/erase", Array(body.utf8), as: .operator).status
    }

    private func files(_ path: String) throws -> [String] {
        guard DurableFile.isDirectory(path) else { return [path] }
        return try DurableFile.list(path).flatMap { try files(path + "/" + $0) }
    }

    /// Files below the node's directory that hold these bytes.
    private func places(_ text: String, in node: TestNode) throws -> [String] {
        let bytes = Array(text.utf8)
        return try files(node.directory).filter { path in
            let content = try DurableFile.read(path, maxBytes: 1 << 26)
            guard content.count >= bytes.count else { return false }
            return (0...content.count - bytes.count).contains { content[$0...].starts(with: bytes) }
        }
    }

    @Test func nothingOfAPersonIsLeft() throws {
        let node = try TestNode()
        try node.deploy()
        let theirs = try predict(node, subject, rows: 3) + predict(node, subject)
        let others = try predict(node, "patient-00421338")
        for id in [theirs[0], theirs[3], others[0]] {
            #expect(node.feedback(#"{"prediction_id":"\#(id)","outcome":true,"source":"ward of \#(subject)"}"#).status == 200)
        }
        #expect(try places(subject, in: node).count == 2)
        let answer = node.post("/v1/records/erase", Array(#"{"subject":"\#(subject)"}"#.utf8), as: .operator)
        #expect(answer.status == 200 && answer.value["predictions"] == 4 && answer.value["outcomes"] == 2, "\(answer.string)")
        // The other person's outcome names the first one; that is theirs, and goes with theirs.
        #expect(try places(subject, in: node).count == 1)
        #expect(erase(node, #"{"prediction":"\#(others[0])"}"#) == 200)
        for _ in 0..<2 {
            #expect(try places(subject, in: node).isEmpty)
            for id in theirs + others { #expect(node.get("/v1/decisions/\(id)").status == 404) }
            #expect(erase(node, #"{"subject":"\#(subject)"}"#) == 404)
            try node.restart()
        }
        let entries = node.log.entries(.recordsErased)
        #expect(entries.map { $0.details["predictions"] } == [.array(theirs.map { .string($0) }), .array(others.map { .string($0) })])
        #expect(node.lines.withLock { $0 }.allSatisfy { !$0.contains(subject) })
        #expect(!node.metrics.prometheusText().contains(subject))
    }

    /// Every identifier of a space is tried against the log: 10^5 in the ordinary run, 10^7 with `CONSILIUM_LONG`. While the
    /// salt is there the right one is found, which shows that the search works.
    @Test func noIdentifierOfTheWholeSpaceMatchesTheLog() throws {
        // Only asked whether it is set.
        let isLong = unsafe getenv("CONSILIUM_LONG") != nil
        let digits = isLong ? 7 : 5
        let node = try TestNode()
        try node.deploy()
        let subject = String(repeating: "0", count: digits - 5) + "31415"
        let id = try predict(node, subject)[0]
        let entry = try #require(node.log.entries(.prediction).last)
        let commitment = try #require(entry.subjectCommitment)
        let name = try #require(PredictionID(id))
        let record = try #require(try node.service.records.decision(name)).record
        #expect(record.subject?.text == subject)
        let space = Int(isLong ? 10_000_000 : 100_000)
        #expect(matches(entry, salts: [try #require(record.subject).salt], space: 100_000, digits: digits) == [31_415])
        #expect(erase(node, #"{"subject":"\#(subject)"}"#) == 200)
        // What is left to try with: no salt, the entry's own words as salt, and the hash without one.
        let salts = [[UInt8](repeating: 0, count: 32), commitment.bytes]
        #expect(matches(entry, salts: salts, space: space, digits: digits) == [])
    }

    private func matches(_ entry: LogEntry, salts: [[UInt8]], space: Int, digits: Int) -> [Int] {
        let found = [entry.subjectCommitment, entry.payloadCommitment, entry.payloadDigest].compactMap { $0 }
            + ["input", "output"].compactMap { entry.details[$0]?.stringValue.flatMap { Digest(hex: $0) } }
        let known = Set(found)
        return (0..<space).filter { number in
            let text = String(number)
            let subject = Array((String(repeating: "0", count: digits - text.count) + text).utf8)
            return known.contains(SHA256.hash(subject)) || salts.contains { known.contains(Commitment.make(subject, salt: $0)) }
        }
    }

    @Test func anErasureThatACrashCutOffIsFinishedAtTheNextStart() throws {
        let node = try TestNode()
        try node.deploy()
        let ids = try predict(node, subject, rows: 2)
        #expect(node.feedback(#"{"prediction_id":"\#(ids[0])","outcome":true}"#).status == 200)
        // The entry was written, then the power failed.
        try node.log.writer.appendAndWait(
            LogEntry(.recordsErased, actor: "key:x", role: "operator", details: ["predictions": .array(ids.map { .string($0) })]))
        #expect(try !places(subject, in: node).isEmpty)
        try node.restart()
        #expect(try places(subject, in: node).isEmpty)
        #expect(node.get("/v1/decisions/\(ids[0])").status == 404)
        #expect(try node.service.labelledRows(TestModel.schema).isEmpty)
    }

    @Test func withoutALogNothingIsErased() throws {
        let node = try TestNode()
        try node.deploy()
        let ids = try predict(node, subject)
        node.log.fail("disk full")
        #expect(erase(node, #"{"subject":"\#(subject)"}"#) == 503)
        node.log.fail(nil)
        #expect(node.get("/v1/decisions/\(ids[0])").status == 200)
        #expect(erase(node, #"{"subject":"\#(subject)"}"#) == 200)
    }

    @Test func aLongHistoryIsNamedInSeveralEntries() throws {
        let node = try TestNode()
        try node.deploy()
        let ids = try predict(node, subject, rows: 250)
        #expect(erase(node, #"{"subject":"\#(subject)"}"#) == 200)
        #expect(node.log.entries(.recordsErased).compactMap { $0.details["predictions"]?.arrayValue?.count } == [100, 100, 50])
        let names = node.log.entries(.recordsErased).flatMap { $0.details["predictions"]?.arrayValue ?? [] }
        #expect(names == ids.map { .string($0) })
        #expect(try node.log.stored().allSatisfy { $0.bytes.count <= LogEntry.bytesMax })
    }

    @Test(arguments: [
        "", "{}", "[]", #"{"subject":7}"#, #"{"subject":""}"#, #"{"subject":"a","prediction":"b"}"#, #"{"who":"a"}"#, #"{"prediction":7}"#,
    ])
    func refusesWhatNamesNobody(_ body: String) throws {
        let node = try TestNode()
        #expect(erase(node, body) == 400)
        #expect(erase(node, #"{"prediction":"x"}"#) == 404)
        #expect(node.log.entries(.recordsErased).isEmpty)
    }

    @Test(arguments: [#""subject":7"#, #""subject":"""#, #""subject":"a","subject":"b""#, #""subject":null"#])
    func refusesASubjectThatIsNone(_ member: String) throws {
        let node = try TestNode()
        try node.deploy()
        let answer = node.predict(#"{"row":\#(TestModel.goodRow),\#(member)}"#)
        #expect(answer.status == 400 && !answer.string.contains("7"), "\(answer.string)")
        let long = String(repeating: "x", count: ServingLimits.subjectBytes + 1)
        #expect(node.predict(#"{"row":\#(TestModel.goodRow),"subject":"\#(long)"}"#).status == 400)
    }
}
