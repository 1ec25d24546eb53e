// The whole life with real parties: one coordinator and one node per site as processes of their own, reached
// only through the command line and the HTTPS interfaces that a user has.

import AuditLog
import Codec
import Cryptography
import Glibc
import Storage
import Study
import Tabular
import Telemetry

/// Walks a federation of processes through the scenario.
package final class ProcessScenario {
    private let scenario: Scenario
    private let program: String
    private let out: String
    private let data: ScenarioData
    private var children: [(name: String, process: ChildProcess)] = []
    private var coordinator: APIClient?
    private var nodes: [String: NodeAccess] = [:]
    private let started = SystemClock().now()
    private var runs: [JSONValue] = []
    private var counts: [String: (predictions: Int, outcomes: Int)] = [:]
    private let say: @Sendable (String) -> Void
    private var coordinatorEndpoint = JSONValue.null

    /// How a site's own people reach their node.
    private struct NodeAccess {
        var url: String
        /// With the operator key of the node's directory.
        var operators: APIClient
        /// With a key for predictions and feedback.
        var ward: APIClient
    }

    private var plan: Plan { data.plan }

    /// - Parameters:
    ///   - program: path of the `consilium` binary.
    ///   - out: directory for everything of the run; must be new or empty.
    ///   - say: takes progress lines.
    package init(
        _ scenario: Scenario, program: String, out: String, dataDirectory: String?, say: @escaping @Sendable (String) -> Void
    ) throws {
        self.scenario = scenario
        self.program = program
        self.out = out
        self.say = say
        let plan = try scenario.plan()
        data = try ScenarioData(scenario, plan: plan, directory: dataDirectory)
    }

    /// Runs the whole life.
    ///
    /// - Parameter keep: leave the processes running.
    /// - Returns: the report, also written to `report.json` and `report.html`.
    /// - Throws: `ScenarioError` that names the step; the processes are stopped then.
    package func run(keep: Bool) throws -> JSONValue {
        do {
            try prepare()
            try startCoordinator()
            try joinSites()
            try signMembers()
            try agree()
            for number in 1...scenario.runs {
                if number > 1 { try collectOutcomes(before: number) }
                try train(number)
            }
            if scenario.runs == 1 { try collectOutcomes(before: 2) }
            let sites = try siteReports()
            let versions = try versionReports()
            if !keep { stop() }
            let report = try makeReport(sites: sites, versions: versions, keep: keep)
            try DurableFile.writeAtomically(report.prettyBytes(), to: out + "/report.json", mode: 0o644)
            try DurableFile.writeAtomically(Array(ReportPage.html(report).utf8), to: out + "/report.html", mode: 0o644)
            return report
        } catch {
            stop()
            throw error
        }
    }

    /// Stops every process, nodes first.
    package func stop() {
        for child in children.reversed() { child.process.stop() }
        children = []
    }
}

// MARK: - The steps

extension ProcessScenario {
    private func prepare() throws {
        if DurableFile.exists(out + "/report.json") || DurableFile.exists(out + "/coordinator") {
            throw ScenarioError.unusable("\(out) holds an earlier run: choose another directory with --out, or remove it")
        }
        try DurableFile.createDirectory(out + "/logs")
        for site in scenario.siteNames {
            try DurableFile.createDirectory(out + "/data/\(site)")
            try DurableFile.writeAtomically(data.rows[site] ?? [], to: out + "/data/\(site)/rows.csv")
            try DurableFile.writeAtomically(data.arrivals[site] ?? [], to: out + "/data/\(site)/arrivals.csv")
        }
        try DurableFile.writeAtomically(plan.json.prettyBytes(), to: out + "/plan.json")
        say(data.source == .files ? "Using the real files of the sites." : "The real files are not here: using stand-in data from a seed.")
    }

    private func startCoordinator() throws {
        let directory = out + "/coordinator"
        try command(["coordinator", "init", "--dir", directory, "--name", scenario.federation, "--listen", "127.0.0.1:0",
            "--operator-listen", "127.0.0.1:0", "--host", "127.0.0.1", "--host", "localhost"])
        let endpoint = try start("coordinator", ["coordinator", "serve", "--dir", directory], directory)
        let key = String(decoding: try KeyFile.read(directory + "/keys/operator.key").exposedCopy(), as: UTF8.self)
        coordinator = try APIClient(
            url: endpoint["operator"]?.stringValue ?? "", authorityPath: directory + "/keys/ca.crt.pem", key: key)
        say("Coordinator: CA made, listening at \(endpoint["federation"]?.stringValue ?? "").")
    }

    private func joinSites() throws {
        let progress = Progress("Joining", total: scenario.siteNames.count, unit: "sites")
        for (index, site) in scenario.siteNames.enumerated() {
            let invitation = try operate("POST", "/v1/invitations", ["site": .string(site)])
            let directory = out + "/" + site
            try command(
                ["node", "join", "--token", invitation["token"]?.stringValue ?? "", "--dir", directory, "--listen", "127.0.0.1:0",
                    "--sites-min", "\(plan.cohort.sitesMin)",
                    "--host", "127.0.0.1", "--host", "localhost", "--data", "\(plan.study)=\(out)/data/\(site)/rows.csv"])
            let endpoint = try start(site, ["node", "serve", "--dir", directory], directory)
            try command(["node", "key", "create", "--dir", directory, "--name", "ward", "--role", "predict", "--role", "feedback",
                "--output", directory + "/keys/ward.key"])
            let url = endpoint["url"]?.stringValue ?? ""
            nodes[site] = NodeAccess(
                url: url, operators: try client(url, directory, "operator.key"), ward: try client(url, directory, "ward.key"))
            progress.update(index + 1)
        }
        progress.finish(note: "each with a one-time token, its own keys and its own file")
    }

    /// The sites' people compare the list of members and sign it, each at its own node.
    private func signMembers() throws {
        let hash = try operate("POST", "/v1/manifest")["proposed"]?["manifest"]?.stringValue ?? ""
        for site in scenario.siteNames {
            guard let node = nodes[site] else { continue }
            try wait(seconds: 20, "the list of members reaches \(site)") {
                try node.operators.call("GET", "/v1/node/manifest")["proposed"]?["manifest"]?.stringValue == hash
            }
            _ = try node.operators.call("POST", "/v1/node/manifest/\(hash)/sign")
        }
        for site in scenario.siteNames {
            guard let node = nodes[site] else { continue }
            try wait(seconds: 20, "the list of members is in force at \(site)") {
                try node.operators.call("GET", "/v1/node/manifest")["inForce"]?["manifest"]?.stringValue == hash
            }
        }
        say("List of members \(hash.prefix(12)) signed by every site.")
    }

    private func agree() throws {
        _ = try operate("POST", "/v1/plans", bytes: plan.canonicalBytes)
        for site in scenario.siteNames {
            guard let node = nodes[site] else { continue }
            try wait(seconds: 20, "the plan reaches \(site)") {
                let plans = try node.operators.call("GET", "/v1/node/plans")["plans"]?.arrayValue ?? []
                return plans.contains { $0["plan"]?.stringValue == self.plan.hash.hex }
            }
            _ = try node.operators.call("POST", "/v1/node/studies/\(plan.study)/check")
            let terms: JSONValue = ["acceptsNoDifferentialPrivacy": .bool(plan.privacy.withoutDifferentialPrivacy)]
            _ = try node.operators.call("POST", "/v1/node/studies/\(plan.study)/consent", body: terms.canonicalBytes())
        }
        try wait(seconds: 20, "all consents are in") {
            let plans = try self.operate("GET", "/v1/plans")["plans"]?.arrayValue ?? []
            return plans.last?["consents"]?.arrayValue?.count == self.scenario.siteNames.count
        }
        say("Plan \(plan.hash.hex.prefix(12)) published; every site checked its data and consented.")
    }

    private func train(_ number: Int) throws {
        let name = try operate("POST", "/v1/studies/\(plan.study)/runs")["run"]?.stringValue ?? ""
        let progress = Progress("Run \(number)", total: plan.roundsPerRun, unit: "secure rounds")
        var run = JSONValue.null
        try wait(seconds: 600, "run \(number) ends") {
            run = try self.operate("GET", "/v1/runs/\(name)")
            let rounds = run["rounds"]?.arrayValue ?? []
            let loss = rounds.last { $0["loss"]?.doubleValue != nil }?["loss"]?.doubleValue
            progress.update(rounds.count { $0["ended"] != .null && $0["abort"] == .null }, note: loss.map { "loss \(decimal($0, places: 4))" } ?? "")
            return run["status"]?.stringValue != "running"
        }
        runs.append(run)
        guard run["status"]?.stringValue == "released" else {
            throw ScenarioError.failed(step: "run \(number)", run["reason"]?.stringValue ?? "it ended without a release")
        }
        progress.finish(note: "AUC \(run["metrics"]?["auc"]?.doubleValue.map { decimal($0, places: 3) } ?? "–") on rows that no site trained on")
        try wait(seconds: 30, "every site decides on version \(number)") {
            let releases = try self.operate("GET", "/v1/releases")["releases"]?.arrayValue ?? []
            return releases.last?["verdicts"]?.objectValue?.count == self.scenario.siteNames.count
        }
        say("Version \(number) signed, verified and live at every site.")
    }

    /// Patients arrive: each is predicted with explanation, then the outcome comes back.
    private func collectOutcomes(before run: Int) throws {
        let total = scenario.siteNames.reduce(0) { $0 + lines(of: $1).count }
        guard total > 0, counts.isEmpty else { return }
        let progress = Progress("Predictions and outcomes", total: total, unit: "patients")
        var done = 0
        for site in scenario.siteNames {
            guard let node = nodes[site] else { continue }
            for line in lines(of: site) {
                let arrival = Arrival(line, schema: plan.schema)
                guard let row = arrival.row, let outcome = arrival.outcome else { continue }
                let request: JSONValue = ["row": row, "explain": true]
                let answer = try node.ward.call("POST", "/v1/predict", body: request.canonicalBytes())
                let prediction = answer["predictions"]?.arrayValue?.first ?? answer
                guard let identifier = prediction["prediction_id"]?.stringValue ?? prediction["id"]?.stringValue else {
                    throw ScenarioError.failed(step: "prediction", "\(site) answered without a prediction id")
                }
                counts[site, default: (0, 0)].predictions += 1
                let feedback: JSONValue = ["prediction_id": .string(identifier), "outcome": .bool(outcome), "source": "angiogram"]
                _ = try node.ward.call("POST", "/v1/feedback", body: feedback.canonicalBytes())
                counts[site, default: (0, 0)].outcomes += 1
                done += 1
                progress.update(done)
            }
        }
        progress.finish(note: "over HTTPS, explained, every one in the site's log")
    }

    private func lines(of site: String) -> [String] {
        String(decoding: data.arrivals[site] ?? [], as: UTF8.self).split(separator: "\n").map(String.init)
    }
}

// MARK: - Report

extension ProcessScenario {
    private func siteReports() throws -> [JSONValue] {
        try scenario.siteNames.map { site in
            guard let node = nodes[site] else { return .null }
            let status = try node.operators.call("GET", "/v1/node")
            let check = try node.operators.call("POST", "/v1/node/studies/\(plan.study)/check")["report"] ?? .null
            return [
                "name": .string(site), "url": .string(node.url), "directory": .string(out + "/" + site),
                "rows": [
                    "accepted": check["accepted"] ?? .null,
                    "quarantined": check["quarantined"] ?? .null,
                    "arrivals": .integer(Int64(lines(of: site).count)),
                ],
                "quality": check, "versions": status["versions"] ?? [],
                "egress": try node.operators.call("GET", "/v1/node/egress")["egress"] ?? [],
                "predictions": .integer(Int64(counts[site]?.predictions ?? 0)),
                "outcomes": .integer(Int64(counts[site]?.outcomes ?? 0)),
            ]
        }
    }

    private func versionReports() throws -> [JSONValue] {
        let releases = try operate("GET", "/v1/releases")["releases"]?.arrayValue ?? []
        return releases.map { release in
            let run = runs.first { $0["run"] == release["run"] } ?? .null
            let verdicts = release["verdicts"]?.objectValue ?? [:]
            return [
                "version": release["version"] ?? .null, "package": release["package"] ?? .null, "run": release["run"] ?? .null,
                "metrics": run["metrics"] ?? [:], "gates": run["gates"] ?? [],
                "installed": .array(verdicts.keys.sorted().filter { verdicts[$0] == true }.map { .string($0) }),
            ]
        }
    }

    private func makeReport(sites: [JSONValue], versions: [JSONValue], keep: Bool) throws -> JSONValue {
        let seconds = Double(SystemClock().now().milliseconds - started.milliseconds) / 1000
        let endpoint = (try? JSONValue.parse(DurableFile.read(out + "/coordinator/endpoint.json", maxBytes: 4096), dialect: .strict)) ?? coordinatorEndpoint
        return [
            "consilium": "scenario-report/1", "title": .string(scenario.title), "started": .string(started.iso8601),
            "seconds": .number(seconds), "seed": .integer(Int64(scenario.seed)), "kept": .bool(keep),
            "data": ["source": .string(data.source.rawValue)],
            "plan": ["study": .string(plan.study), "hash": .string(plan.hash.hex)],
            "federation": [
                "name": .string(scenario.federation), "directory": .string(out + "/coordinator"),
                "url": endpoint["federation"] ?? .null, "operator": endpoint["operator"] ?? .null,
            ],
            "sites": .array(sites), "runs": .array(runs), "versions": .array(versions),
            "metrics": metrics, "logs": .array(try verifyLogs()),
        ]
    }

    /// Metrics of the last run, and the median time of a training round over all runs.
    private var metrics: JSONValue {
        var metrics = runs.last?["metrics"]?.objectValue ?? [:]
        let times = runs.flatMap { $0["rounds"]?.arrayValue ?? [] }
            .filter { $0["kind"]?.stringValue == "training" && $0["abort"] == .null }
            .compactMap { $0["milliseconds"]?.doubleValue }.sorted()
        if !times.isEmpty { metrics["medianRoundMilliseconds"] = .number(times[times.count / 2]) }
        return .object(metrics)
    }

    /// Every log, from nothing but its files and the key that the party enrolled with.
    private func verifyLogs() throws -> [JSONValue] {
        try (["coordinator"] + scenario.siteNames).map { party in
            do {
                let report = try AuditVerifier.verify(directory: "\(out)/\(party)/log")
                return [
                    "party": .string(party), "directory": .string("\(out)/\(party)/log"), "origin": .string(report.origin),
                    "entries": .integer(Int64(report.size)), "root": .string(report.root.hex), "verified": true,
                    "counts": .object(report.counts.mapValues { .integer(Int64($0)) }),
                ]
            } catch {
                throw ScenarioError.failed(step: "audit verify \(party)", "\(error)")
            }
        }
    }
}

// MARK: - Tools

extension ProcessScenario {
    private func command(_ arguments: [String]) throws {
        try ChildProcess.run(program, arguments, logPath: out + "/logs/commands.log")
    }

    /// Starts a serving process and waits until it says where it listens.
    private func start(_ name: String, _ arguments: [String], _ directory: String) throws -> JSONValue {
        let child = try ChildProcess(program, arguments, logPath: out + "/logs/\(name).log")
        children.append((name, child))
        var endpoint = JSONValue.null
        try wait(seconds: 20, "\(name) is ready") {
            guard child.isRunning else { throw ScenarioError.failed(step: "start \(name)", child.lastLines) }
            guard let bytes = try? DurableFile.read(directory + "/endpoint.json", maxBytes: 4096) else { return false }
            endpoint = try JSONValue.parse(bytes, dialect: .strict)
            return true
        }
        if name == "coordinator" { coordinatorEndpoint = endpoint }
        return endpoint
    }

    private func client(_ url: String, _ directory: String, _ key: String) throws -> APIClient {
        let secret = String(decoding: try KeyFile.read(directory + "/keys/" + key).exposedCopy(), as: UTF8.self)
        return try APIClient(url: url, authorityPath: directory + "/keys/serving-ca.crt.pem", key: secret)
    }

    private func operate(_ method: String, _ path: String, _ body: JSONValue? = nil, bytes: [UInt8] = []) throws -> JSONValue {
        guard let coordinator else { throw ScenarioError.failed(step: path, "the coordinator is not running") }
        return try coordinator.call(method, path, body: body?.canonicalBytes() ?? bytes)
    }

    /// Asks again and again until `condition` holds.
    private func wait(seconds: Double, _ what: String, until condition: () throws -> Bool) throws {
        let deadline = SystemClock().now().adding(seconds: seconds)
        while !(try condition()) {
            guard SystemClock().now() < deadline else {
                throw ScenarioError.failed(step: what, "not within \(Int(seconds)) seconds; see \(out)/logs")
            }
            usleep(20_000)
        }
    }
}

/// A patient who arrives: one line of a site's file as a request.
struct Arrival {
    /// Named features; nil when the line does not have the schema's columns.
    let row: JSONValue?
    /// What the angiogram will say.
    let outcome: Bool?

    init(_ line: String, schema: Schema) {
        let fields = line.split(separator: ",", omittingEmptySubsequences: false).map { $0.filter { $0 != "\r" && $0 != "\"" } }
        guard fields.count == schema.columns.count else {
            (row, outcome) = (nil, nil)
            return
        }
        let values = Dictionary(uniqueKeysWithValues: zip(schema.columns, fields))
        var features: [String: JSONValue] = [:]
        for feature in schema.features {
            guard let text = values[feature.column], let number = Double(text) else { continue }
            let isMissing = feature.missingCodes.contains { Double($0) == number }
            if !isMissing { features[feature.name] = Int64(exactly: number).map { .integer($0) } ?? .number(number) }
        }
        row = .object(features)
        guard let label = values[schema.label.column].flatMap(Double.init) else {
            outcome = nil
            return
        }
        switch schema.label.positive {
        case .greaterThan(let bound): outcome = label > bound
        case .equals(let codes): outcome = codes.contains { Double($0) == label }
        }
    }
}
