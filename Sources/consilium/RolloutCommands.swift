// Versions on their way into service and out of it: each command is one request to the running node, as the operator at this
// machine or as the person whose key is given.

import AuditLog
import Codec
import Cryptography
import Serving
import Simulation
import Storage
import Study
import Telemetry

private let directory = Option.required("dir", "DIR", "the node's directory")
private let keyFile = Option.value("key-file", "FILE", "act as the person whose API key this is (default: the operator at this machine)")
private let reason = Option.value("reason", "TEXT", "why; stands in the log, so it names no patient")
private let neededReason = Option.required("reason", "TEXT", "why; stands in the log, so it names no patient")
private let version = "DIGEST"

let rolloutCommands: [Command] = [
    changing(words: ["node", "stage"], "make a version that was refused, suspended or retired a candidate again"),
    changing(words: ["node", "shadow"], "let a version score what the live one scores, never shown"),
    Command(
        words: ["node", "canary"], summary: "let a version answer a share of the requests, step by step", operands: [version],
        options: [
            directory, keyFile, .value("steps", "P,P,…", "percentages of the requests (default: the plan's, or 1,5,25,50)"),
            .value("rows-per-step", "N", "rows that it answers in a step before the next (default 500)"),
            .value("minutes-per-step", "N", "minutes that a step lasts at least (default 0)"),
            .flag("ab", "one share (default 50); outcomes that come back decide"),
            .value("terms", "FILE", "JSON5 with these and the guardrails, as `deployment.rollout.canary` of a plan"),
        ]
    ) { invocation in
        let terms = try canaryTerms(invocation)
        let (client, shown) = try find(invocation)
        try answer(invocation, client.call("POST", path(shown, "canary"), body: terms))
    },
    Command(
        words: ["node", "rollout"], summary: "show what is seen of canary, shadow and standby", options: [directory, keyFile]
    ) { invocation in
        let client = try RunningProcess.node(try invocation.require("dir"), keyFile: invocation["key-file"])
        let answer = try client.call("GET", "/v1/rollout")
        Output(invocation).answer(answer, String(decoding: answer.prettyBytes(), as: UTF8.self))
    },
    changing(words: ["node", "standby"], "load a version so that it can go live at once"),
    changing(words: ["node", "unstage"], "end a shadow, canary or standby"),
    changing(words: ["node", "promote"], "let a version answer from the next request on", path: "live"),
    changing(words: ["node", "retire"], "take a version out of service"),
    changing(words: ["node", "suspend"], "take a version out because something is wrong with it", [reason]),
    changing(words: ["node", "override"], "let a version through that missed a bound, where policy.json5 allows it (gateOverride)", [neededReason]),
    Command(
        words: ["node", "evaluate"], summary: "hold a version against its plan's bounds on the site's own rows of today, or against the site's rules on a file",
        operands: [version],
        options: [directory, keyFile, .value("rows", "FILE", "for a version without a plan: CSV of labelled rows with a header line")]
    ) { invocation in
        let (client, shown) = try find(invocation)
        let rows = try invocation["rows"].map { try DurableFile.read($0, maxBytes: ServingLimits.packageBytes) }
        let digest = shown["digest"]?.stringValue ?? ""
        let measured = try client.call(
            "POST", rows == nil ? "/v1/node/models/\(digest)/evaluate" : "/v1/models/\(digest)/evaluate", body: rows ?? [], timeoutSeconds: 3600)
        let findings = (measured["findings"]?.arrayValue ?? []).map { ($0["passed"] == true ? "  ok      " : "  missed  ") + ($0["sentence"]?.stringValue ?? "") }
        Output(invocation).answer(
            measured, (["version \(measured["version"]?.intValue ?? 0) is \(measured["status"]?.stringValue ?? "")"] + findings).joined(separator: "\n"))
    },
    Command(words: ["node", "rules", "show"], summary: "show what the site asks of versions without a plan", options: [directory, keyFile]) { invocation in
        let client = try RunningProcess.node(try invocation.require("dir"), keyFile: invocation["key-file"])
        try answerRules(invocation, client.call("GET", "/v1/rules"))
    },
    Command(
        words: ["node", "rules", "set"], summary: "propose what the site asks of versions without a plan: bounds, approvals, canary",
        operands: ["FILE"], options: [directory, keyFile]
    ) { invocation in
        let client = try RunningProcess.node(try invocation.require("dir"), keyFile: invocation["key-file"])
        try answerRules(invocation, client.call("POST", "/v1/rules", body: DurableFile.read(invocation.operands[0], maxBytes: SiteRules.bytesMax)))
    },
    Command(
        words: ["node", "rules", "confirm"], summary: "agree to proposed rules, as another person than who proposed them", operands: ["DIGEST"],
        options: [directory, keyFile]
    ) { invocation in
        guard let digest = Digest(hex: invocation.operands[0]) else {
            throw Failure(.usage, "usage", "give the digest of the proposed rules, 64 hexadecimal digits; `consilium node rules show` shows it")
        }
        let client = try RunningProcess.node(try invocation.require("dir"), keyFile: invocation["key-file"])
        try answerRules(invocation, client.call("POST", "/v1/rules/\(digest.hex)/confirm"))
    },
    Command(
        words: ["node", "configure"], summary: "set threshold, abstain band and calibration of a version at this site", operands: [version],
        options: [
            directory, keyFile, .value("threshold", "P", "probability from which a row is positive (default: the package's)"),
            .value("abstain", "P,Q", "probabilities at which a person should decide (default: the package's)"),
            .value("calibration", "SLOPE,INTERCEPT", "calibrated probability = 1 / (1 + e^-(SLOPE × score + INTERCEPT))"),
            .flag("calibrate", "fit that on the site's own held-out rows; nothing else changes"),
        ]
    ) { invocation in try configure(invocation) },
    Command(
        words: ["node", "approve"], summary: "approve a version with exactly the evidence that was looked at", operands: [version],
        options: [directory, keyFile, .required("evidence", "HEX", "the version's evidence as `node models` shows it")]
    ) { invocation in
        let (client, shown) = try find(invocation)
        guard shown["evidence"]?.stringValue == invocation["evidence"] else {
            throw Failure(.data, "other-evidence", "the version's evidence is another one by now: look at it again with `consilium node models`")
        }
        let body: JSONValue = ["configuration": shown["configuration"] ?? .null, "evidence": shown["evidence"] ?? .null]
        try answer(invocation, client.call("POST", path(shown, "approve"), body: body.canonicalBytes()))
    },
    stopping(words: ["node", "stop"], "refuse every prediction from now on, until an overseer starts again"),
    stopping(words: ["node", "start"], "let predictions go on after a stop"),
    Command(
        words: ["model", "history"], summary: "say what was live at a time, who approved it and on which evidence, from the log alone",
        options: [
            .required("dir", "DIR", "a node's directory, or a log"), .value("at", "TIME", "such as 2026-11-24T10:00:00Z (default: every time)"),
            .value("model", "NAME", "only this model"),
        ]
    ) { invocation in try history(invocation) },
]

private func answerRules(_ invocation: Invocation, _ answer: JSONValue) throws {
    var lines = [answer["digest"]?.stringValue.map { "in force: \($0)" } ?? "The site asks nothing of versions without a plan."]
    if let rules = answer["rules"], rules != .null { lines.append(String(decoding: rules.prettyBytes(), as: UTF8.self)) }
    if let proposed = answer["proposed"], proposed != .null {
        let given = proposed["confirmations"]?.arrayValue?.count ?? 0
        lines.append("proposed: \(proposed["digest"]?.stringValue ?? ""), \(given) of \(answer["confirmations_needed"]?.intValue ?? 0) people have agreed (node rules confirm)")
        lines.append(String(decoding: (proposed["rules"] ?? .null).prettyBytes(), as: UTF8.self))
    }
    Output(invocation).answer(answer, lines.joined(separator: "\n"))
}

private func changing(words: [String], _ summary: String, _ options: [Option] = [], path last: String? = nil) -> Command {
    Command(words: words, summary: summary, operands: [version], options: [directory, keyFile] + options) { invocation in
        let (client, shown) = try find(invocation)
        try answer(invocation, client.call("POST", path(shown, last ?? words[1]), body: try body(invocation)))
    }
}

private func configure(_ invocation: Invocation) throws {
    let (client, shown) = try find(invocation)
    if invocation.has("calibrate") {
        guard !invocation.has("threshold"), !invocation.has("abstain"), !invocation.has("calibration") else {
            throw Failure(.usage, "usage", "--calibrate changes nothing else; set the rest with a second command")
        }
        return try answer(
            invocation, client.call("POST", "/v1/node/models/\(shown["digest"]?.stringValue ?? "")/calibrate", timeoutSeconds: 3600))
    }
    func numbers(_ option: String, _ count: Int) throws -> [JSONValue]? {
        guard let text = invocation[option] else { return nil }
        let parts = text.split(separator: ",", omittingEmptySubsequences: false).map { Double($0) }
        guard parts.count == count, parts.allSatisfy({ $0?.isFinite ?? false }) else {
            throw Failure(.usage, "usage", "--\(option) takes \(count == 1 ? "a number" : "two numbers with a comma between them")")
        }
        return parts.compactMap { $0.map { .number($0) } }
    }
    var settings: [String: JSONValue] = [:]
    settings["threshold"] = try numbers("threshold", 1)?[0]
    settings["abstain"] = try numbers("abstain", 2).map { .array($0) }
    settings["calibration"] = try numbers("calibration", 2).map { ["slope": $0[0], "intercept": $0[1]] }
    try answer(invocation, client.call("POST", path(shown, "configure"), body: JSONValue.object(settings).canonicalBytes()))
}

private func stopping(words: [String], _ summary: String) -> Command {
    Command(words: words, summary: summary, options: [directory, keyFile, reason]) { invocation in
        let client = try RunningProcess.node(try invocation.require("dir"), keyFile: invocation["key-file"])
        let answer = try client.call("POST", "/v1/" + words[1], body: try body(invocation))
        Output(invocation).answer(answer, answer["stopped"]?.boolValue == true ? "Every prediction is refused." : "Predictions go on.")
    }
}

private func body(_ invocation: Invocation) throws -> [UInt8] {
    guard let reason = invocation["reason"] else { return [] }
    return JSONValue.object(["reason": .string(reason)]).canonicalBytes()
}

private func canaryTerms(_ invocation: Invocation) throws -> [UInt8] {
    var terms: [String: JSONValue] = [:]
    if let file = invocation["terms"] {
        terms = try JSONValue.parse(DurableFile.read(file, maxBytes: 1 << 16), dialect: .json5).objectValue ?? [:]
    }
    if invocation.has("ab") { terms["kind"] = "ab" }
    if let text = invocation["steps"] {
        let steps = text.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
        guard steps.allSatisfy({ $0 != nil }) else { throw Failure(.usage, "usage", "--steps takes whole percentages such as 5,25,50") }
        terms["steps"] = .array(steps.compactMap { $0.map { .integer(Int64($0)) } })
    }
    for (option, member) in [("rows-per-step", "rowsPerStep"), ("minutes-per-step", "minutesPerStep")] where invocation.has(option) {
        terms[member] = .integer(Int64(try invocation.integer(option, in: 0...100_000_000, default: 0)))
    }
    return terms.isEmpty ? [] : JSONValue.object(terms).canonicalBytes()
}

/// The version whose digest begins with the operand, as the node shows it.
private func find(_ invocation: Invocation) throws -> (client: APIClient, version: JSONValue) {
    let wanted = invocation.operands[0]
    guard (8...64).contains(wanted.utf8.count), wanted.allSatisfy(\.isHexDigit) else {
        throw Failure(.usage, "usage", "give the version's digest, or its first 8 digits or more; `consilium node models` shows it")
    }
    let client = try RunningProcess.node(try invocation.require("dir"), keyFile: invocation["key-file"])
    let models = try client.call("GET", "/v1/models")["models"]?.arrayValue ?? []
    let found = models.flatMap { $0["versions"]?.arrayValue ?? [] }.filter { $0["digest"]?.stringValue?.hasPrefix(wanted) == true }
    guard found.count == 1 else {
        throw Failure(
            .data, "unknown-version",
            found.isEmpty ? "no version of that digest is at this node; `consilium node models` lists them" : "several versions begin so: give more digits")
    }
    return (client, found[0])
}

private func path(_ version: JSONValue, _ word: String) -> String { "/v1/models/\(version["digest"]?.stringValue ?? "")/\(word)" }

private func answer(_ invocation: Invocation, _ value: JSONValue) throws {
    Output(invocation).answer(value, "\(value["model"]?.stringValue ?? "") version \(value["version"]?.intValue ?? 0) is \(value["status"]?.stringValue ?? "")")
}

private func history(_ invocation: Invocation) throws {
    var time: Timestamp?
    if let text = invocation["at"] {
        guard let parsed = Timestamp(iso8601: text) else {
            throw Failure(.usage, "usage", "--at must be a time in UTC such as 2026-11-24T10:00:00Z")
        }
        time = parsed
    }
    let log = try LogReader(DirectorySource(try logDirectory(try invocation.require("dir"))))
    var history = DeploymentHistory()
    try log.forEach { history.take($0) }
    let state = history.state(at: time)
    let model = invocation["model"]
    guard model == nil || history.state(at: nil).models.contains(model ?? "") else {
        throw Failure(.data, "unknown-model", "the log holds no version of a model of that name")
    }
    let value = time.map { state.answerable(at: $0, model: model) } ?? state.timeline(model: model)
    Output(invocation).answer(value, String(decoding: value.prettyBytes(), as: UTF8.self))
}
