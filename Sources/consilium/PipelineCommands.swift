// Pipelines of a running node: several steps under one name.

import Codec
import Simulation
import Storage

private let directory = Option.required("dir", "DIR", "the node's directory")
private let keyFile = Option.value("key-file", "FILE", "act as the person whose API key this is (default: the operator at this machine)")

let pipelineCommands: [Command] = [
    Command(
        words: ["node", "pipeline", "set"], summary: "put a pipeline in force: transformations and models that feed one another, under one name",
        operands: ["FILE"], options: [directory, keyFile]
    ) { invocation in
        let client = try RunningProcess.node(try invocation.require("dir"), keyFile: invocation["key-file"])
        let answer = try client.call("POST", "/v1/pipelines", body: DurableFile.read(invocation.operands[0], maxBytes: 1 << 16))
        Output(invocation).answer(answer, "Pipeline \(answer["name"]?.stringValue ?? "") is in force: \(answer["digest"]?.stringValue ?? "")")
    },
    Command(words: ["node", "pipeline", "list"], summary: "list the pipelines in force", options: [directory, keyFile]) { invocation in
        let client = try RunningProcess.node(try invocation.require("dir"), keyFile: invocation["key-file"])
        let answer = try client.call("GET", "/v1/pipelines")
        let lines = (answer["pipelines"]?.arrayValue ?? []).map { pipeline -> String in
            let steps = (pipeline["document"]?["steps"]?.arrayValue ?? []).compactMap { $0["name"]?.stringValue }
            return "\(pipeline["name"]?.stringValue ?? "")  \(pipeline["digest"]?.stringValue ?? "")\n  \(steps.joined(separator: " → "))"
        }
        Output(invocation).answer(answer, lines.isEmpty ? "No pipeline is in force." : lines.joined(separator: "\n"))
    },
    Command(
        words: ["node", "pipeline", "remove"], summary: "take a pipeline out of service", operands: ["NAME"], options: [directory, keyFile]
    ) { invocation in
        let name = invocation.operands[0]
        guard name.utf8.allSatisfy({ (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || [0x2d, 0x2e, 0x5f].contains($0) }) else {
            throw Failure(.usage, "usage", "a pipeline's name is made of a-z 0-9 . _ -")
        }
        let client = try RunningProcess.node(try invocation.require("dir"), keyFile: invocation["key-file"])
        Output(invocation).answer(try client.call("DELETE", "/v1/pipelines/\(name)"), "Pipeline \(name) is out of service.")
    },
]
