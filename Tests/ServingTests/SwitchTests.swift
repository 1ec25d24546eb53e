import AuditLog
import Codec
import Cryptography
import HTTP
import ModelPackage
import Models
import Storage
import Tabular
import Telemetry
import Testing
import Transport

@testable import Serving

@Suite struct SwitchTests {
    @Test func candidateLiveSupersededAndBack() throws {
        let node = try TestNode()
        let first = try node.deploy(1)
        let second = try TestModel.package(2)
        try node.service.deployments.install(second, actor: "operator")
        #expect(node.predict(#"{"row":\#(TestModel.goodRow)}"#).value["version"] == 1)
        let live = node.send(
            "POST", "/v1/models/\(second.digest.hex)/live", key: node.roleKeys[.operator])
        #expect(live.status == 200 && live.value["version"] == 2)
        #expect(node.predict(#"{"row":\#(TestModel.goodRow)}"#).value["version"] == 2)
        #expect(
            node.send("POST", "/v1/models/\(second.digest.hex)/live", key: node.roleKeys[.operator])
                .status == 200)
        let models = try #require(node.get("/v1/models").value["models"]?.arrayValue?.first)
        #expect(models["live"]?.stringValue == second.digest.hex)
        #expect(models["versions"]?.arrayValue?.map { $0["status"] } == ["live", "superseded"])
        let back = node.send("POST", "/v1/rollback", key: node.roleKeys[.operator])
        #expect(back.status == 200 && back.value["digest"]?.stringValue == first.digest.hex)
        #expect(node.predict(#"{"row":\#(TestModel.goodRow)}"#).value["version"] == 1)
        #expect(
            node.send(
                "POST", "/v1/rollback", Array(#"{"model":"heart"}"#.utf8),
                key: node.roleKeys[.operator]
            ).status == 409)
        #expect(
            node.send(
                "POST", "/v1/rollback", Array(#"{"model":"other"}"#.utf8),
                key: node.roleKeys[.operator]
            ).status == 404)
        #expect(
            node.send(
                "POST", "/v1/rollback", Array(#"{"modell":"heart"}"#.utf8),
                key: node.roleKeys[.operator]
            ).status == 400)
        #expect(
            node.send(
                "POST", "/v1/models/\(String(repeating: "0", count: 64))/live",
                key: node.roleKeys[.operator]
            ).status == 404)
        #expect(
            node.log.entries.map(\.type).filter { $0 != .prediction } == [
                .deploymentStaged, .deploymentLive, .deploymentStaged, .deploymentLive,
                .deploymentRolledBack,
            ])
    }

    @Test func stateAndInterceptsComeBackFromTheLog() throws {
        let node = try TestNode()
        try node.deploy(1, family: TestModel.linearWithIntercept, intercept: 0.5)
        try node.deploy(2, family: TestModel.linearWithIntercept, intercept: -0.25)
        try node.service.deployments.rollback(nil, actor: "operator")
        let body = #"{"row":\#(TestModel.goodRow)}"#
        let (state, score) = (
            node.service.deployments.current, node.predict(body).rows.first?["score"]
        )
        try node.restart()
        #expect(node.service.deployments.current == state)
        #expect(
            node.predict(body).rows.first?["score"] == score
                && node.predict(body).value["version"] == 1)
        #expect(node.service.deployments.liveModel("heart")?.intercept == 0.5)
    }

    /// The file of a version's settings is a copy for others. A crash may leave it behind the log, a hand may change it: what is
    /// served, and what people approved, is what the log says.
    @Test func settingsAreThoseOfTheLogWhateverTheFileSays() throws {
        let node = try TestNode()
        let package = try node.deploy(1, family: TestModel.linearWithIntercept, intercept: 0.5)
        let body = #"{"row":\#(TestModel.goodRow)}"#
        let score = node.predict(body).rows.first?["score"]
        let path = node.directory + "/intercepts/\(package.digest.hex).json"
        for text in ["{\"intercept\":3.5,\"threshold\":0.99}", "damaged"] {
            try DurableFile.writeAtomically(Array(text.utf8), to: path)
            try node.restart()
            #expect(node.predict(body).rows.first?["score"] == score && node.predict(body).value["threshold"] == 0.5)
        }
    }

    @Test func aNewInterceptReplacesTheOldOneOfALiveVersion() throws {
        let node = try TestNode()
        let package = try node.deploy(1, family: TestModel.linearWithIntercept, intercept: 0.5)
        let body = #"{"row":\#(TestModel.goodRow),"explain":true}"#
        let old = try #require(node.predict(body).rows.first)
        try node.service.deployments.install(package, intercept: 0.5, actor: "node")
        try node.service.deployments.install(package, intercept: 1.5, actor: "node")
        #expect(
            node.log.entries(.configurationChanged).count == 1
                && node.log.entries(.deploymentStaged).count == 1)
        let scores = try [node.predict(body).rows.first, old].map {
            try #require($0?["score"]?.doubleValue)
        }
        #expect(abs(scores[0] - scores[1] - 1) < 1e-5)
        // The old decision still explains itself with the intercept of its own time.
        let decision = node.get("/v1/decisions/\(try #require(old["id"]?.stringValue))").value
        #expect(decision["score"] == old["score"] && decision["explanation"] == old["explanation"])
        #expect(throws: ServingError.self) {
            try node.service.deployments.install(package, intercept: .nan, actor: "node")
        }
    }

    @Test func aVersionThatTheLogDoesNotTakeDoesNotAnswer() throws {
        let node = try TestNode()
        try node.deploy(1)
        let second = try TestModel.package(2)
        node.log.fail("disk full")
        #expect(throws: ServingError.self) {
            try node.service.deployments.install(second, actor: "operator")
        }
        node.log.fail(nil)
        try node.service.deployments.install(second, actor: "operator")
        node.log.fail("disk full")
        #expect(throws: ServingError.self) {
            try node.service.deployments.makeLive(second.digest, actor: "operator")
        }
        node.log.fail(nil)
        #expect(node.predict(#"{"row":\#(TestModel.goodRow)}"#).value["version"] == 1)
        #expect(node.service.deployments.current.live("heart")?.version == 1)
    }

    @Test func aDamagedPackageIsNotLoadedAndTheNodeSaysSo() throws {
        let node = try TestNode()
        let package = try node.deploy(1)
        let path = node.directory + "/packages/" + package.digest.hex + "/" + PackageFile.tensors
        var bytes = try DurableFile.read(path, maxBytes: 1 << 20)
        bytes[bytes.count - 1] ^= 1
        try DurableFile.writeAtomically(bytes, to: path)
        try node.restart()
        #expect(node.predict(#"{"row":\#(TestModel.goodRow)}"#).status == 503)
        #expect(
            node.get("/v2/health/ready").status == 503 && node.get("/v2/health/live").status == 200)
        #expect(node.lines.withLock { $0.contains { $0.contains("model.unavailable") } })
        // Fetching it again heals the node.
        try node.service.deployments.install(package, actor: "node")
        try node.service.deployments.makeLive(package.digest, actor: "node")
        #expect(node.predict(#"{"row":\#(TestModel.goodRow)}"#).status == 200)
    }

    @Test func evaluationOnHeldOutRowsIsNoted() throws {
        let node = try TestNode()
        let package = try node.deploy(1)
        var rows = Table(schema: TestModel.schema)
        for age in 30..<70 {
            rows.append(
                try TestModel.schema.validate(named: [
                    "age": .number(Double(age)), "chol": .number(200), "sex": .bool(age % 2 == 0),
                    "cp": .text("none"),
                ]), label: age > 50)
        }
        let metrics = try node.service.deployments.evaluate(package.digest, on: rows, actor: "node")
        #expect(metrics["rows"] == 40 && metrics["auc"] != nil && metrics["accuracy"] != nil)
        #expect(node.service.deployments.current.versions[package.digest]?.metrics == metrics)
        try node.restart()
        #expect(node.service.deployments.current.versions[package.digest]?.metrics == metrics)
        #expect(throws: ServingError.self) {
            try node.service.deployments.evaluate(
                package.digest, on: Table(schema: TestModel.schema), actor: "node")
        }
        #expect(throws: ServingError.unknownVersion) {
            try node.service.deployments.evaluate(SHA256.hash([9]), on: rows, actor: "node")
        }
    }

    /// Versions are switched while requests run: each answer is of one version through and through, and none fails.
    @Test func switchingUnderLoadNeverMixesVersions() throws {
        let node = try TestNode()
        let packages = try [node.deploy(1), node.deploy(2)]
        let body = #"{"rows":[\#(TestModel.goodRow),\#(TestModel.goodRow)],"explain":true}"#
        var expected: [Int: JSONValue] = [:]
        for package in packages {
            try node.service.deployments.makeLive(package.digest, actor: "test")
            let response = node.predict(body)
            expected[package.version] = response.rows[0]["score"]
        }
        #expect(expected[1] != expected[2])
        let scores = expected
        let isDone = Locked(false)
        let mistakes = Locked<[String]>([])
        let count = Locked(0)
        let threads = (0..<3).map { _ in
            Thread.start(name: "client") {
                while !isDone.withLock({ $0 }) {
                    let response = node.predict(body)
                    let version = response.value["version"]?.intValue ?? 0
                    let isRight =
                        response.status == 200 && response.rows.count == 2
                        && response.rows.allSatisfy { $0["score"] == scores[version] }
                        && response.value["digest"]?.stringValue == packages[version - 1].digest.hex
                    if !isRight { mistakes.withLock { $0.append(response.string) } }
                    count.withLock { $0 += 1 }
                }
            }
        }
        for turn in 0..<60 {
            let other =
                node.service.deployments.current.live("heart")?.version == 1
                ? packages[1] : packages[0]
            if turn % 5 == 4 {
                try node.service.deployments.rollback(nil, actor: "test")
            } else {
                try node.service.deployments.makeLive(other.digest, actor: "test")
            }
        }
        while count.withLock({ $0 }) < 100 { _ = node.predict(body) }
        isDone.withLock { $0 = true }
        for thread in threads { Thread.join(thread) }
        #expect(mistakes.withLock { $0 }.isEmpty)
    }
}
