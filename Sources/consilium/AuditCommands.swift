import AuditLog
import Codec
import Storage
import Telemetry

let auditCommands: [Command] = [
    Command(
        words: ["audit", "verify"], summary: "check a log directory offline: signature, entries, tiles, root",
        operands: ["DIR"], options: [.value("vkey", "KEY", "the verifier key you trust (default: the log's own `vkey` file)")]
    ) { invocation in
        let progress = Progress("Verifying", total: nil, unit: "entries")
        let report = try AuditVerifier.verify(directory: logDirectory(invocation.operands[0]), verifierKey: invocation["vkey"]) { done, _ in
            progress.update(Int(done))
        }
        Output(invocation).answer(
            [
                "origin": .string(report.origin), "entries": .integer(Int64(report.size)), "root": .string(report.root.hex),
                "vkey": .string(report.verifierKey), "trusted": .bool(invocation.has("vkey")),
                "cosigners": .array(report.cosigners.map { .string($0) }),
                "counts": .object(report.counts.mapValues { .integer(Int64($0)) }),
                "first": report.firstTime.map { .string($0.iso8601) } ?? .null, "last": report.lastTime.map { .string($0.iso8601) } ?? .null,
            ],
            """
            OK \(report.origin)
            \(report.size) entries, root \(report.root.hex)
            \(invocation.has("vkey") ? "signed by the key you gave" : "signed by the key in the log's own vkey file: compare it with the one you know\n\(report.verifierKey)")
            """)
    },
    Command(
        words: ["audit", "show"], summary: "print entries of a log directory",
        operands: ["DIR"],
        options: [
            .value("type", "TYPE", "only entries of this type, such as round.completed"), .value("actor", "NAME", "only by this actor"),
            .value("model", "NAME", "only about this model"), .value("from", "TIME", "not before, such as 2026-11-24 or 2026-11-24T10:00:00Z"),
            .value("to", "TIME", "not after"), .value("prediction", "ID", "only about this prediction"),
        ]
    ) { invocation in try show(invocation) },
]

/// A log directory, or the directory of the party that owns one.
private func logDirectory(_ path: String) -> String {
    DurableFile.exists(path + "/checkpoint") ? path : DurableFile.exists(path + "/log/checkpoint") ? path + "/log" : path
}

private func show(_ invocation: Invocation) throws {
    let directory = logDirectory(invocation.operands[0])
    let from = try time(invocation, "from")
    let to = try time(invocation, "to")
    let source = DirectorySource(directory)
    for stored in try AuditReader.entries(source) {
        if let type = invocation["type"], stored.typeName != type { continue }
        if let actor = invocation["actor"], stored.actor != actor { continue }
        if let model = invocation["model"], stored.model != model { continue }
        if let from, stored.time < from { continue }
        if let to, stored.time > to { continue }
        if let prediction = invocation["prediction"], !stored.details.values.contains(.string(prediction)) { continue }
        if invocation.wantsJSON {
            Output.print(String(decoding: stored.bytes, as: UTF8.self))
        } else {
            let details = String(decoding: JSONValue.object(stored.details).canonicalBytes(), as: UTF8.self)
            Output.print("\(stored.seq)  \(stored.time.iso8601)  \(stored.typeName)  \(stored.actor)  \(details)")
        }
    }
}

private func time(_ invocation: Invocation, _ name: String) throws -> Timestamp? {
    guard let text = invocation[name] else { return nil }
    guard let time = Timestamp(iso8601: text) else {
        throw Failure(.usage, "usage", "--\(name) must be a date or a time such as 2026-11-24T10:00:00Z")
    }
    return time
}
