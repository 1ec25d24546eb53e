// A federation of real processes on loopback, with stand-in rows and a short plan.

import Codec
import Cryptography
import Glibc
import HTTP
import Simulation
import Storage
import Transport

final class TestFederation: @unchecked Sendable {
    // Unchecked: the tests of a suite run one after another.
    let scratch: Scratch
    let names: [String]
    var plan: JSONValue
    private(set) var coordinator: ChildProcess
    private(set) var nodes: [String: ChildProcess] = [:]
    let study = "heart-disease"

    /// A coordinator and joined, running nodes; no plan yet.
    ///
    /// - Parameters:
    ///   - sites: of the stand-in hospitals; at most four.
    ///   - rounds: training rounds of the plan.
    ///   - epsilon: the plan is record-local with this ε a run; nil: without differential privacy.
    ///   - studies: further studies over the same rows.
    ///   - prepare: gets the directory before any site joins.
    init(sites: [String] = StandInHospitals.sites, rounds: Int = 2, epsilon: Double? = nil, studies: [String] = [], prepare: (Scratch) throws -> Void = { _ in })
        throws
    {
        let scratch = try Scratch()
        try prepare(scratch)
        self.scratch = scratch
        names = sites
        plan = try TestFederation.makePlan(rounds: rounds, epsilon: epsilon)
        let directory = scratch.path + "/coordinator"
        // A port of its own, so that nodes find a restarted coordinator again.
        let made = try Program.run(
            ["coordinator", "init", "--dir", directory, "--name", "test", "--listen", "127.0.0.1:\(freePort())", "--operator-listen", "127.0.0.1:0",
                "--host", "127.0.0.1"], in: scratch)
        guard made.code == 0 else { throw ScenarioError.failed(step: "init", made.text) }
        coordinator = try TestFederation.serve("coordinator", directory, scratch)
        for site in sites {
            try join(site, extra: studies.flatMap { ["--data", "\($0)=\(scratch.path)/\(site).csv"] })
            try startNode(site)
        }
    }

    deinit { stop() }

    /// Stops every process.
    func stop() {
        for child in nodes.values { child.stop(seconds: 3) }
        nodes = [:]
        coordinator.stop(seconds: 3)
    }

    static func makePlan(rounds: Int, epsilon: Double? = nil) throws -> JSONValue {
        let text = try DurableFile.read(packageRoot + "/scenarios/plans/heart-disease.json5", maxBytes: 1 << 20)
        guard case .object(var plan) = try JSONValue.parse(text, dialect: .json5), case .object(var training)? = plan["training"],
            case .object(var cohort)? = plan["cohort"]
        else { throw ScenarioError.unusable("plan") }
        training["rounds"] = .integer(Int64(rounds))
        cohort["messageSeconds"] = 2
        cohort["trainingSeconds"] = 2
        plan["training"] = .object(training)
        plan["cohort"] = .object(cohort)
        plan["evaluation"] = ["bins": 100]
        plan["gates"] = [["metric": "rows", "atLeast": 1]]
        plan["deployment"] = ["automatic": true, "siteGates": []]
        if let epsilon {
            plan["training"] = .object(training.merging(["local": ["optimizer": "sgd", "learningRate": 0.1]]) { _, new in new })
            plan["privacy"] = [
                "secureAggregation": true, "mode": "record-local", "epsilon": .number(epsilon), "delta": 1e-5, "clippingNorm": 1, "samplingRate": 0.25,
                "expectedBatch": 40, "stepsPerRound": 2, "statisticsOutsideGuarantee": "Sums over all sites.", "evaluationOutsideGuarantee": "Sums over all sites.",
            ]
        }
        return .object(plan)
    }
}

// MARK: - Processes

extension TestFederation {
    /// Starts `consilium ROLE serve` and waits until it says where it listens.
    static func serve(_ role: String, _ directory: String, _ scratch: Scratch, variables: [String] = []) throws -> ChildProcess {
        // One that was killed leaves its file behind.
        if DurableFile.exists(directory + "/endpoint.json") { try DurableFile.remove(directory + "/endpoint.json") }
        let child = try Program.start([role, "serve", "--dir", directory], in: scratch, log: scratch.fresh("serve"), variables: variables)
        let isReady = holds(within: 20) { DurableFile.exists(directory + "/endpoint.json") || !child.isRunning }
        guard isReady, child.isRunning else { throw ScenarioError.failed(step: "\(role) serve", child.lastLines) }
        return child
    }

    func directory(_ party: String) -> String { scratch.path + "/" + party }

    func endpoint(_ party: String, _ key: String) throws -> String {
        let bytes = try DurableFile.read(directory(party) + "/endpoint.json", maxBytes: 4096)
        return try JSONValue.parse(bytes, dialect: .strict)[key]?.stringValue ?? ""
    }

    /// A one-time token for a site.
    func invite(_ site: String) throws -> String {
        try operators().call("POST", "/v1/invitations", body: (["site": .string(site)] as JSONValue).canonicalBytes())["token"]?.stringValue ?? ""
    }

    /// The arguments of `node join`.
    func joinArguments(_ site: String, token: String, directory: String? = nil) throws -> [String] {
        let rows = directory.map { $0 + ".csv" } ?? scratch.path + "/\(site).csv"
        try DurableFile.writeAtomically(Array((StandInHospitals.file(for: site, seed: 11) ?? "").utf8), to: rows)
        return [
            "node", "join", "--token", token, "--dir", directory ?? self.directory(site), "--listen", "127.0.0.1:0", "--host", "127.0.0.1",
            "--sites-min", "3", "--data", "\(study)=\(rows)",
        ]
    }

    func join(_ site: String, extra: [String] = []) throws {
        let result = try Program.run(try joinArguments(site, token: invite(site)) + extra, in: scratch)
        guard result.code == 0 else { throw ScenarioError.failed(step: "join \(site)", result.text) }
    }

    func startNode(_ site: String, variables: [String] = []) throws {
        nodes[site] = try TestFederation.serve("node", directory(site), scratch, variables: variables)
    }

    /// The power fails.
    func kill(_ site: String) {
        guard let child = nodes.removeValue(forKey: site) else { return }
        Glibc.kill(child.identifier, SIGKILL)
        _ = child.wait()
    }

    func killCoordinator() {
        Glibc.kill(coordinator.identifier, SIGKILL)
        _ = coordinator.wait()
    }

    func startCoordinator(variables: [String] = []) throws {
        coordinator = try TestFederation.serve("coordinator", directory("coordinator"), scratch, variables: variables)
    }

    func stopCoordinator() { coordinator.stop() }
    func stopNode(_ site: String) { nodes.removeValue(forKey: site)?.stop() }
}

// MARK: - Callers

extension TestFederation {
    /// The coordinator's operator.
    func operators() throws -> APIClient {
        let directory = directory("coordinator")
        return try APIClient(
            url: endpoint("coordinator", "operator"), authorityPath: directory + "/keys/ca.crt.pem", key: secret(directory + "/keys/operator.key"))
    }

    /// A node's operator.
    func operators(at site: String) throws -> APIClient { try client(site, key: secret(directory(site) + "/keys/operator.key")) }

    func client(_ site: String, key: String) throws -> APIClient {
        try APIClient(url: endpoint(site, "url"), authorityPath: directory(site) + "/keys/serving-ca.crt.pem", key: key)
    }

    /// A client of a node that shows raw responses.
    func http(_ site: String) throws -> HTTPClient {
        let authority = try Certificate(pem: text(directory(site) + "/keys/serving-ca.crt.pem"))
        let port = Int(try endpoint(site, "url").split(separator: ":").last ?? "") ?? 0
        return try HTTPClient(configuration: HTTPClientConfiguration(host: "127.0.0.1", port: port, tls: try .client(trust: .authority(authority))))
    }

    /// A node's metrics without labels, by name.
    func metrics(at site: String) throws -> [String: Double] {
        let client = try http(site)
        defer { client.close() }
        let key = try secret(directory(site) + "/keys/operator.key")
        let response = try client.send(HTTPRequest(method: "GET", target: "/metrics", headers: ["Authorization": "Bearer \(key)"]), timeoutSeconds: 10)
        var values: [String: Double] = [:]
        for line in String(decoding: response.body, as: UTF8.self).split(separator: "\n") where !line.hasPrefix("#") {
            let words = line.split(separator: " ")
            if words.count == 2, let value = Double(words[1]) { values[String(words[0])] = value }
        }
        return values
    }

    /// A new API key of a node.
    func key(at site: String, roles: [String]) throws -> String {
        let body: JSONValue = ["name": "test", "roles": .array(roles.map { .string($0) })]
        return try operators(at: site).call("POST", "/v1/node/keys", body: body.canonicalBytes())["key"]?.stringValue ?? ""
    }

    func text(_ path: String) throws -> String { String(decoding: try DurableFile.read(path, maxBytes: 1 << 20), as: UTF8.self) }
    private func secret(_ path: String) throws -> String { String(decoding: try KeyFile.read(path).exposedCopy(), as: UTF8.self) }

    /// Port of the federation.
    func federationPort() throws -> Int { Int(try endpoint("coordinator", "federation").split(separator: ":").last ?? "") ?? 0 }
}

// MARK: - The life

extension TestFederation {
    /// The list of members is drawn up and every site signs it.
    func signMembers() throws {
        let hash = try operators().call("POST", "/v1/manifest")["proposed"]?["manifest"]?.stringValue ?? ""
        for site in names {
            let operators = try operators(at: site)
            let isThere = try holds(within: 10) { try operators.call("GET", "/v1/node/manifest")["proposed"]?["manifest"]?.stringValue == hash }
            guard isThere else { throw ScenarioError.failed(step: "members", "the list did not reach \(site)") }
            _ = try operators.call("POST", "/v1/node/manifest/\(hash)/sign")
        }
        for site in names {
            let operators = try operators(at: site)
            let isInForce = try holds(within: 10) { try operators.call("GET", "/v1/node/manifest")["inForce"]?["manifest"]?.stringValue == hash }
            guard isInForce else { throw ScenarioError.failed(step: "members", "the list is not in force at \(site)") }
        }
    }

    /// The members are listed, the plan is published, every site consents.
    func agree() throws {
        try signMembers()
        try consent(to: study)
    }

    /// The plan is published for a study, every site consents.
    func consent(to study: String) throws {
        let document = JSONValue.object((plan.objectValue ?? [:]).merging(["study": .string(study)]) { _, new in new })
        let hash = try operators().call("POST", "/v1/plans", body: document.canonicalBytes())["plan"]?.stringValue
        let terms: JSONValue = ["acceptsNoDifferentialPrivacy": true]
        for site in names {
            let operators = try operators(at: site)
            let isThere = try holds(within: 10) {
                try operators.call("GET", "/v1/node/plans")["plans"]?.arrayValue?.contains { $0["plan"]?.stringValue == hash } ?? false
            }
            guard isThere else { throw ScenarioError.failed(step: "offer", "the plan did not reach \(site)") }
            _ = try operators.call("POST", "/v1/node/studies/\(study)/consent", body: terms.canonicalBytes())
        }
    }

    func startRun(_ other: String? = nil) throws -> String {
        try operators().call("POST", "/v1/studies/\(other ?? study)/runs")["run"]?.stringValue ?? ""
    }

    /// Follows a run until `condition` holds.
    func follow(_ run: String, seconds: Double = 60, until condition: (JSONValue) throws -> Bool) throws -> JSONValue {
        let operators = try operators()
        var state = JSONValue.null
        let isDone = try holds(within: seconds) {
            state = try operators.call("GET", "/v1/runs/\(run)")
            return try condition(state)
        }
        guard isDone else { throw ScenarioError.failed(step: "follow \(run)", "not within \(seconds) s: \(state["status"]?.stringValue ?? "")") }
        return state
    }

    func finish(_ run: String, seconds: Double = 60) throws -> JSONValue {
        try follow(run, seconds: seconds) { $0["status"]?.stringValue != "running" }
    }

    /// Waits until every one of `sites` has a live version.
    func waitForVersion(_ version: Int, at sites: [String]) throws -> Bool {
        try sites.allSatisfy { site in
            let operators = try operators(at: site)
            return try holds(within: 15) {
                let models = try operators.call("GET", "/v1/models")["models"]?.arrayValue ?? []
                let versions = models.first?["versions"]?.arrayValue ?? []
                return versions.contains { $0["version"]?.intValue == version && $0["status"]?.stringValue == "live" }
            }
        }
    }

    /// Runs the plan once; version 1 is live everywhere.
    func train() throws {
        let run = try finish(startRun())
        guard run["status"]?.stringValue == "released", try waitForVersion(1, at: names) else {
            throw ScenarioError.failed(step: "train", run["reason"]?.stringValue ?? "not live")
        }
    }

    /// `audit verify` of a party's log.
    func verify(_ party: String) throws -> Program.Result { try Program.run(["audit", "verify", directory(party), "--json"], in: scratch) }

    /// A row that the schema takes.
    static let row: [String: JSONValue] = [
        "age": 61, "sex": 1, "cp": 4, "trestbps": 140, "chol": 230, "fbs": 0, "restecg": 0, "thalach": 130, "exang": 1, "oldpeak": 1.5,
        "slope": 2, "ca": 1, "thal": 7,
    ]
}
