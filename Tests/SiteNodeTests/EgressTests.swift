// The record of what left the site.

import Codec
import Cryptography
import Glibc
import Storage
import Telemetry
import Testing

@testable import SiteNode

@Suite struct EgressTests {
    private func scratch() throws -> String {
        var template = Array("/tmp/consilium-egress-XXXXXX".utf8CString)
        guard unsafe mkdtemp(&template) != nil else { throw NodeError.data("no scratch directory") }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private func remove(_ path: String) {
        for name in (try? DurableFile.list(path)) ?? [] { try? DurableFile.remove(path + "/" + name) }
        try? DurableFile.removeDirectory(path)
    }

    @Test func everyMessageIsALineAndTheDigestIsOverTheFile() throws {
        let path = try scratch()
        defer { remove(path) }
        let clock = ManualClock()
        let record = try EgressRecord(directory: path, clock: clock)
        try record.note("poll", [1, 2, 3])
        try record.note("aggregation", [UInt8](repeating: 0, count: 1000))
        try record.note("poll", [4])
        let seal = try record.seal()
        #expect(record.totals.map(\.type) == ["aggregation", "poll"])
        #expect(record.totals.map(\.total.bytes) == [1000, 4] && record.totals.map(\.total.messages) == [1, 2])
        let text = try DurableFile.read(path + "/egress.jsonl", maxBytes: 1 << 16)
        var chain = SHA256.hash(Array("consilium/egress/v1".utf8))
        let lines = text.split(separator: 0x0a)
        #expect(lines.count == 3)
        for line in lines { chain = SHA256.hash(parts: chain.bytes, Array(line)) }
        #expect(chain == seal)
        let first = try JSONValue.parse(Array(lines[0]), dialect: .strict)
        #expect(first["sha256"]?.stringValue == SHA256.hash([1, 2, 3]).hex && first["type"] == "poll" && first["bytes"]?.intValue == 3)
    }

    @Test func aRestartGoesOnAndDropsAHalfLine() throws {
        let path = try scratch()
        defer { remove(path) }
        let record = try EgressRecord(directory: path, clock: ManualClock())
        try record.note("poll", [1])
        let seal = try record.seal()
        let file = try AppendFile(path + "/egress.jsonl")
        try file.append(Array("{\"bytes\":1,\"sha2".utf8))
        let again = try EgressRecord(directory: path, clock: ManualClock())
        #expect(try again.seal() == seal)
        #expect(again.totals.map(\.total.messages) == [1])
        try again.note("poll", [2])
        #expect(try EgressRecord(directory: path, clock: ManualClock()).seal() == again.seal())
    }

    /// The poll thread and the node's own thread write at the same time; file and digest must agree on the order.
    @Test func theDigestFitsTheFileWithManyWriters() async throws {
        let path = try scratch()
        defer { remove(path) }
        let record = try EgressRecord(directory: path, clock: ManualClock())
        await withTaskGroup(of: Void.self) { group in
            for writer in 0..<8 { group.addTask { for number in 0..<100 { try? record.note("w\(writer)", [UInt8(number)]) } } }
        }
        let seal = try record.seal()
        #expect(try EgressRecord(directory: path, clock: ManualClock()).seal() == seal)
        #expect(record.totals.reduce(0) { $0 + $1.total.messages } == 800)
    }
}
