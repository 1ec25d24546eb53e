import AuditLog
import Codec
import Cryptography
import HTTP
import Study
import Telemetry
import Testing

@testable import Serving

@Suite struct RolloutEndpointTests {
    private let row = #"{"row":\#(TestModel.goodRow)}"#

    private func version(_ node: TestNode, _ digest: Digest) throws -> JSONValue {
        let models = node.get("/v1/models").value["models"]?.arrayValue ?? []
        return try #require(models.flatMap { $0["versions"]?.arrayValue ?? [] }.first { $0["digest"]?.stringValue == digest.hex })
    }

    @Test func fourEyesOverHTTPAndTheHistorySaysWhoAndWhy() throws {
        let node = try TestNode()
        let first = try node.deploy(1)
        let before = node.clock.now()
        node.clock.advance(seconds: 60)
        let second = try TestModel.package(2)
        try node.service.deployments.install(second, rules: ApprovalTests.rules(), by: .site)
        let path = "/v1/models/\(second.digest.hex)"
        #expect(node.post(path + "/live", [], as: .operator).status == 409)
        try node.service.deployments.note(TransitionTests.good, of: second.digest, by: .site)
        let shown = try version(node, second.digest)
        let hashes: JSONValue = ["configuration": shown["configuration"] ?? .null, "evidence": shown["evidence"] ?? .null]
        let wrong: JSONValue = ["configuration": shown["configuration"] ?? .null, "evidence": .string(digest(5).hex)]
        #expect(node.post(path + "/approve", wrong.canonicalBytes(), as: .operator).status == 409)
        #expect(node.post(path + "/approve", [], as: .operator).status == 400)
        #expect(node.post(path + "/approve", hashes.canonicalBytes(), as: .auditor).status == 403)
        #expect(node.post(path + "/approve", hashes.canonicalBytes(), as: .operator).status == 200)
        #expect(node.post(path + "/approve", hashes.canonicalBytes(), as: .operator).status == 409)
        #expect(node.post(path + "/live", [], as: .operator).value["error"]?.stringValue?.contains("has 1") == true)
        #expect(node.post(path + "/approve", hashes.canonicalBytes(), as: .overseer).status == 200)
        // Over a restart as well.
        try node.restart()
        #expect(node.post(path + "/live", [], as: .operator).status == 200)
        #expect(node.predict(row).value["version"] == 2)

        let now = node.clock.now()
        for (time, digest, people) in [(before, first.digest, []), (now, second.digest, ["operator", "overseer"])] {
            let answer = node.get("/v1/history?at=\(time.iso8601)&model=heart").value
            let live = answer["models"]?.arrayValue?.first?["live"]
            #expect(live?["digest"]?.stringValue == digest.hex)
            #expect(live?["approvals"]?.arrayValue?.compactMap { $0["person"]?.stringValue } == people)
        }
        let old = node.get("/v1/history?at=2001-01-01T00:00:00Z").value
        #expect(old["models"]?.arrayValue == [])
        #expect(node.get("/v1/history").value["models"]?.arrayValue?.first?["periods"]?.arrayValue?.count == 2)
        for query in ["?at=yesterday", "?when=now", "?model=other"] { #expect([400, 404].contains(node.get("/v1/history" + query).status)) }
        #expect(node.get("/v1/history", as: .predict).status == 403)
        // The same from the log alone.
        var history = DeploymentHistory()
        for entry in try node.log.stored() { history.take(entry) }
        #expect(history.state(at: before).live("heart")?.digest == first.digest)
        #expect(history.state(at: nil) == node.service.deployments.current)
    }

    /// Whoever brings a version by another way does not get round the plan that governs its model.
    @Test func anImportedVersionIsUnderTheRulesOfItsModelsPlan() throws {
        let node = try TestNode()
        var rules = ApprovalTests.rules()
        (rules.plan, rules.isAutomatic) = (digest(1), true)
        let planned = try TestModel.package(1)
        try node.service.deployments.install(planned, rules: rules, by: .site)
        let imported = try TestModel.package(2)
        try node.service.deployments.install(imported, by: .person("eve"))
        let version = try #require(node.service.deployments.current.versions[imported.digest])
        #expect(version.rules.needsEvaluation && version.rules.rollout.approvals == 2 && !version.rules.isAutomatic)
        for word in ["live", "standby", "shadow", "canary"] {
            #expect(node.post("/v1/models/\(imported.digest.hex)/\(word)", [], as: .operator).status == 409)
        }
        // Another model is another matter.
        let other = try TestModel.package(1, name: "lung")
        try node.service.deployments.install(other, by: .person("eve"))
        #expect(node.post("/v1/models/\(other.digest.hex)/live", [], as: .operator).status == 200)
    }

    @Test func standbyIsOneSwitchAwayAndEachRoleEnds() throws {
        let node = try TestNode()
        try node.deploy(1)
        let second = try TestModel.package(2)
        try node.service.deployments.install(second, by: .site)
        let path = "/v1/models/\(second.digest.hex)"
        #expect(node.post(path + "/standby", [], as: .operator).status == 200)
        #expect(node.post(path + "/standby", [], as: .operator).status == 409)
        #expect(node.predict(row).value["version"] == 1)
        #expect(node.service.deployments.live.standbys["heart"]?.package.digest == second.digest)
        try node.restart()
        #expect(node.service.deployments.live.standbys["heart"] != nil)
        #expect(node.post(path + "/unstage", [], as: .operator).status == 200)
        #expect(node.service.deployments.live.standbys.isEmpty)
        #expect(node.post(path + "/standby", [], as: .operator).status == 200)
        #expect(node.post(path + "/live", [], as: .operator).status == 200)
        #expect(node.predict(row).value["version"] == 2 && node.service.deployments.live.standbys.isEmpty)
        // Taken out with a reason, it comes back only from the beginning.
        #expect(node.post(path + "/suspend", Array("{\"reason\":7}".utf8), as: .overseer).status == 400)
        #expect(node.post(path + "/override", [], as: .overseer).status == 400)
        #expect(node.post(path + "/suspend", Array(#"{"reason":"leak"}"#.utf8), as: .overseer).status == 200)
        #expect(node.predict(row).status == 503)
        #expect(try version(node, second.digest)["reason"] == "leak")
        #expect(node.post(path + "/live", [], as: .operator).status == 409)
        #expect(node.post("/v1/rollback", [], as: .operator).status == 200 && node.predict(row).value["version"] == 1)
        #expect(node.post(path + "/stage", [], as: .operator).status == 200 && node.post(path + "/live", [], as: .operator).status == 200)
        #expect(node.post(path + "/retire", [], as: .operator).status == 200 && node.predict(row).status == 503)
        #expect(node.post("/v1/models/\(digest(77).hex)/retire", [], as: .operator).status == 404)
        #expect(node.post(path + "/stage", Array("{\"x\":1}".utf8), as: .operator).status == 400)
    }
}
