// Erasure: what a person's records at this site held is overwritten; the log's entries stay and say nothing any more.
// `protocol/audit-log.md` §7.

import Codec
import HTTP
import Storage

let recordsCommands: [Command] = [
    Command(
        words: ["records", "erase"], summary: "erase payloads and salts of a person's or a prediction's records",
        options: [
            .required("dir", "DIR", "directory of a node, or state of one without a coordinator; it has to run"),
            .value("subject", "ID", "the person, as `subject` of the predictions named them"),
            .value("subject-file", "FILE", "file that holds the person's identifier: it then stands in no shell history"),
            .value("prediction", "ID", "one prediction with its outcomes"),
        ]
    ) { invocation in try erase(invocation) }
]

private func erase(_ invocation: Invocation) throws {
    let fromFile = try invocation["subject-file"].map { path in
        String(decoding: try DurableFile.read(path, maxBytes: 4096), as: UTF8.self).filter { !$0.isNewline }
    }
    let given: [(name: String, value: String)] = [("subject", invocation["subject"] ?? fromFile), ("prediction", invocation["prediction"])]
        .compactMap { name, value in value.map { (name, $0) } }
    guard given.count == 1, !(invocation.has("subject") && fromFile != nil) else {
        throw Failure(.usage, "usage", "say whose records: --subject ID, --subject-file FILE or --prediction ID, one of them")
    }
    let body: JSONValue = [given[0].name: .string(given[0].value)]
    let answer = try send(body.canonicalBytes(), to: try invocation.require("dir"))
    let (predictions, outcomes) = (answer["predictions"]?.intValue ?? 0, answer["outcomes"]?.intValue ?? 0)
    Output(invocation).answer(
        answer, "Erased \(predictions) predictions and \(outcomes) outcomes. What the log says of them stays and cannot be tied to anybody any more.")
}

private func send(_ body: [UInt8], to directory: String) throws -> JSONValue {
    let isStandalone = !DurableFile.exists(directory + "/config.json5") && DurableFile.exists(directory + "/keys/log-signing.key.pem")
    guard isStandalone else { return try RunningProcess.node(directory).call("POST", "/v1/records/erase", body: body) }
    guard let bytes = try? DurableFile.read(directory + "/endpoint.json", maxBytes: 4096),
        let endpoint = try? JSONValue.parse(bytes, dialect: .strict), let url = endpoint["url"]?.stringValue,
        let pid = endpoint["pid"]?.intValue, RunningProcess.isOurs(pid)
    else { throw Failure(.unavailable, "not-running", "no node runs with its state in \(directory): start it with `consilium node serve --package`") }
    let authority = directory + "/keys/serving-ca.crt.pem"
    let server = try RemoteServer(
        ServerAddress(url, defaultPrefix: ""), authority: DurableFile.exists(authority) ? authority : nil, keyFile: directory + "/keys/operator.key")
    let response = try server.send("POST", "/v1/records/erase", body: body)
    guard response.isSuccess else {
        let code: ExitCode = [401, 403].contains(response.status) ? .noPermission : response.status == 503 ? .temporary : .data
        throw Failure(code, "refused", response.errorMessage ?? "the node answered with status \(response.status)")
    }
    return try JSONValue.parse(response.body, dialect: .strict)
}
