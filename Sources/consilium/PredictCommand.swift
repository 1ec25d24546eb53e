// `consilium predict`: a CSV file in, a CSV file with a score per row out.

import Codec
import Cryptography
import Glibc
import HTTP
import ModelPackage
import Serving
import Simulation
import SiteNode
import Storage
import Study
import Tabular
import Telemetry
import Transport

let predictCommand = Command(
    words: ["predict"], summary: "score a CSV file of any size; every row is in the log as a live prediction is",
    options: [
        .required("input", "FILE", "CSV with a header line that names the schema's feature columns; others are passed over"),
        .flag("as-trained", "the file is laid out as the training files are, header or not"), .required("output", "FILE", "CSV to write; must not exist"),
        .value("quarantine", "FILE", "rows that were refused, and why (default OUTPUT.quarantine.csv)"),
        .value("dir", "DIR", "the directory of a running node that scores"),
        .value("key-file", "FILE", "with --dir: file with an API key of role predict"),
        .value("model", "NAME", "with --dir: which model, when several are live"),
        .value("package", "DIR", "score with this package instead, without a running node"),
        .value("key", "HEX", "with --package: the key that must have signed it"),
        .value("state", "DIR", "with --package: keys, log and records (default DIR.state)"),
        .value("name", "NAME", "with --package: the site's name in log entries (default standalone)"),
    ]
) { invocation in
    let input = try invocation.require("input")
    let output = try invocation.require("output")
    let quarantine = invocation["quarantine"] ?? output + ".quarantine.csv"
    for path in [output, quarantine] where DurableFile.exists(path) {
        throw Failure(.cannotCreate, "output-exists", "\(path) exists: name another file, or remove it")
    }
    guard DurableFile.exists(input), !DurableFile.isDirectory(input) else {
        throw Failure(.noInput, "no-input", "\(input) is not a file")
    }
    let scorer = try Scorer(invocation)
    defer { scorer.close() }
    let counts = try score(input, output, quarantine, with: scorer, asTrained: invocation.has("as-trained"))
    Output(invocation).answer(
        [
            "scored": .integer(Int64(counts.scored)), "refused": .integer(Int64(counts.refused)), "output": .string(output),
            "quarantine": .string(quarantine), "package": .string(scorer.package.digest.hex),
        ],
        "\(counts.scored) rows scored by \(scorer.package.name) version \(scorer.package.version), \(counts.refused) refused.\n\(output)\n\(quarantine)")
}

/// The file appears under its own name when all of it is scored.
private func score(_ input: String, _ output: String, _ quarantine: String, with scorer: Scorer, asTrained: Bool) throws -> (scored: Int, refused: Int) {
    let part = output + ".part"
    for path in [part, quarantine + ".part"] where DurableFile.exists(path) { try DurableFile.remove(path) }
    let (scoredFile, refusedFile) = (try AppendFile(part), try AppendFile(quarantine + ".part"))
    let (scoredText, refusedText) = (BufferedFile(scoredFile), BufferedFile(refusedFile))
    var batch = try BatchScoring(
        schema: scorer.package.schema, model: scorer.package.name, isLaidOutAsTrained: asTrained, send: scorer.send, output: scoredText.write,
        quarantine: refusedText.write)
    let progress = Progress("Scoring", total: try DurableFile.size(input), unit: "bytes")
    var bytes = 0
    var problem: (any Error)?
    try DataSource.file(input).read { (chunk) throws(TabularError) in
        guard problem == nil else { return }
        do {
            try batch.feed(chunk)
            bytes += chunk.count
            progress.update(bytes, note: "\(batch.scored) rows, \(batch.refused) refused")
        } catch { problem = error }
    }
    if problem == nil { do { try batch.finish() } catch { problem = error } }
    if let problem {
        progress.stop()
        guard let failure = problem as? BatchScoring.Failure else { throw problem }
        throw Failure(failure.status == 503 ? .temporary : failure.status == 401 || failure.status == 403 ? .noPermission : .data, "not-scored", "\(failure)")
    }
    for text in [scoredText, refusedText] { try text.finish() }
    try rename(part, to: output)
    try rename(quarantine + ".part", to: quarantine)
    progress.finish(note: "\(batch.scored) rows, \(batch.refused) refused")
    return (batch.scored, batch.refused)
}

private func rename(_ path: String, to target: String) throws {
    // Both are C strings for the call.
    guard unsafe Glibc.rename(path, target) == 0 else {
        throw Failure(.inputOutput, "output", "\(path) is complete and could not be renamed to \(target)")
    }
}

/// Collects small pieces before they are written.
private final class BufferedFile {
    private let file: AppendFile
    private var bytes: [UInt8] = []
    private static let flushBytes = 1 << 18

    init(_ file: AppendFile) { self.file = file }

    func write(_ more: [UInt8]) throws {
        bytes += more
        if bytes.count >= Self.flushBytes { try flush() }
    }

    func finish() throws {
        try flush()
        try file.sync()
    }

    private func flush() throws {
        try file.append(bytes)
        bytes.removeAll(keepingCapacity: true)
    }
}

/// Who answers: a running node, or a package in this process.
private final class Scorer {
    let package: VerifiedPackage
    let send: BatchScoring.Send
    let close: () -> Void

    init(_ invocation: Invocation) throws {
        if let path = invocation["package"] {
            var state = path
            while state.count > 1, state.hasSuffix("/") { state.removeLast() }
            state = invocation["state"] ?? state + ".state"
            let options = StandaloneNode.Options(
                packages: [path], state: state, trustedKey: try trustedKeys(invocation)[0], listen: ListenAddress(host: "127.0.0.1", port: 0),
                isPlain: true, hosts: ["127.0.0.1"], site: invocation.has("name") ? try invocation.name("name") : "standalone")
            package = try VerifiedPackage.verify(directory: path, trustedKey: options.trustedKey)
            let node = try StandaloneNode(options, logger: Logger(source: "predict", level: .warning))
            let key = try Scorer.key(state + "/keys/predict.key")
            send = { node.answer(Scorer.request($0, key)) }
            close = node.stop
            return
        }
        guard let directory = invocation["dir"] else {
            throw Failure(.usage, "usage", "give --dir (a running node) or --package")
        }
        guard let file = invocation["key-file"] else {
            throw Failure(.usage, "usage", "--dir needs --key-file: a key of role predict, from `consilium node key create --output FILE`")
        }
        let key = try Scorer.key(file)
        let endpoint = try RunningProcess.endpoint(directory, role: "node")
        let address = try ListenAddress(text: String((endpoint["url"]?.stringValue ?? "").dropFirst("https://".count)), path: "endpoint.url")
        let authority = try Certificate(pem: String(decoding: DurableFile.read(directory + "/keys/serving-ca.crt.pem", maxBytes: 1 << 16), as: UTF8.self))
        let client = try HTTPClient(
            configuration: HTTPClientConfiguration(
                host: address.host, port: address.port, tls: try TLSContext.client(trust: .authority(authority))))
        package = try Scorer.livePackage(
            client.send(HTTPRequest(method: "GET", target: "/v1/models", headers: ["Authorization": "Bearer \(key)"])), invocation["model"],
            directory)
        send = { body in try Scorer.patiently { try client.send(Scorer.request(body, key), timeoutSeconds: 120) } }
        close = client.close
    }

    /// Asks again where the node says when to: beyond the key's rate, or while too much waits. Nothing was decided then.
    private static func patiently(_ send: () throws -> HTTPResponse) throws -> HTTPResponse {
        for _ in 0..<triesMax {
            let response = try send()
            guard [429, 503].contains(response.status), let seconds = response.headers["Retry-After"].flatMap({ UInt32($0) }), seconds <= 3600
            else { return response }
            _ = sleep(seconds)
        }
        return try send()
    }

    private static let triesMax = 100

    private static func key(_ path: String) throws -> String {
        String(decoding: try KeyFile.read(path).exposedCopy(), as: UTF8.self).filter { !$0.isWhitespace }
    }

    private static func request(_ body: [UInt8], _ key: String) -> HTTPRequest {
        HTTPRequest(method: "POST", target: "/v1/predict", headers: ["Authorization": "Bearer \(key)"], body: body)
    }

    private static func livePackage(_ response: HTTPResponse, _ name: String?, _ directory: String) throws -> VerifiedPackage {
        guard response.isSuccess, let models = (try? JSONValue.parse(response.body, dialect: .strict))?["models"]?.arrayValue else {
            throw Failure(.noPermission, "node-refused", response.errorMessage ?? "the node did not say which versions it has")
        }
        let live = models.filter { $0["live"]?.stringValue != nil && (name == nil || $0["name"]?.stringValue == name) }
        guard live.count == 1, let digest = live[0]["live"]?.stringValue else {
            throw Failure(
                .usage, "which-model", live.isEmpty ? "no such model is live at this node; see `consilium node models`" : "several models are live: say which with --model")
        }
        return try VerifiedPackage.verify(
            PackageContents(directory: directory + "/packages/" + digest), trustedKeys: try NodeDirectory(opening: directory).trustedKeys)
    }
}
