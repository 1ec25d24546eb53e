import AuditLog
import Codec
import Cryptography
import HTTP
import Study
import Telemetry
import Testing

@testable import Serving

/// What a site asks of versions without a plan: evaluated on its rows, approved by two people, and nobody loosens that alone.
@Suite struct SiteRulesTests {
    private static let strict = #"{consilium: "site-rules/1", siteGates: [{metric: "accuracy", atLeast: 0.5}, {metric: "rows", atLeast: 4}], rollout: {approvals: 2}}"#

    /// Labelled rows; the model's own class decides the label, so that it is right about all of them or about none.
    private func rows(_ node: TestNode, _ digest: Digest, right: Bool) throws -> String {
        let model = try node.service.deployments.load(digest)
        var text = "age,chol,sex,cp,num\n"
        for number in 0..<12 {
            let values = [Double(30 + 7 * number), 200, Double(number % 2), Double(number % 3)]
            let label = model.score(values).positive == right ? 1 : 0
            text += "\(30 + 7 * number),200,\(number % 2 == 0 ? "female" : "male"),\(["typical", "atypical", "none"][number % 3]),\(label)\n"
        }
        return text
    }

    private func version(_ node: TestNode, _ digest: Digest) throws -> JSONValue {
        let models = node.get("/v1/models").value["models"]?.arrayValue ?? []
        return try #require(models.flatMap { $0["versions"]?.arrayValue ?? [] }.first { $0["digest"]?.stringValue == digest.hex })
    }

    private func approve(_ node: TestNode, _ digest: Digest, key: String) throws -> Int {
        let shown = try version(node, digest)
        let body: JSONValue = ["configuration": shown["configuration"] ?? .null, "evidence": shown["evidence"] ?? .null]
        return node.send("POST", "/v1/models/\(digest.hex)/approve", body.canonicalBytes(), key: key).status
    }

    private func key(_ node: TestNode, _ name: String, _ role: AccessRole = .operator) throws -> String {
        try node.keys.create(AccessKeyRequest(name: name, roles: [role]), random: SystemRandom.shared).key
    }

    @Test func anImportedVersionIsEvaluatedAndApprovedByTwoPeopleBeforeItAnswers() throws {
        let node = try TestNode()
        let first = try node.deploy(1)
        #expect(node.get("/v1/rules").value["rules"] == .null)
        #expect(node.post("/v1/rules", Array(Self.strict.utf8), as: .operator).value["proposed"] == .null)
        #expect(node.get("/v1/rules").value["rules"]?["rollout"]?["approvals"] == 2)
        // The live version stays; the rules hold for the next use.
        #expect(node.predict("{\"row\":\(TestModel.goodRow)}").status == 200)

        let package = try TestModel.package(2)
        let ada = try key(node, "ada"), ben = try key(node, "ben"), eve = try key(node, "eve", .overseer)
        let path = "/v1/models/\(package.digest.hex)"
        try node.service.deployments.install(package, by: .person("ada"))
        #expect(try version(node, package.digest)["site_rules"]?.stringValue == node.get("/v1/rules").value["digest"]?.stringValue)
        for word in ["live", "standby", "shadow", "canary"] {
            let answer = node.post("\(path)/\(word)", [], as: .operator)
            #expect(answer.status == 409 && answer.string.contains("evaluate it first"), "\(word)")
        }
        #expect(try approve(node, package.digest, key: ben) == 409)

        // Rows on which it is wrong: refused, kept and explained.
        let bad = node.post(path + "/evaluate", Array(try rows(node, package.digest, right: false).utf8), as: .operator)
        #expect(bad.value["status"] == "refused" && bad.value["refusal"]?.stringValue?.contains("accuracy is 0") == true)
        #expect(node.post(path + "/live", [], as: .operator).status == 409)
        let good = node.post(path + "/evaluate", Array(try rows(node, package.digest, right: true).utf8), as: .operator)
        #expect(good.value["status"] == "evaluated" && good.value["metrics"]?["accuracy"] == 1)
        #expect(good.value["held_out"]?.stringValue == SHA256.hash(Array(try rows(node, package.digest, right: true).utf8)).hex)

        #expect(try approve(node, package.digest, key: ben) == 200)
        #expect(try approve(node, package.digest, key: ben) == 409)
        #expect(node.post(path + "/live", [], as: .operator).string.contains("needs 2 approvals and has 1"))
        #expect(try approve(node, package.digest, key: eve) == 200)
        try node.restart()
        #expect(node.post(path + "/live", [], as: .operator).status == 200)
        let live = node.get("/v1/history?at=\(node.clock.now().iso8601)").value["models"]?.arrayValue?.first?["live"]
        #expect(live?["approvals"]?.arrayValue?.compactMap { $0["person"]?.stringValue } == ["ben", "eve"])
        #expect(node.predict("{\"row\":\(TestModel.goodRow)}").value["version"] == 2)
        // The one before was live under no rules: a rollback brings it back, anything else does not.
        #expect(node.post("/v1/rollback", [], as: .operator).value["digest"]?.stringValue == first.digest.hex)
        _ = ada
    }

    @Test func theSubmitterDoesNotApproveAndAMeasureMadeBeforeIsNotEnough() throws {
        let node = try TestNode()
        try node.deploy(1)
        let package = try TestModel.package(2)
        try node.service.deployments.install(package, by: .person("ada"))
        let csv = try rows(node, package.digest, right: true)
        #expect(node.post("/v1/models/\(package.digest.hex)/evaluate", Array(csv.utf8), as: .operator).value["status"] == "evaluated")
        let ben = try key(node, "ben")
        #expect(try approve(node, package.digest, key: ben) == 200)
        // Other rules: what was approved under none stands for nothing.
        #expect(node.post("/v1/rules", Array(Self.strict.utf8), as: .operator).status == 200)
        #expect(try version(node, package.digest)["status"] == "evaluated")
        #expect(try approve(node, package.digest, key: key(node, "ada")) == 409)
        #expect(try approve(node, package.digest, key: ben) == 200)
        #expect(node.post("/v1/models/\(package.digest.hex)/live", [], as: .operator).status == 409)
    }

    @Test func nobodyLoosensTheRulesAlone() throws {
        let node = try TestNode()
        let loose = Array(#"{"consilium": "site-rules/1", "none": true}"#.utf8)
        #expect(node.post("/v1/rules", Array(Self.strict.utf8), as: .operator).status == 200)
        let before = node.get("/v1/rules").value["digest"]
        let proposed = node.post("/v1/rules", loose, as: .operator).value
        let digest = try #require(proposed["proposed"]?["digest"]?.stringValue)
        #expect(proposed["digest"] == before && proposed["confirmations_needed"] == 2)
        let confirm = "/v1/rules/\(digest)/confirm"
        #expect(node.post(confirm, [], as: .operator).status == 409)
        #expect(node.post(confirm, [], as: .predict).status == 403)
        #expect(node.post("/v1/rules/\(String(repeating: "0", count: 64))/confirm", [], as: .overseer).status == 409)
        #expect(node.post("/v1/rules/x/confirm", [], as: .overseer).status == 404)
        #expect(node.post(confirm, [], as: .overseer).value["digest"] == before)
        #expect(node.post(confirm, [], as: .overseer).status == 409)
        try node.restart()
        let ben = try key(node, "ben")
        let done = node.send("POST", confirm, [], key: ben).value
        #expect(done["rules"] == .null && done["digest"] == .null && done["proposed"] == .null)
        #expect(node.send("POST", confirm, [], key: ben).status == 409)
        try node.restart()
        #expect(node.get("/v1/rules").value["digest"] == .null)
        var history = DeploymentHistory()
        for entry in try node.log.stored() { history.take(entry) }
        #expect(history.state(at: nil) == node.service.deployments.current)
    }

    @Test func onlyTheNamedFileCountsAndOnlyRowsThatFit() throws {
        let node = try TestNode()
        let package = try TestModel.package(1)
        try node.service.deployments.install(package, by: .person("ada"))
        let csv = try rows(node, package.digest, right: true)
        let rules = #"{"consilium":"site-rules/1","heldOut":"\#(SHA256.hash(Array(csv.utf8)).hex)"}"#
        #expect(node.post("/v1/rules", Array(rules.utf8), as: .operator).status == 200)
        let path = "/v1/models/\(package.digest.hex)/evaluate"
        #expect(node.post(path, Array((csv + "30,200,male,none,1\n").utf8), as: .operator).string.contains("heldOut"))
        #expect(node.post(path, Array(csv.utf8), as: .operator).status == 200)
        #expect(node.post("/v1/rules", Array(#"{"consilium":"site-rules/1"}"#.utf8), as: .operator).status == 200)
        // With the threshold of the site, at its ends too.
        for threshold in ["0", "1"] {
            let configured = node.post("/v1/models/\(package.digest.hex)/configure", Array("{\"threshold\":\(threshold)}".utf8), as: .operator)
            let accuracy = node.post(path, Array(csv.utf8), as: .operator).value["metrics"]?["accuracy"]?.doubleValue
            let positives = Double(csv.split(separator: "\n").count { $0.hasSuffix(",1") }) / 12
            #expect(configured.status == 200 && abs((accuracy ?? .nan) - (threshold == "0" ? positives : 1 - positives)) < 1e-9)
        }
        for (text, problem) in [
            ("", "cannot be read"), ("age,chol,sex,cp,num\n", "there are none"), ("age,chol,sex\n1,2,male\n", "cannot be read"),
            (csv + "4711,200,male,none,1\n", "1 rows do not fit"), (csv + "30,200,male,none,\n", "1 rows do not fit"),
        ] {
            let answer = node.post(path, Array(text.utf8), as: .operator)
            #expect(answer.status == 409 && answer.string.contains(problem) && !answer.string.contains("4711"), "\(answer.string)")
        }
        #expect(node.post("/v1/models/\(digest(9).hex)/evaluate", [], as: .operator).status == 404)
    }

    @Test func aVersionOfAPlanKeepsItsPlan() throws {
        let node = try TestNode()
        let package = try TestModel.package(1)
        var rules = ApprovalTests.rules(0)
        rules.plan = digest(7)
        try node.service.deployments.install(package, rules: rules, by: .site)
        #expect(node.post("/v1/rules", Array(Self.strict.utf8), as: .operator).status == 200)
        #expect(node.service.deployments.current.versions[package.digest]?.rules == rules)
        #expect(node.post("/v1/models/\(package.digest.hex)/evaluate", Array("age\n1\n".utf8), as: .operator).string.contains("a plan governs"))
    }

    @Test func aDocumentThatSaysSomethingElseIsRefused() throws {
        let node = try TestNode()
        for text in [
            "", "{}", #"{"consilium":"site-rules/2"}"#, #"{"consilium":"site-rules/1","none":true,"rollout":{}}"#,
            #"{"consilium":"site-rules/1","rollout":{"approvals":3}}"#, #"{"consilium":"site-rules/1","heldOut":"ab"}"#,
            #"{"consilium":"site-rules/1","siteGates":[{"metric":"auc"}]}"#, #"{"consilium":"site-rules/1","automatic":true}"#,
            #"{"consilium":"site-rules/1","siteGates":[{"metric":"Mustermann","atLeast":1}]}"#,
        ] {
            let answer = node.post("/v1/rules", Array(text.utf8), as: .operator)
            #expect(answer.status == 400 && answer.value["error"] != nil && !answer.string.contains("Mustermann"), "\(text)")
        }
        #expect(node.log.entries(.configurationChanged).isEmpty)
    }
}
