// Witnessing by hand and for parties outside a federation: run a witness, look at what it keeps, take a log to one.

import AuditLog
import Codec
import Cryptography
import Glibc
import HTTP
import Storage
import Study
import Telemetry
import Transport

let witnessCommands: [Command] = [
    Command(
        words: ["audit", "witness"], summary: "run a witness for logs of others until SIGTERM (tlog-witness)",
        options: [
            .required("dir", "DIR", "the witness's directory; made with a new key at the first start"),
            .required("listen", "HOST:PORT", "where logs connect"),
            .repeated("log", "VKEY", "verifier key of a log to witness, or a file that holds it"),
            .value("name", "NAME", "name of a new witness, such as witness.example.org (default: a random one)"),
            .repeated("host", "NAME", "name or address in the certificate"),
            .flag("plain", "HTTP without TLS: on loopback, or behind a proxy that ends TLS"),
        ]
    ) { invocation in try serve(invocation) },
    Command(
        words: ["audit", "witness", "show"], summary: "show a witness's key and the heads it has cosigned",
        options: [.required("dir", "DIR", "the witness's directory")]
    ) { invocation in try showWitness(invocation) },
    Command(
        words: ["audit", "cosign"], summary: "take the head of a log to a witness and keep its cosignature",
        operands: ["DIR|URL"],
        options: [
            .required("witness", "URL", "the witness, such as https://witness.example.org:8450"),
            .required("witness-vkey", "KEY", "the witness's verifier key"),
            .value("witness-ca", "FILE", "the CA of the witness's port, PEM"),
            .value("output", "FILE", "write the cosigned head to a file"),
            .value("evidence", "FILE", "where evidence of a fork goes (default fork-evidence.json)"),
        ] + remoteOptions
    ) { invocation in try cosign(invocation) },
    Command(
        words: ["audit", "check-fork"], summary: "check a file that says a log's key signed two histories",
        operands: ["FILE"]
    ) { invocation in try checkFork(invocation) },
]

private func serve(_ invocation: Invocation) throws {
    RunningProcess.holdTermination()
    let keys = try invocation.all("log").map(verifierKey)
    guard !keys.isEmpty, keys.count <= Witness.logsMax, keys.allSatisfy({ $0.kind == .log }) else {
        throw Failure(.usage, "usage", "name each log to witness with --log VKEY; the key is in the log's file vkey")
    }
    let listen = try ListenAddress(text: try invocation.require("listen"), path: "--listen")
    let directory = try WitnessDirectory(try invocation.require("dir"), name: invocation["name"])
    let logger = RunningProcess.logger("witness", invocation)
    let witness = try directory.witness(keys, logger: logger)
    var tls: TLSContext?
    if !invocation.has("plain") {
        let hosts = invocation.all("host")
        let own = try directory.certificate(hosts: hosts, listen: listen, now: SystemClock().now())
        tls = try TLSContext.server(chain: own.chain, key: own.key)
    }
    let service = WitnessService(witness, logger: logger)
    let port = try service.start(listen, tls: tls)
    let url = (tls == nil ? "http://" : "https://") + ListenAddress(host: listen.host, port: port).text
    let endpoint: JSONValue = ["role": "witness", "pid": .integer(Int64(getpid())), "url": .string(url)]
    try DurableFile.writeAtomically(endpoint.prettyBytes(), to: directory.path + "/endpoint.json")
    Output(invocation).answer(
        ["vkey": .string(witness.verifierKey.text), "url": .string(url), "logs": .array(keys.map { .string($0.name.text) })],
        "\(witness.verifierKey.text)\nwitnesses \(keys.count) logs at \(url)")
    RunningProcess.waitForTermination()
    service.stop()
    try? DurableFile.remove(directory.path + "/endpoint.json")
}

/// A key as text, or from a file as `vkey` beside a log.
private func verifierKey(_ text: String) throws -> VerifierKey {
    let isFile = DurableFile.exists(text)
    let key = isFile ? String(decoding: try DurableFile.read(text, maxBytes: 4096), as: UTF8.self).filter { $0 != "\n" } : text
    do throws(NoteError) { return try VerifierKey(key) } catch {
        throw Failure(.usage, "usage", "\(isFile ? text : "the key"): \(error); a verifier key is one line NAME+ID+KEY, or give a file that holds it")
    }
}

private func showWitness(_ invocation: Invocation) throws {
    let path = try invocation.require("dir")
    guard DurableFile.exists(path + "/vkey") else { throw Failure(.noInput, "no-witness", "\(path) holds no witness: `consilium audit witness` makes one") }
    let key = try verifierKey(path + "/vkey")
    var (heads, forks): ([JSONValue], [String]) = ([], [])
    var lines: [String] = [key.text]
    for name in try DurableFile.list(path + "/logs") {
        if name.hasPrefix("fork-") { forks.append(path + "/logs/" + name) }
        guard name.utf8.count == 2 * Digest.byteCount, !name.contains(".") else { continue }
        let note = try OpenedNote(DurableFile.read(path + "/logs/" + name, maxBytes: SignedNote.bytesMax), known: [key])
        let head = try Checkpoint(text: note.text)
        let time = Timestamp(milliseconds: Int64(clamping: note.signers.first?.timeSeconds ?? 0) * 1000).iso8601
        heads.append(["origin": .string(head.origin), "size": .integer(Int64(head.size)), "root": .string(head.root.hex), "time": .string(time)])
        lines.append("\(head.origin)  \(head.size) entries, root \(head.root.hex), cosigned \(time)")
    }
    Output(invocation).answer(
        ["vkey": .string(key.text), "logs": .array(heads), "forks": .array(forks.map { .string($0) })],
        (lines + forks.map { "FORK: \($0)" }).joined(separator: "\n"))
}

private func cosign(_ invocation: Invocation) throws {
    let witness = try verifierKey(try invocation.require("witness-vkey"))
    guard witness.kind == .witness else { throw Failure(.usage, "usage", "--witness-vkey is the key of a log, not of a witness") }
    let url = try invocation.require("witness")
    guard ServerAddress.isURL(url) else { throw Failure(.usage, "usage", "--witness must be a URL: https://host:port") }
    let server = try RemoteServer(ServerAddress(url, defaultPrefix: ""), authority: invocation["witness-ca"])
    let named = try namedLog(invocation)
    let cosigned = try cosign(named.source, by: witness, at: server, invocation)
    if let file = invocation["output"] { try DurableFile.writeAtomically(cosigned.note.bytes, to: file, mode: 0o644) }
    if let source = named.source as? DirectorySource { _ = try CosignedHead.keep(cosigned.note, ofLog: source.directory, key: cosigned.key) }
    Output(invocation).answer(
        [
            "origin": .string(cosigned.head.origin), "size": .integer(Int64(cosigned.head.size)), "root": .string(cosigned.head.root.hex),
            "witness": .string(witness.name.text), "checkpoint": .string(String(decoding: cosigned.note.bytes, as: UTF8.self)),
        ],
        "OK \(witness.name) has cosigned \(cosigned.head.size) entries of \(cosigned.head.origin), root \(cosigned.head.root.hex)")
}

/// A head with a witness's signature that has been checked.
private struct Cosigned {
    var key: VerifierKey
    var head: Checkpoint
    var note: SignedNote
}

private func cosign(_ source: some TileSource, by witness: VerifierKey, at server: RemoteServer, _ invocation: Invocation) throws -> Cosigned {
    let reader = try LogReader(source)
    let origin = SHA256.hash(Array(reader.head.origin.utf8)).hex
    let kept = try server.send("GET", "/\(origin)/checkpoint")
    var known: UInt64 = 0
    if kept.isSuccess {
        let note = try SignedNote(kept.body)
        known = try Checkpoint(note.bytes, signedBy: reader.verifierKey).size
        guard known <= reader.head.size else {
            throw Failure(
                .data, "log-behind",
                "the witness has cosigned \(known) entries of this log, here are \(reader.head.size): this is an old copy; restore the newest one")
        }
        try refuseFork(note, reader, source, invocation)
    }
    let proof = known == 0 ? [] : try SourceTree(source: source, size: reader.head.size).consistency(known, reader.head.size)
    let request = AddCheckpoint(oldSize: known, proof: proof, checkpoint: reader.checkpoint)
    let response = try server.send("POST", "/add-checkpoint", body: request.bytes)
    switch response.status {
    case 200: break
    case 404: throw Failure(.data, "witness-unknown-log", "the witness does not know this log: have its operator add --log \(reader.verifierKey.text)")
    case 409: throw Failure(.temporary, "witness-busy", "another head of this log reached the witness meanwhile: ask again")
    case 503: throw Failure(.temporary, "witness-busy", "the witness cannot keep its state or has too much to do: ask again later")
    default:
        throw Failure(.data, "witness-refused", "the witness refused the head with status \(response.status): the log is not what it has cosigned before")
    }
    let note = reader.checkpoint.adding(try SignedNote.Signature.parse(lines: response.body))
    guard try OpenedNote(note, known: [reader.verifierKey, witness]).isSigned(by: witness) else {
        throw Failure(.protocol, "witness-key", "the answer is not signed by the witness's key that you gave: check --witness-vkey")
    }
    return Cosigned(key: reader.verifierKey, head: reader.head, note: note)
}

/// The head that the witness kept must be a beginning of the log; when it is not, the two heads are evidence.
private func refuseFork(_ kept: SignedNote, _ reader: LogReader<some TileSource>, _ source: some TileSource, _ invocation: Invocation) throws {
    guard let fork = try ForkEvidence.compare(kept: kept, current: reader.checkpoint, key: reader.verifierKey, source: source) else { return }
    let path = invocation["evidence"] ?? "fork-evidence.json"
    try DurableFile.writeAtomically(fork.bytes, to: path, mode: 0o644)
    throw Failure(.data, "log-fork", "the witness has cosigned another history of this log: \(path) proves it to anybody (`consilium audit check-fork`)")
}

private func checkFork(_ invocation: Invocation) throws {
    let path = invocation.operands[0]
    let bytes = try DurableFile.read(path, maxBytes: 2 * SignedNote.bytesMax)
    let evidence: ForkEvidence
    do throws(NoteError) { evidence = try ForkEvidence(bytes) } catch { throw Failure(.data, "fork-evidence", "\(path): \(error)") }
    guard evidence.isProof else { throw Failure(.data, "fork-evidence", "\(path) does not show that the log's key signed two histories") }
    let sizes = try [evidence.first, evidence.second].map { try Checkpoint($0.bytes, signedBy: evidence.key).size }
    Output(invocation).answer(
        ["vkey": .string(evidence.key.text), "first": .integer(Int64(sizes[0])), "second": .integer(Int64(sizes[1]))],
        "OK the key of \(evidence.key.name) signed two histories: its heads of \(sizes[0]) and \(sizes[1]) entries cannot both be true\n\(evidence.key.text)")
}
