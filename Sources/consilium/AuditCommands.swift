import AuditLog
import Codec
import Storage
import Telemetry

let auditCommands: [Command] = [
    Command(
        words: ["audit", "verify"], summary: "check a log: signature, entries, tiles, root; a directory offline, or a URL",
        operands: ["DIR|URL"],
        options: [
            .value("vkey", "KEY", "the verifier key you trust (default: the log's own `vkey` file)"),
            .value("policy", "FILE", "a tlog-policy: the log keys you trust, the witnesses and their quorum"),
        ] + remoteOptions
    ) { invocation in try verify(invocation) },
    Command(
        words: ["audit", "prove"], summary: "write a receipt (tlog-proof) that an entry is in the log",
        operands: ["DIR|URL", "INDEX"],
        options: [
            .value("output", "FILE", "write the receipt to a file instead"),
            .value("entry", "FILE", "also write the entry itself, which the receipt is checked against"),
        ] + remoteOptions
    ) { invocation in try prove(invocation) },
    Command(
        words: ["audit", "check-receipt"], summary: "check a receipt and its entry offline, without the log",
        operands: ["FILE"],
        options: [
            .required("entry", "FILE", "the entry the receipt is about"), .value("vkey", "KEY", "the log's verifier key"),
            .value("policy", "FILE", "a tlog-policy: log keys, witnesses, quorum"),
        ]
    ) { invocation in try checkReceipt(invocation) },
    Command(
        words: ["audit", "show"], summary: "print entries of a log, which it does not check",
        operands: ["DIR|URL"],
        options: [
            .value("type", "TYPE", "only entries of this type, such as round.completed"), .value("actor", "NAME", "only by this actor"),
            .value("model", "NAME", "only about this model"), .value("version", "N", "only about this version of a model"),
            .value("from", "TIME", "not before, such as 2026-11-24 or 2026-11-24T10:00:00Z"),
            .value("to", "TIME", "not after"), .value("prediction", "ID", "only about this prediction"),
        ] + remoteOptions
    ) { invocation in try show(invocation) },
]

/// A log directory, or the directory of the party that owns one.
func logDirectory(_ path: String) throws -> String {
    for directory in [path, path + "/log"] where DurableFile.exists(directory + "/checkpoint") { return directory }
    throw Failure(.noInput, "no-log", "\(path) holds no audit log: give the directory of a coordinator, a node or a log")
}

/// The log that was named, and its latest head with cosignatures if it is known apart from the log.
func namedLog(_ invocation: Invocation) throws -> (source: any TileSource, cosigned: [UInt8]?) {
    let name = invocation.operands[0]
    if ServerAddress.isURL(name) {
        let log = try RemoteLog(name, invocation)
        return (log, try log.read("cosigned"))
    }
    let directory = try logDirectory(name)
    return (DirectorySource(directory), try AuditVerifier.cosignedHead(ofLog: directory))
}

private func verify(_ invocation: Invocation) throws {
    guard !(invocation.has("vkey") && invocation.has("policy")) else {
        throw Failure(.usage, "usage", "--vkey or --policy, not both: a policy names the keys of its logs")
    }
    let (source, cosigned) = try namedLog(invocation)
    // Over the network most of the time is waiting.
    let threads = source is RemoteLog ? 8 : 2
    let policy = try policy(invocation)
    // The size is known once the head has been opened; a log that is read at one stretch needs no bar.
    let bar = Locked<Progress?>(nil)
    let report: @Sendable (UInt64, UInt64) -> Void = { done, total in
        bar.withLock { bar in
            if bar == nil, done < total { bar = Progress("Verifying", total: Int(total), unit: "entries") }
            bar?.update(Int(done))
        }
    }
    defer { bar.withLock { $0?.stop() } }
    let quorum = try policy.map { try AuditVerifier.verify(source, cosigned: cosigned, policy: $0, threads: threads, progress: report) }
    let log = try quorum?.log ?? AuditVerifier.verify(source, verifierKey: invocation["vkey"], threads: threads, progress: report)
    bar.withLock { $0?.finish() }
    let trust =
        quorum.map {
            "signed by a key of the policy; its quorum vouches for the first \($0.cosigned.size) entries"
                + ($0.cosigners.isEmpty ? "" : " (\($0.cosigners.joined(separator: ", ")))")
        } ?? (invocation.has("vkey")
            ? "signed by the key you gave"
            : "signed by the key in the log's own vkey file: compare it with the one you know\n\(log.verifierKey)")
    Output(invocation).answer(
        [
            "origin": .string(log.origin), "entries": .integer(Int64(log.size)), "readFrom": .integer(Int64(log.firstIndex)), "root": .string(log.root.hex),
            "vkey": .string(log.verifierKey), "trusted": .bool(invocation.has("vkey") || quorum != nil),
            "cosigners": .array((quorum?.cosigners ?? log.cosigners).map { .string($0) }),
            "cosigned": quorum.map { .integer(Int64($0.cosigned.size)) } ?? .null,
            "counts": .object(log.counts.mapValues { .integer(Int64($0)) }),
            "first": log.firstTime.map { .string($0.iso8601) } ?? .null, "last": log.lastTime.map { .string($0.iso8601) } ?? .null,
        ],
        """
        OK \(log.origin)
        \(log.size) entries, root \(log.root.hex)\(log.firstIndex > 0 ? "\nthe first \(log.firstIndex) are past their retention; only their hashes were given out" : "")
        \(trust)
        """)
}

/// A receipt under the latest head that witnesses cosigned when that covers the entry, else under the published one.
private func prove(_ invocation: Invocation) throws {
    guard let index = UInt64(invocation.operands[1]) else {
        throw Failure(.usage, "usage", "INDEX must be the number of an entry: 0 for the first")
    }
    let (source, cosigned) = try namedLog(invocation)
    try prove(index, source, cosigned: cosigned, invocation)
}

private func prove(_ index: UInt64, _ source: some TileSource, cosigned: [UInt8]?, _ invocation: Invocation) throws {
    let reader = try LogReader(source)
    let receipt: TlogProof
    if let bytes = cosigned, let note = try? SignedNote(bytes),
        let head = try? Checkpoint(bytes, signedBy: reader.verifierKey), index < head.size, head.size <= reader.head.size
    {
        receipt = try reader.receipt(index, checkpoint: note)
    } else {
        receipt = try reader.receipt(index)
    }
    let entry = try reader.entry(index)
    if let file = invocation["entry"] { try DurableFile.writeAtomically(entry, to: file, mode: 0o644) }
    let text = String(decoding: receipt.bytes, as: UTF8.self)
    let answer: JSONValue = [
        "index": .integer(Int64(index)), "receipt": .string(text), "entry": .string(String(decoding: entry, as: UTF8.self)),
        "vkey": .string(reader.verifierKey.text),
    ]
    if let file = invocation["output"] {
        try DurableFile.writeAtomically(receipt.bytes, to: file, mode: 0o644)
        Output(invocation).answer(answer, "Receipt of entry \(index) written to \(file). Whoever checks it needs the entry and\n\(reader.verifierKey.text)")
    } else {
        Output(invocation).answer(answer, String(text.dropLast()))
    }
}

private func checkReceipt(_ invocation: Invocation) throws {
    guard invocation.has("vkey") != invocation.has("policy") else {
        throw Failure(.usage, "usage", "say whom you trust: --vkey KEY or --policy FILE")
    }
    let bytes = try DurableFile.read(invocation.operands[0], maxBytes: SignedNote.bytesMax)
    var entry = try DurableFile.read(try invocation.require("entry"), maxBytes: Int(UInt16.max) + 1)
    // No entry ends with a newline; a file made by an editor or by `audit show --json` does.
    if entry.last == 0x0A { entry.removeLast() }
    let policy = try policy(invocation)
    do throws(NoteError) {
        let receipt = try TlogProof(bytes)
        let key = try invocation["vkey"].map { text throws(NoteError) in try VerifierKey(text) }
        guard let trusted = policy ?? key.map({ TrustPolicy(log: $0) }) else { preconditionFailure("one of the two was given") }
        let head = try receipt.verify(entry: entry, policy: trusted)
        Output(invocation).answer(
            ["origin": .string(head.origin), "index": .integer(Int64(receipt.index)), "size": .integer(Int64(head.size)), "root": .string(head.root.hex)],
            "OK entry \(receipt.index) of \(head.origin)\nunder the signed head of \(head.size) entries, root \(head.root.hex)")
    } catch {
        throw Failure(.data, "receipt", "\(invocation.operands[0]): \(error)")
    }
}

/// The policy that was named; nil without one.
private func policy(_ invocation: Invocation) throws -> TrustPolicy? {
    guard let path = invocation["policy"] else { return nil }
    let bytes = try DurableFile.read(path, maxBytes: SignedNote.bytesMax)
    do throws(NoteError) { return try TrustPolicy(bytes) } catch { throw Failure(.configuration, "policy", "\(path): \(error)") }
}

private func show(_ invocation: Invocation) throws {
    if let type = invocation["type"], EntryType(rawValue: type) == nil {
        throw Failure(.usage, "usage", "--type: this program knows no entry of that type; `round.completed` and `prediction` are two")
    }
    try show(namedLog(invocation).source, invocation)
}

private func show(_ source: some TileSource, _ invocation: Invocation) throws {
    let from = try time(invocation, "from")
    let to = try time(invocation, "to")
    let version = try invocation.has("version") ? invocation.integer("version", in: 1...1_000_000, default: 1) : nil
    try LogReader(source).forEach { stored in
        if let type = invocation["type"], stored.typeName != type { return }
        if let actor = invocation["actor"], stored.actor != actor { return }
        if let model = invocation["model"], stored.model != model { return }
        if let version, stored.details["version"]?.intValue != version { return }
        if let from, stored.time < from { return }
        if let to, stored.time > to { return }
        if let prediction = invocation["prediction"], !stored.details.values.contains(.string(prediction)) { return }
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
