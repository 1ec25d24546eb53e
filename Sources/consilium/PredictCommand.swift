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
        .flag("restart", "forget what a run of this output that was cut off has scored; else it goes on from there"),
        .value("dir", "DIR", "the directory of a running node that scores, with or without a coordinator"),
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
    let mayGoOn = BatchFiles.areBegun(output: output) && !invocation.has("restart")
    for path in [output, quarantine] where DurableFile.exists(path) && !mayGoOn {
        throw Failure(.cannotCreate, "output-exists", "\(path) exists: name another file, or remove it")
    }
    guard DurableFile.exists(input), !DurableFile.isDirectory(input) else {
        throw Failure(.noInput, "no-input", "\(input) is not a file")
    }
    let scorer = try Scorer(invocation)
    defer { scorer.close() }
    let run: JSONValue = [
        "batch": 1, "package": .string(scorer.package.digest.hex), "asTrained": .bool(invocation.has("as-trained")), "quarantine": .string(quarantine),
    ]
    do {
        let files = try BatchFiles(output: output, quarantine: quarantine, run: run, restarts: invocation.has("restart"))
        let before = files.standing
        let counts = try score(input, files, with: scorer, asTrained: invocation.has("as-trained"))
        Output(invocation).answer(
            [
                "scored": .integer(Int64(counts.scored)), "refused": .integer(Int64(counts.refused)), "output": .string(output),
                "quarantine": .string(quarantine), "package": .string(scorer.package.digest.hex),
                "resumedAfter": before.map { .integer(Int64($0.row)) } ?? .null,
            ],
            "\(counts.scored) rows scored by \(scorer.package.name) version \(scorer.package.version), \(counts.refused) refused.\n\(output)\n\(quarantine)")
    } catch let problem as BatchFiles.Problem {
        throw Failure(.cannotCreate, "batch-files", "\(problem)")
    }
}

/// The files appear under their own names when all of the input is scored.
private func score(_ input: String, _ files: BatchFiles, with scorer: Scorer, asTrained: Bool) throws -> BatchScoring.Standing {
    let before = files.standing
    if let before { Logger.standardError("Going on after row \(before.row): \(before.scored) rows scored, \(before.refused) refused so far.\n") }
    if files.isComplete, let before {
        try files.finish(before)
        return before
    }
    var batch = try BatchScoring(
        schema: scorer.package.schema, model: scorer.package.name, isLaidOutAsTrained: asTrained, after: before, send: scorer.send,
        output: files.write, quarantine: files.quarantine, step: files.step)
    let total = try DurableFile.size(input)
    var progress: Progress?
    var (bytes, passedOver) = (0, 0)
    var problem: (any Error)?
    do {
        try DataSource.file(input).read(bytesMax: .max) { (chunk) throws(TabularError) in
            do {
                try files.note(chunk)
                if files.isPast, progress == nil {
                    passedOver = bytes
                    progress = Progress("Scoring", total: total - passedOver, unit: "bytes")
                }
                try batch.feed(chunk)
            } catch {
                problem = error
                throw .source(.tooLarge(bytesMax: bytes))
            }
            bytes += chunk.count
            progress?.update(bytes - passedOver, note: "\(batch.standing.scored) rows, \(batch.standing.refused) refused")
        }
        try batch.finish()
    } catch { problem = problem ?? error }
    if let problem {
        progress?.stop()
        guard let failure = problem as? BatchScoring.Failure else { throw problem }
        throw Failure(
            failure.status == 503 ? .temporary : failure.status == 401 || failure.status == 403 ? .noPermission : .data, "not-scored",
            "\(failure); the same command goes on from there")
    }
    try files.finish(batch.standing)
    progress?.finish(note: "\(batch.standing.scored) rows, \(batch.standing.refused) refused")
    return batch.standing
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
        let endpoint = try RunningProcess.nodeEndpoint(directory)
        let url = endpoint["url"]?.stringValue ?? ""
        let isPlain = url.hasPrefix("http://")
        let address = try ListenAddress(text: String(url.dropFirst((isPlain ? "http://" : "https://").count)), path: "endpoint.url")
        let tls = isPlain ? nil : try TLSContext.client(trust: .authority(try Scorer.authority(directory)))
        let client = try HTTPClient(configuration: HTTPClientConfiguration(host: address.host, port: address.port, tls: tls))
        package = try Scorer.livePackage(
            client.send(HTTPRequest(method: "GET", target: "/v1/models", headers: ["Authorization": "Bearer \(key)"])), invocation["model"],
            directory, try Scorer.signers(directory, endpoint))
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

    private static func authority(_ directory: String) throws -> Certificate {
        try Certificate(pem: String(decoding: DurableFile.read(directory + "/keys/serving-ca.crt.pem", maxBytes: 1 << 16), as: UTF8.self))
    }

    /// Whose packages the node takes: a site's are in its directory, a node without a coordinator says it itself.
    private static func signers(_ directory: String, _ endpoint: JSONValue) throws -> [VerifyingKey] {
        guard let named = endpoint["trustedKeys"]?.arrayValue else { return try NodeDirectory(opening: directory).trustedKeys }
        return named.compactMap { $0.stringValue.flatMap { Hex.decode($0) }.flatMap(VerifyingKey.init(bytes:)) }
    }

    private static func livePackage(
        _ response: HTTPResponse, _ name: String?, _ directory: String, _ trustedKeys: [VerifyingKey]
    ) throws -> VerifiedPackage {
        guard response.isSuccess, let models = (try? JSONValue.parse(response.body, dialect: .strict))?["models"]?.arrayValue else {
            throw Failure(.noPermission, "node-refused", response.errorMessage ?? "the node did not say which versions it has")
        }
        let live = models.filter { $0["live"]?.stringValue != nil && (name == nil || $0["name"]?.stringValue == name) }
        guard live.count == 1, let digest = live[0]["live"]?.stringValue else {
            throw Failure(
                .usage, "which-model", live.isEmpty ? "no such model is live at this node; see `consilium node models`" : "several models are live: say which with --model")
        }
        return try VerifiedPackage.verify(
            PackageContents(directory: directory + "/packages/" + digest), trustedKeys: trustedKeys)
    }
}
