import Codec
import Cryptography
import Messages
import Serving
import SiteNode
import Storage
import Study
import Tabular
import Telemetry

private let directory = Option.required("dir", "DIR", "the node's directory")
private let study = Option.required("study", "NAME", "the study")

let nodeCommands: [Command] = [
    Command(
        words: ["node", "join"], summary: "join a federation with a one-time token",
        options: [
            directory, .value("token", "TOKEN", "the token that `coordinator invite` printed"),
            .value("token-file", "FILE", "file that holds the token"),
            .value("listen", "HOST:PORT", "port for the site's own users (default 127.0.0.1:8443)"),
            .repeated("host", "NAME", "name or address in the serving certificate"),
            .repeated("data", "STUDY=FILE", "CSV file with the rows of a study; * for any study. Commands go into config.json5"),
            .value("sites-min", "N", "sites in every sum, at least, in the site's policy (default 5; 3 is the least)"),
            .value("proxy", "URL", "HTTP CONNECT proxy, such as http://proxy:3128 (default: https_proxy)"),
        ]
    ) { invocation in try join(invocation) },
    Command(
        words: ["node", "serve"], summary: "run the node until SIGTERM",
        options: [.value("dir", "DIR", "the node's directory"), .flag("verbose", "log more")] + standaloneOptions
    ) { invocation in
        if invocation.has("package") { return try serveStandalone(invocation) }
        RunningProcess.holdTermination()
        let service = try NodeService(
            directory: NodeDirectory(opening: try invocation.require("dir")), logger: RunningProcess.logger("node", invocation))
        try service.start()
        RunningProcess.waitForTermination()
        service.stop()
    },
    Command(words: ["node", "status"], summary: "show connection, versions, rounds and log head", options: [directory]) { invocation in
        let answer = try RunningProcess.node(try invocation.require("dir")).call("GET", "/v1/node")
        let versions = (answer["versions"]?.arrayValue ?? []).map { "  \($0["study"]?.stringValue ?? "") v\($0["version"]?.intValue ?? 0)" }
        Output(invocation).answer(
            answer,
            ([
                "Site \(answer["site"]?.stringValue ?? "") of \(answer["federation"]?.stringValue ?? ""), \(answer["url"]?.stringValue ?? "")",
                "Coordinator: \(answer["coordinator"]?.stringValue ?? "")",
                "Rounds used: \(answer["roundsUsed"]?.intValue ?? 0) of \(answer["roundBudget"]?.intValue ?? 0)",
                "Log: \(answer["log"]?["entries"]?.intValue ?? 0) entries",
            ] + versions).joined(separator: "\n"))
    },
    Command(words: ["node", "plans"], summary: "list study plans that were offered", options: [directory]) { invocation in
        let answer = try RunningProcess.node(try invocation.require("dir")).call("GET", "/v1/node/plans")
        let lines = (answer["plans"]?.arrayValue ?? []).map { plan in
            let state = plan["withdrawn"] != .null ? "withdrawn" : plan["consent"] == .null ? "no consent" : "consented"
            return "\(plan["study"]?.stringValue ?? "")  \((plan["plan"]?.stringValue ?? "").prefix(16))  \(state)\n  \(plan["title"]?.stringValue ?? "")\n  \(plan["purpose"]?.stringValue ?? "")"
        }
        Output(invocation).answer(answer, lines.isEmpty ? "No plan has been offered." : lines.joined(separator: "\n"))
    },
    Command(words: ["node", "check"], summary: "hold the site's data against a plan's schema", options: [directory, study]) { invocation in
        let name = try invocation.name("study")
        let answer = try RunningProcess.node(try invocation.require("dir")).call("POST", "/v1/node/studies/\(name)/check", timeoutSeconds: 3600)
        Output(invocation).answer(answer, answer["text"]?.stringValue ?? "")
    },
    Command(
        words: ["node", "consent"], summary: "sign the site's consent to a study's plan",
        options: [
            directory, study, .value("sites-min", "N", "sites in every sum, at least (default: the policy's sitesMin)"),
            .value("rounds-max", "N", "rounds under this consent (default 1000)"), .value("days", "N", "days until it expires (default 365)"),
            .flag("accept-no-differential-privacy", "the site accepts a plan without differential privacy"),
            .flag("exclude-feedback-rows", "rows that serving gathers must not be used"),
            .repeated("parallel-to", "HASH", "fingerprint of a dataset that holds none of these people: what it cost does not count here"),
        ]
    ) { invocation in
        var terms: [String: JSONValue] = [
            "roundsMax": .integer(Int64(try invocation.integer("rounds-max", in: 1...1_000_000, default: 1000))),
            "validDays": .integer(Int64(try invocation.integer("days", in: 1...3650, default: 365))),
            "acceptsNoDifferentialPrivacy": .bool(invocation.has("accept-no-differential-privacy")),
            "includesFeedbackRows": .bool(!invocation.has("exclude-feedback-rows")),
        ]
        if invocation.has("sites-min") { terms["sitesMin"] = .integer(Int64(try invocation.integer("sites-min", in: 3...1024, default: 3))) }
        let parallel = invocation.all("parallel-to")
        if !parallel.isEmpty { terms["parallelTo"] = .array(parallel.map { .string($0) }) }
        let name = try invocation.name("study")
        let answer = try RunningProcess.node(try invocation.require("dir"))
            .call("POST", "/v1/node/studies/\(name)/consent", body: JSONValue.object(terms).canonicalBytes(), timeoutSeconds: 3600)
        Output(invocation).answer(answer, "Consented to plan \(answer["plan"]?.stringValue ?? "")")
    },
    Command(words: ["node", "withdraw"], summary: "take the consent to a study back", options: [directory, study]) { invocation in
        let name = try invocation.name("study")
        let answer = try RunningProcess.node(try invocation.require("dir")).call("POST", "/v1/node/studies/\(name)/withdraw")
        Output(invocation).answer(answer, "The consent to \(name) is withdrawn.")
    },
    Command(
        words: ["node", "resume"], summary: "let the site take part again after its people looked at evidence of a forked log", options: [directory]
    ) { invocation in
        let answer = try RunningProcess.node(try invocation.require("dir")).call("POST", "/v1/node/resume")
        Output(invocation).answer(answer, "This site takes part in rounds again.")
    },
    Command(words: ["node", "egress"], summary: "show everything that ever left this site, by type", options: [directory]) { invocation in
        let answer = try RunningProcess.node(try invocation.require("dir")).call("GET", "/v1/node/egress")
        let lines = (answer["egress"]?.arrayValue ?? []).map {
            "\($0["type"]?.stringValue ?? "")  \($0["messages"]?.intValue ?? 0) messages  \($0["bytes"]?.intValue ?? 0) bytes"
        }
        Output(invocation).answer(answer, lines.joined(separator: "\n") + "\nEvery message with time, size and digest: records/egress.jsonl")
    },
    Command(words: ["node", "models"], summary: "list versions at this site and which is live", options: [directory]) { invocation in
        let answer = try RunningProcess.node(try invocation.require("dir")).call("GET", "/v1/models")
        Output(invocation).answer(answer, String(decoding: answer.prettyBytes(), as: UTF8.self))
    },
    Command(
        words: ["node", "rollback"], summary: "make the version before the live one live again, without the coordinator",
        options: [directory, .value("model", "NAME", "the model, if there are several")]
    ) { invocation in
        var body: [String: JSONValue] = [:]
        if let model = invocation["model"] { body["model"] = .string(model) }
        let answer = try RunningProcess.node(try invocation.require("dir")).call("POST", "/v1/rollback", body: JSONValue.object(body).canonicalBytes())
        Output(invocation).answer(answer, "Rolled back.")
    },
    Command(
        words: ["node", "key", "create"], summary: "make an API key for a user or system of the site, or let a client certificate in",
        options: [
            directory, .required("name", "NAME", "whose key it is"),
            .repeated("role", "ROLE", "predict, feedback, operator, overseer or auditor; several are allowed"),
            .repeated("model", "NAME", "the key is for this model only; several are allowed"),
            .value("rate", "N/s", "requests it may make, 429 beyond; N/m, N/h or none (default: the node's `rate`)"),
            .value("certificate", "FILE", "let this client certificate in, instead of making a key"),
            .value("certificate-subject", "DN", "let in every certificate of this subject that keys/client-ca.crt.pem vouches for"),
            .value("output", "FILE", "write the key to a file (0600) instead"),
        ]
    ) { invocation in try createKey(invocation) },
    Command(words: ["node", "key", "list"], summary: "list API keys", options: [directory]) { invocation in
        let answer = try RunningProcess.node(try invocation.require("dir")).call("GET", "/v1/node/keys")
        let lines = (answer["keys"]?.arrayValue ?? []).map { key -> String in
            let kind = key["certificate"] != nil || key["subject"] != nil ? "certificate" : "key"
            let models = (key["models"]?.arrayValue ?? []).compactMap(\.stringValue).joined(separator: ", ")
            return [
                key["id"]?.stringValue ?? "", kind, (key["roles"]?.arrayValue ?? []).compactMap(\.stringValue).joined(separator: ", "),
                key["rate"]?.stringValue ?? "", models, key["name"]?.stringValue ?? "",
            ].filter { !$0.isEmpty }.joined(separator: "  ")
        }
        Output(invocation).answer(answer, lines.joined(separator: "\n"))
    },
    Command(
        words: ["node", "key", "revoke"], summary: "take an API key or a certificate back", options: [directory, .required("id", "ID", "the key's id")]
    ) { invocation in
        let id = try invocation.name("id")
        let answer = try RunningProcess.node(try invocation.require("dir")).call("DELETE", "/v1/node/keys/\(id)")
        Output(invocation).answer(answer, "Key \(id) is revoked.")
    },
]

private func createKey(_ invocation: Invocation) throws {
    let directory = try invocation.require("dir")
    var body: [String: JSONValue] = [
        "name": .string(try invocation.require("name")), "roles": .array(invocation.all("role").map { .string($0) }),
    ]
    if let rate = try rateLimit(invocation) { body["rate"] = .string(rate.text) }
    if invocation.has("model") { body["models"] = .array(invocation.all("model").map { .string($0) }) }
    if let file = invocation["certificate"] {
        let certificate = try Certificate.chain(pem: String(decoding: DurableFile.read(file, maxBytes: 1 << 17), as: UTF8.self))[0]
        body["certificate"] = .string(certificate.fingerprint.hex)
    }
    if let subject = invocation["certificate-subject"] { body["subject"] = .string(subject) }
    let isCertificate = body["certificate"] != nil || body["subject"] != nil
    guard !isCertificate || invocation["output"] == nil else {
        throw Failure(.usage, "usage", "--output is for keys: a certificate's key stays with its owner")
    }
    let answer = try RunningProcess.node(directory).call("POST", "/v1/node/keys", body: JSONValue.object(body).canonicalBytes())
    let id = answer["id"]?.stringValue ?? ""
    if isCertificate {
        let authority = directory + "/keys/client-ca.crt.pem"
        let remark =
            DurableFile.exists(authority) ? "" : "\nPut the certificates of the authorities that issue client certificates into \(authority) and start the node anew."
        return Output(invocation).answer(answer, "The certificate is let in (id \(id)).\(remark)")
    }
    guard let file = invocation["output"] else {
        return Output(invocation).answer(answer, "\(answer["key"]?.stringValue ?? "")\n(shown once; id \(id))")
    }
    try KeyFile.write(Array((answer["key"]?.stringValue ?? "").utf8), to: file)
    Output(invocation).answer(["id": .string(id), "file": .string(file)], "Key \(id) written to \(file).")
}

private func join(_ invocation: Invocation) throws {
    var text = invocation["token"]
    if let file = invocation["token-file"] { text = String(decoding: try DurableFile.read(file, maxBytes: 4096), as: UTF8.self) }
    guard let text else { throw Failure(.usage, "usage", "give the token with --token or --token-file") }
    guard let token = EnrolmentToken(text: text) else {
        throw Failure(.noPermission, "enrolment.token-malformed", "the token is not complete or was mistyped; copy the whole line that `coordinator invite` printed")
    }
    var data: [String: DataSource] = [:]
    for item in invocation.all("data") {
        let parts = item.split(separator: "=", maxSplits: 1).map(String.init)
        guard parts.count == 2, parts[0] == "*" || isName(parts[0]) else {
            throw Failure(.usage, "usage", "--data takes STUDY=FILE")
        }
        guard DurableFile.exists(parts[1]) else { throw Failure(.noInput, "no-data-file", "\(parts[1]) does not exist") }
        guard !DurableFile.isDirectory(parts[1]) else {
            throw Failure(.noInput, "no-data-file", "\(parts[1]) is a directory: name the CSV file in it")
        }
        data[parts[0]] = .file(parts[1])
    }
    let hosts = invocation.all("host")
    let path = try invocation.require("dir")
    var policy = SitePolicy()
    policy.sitesMin = try invocation.integer("sites-min", in: 3...1024, default: policy.sitesMin)
    // Of three or four sites, one may collude: two or three are left.
    if policy.sitesMin < 5 { policy.honestMin = 2 }
    let node = try Enrolment.join(
        token, directory: path, listen: try ListenAddress(text: invocation["listen"] ?? "127.0.0.1:8443", path: "--listen"),
        hosts: hosts.isEmpty ? ["localhost", "127.0.0.1"] : hosts, data: data,
        proxy: invocation["proxy"] ?? Environment.proxy(for: token.address), policy: policy, clock: SystemClock())
    Output(invocation).answer(
        ["site": .string(node.configuration.site), "federation": .string(node.configuration.federation), "directory": .string(path)],
        "Site \(node.configuration.site) has joined \(node.configuration.federation).\nStart it: consilium node serve --dir \(path)")
}
