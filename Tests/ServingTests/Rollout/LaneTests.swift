import AuditLog
import Codec
import Cryptography
import Glibc
import HTTP
import ModelPackage
import Models
import Study
import Tabular
import Telemetry
import Testing
import Transport

@testable import Serving

/// Canary and shadow in a running service.
@Suite struct LaneTests {
    /// A version with the same answers as version 1 under another number: 20 · 11 ≡ 11 (mod 19).
    private static let twin = 20

    private func path(_ package: VerifiedPackage, _ word: String) -> String { "/v1/models/\(package.digest.hex)/\(word)" }

    private func predict(_ node: TestNode, key: Int, rows: Int = 1) -> HTTPResponse {
        let row = TestModel.goodRow
        return node.predict("{\"rows\":[\(Array(repeating: row, count: rows).joined(separator: ","))],\"routing_key\":\"p\(key)\"}")
    }

    private func begin(_ node: TestNode, _ version: Int, _ terms: JSONValue) throws -> VerifiedPackage {
        try node.deploy(1)
        let package = try TestModel.package(version)
        try node.service.deployments.install(package, by: .site)
        let response = node.post(path(package, "canary"), terms.canonicalBytes(), as: .operator)
        #expect(response.status == 200 && response.value["status"] == "canary", "\(response.string)")
        return package
    }

    private func arms(_ node: TestNode) -> [String: Set<String>] {
        var arms: [String: Set<String>] = [:]
        for entry in node.log.entries(.prediction) {
            arms[entry.details["arm"]?.stringValue ?? "", default: []].insert(entry.details["propensity"]?.stringValue ?? "")
        }
        return arms
    }

    @Test func aCanaryIsStickyGoesOnByItselfAndGoesLive() throws {
        let node = try TestNode()
        let package = try begin(node, Self.twin, ["steps": [20, 60], "rowsPerStep": 30])
        var versions: [Int: Set<Int>] = [:]
        var rounds = 0
        while node.service.deployments.current.live("heart")?.version == 1, rounds < 60 {
            rounds += 1
            for key in 0..<20 { versions[key, default: []].insert(predict(node, key: key).value["version"]?.intValue ?? 0) }
        }
        #expect(node.service.deployments.current.live("heart")?.digest == package.digest)
        let steps = node.log.entries(.deploymentStaged).filter { $0.details["role"]?.stringValue == "canary" }
        #expect(steps.map { $0.details["step"] } == [0, 1])
        // The figures that let it go on stand in the log, by the node's own hand.
        #expect(steps[1].role == "node" && (steps[1].details["report"]?["rows_in_step"]?.intValue ?? 0) >= 30)
        #expect((node.log.entries(.deploymentLive).last?.details["report"]?["rows_in_step"]?.intValue ?? 0) >= 30)
        // Who was on the canary at 20 % stayed there; every decision names its arm and how likely it was.
        #expect(arms(node) == ["live": ["1.0", "0.8", "0.4"], "canary": ["0.2", "0.6"]] || arms(node)["canary"] == ["0.2", "0.6"])
        #expect(versions.values.contains([20]) && versions.values.contains { $0.contains(1) })
    }

    @Test func oneKeyMeetsOneVersionWhileAStepLasts() throws {
        let node = try TestNode()
        _ = try begin(node, 2, ["steps": [50], "rowsPerStep": 100_000, "scoreShiftMax": 0.999])
        for key in 0..<20 {
            let versions = Set((0..<5).map { _ in predict(node, key: key).value["version"]?.intValue ?? 0 })
            #expect(versions.count == 1)
            // The header says the same as the field, and so does a restart.
            let body = Array("{\"row\":\(TestModel.goodRow)}".utf8)
            let headed = node.send("POST", "/v1/predict", body, key: node.roleKeys[.predict], headers: [("Consilium-Routing-Key", "p\(key)")])
            #expect(headed.value["version"]?.intValue == versions.first)
        }
        let before = (0..<20).map { predict(node, key: $0).value["version"] }
        try node.restart()
        #expect((0..<20).map { predict(node, key: $0).value["version"] } == before)
        // Requests without a key are divided as well; those for a version by its number are not.
        let unkeyed = (0..<40).map { _ in node.predict("{\"row\":\(TestModel.goodRow)}").value["version"]?.intValue ?? 0 }
        #expect(Set(unkeyed) == [1, 2])
        let infer = #"{"parameters":{"routing_key":"KEY"},"inputs":[{"name":"features","shape":[1,4],"datatype":"FP64","data":[63,233,1,0]}]}"#
        var seen: Set<String> = []
        for key in 0..<20 {
            let body = Array(infer.replacing("KEY", with: "p\(key)").utf8)
            let answer = node.post("/v2/models/heart/infer", body, as: .predict)
            if answer.status == 200 { seen.insert(answer.value["model_version"]?.stringValue ?? "") }
            #expect(answer.status != 200 || answer.value["model_version"]?.stringValue == before[key]?.intValue.map(String.init))
            let pinned = node.post("/v2/models/heart/versions/1/infer", body, as: .predict)
            #expect(pinned.status == answer.status && (pinned.status != 200 || pinned.value["model_version"] == "1"))
        }
        #expect(seen.count == 2 || seen.isEmpty)
    }

    @Test func aCanaryWhoseScoresAreFarOffIsRolledBackByItself() throws {
        let node = try TestNode()
        let package = try begin(node, 2, ["steps": [50], "rowsPerStep": 100_000, "scoreShiftMax": 0.001])
        var count = 0
        while node.service.deployments.current.versions[package.digest]?.status == .canary, count < 400 {
            count += 1
            #expect(predict(node, key: count, rows: 5).status == 200)
        }
        let version = try #require(node.service.deployments.current.versions[package.digest])
        #expect(version.status == .suspended && version.reason?.contains("guardrail score") == true)
        let entry = try #require(node.log.entries(.deploymentRolledBack).last)
        #expect(entry.role == "node" && entry.details["ended"]?.stringValue == package.digest.hex)
        #expect(entry.details["report"]?["log_evidence"] != nil)
        // The state has it first, the table of what answers a moment later.
        while !node.service.deployments.live.canaries.isEmpty { usleep(1000) }
        #expect(Set((0..<20).map { predict(node, key: $0).value["version"]?.intValue ?? 0 }) == [1])
        #expect(node.post(path(package, "live"), [], as: .operator).status == 409)
    }

    @Test func anOperatorsRollbackEndsTheCanaryFirst() throws {
        let node = try TestNode()
        let package = try begin(node, 2, ["steps": [99], "rowsPerStep": 100_000, "scoreShiftMax": 0.999])
        #expect(node.post("/v1/rollback", [], as: .operator).value["version"] == 1)
        #expect(node.service.deployments.current.versions[package.digest]?.status == .suspended)
        #expect(node.post("/v1/rollback", [], as: .operator).status == 409)
        #expect(Set((0..<20).map { predict(node, key: $0).value["version"]?.intValue ?? 0 }) == [1])
    }

    @Test func theLiveVersionLoadedAnewLeavesItsCanaryAlone() throws {
        let node = try TestNode()
        let package = try begin(node, 2, ["steps": [50], "rowsPerStep": 100_000, "scoreShiftMax": 0.999])
        let live = try #require(node.service.deployments.current.live("heart"))
        #expect(node.post("/v1/models/\(live.digest.hex)/live", [], as: .operator).status == 200)
        #expect(node.service.deployments.current.versions[package.digest]?.status == .canary)
        #expect(Set((0..<20).map { predict(node, key: $0).value["version"]?.intValue ?? 0 }) == [1, 2])
    }

    /// With the live version suspended a canary answers nobody, and a rollback brings a version back rather than ending it.
    @Test func aRollbackWithoutALiveVersionBringsOneBack() throws {
        let node = try TestNode()
        try node.deploy(3)
        let package = try begin(node, 2, ["steps": [50], "rowsPerStep": 100_000, "scoreShiftMax": 0.999])
        let live = try #require(node.service.deployments.current.live("heart"))
        #expect(node.post("/v1/models/\(live.digest.hex)/suspend", Array(#"{"reason":"leak"}"#.utf8), as: .overseer).status == 200)
        #expect(predict(node, key: 1).status == 503)
        #expect(node.post("/v1/rollback", [], as: .operator).value["version"] == 3)
        #expect(node.service.deployments.current.versions[package.digest]?.status == .candidate)
        #expect(Set((0..<20).map { predict(node, key: $0).value["version"]?.intValue ?? 0 }) == [3])
        let state = node.service.deployments.current
        try node.restart()
        #expect(node.service.deployments.current == state)
    }

    /// Weights that overflow give no number. Nobody is left without an answer for that, and the canary ends.
    @Test func aCanaryWithoutUsableScoresNeverAnswers() throws {
        let node = try TestNode()
        try node.deploy(1)
        let package = try TestModel.overflowing(7)
        try node.service.deployments.install(package, by: .site)
        #expect(node.post(path(package, "canary"), Array("{\"steps\":[90]}".utf8), as: .operator).status == 200)
        for key in 0..<60 {
            let response = predict(node, key: key)
            #expect(response.status == 200 && response.value["version"] == 1)
        }
        #expect(node.service.deployments.current.versions[package.digest]?.reason?.contains("guardrail errors") == true)
        #expect(arms(node)["fallback"] == ["0.9"] && arms(node)["canary"] == nil)
    }

    @Test func outcomesThatComeBackDecide() throws {
        let node = try TestNode()
        // The twin says the same, so nothing is ever shown; then the plan's end comes.
        let package = try begin(node, Self.twin, ["kind": "ab", "outcomesMax": 10])
        for key in 0..<120 where node.service.deployments.current.versions[package.digest]?.status == .canary {
            let id = try #require(predict(node, key: key).rows.first?["id"]?.stringValue)
            #expect(node.feedback(#"{"prediction_id":"\#(id)","outcome":true}"#).status == 200)
        }
        let version = try #require(node.service.deployments.current.versions[package.digest])
        #expect(version.status == .candidate)
        let entry = try #require(node.log.entries(.deploymentUnstaged).last)
        #expect(entry.details["report"]?["outcome_pairs"] == 10)
        #expect(entry.details["report"]?["reason"]?.stringValue?.contains("no difference") == true)
        #expect(node.service.deployments.current.live("heart")?.version == 1)
    }

    @Test func termsThatMakeNoSenseAreRefused() throws {
        let node = try TestNode()
        try node.deploy(1)
        let package = try TestModel.package(2)
        try node.service.deployments.install(package, by: .site)
        for body in ["[]", "{", #"{"steps":[0]}"#, #"{"steps":[50,5]}"#, #"{"kind":"ab","steps":[5,50]}"#, #"{"alpha":2}"#, #"{"more":1}"#] {
            #expect(node.post(path(package, "canary"), Array(body.utf8), as: .operator).status == 400, "\(body)")
        }
        for body in [#"{"row":\#(TestModel.goodRow),"routing_key":""}"#, #"{"row":\#(TestModel.goodRow),"routing_key":7}"#] {
            #expect(node.predict(body).status == 400)
        }
        // The plan's own canary is not to be replaced.
        var rollout = RolloutPlan()
        rollout.canary = CanaryPlan()
        let planned = try TestModel.package(3)
        try node.service.deployments.install(planned, rules: DeploymentRules(rollout: rollout), by: .site)
        #expect(node.post(path(planned, "canary"), Array(#"{"steps":[99]}"#.utf8), as: .operator).status == 409)
        #expect(node.post(path(planned, "canary"), [], as: .operator).status == 200)
        // One at a time, and only beside a live version.
        #expect(node.post(path(package, "canary"), [], as: .operator).status == 409)
    }

    @Test func aPlanBeginsItsCanaryByItself() throws {
        let node = try TestNode()
        try node.deploy(1)
        var rollout = RolloutPlan()
        rollout.canary = CanaryPlan()
        let package = try TestModel.package(2)
        let rules = DeploymentRules(rollout: rollout, needsEvaluation: true, isAutomatic: true)
        try node.service.deployments.install(package, rules: rules, by: .site)
        node.service.deployments.beginIfAutomatic(package.digest)
        #expect(node.service.deployments.current.versions[package.digest]?.status == .candidate, "not before it is measured")
        try node.service.deployments.note(TransitionTests.bad, of: package.digest, by: .site)
        node.service.deployments.beginIfAutomatic(package.digest)
        #expect(node.service.deployments.current.versions[package.digest]?.status == .refused)
        try node.service.deployments.note(TransitionTests.good, of: package.digest, by: .site)
        node.service.deployments.beginIfAutomatic(package.digest)
        #expect(node.service.deployments.current.versions[package.digest]?.status == .canary)
    }

    /// Switches, rollbacks and a canary's steps while requests run: each answer is of one version through and through, none fails.
    /// The long form, with times, is `consilium-bench serving switches`.
    @Test func nothingFailsAndNothingIsMixedUnderLoad() throws {
        let node = try TestNode()
        let packages = try [node.deploy(1), node.deploy(2)]
        let body = "{\"rows\":[\(TestModel.goodRow),\(TestModel.goodRow)]}"
        var expected: [Int: JSONValue] = [:]
        for package in packages {
            try node.service.deployments.makeLive(package.digest, actor: "test")
            expected[package.version] = node.predict(body).rows[0]["score"]
        }
        let (scores, isDone, mistakes, count) = (expected, Locked(false), Locked<[String]>([]), Locked(0))
        let threads = (0..<3).map { number in
            Thread.start(name: "client") {
                var turn = 0
                while !isDone.withLock({ $0 }) {
                    turn += 1
                    let key = "\"routing_key\":\"c\(number)-\(turn)\","
                    let response = node.predict("{" + key + body.dropFirst())
                    let version = response.value["version"]?.intValue ?? 0
                    let isRight =
                        response.status == 200 && response.rows.count == 2 && response.rows.allSatisfy { $0["score"] == scores[version] }
                        && (1...2).contains(version) && response.value["digest"]?.stringValue == packages[version - 1].digest.hex
                    if !isRight { mistakes.withLock { $0.append(response.string) } }
                    count.withLock { $0 += 1 }
                }
            }
        }
        let deployments = node.service.deployments
        func other() -> VerifiedPackage { deployments.current.live("heart")?.version == 1 ? packages[1] : packages[0] }
        for turn in 0..<60 {
            if turn % 3 == 0 { try deployments.standBy(other().digest, by: .site) }
            try deployments.makeLive(other().digest, actor: "test")
            if turn % 4 == 3 { try deployments.rollback(nil, actor: "test") }
        }
        let canary = other()
        var terms = CanaryPlan()
        (terms.steps, terms.rowsPerStep, terms.scoreShiftMax) = (Array(stride(from: 30, through: 87, by: 3)), 2, 0.999)
        (terms.slowerTimesMax, terms.alpha) = (1000, 0.0001)
        try deployments.beginCanary(canary.digest, terms: terms, by: .site)
        while deployments.current.live("heart")?.digest != canary.digest, count.withLock({ $0 }) < 100_000 {
            _ = node.predict(body)
        }
        isDone.withLock { $0 = true }
        for thread in threads { Thread.join(thread) }
        #expect(mistakes.withLock { $0 }.isEmpty)
        #expect(deployments.current.live("heart")?.digest == canary.digest)
        #expect(node.log.entries(.deploymentStaged).count { $0.details["role"]?.stringValue == "canary" } == terms.steps.count)
    }

    // MARK: shadow

    @Test func aShadowIsNeverShownAndItsDifferencesAreCounted() throws {
        let node = try TestNode()
        try node.deploy(1)
        let package = try TestModel.package(2)
        try node.service.deployments.install(package, by: .site)
        let before = predict(node, key: 1).rows.first?["score"]
        #expect(node.post(path(package, "shadow"), [], as: .operator).status == 200)
        for key in 0..<30 {
            let response = predict(node, key: key, rows: 2)
            #expect(response.value["version"] == 1 && response.rows.allSatisfy { $0["score"] == before })
        }
        let deadline = 2000
        var shown: JSONValue = .null
        for _ in 0..<deadline {
            shown = node.get("/v1/rollout").value["models"]?.arrayValue?.first?["shadow"] ?? .null
            if shown["rows"] == 60 { break }
        }
        #expect(shown["rows"] == 60 && shown["dropped"] == 0 && shown["errors"] == 0)
        let histogram = (shown["histogram"]?.arrayValue ?? []).compactMap { $0["rows"]?.intValue }
        #expect(histogram.reduce(0, +) == 60)
        #expect((shown["mean_absolute_difference"]?.doubleValue ?? 0) > 0)
        let metrics = node.get("/metrics").string
        #expect(metrics.contains("consilium_trial_rows{model=\"heart\",role=\"shadow\"} 60"))
        #expect(metrics.contains("consilium_trial_difference_rows{model=\"heart\",role=\"shadow\",le=\"1.0\"} 60"))
        // No decision of it is anywhere.
        #expect(node.log.entries(.prediction).allSatisfy { $0.details["version"] == 1 && $0.details["arm"] == "live" })
        try node.restart()
        #expect(node.get("/v1/rollout").value["models"]?.arrayValue?.first?["shadow"]?["digest"]?.stringValue == package.digest.hex)
        #expect(node.post(path(package, "unstage"), [], as: .operator).status == 200)
        #expect(node.get("/v1/rollout").value["models"]?.arrayValue?.first?["shadow"] == .null)
        #expect(node.log.entries(.deploymentUnstaged).last?.details["report"]?["rows"] != nil)
    }

    @Test func aShadowThatCannotKeepUpDropsAndCounts() throws {
        let node = try TestNode()
        let model = try DeployedModel(try TestModel.package(2))
        _ = node
        let lane = ShadowLane(model, since: at(0))
        let rows = (0..<ShadowLane.rowsMax + 1).map { _ in (values: [63.0, 233, 1, 0], probability: 0.5, positive: true) }
        lane.mirror(rows)
        #expect(lane.report["dropped"]?.intValue == ShadowLane.rowsMax + 1 && lane.report["rows"] == 0)
        lane.mirror(Array(rows.prefix(10)))
        lane.stop()
        #expect(lane.report["rows"] == 10)
        // After its end it drops everything, and nobody waits.
        lane.mirror(Array(rows.prefix(10)))
        #expect(lane.report["dropped"]?.intValue == ShadowLane.rowsMax + 11)
    }
}

extension TestModel {
    /// A version whose scores are no numbers.
    static func overflowing(_ version: Int) throws -> VerifiedPackage {
        try VerifiedPackage.verify(
            contents(version, family: network, weights: { $0 % 2 == 0 ? 3e38 : -3e38 }), trustedKey: TestNode.key.publicKey)
    }
}
