// Erasure: what a person's records at this site held is overwritten; the log's entries stay and say nothing any more.
// `protocol/audit-log.md` §7.

import Codec
import Storage

let recordsCommands: [Command] = [
    Command(
        words: ["records", "erase"], summary: "erase payloads and salts of a person's or a prediction's records",
        options: [
            .required("dir", "DIR", "the node's directory; the node has to run"),
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
    let answer = try RunningProcess.node(try invocation.require("dir")).call("POST", "/v1/records/erase", body: body.canonicalBytes())
    let (predictions, outcomes) = (answer["predictions"]?.intValue ?? 0, answer["outcomes"]?.intValue ?? 0)
    Output(invocation).answer(
        answer, "Erased \(predictions) predictions and \(outcomes) outcomes. What the log says of them stays and cannot be tied to anybody any more.")
}
