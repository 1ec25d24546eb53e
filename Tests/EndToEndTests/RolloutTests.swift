// A version on its way into service, out of it and back, by the commands that people type: four eyes, canary, rollback, stop, and the
// history that the log alone tells afterwards.

import Codec
import Cryptography
import Glibc
import HTTP
import Simulation
import Storage
import Testing

@Suite(.serialized, .enabled(if: Program.isThere)) struct RolloutTests {
    private let site = "cleveland"

    /// Three sites under a plan that asks for two approvals.
    private func federation() throws -> TestFederation {
        let federation = try TestFederation(sites: Array(StandInHospitals.sites.prefix(3)))
        guard case .object(var plan) = federation.plan else { throw ScenarioError.unusable("plan") }
        plan["deployment"] = [
            "automatic": true, "siteGates": [["metric": "rows", "atLeast": 1]],
            "rollout": [
                "approvals": 2, "approvalHours": 1, "notWorseThanLive": [["metric": "brier", "by": 1]],
                "canary": ["steps": [50], "rowsPerStep": 20, "scoreShiftMax": 0.999, "slowerTimesMax": 1000, "errorShareMax": 0.5],
            ],
        ]
        federation.plan = .object(plan)
        try federation.agree()
        return federation
    }

    private func version(_ federation: TestFederation, _ number: Int) throws -> JSONValue? {
        let models = try federation.operators(at: site).call("GET", "/v1/models")["models"]?.arrayValue ?? []
        return models.flatMap { $0["versions"]?.arrayValue ?? [] }.first { $0["version"]?.intValue == number }
    }

    private func predict(_ federation: TestFederation, _ key: String, routing: String? = nil) throws -> HTTPResponse {
        let client = try federation.http(site)
        defer { client.close() }
        var body: [String: JSONValue] = ["row": .object(TestFederation.row)]
        if let routing { body["routing_key"] = .string(routing) }
        return try client.send(
            HTTPRequest(method: "POST", target: "/v1/predict", headers: ["Authorization": "Bearer \(key)"], body: JSONValue.object(body).canonicalBytes()),
            timeoutSeconds: 10)
    }

    private func node(_ federation: TestFederation, _ arguments: String...) throws -> Program.Result {
        try Program.run(["node"] + arguments + ["--dir", federation.directory(site), "--json"], in: federation.scratch)
    }

    /// Runs the plan and waits until the version has been measured here.
    private func release(_ federation: TestFederation, _ number: Int) throws -> (digest: String, evidence: String) {
        let run = try federation.finish(federation.startRun())
        #expect(run["status"] == "released", "\(run["reason"]?.stringValue ?? "")")
        #expect(try holds(within: 15) { try version(federation, number)?["status"]?.stringValue == "evaluated" })
        let shown = try #require(try version(federation, number))
        return (shown["digest"]?.stringValue ?? "", shown["evidence"]?.stringValue ?? "")
    }

    private func approve(_ federation: TestFederation, _ version: (digest: String, evidence: String), _ files: [String: String]) throws {
        for person in ["ada", "ben"] {
            let result = try node(federation, "approve", version.digest, "--evidence", version.evidence, "--key-file", files[person] ?? "")
            #expect(result.code == 0, "\(result.text)")
        }
    }

    @Test func aVersionsWholeLifeByCommands() throws {
        let federation = try federation()
        defer { federation.stop() }
        let key = try federation.key(at: site, roles: ["predict"])
        var files: [String: String] = [:]
        for (person, role) in [("ada", "operator"), ("ben", "overseer")] {
            files[person] = federation.scratch.fresh("\(person).key")
            let made = try node(federation, "key", "create", "--name", person, "--role", role, "--output", files[person] ?? "")
            #expect(made.code == 0, "\(made.text)")
        }

        // Nobody answers before two people have looked at the same evidence.
        let first = try release(federation, 1)
        #expect(try predict(federation, key).status == 503)
        let early = try node(federation, "promote", first.digest)
        #expect(early.code != 0 && early.text.contains("needs 2 approvals and has 0"), "\(early.code) \(early.text)")
        let other = try node(federation, "approve", first.digest, "--evidence", String(repeating: "0", count: 64), "--key-file", files["ada"] ?? "")
        #expect(other.code == 65 && other.text.contains("other-evidence"), "\(other.code) \(other.text)")
        try approve(federation, first, files)
        #expect(try holds(within: 5) { try predict(federation, key).status == 200 })
        let twice = try node(federation, "approve", first.digest, "--evidence", first.evidence, "--key-file", files["ada"] ?? "")
        #expect(twice.code != 0, "\(twice.text)")

        // The next one goes through its canary by itself.
        let second = try release(federation, 2)
        try approve(federation, second, files)
        #expect(try version(federation, 2)?["status"] == "canary")
        var seen: Set<Int> = []
        for number in 0..<400 {
            let answer = try JSONValue.parse(predict(federation, key, routing: "p\(number)").body, dialect: .strict)
            seen.insert(answer["version"]?.intValue ?? 0)
            if number % 20 == 19, try version(federation, 2)?["status"] == "live" { break }
        }
        #expect(try version(federation, 2)?["status"] == "live" && seen == [1, 2])

        // Back, without the coordinator.
        federation.stopCoordinator()
        let start = monotonicSeconds()
        _ = try federation.operators(at: site).call("POST", "/v1/rollback")
        #expect(monotonicSeconds() - start < 1)
        #expect(try JSONValue.parse(predict(federation, key).body, dialect: .strict)["version"] == 1)
        let measured = try node(federation, "evaluate", second.digest)
        #expect(measured.code == 0 && measured.json?["findings"]?.arrayValue?.isEmpty == false, "\(measured.text)")

        // An overseer's stop outlives the process, and an operator does not lift it.
        #expect(try node(federation, "stop", "--reason", "drift", "--key-file", files["ada"] ?? "").code != 0)
        #expect(try node(federation, "stop", "--reason", "drift", "--key-file", files["ben"] ?? "").code == 0)
        federation.kill(site)
        try federation.startNode(site)
        let refused = try predict(federation, key)
        #expect(refused.status == 503 && refused.errorMessage?.contains("overseer") == true)
        let rows = try federation.scratch.write(
            TestFederation.row.keys.sorted().joined(separator: ",") + "\n"
                + TestFederation.row.keys.sorted().map { "\(TestFederation.row[$0]?.doubleValue ?? 0)" }.joined(separator: ",") + "\n", "rows")
        let keyFile = federation.scratch.fresh("predict.key")
        try KeyFile.write(Array(key.utf8), to: keyFile)
        let batch = try Program.run(
            ["predict", "--input", rows, "--output", federation.scratch.fresh("scored"), "--dir", federation.directory(site), "--key-file", keyFile],
            in: federation.scratch)
        #expect(batch.code != 0 && batch.text.contains("overseer"), "\(batch.text)")
        #expect(try node(federation, "start", "--reason", "fixed", "--key-file", files["ada"] ?? "").code != 0)
        #expect(try node(federation, "start", "--reason", "fixed", "--key-file", files["ben"] ?? "").code == 0)
        #expect(try predict(federation, key).status == 200)

        // What the log alone says, without a running node.
        federation.stopNode(site)
        let history = try Program.run(["model", "history", "--dir", federation.directory(site), "--json"], in: federation.scratch)
        let periods = history.json?["models"]?.arrayValue?.first?["periods"]?.arrayValue ?? []
        #expect(periods.map { $0["version"] } == [1, 2, 1], "\(history.text)")
        for (period, version) in zip(periods, [first, second, first]) {
            #expect(period["digest"]?.stringValue == version.digest)
            let at = try Program.run(
                ["model", "history", "--dir", federation.directory(site), "--at", period["since"]?.stringValue ?? "", "--json"], in: federation.scratch)
            #expect(at.json?["models"]?.arrayValue?.first?["live"]?["digest"]?.stringValue == version.digest, "\(at.text)")
        }
        #expect(periods.first?["approvals"]?.arrayValue?.compactMap { $0["person"]?.stringValue } == ["ada", "ben"])
        #expect(periods.first?["evidence"]?.stringValue == first.evidence)
        #expect(try federation.verify(site).code == 0)
    }
}
