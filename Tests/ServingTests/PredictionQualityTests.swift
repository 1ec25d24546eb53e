import Codec
import Cryptography
import HTTP
import ModelPackage
import Models
import Storage
import Tabular
import Testing

@testable import Serving

/// Flags, abstention, calibration, reasons and counterfactuals; MLflow's forms of rows.
@Suite struct PredictionQualityTests {
    private func deploy(_ node: TestNode, _ contents: PackageContents) throws {
        let package = try VerifiedPackage.verify(contents, trustedKey: TestNode.key.publicKey)
        try node.service.deployments.install(package, actor: "test")
        try node.service.deployments.makeLive(package.digest, actor: "test")
    }

    @Test func mlflowFormsAreRows() throws {
        let node = try TestNode()
        try node.deploy()
        let wanted = node.predict(#"{"rows":[\#(TestModel.goodRow),{"age":41,"sex":"female","cp":"none"}]}"#).rows
            .map { $0["score"] }
        for body in [
            #"{"dataframe_records":[\#(TestModel.goodRow),{"age":41,"sex":"female","cp":"none"}]}"#,
            #"{"dataframe_split":{"columns":["cp","age","sex","chol"],"index":[7,8],"data":[["typical",63,"male",233.5],["none",41,"female",null]]}}"#,
            #"{"dataframe_split":{"data":[["typical",63,"male",233.5],["none",41,"female",null]],"columns":["cp","age","sex","chol"]}}"#,
        ] {
            let response = node.predict(body)
            #expect(response.rows.map { $0["score"] } == wanted, "\(response.string)")
        }
        for body in [
            #"{"dataframe_split":{"columns":["cp"]}}"#, #"{"dataframe_split":[]}"#,
            #"{"dataframe_split":{"columns":["x"],"data":[[1]]}}"#,
            #"{"dataframe_split":{"columns":["cp","cp"],"data":[[1,1]]}}"#,
            #"{"dataframe_split":{"columns":["cp"],"data":[]}}"#,
            #"{"row":{},"dataframe_records":[]}"#,
        ] { #expect(node.predict(body).status == 400, "\(body)") }
        let uneven = node.predict(
            #"{"dataframe_split":{"columns":["cp","age","sex"],"data":[["none",41,"female"],["none",41],5]}}"#)
        #expect(uneven.status == 200 && uneven.rows.map { $0["violations"] == nil } == [true, false, false])
    }

    @Test func rowsUnlikeTrainingAreFlagged() throws {
        let node = try TestNode()
        var statistics = TestModel.statistics
        statistics.features[3].categoryShares = [0.4, 0.6, 0]
        try deploy(node, try TestModel.contents(1, statistics: statistics))
        let rows = node.predict(
            #"{"rows":[{"age":63,"chol":690,"sex":"male","cp":"none"},{"age":63,"sex":"male","cp":"typical"}]}"#
        ).rows
        func flags(_ row: JSONValue) -> [String] {
            (row["flags"]?.arrayValue ?? []).map {
                "\($0["feature"]?.stringValue ?? ""):\($0["flag"]?.stringValue ?? "")"
            }
        }
        #expect(flags(rows[0]) == ["chol:far-from-training", "cp:unseen-in-training"])
        #expect(flags(rows[1]) == ["chol:imputed"])
    }

    @Test func thePackagesBandAbstainsAndItsCalibrationIsApplied() throws {
        let node = try TestNode()
        try deploy(
            node,
            try TestModel.contents(1, abstain: 0.0...1.0, calibration: .init(slope: 2, intercept: -1)))
        let row = try #require(node.predict(#"{"row":\#(TestModel.goodRow)}"#).rows.first)
        let score = try #require(row["score"]?.doubleValue)
        #expect(row["abstain"] == true)
        let calibrated = try #require(row["calibrated_probability"]?.doubleValue)
        let wanted = 1 / (1 + exponential(1 - 2 * score))
        #expect(abs(calibrated - wanted) < 1e-12)
        let plain = try TestNode()
        try plain.deploy()
        let other = try #require(plain.predict(#"{"row":\#(TestModel.goodRow)}"#).rows.first)
        #expect(other["abstain"] == nil && other["calibrated_probability"] == nil)
    }

    private func exponential(_ x: Double) -> Double {
        // By its series: tests import no C library here.
        (1...200).reversed().reduce(1.0) { 1 + $0 * x / Double($1) }
    }

    @Test func reasonsAreTheLargestContributionsInStableOrder() throws {
        let node = try TestNode()
        try node.deploy()
        var seen = 0
        for age in stride(from: 5, through: 115, by: 10) {
            let body = #"{"row":{"age":\#(age),"chol":300,"sex":"male","cp":"none"},"explain":true,"reasons":true}"#
            let (first, second) = (node.predict(body).rows[0], node.predict(body).rows[0])
            #expect(first["reasons"] == second["reasons"])
            let reasons = try #require(first["reasons"]?.arrayValue)
            guard first["positive"] == true else {
                #expect(reasons.isEmpty)
                continue
            }
            seen += 1
            let values = reasons.compactMap { $0["contribution"]?.doubleValue }
            #expect(values == values.sorted(by: >) && values.allSatisfy { $0 > 0 } && !values.isEmpty)
            for reason in reasons {
                let name = try #require(reason["feature"]?.stringValue)
                #expect(first["explanation"]?["contributions"]?[name] == reason["contribution"])
            }
        }
        #expect(seen > 0)
    }

    @Test(arguments: [TestModel.linear, TestModel.network])
    func everyCounterfactualTurnsTheClassWhenItIsSent(_ family: ModelFamily) throws {
        let node = try TestNode()
        try node.deploy(1, family: family)
        var found = 0
        for index in 0..<40 {
            let row: [String: JSONValue] = [
                "age": .integer(Int64(20 + index * 2)), "chol": .number(120 + Double(index * 13)),
                "sex": .string(index % 2 == 0 ? "male" : "female"),
                "cp": .string(["typical", "atypical", "none"][index % 3]),
            ]
            let wish: JSONValue = index % 4 == 0 ? ["chol", "cp"] : true
            let answer = node.send(
                "POST", "/v1/predict",
                JSONValue.object(["row": .object(row), "counterfactual": wish]).canonicalBytes(),
                key: node.roleKeys[.predict]
            ).rows[0]
            guard let changes = answer["counterfactual"]?["changes"]?.objectValue else { continue }
            found += 1
            #expect(!changes.isEmpty && changes.count <= 3)
            if index % 4 == 0 { #expect(Set(["chol", "cp"]).isSuperset(of: changes.keys)) }
            let changed = JSONValue.object(["row": .object(row.merging(changes) { $1 })])
            let again = node.send(
                "POST", "/v1/predict", changed.canonicalBytes(), key: node.roleKeys[.predict]
            ).rows[0]
            #expect(again["positive"] != answer["positive"], "\(again) \(answer)")
            #expect(again["score"] == answer["counterfactual"]?["score"])
        }
        #expect(found > 20, "\(found)")
        let many = (0..<21).map { _ in TestModel.goodRow }.joined(separator: ",")
        #expect(node.predict(#"{"rows":[\#(many)],"counterfactual":true}"#).status == 400)
        #expect(node.predict(#"{"row":\#(TestModel.goodRow),"counterfactual":7}"#).status == 400)
        #expect(
            node.predict(#"{"row":\#(TestModel.goodRow),"counterfactual":["nope"]}"#).rows[0]["counterfactual"]
                == .null)
    }

    /// A single numeric change is as small as bisection makes it: a little less does not turn the class.
    @Test func aSingleChangeIsTheSmallest() throws {
        let model = try DeployedModel(TestModel.package(1))
        var checked = 0
        for step in 0..<30 {
            let values = [30 + Double(step * 2), 100 + Double(step * 15), Double(step % 2), Double(step % 3)]
            guard let found = model.counterfactual(values, .features(["chol"])), found.changes.count == 1 else { continue }
            var less = values
            less[1] = values[1] + (found.changes[0].value - values[1]) * 0.9
            #expect(model.score(less).positive == model.score(values).positive)
            checked += 1
        }
        #expect(checked > 5, "\(checked)")
    }

    /// The document in `protocol/` is the one that is served; `CONSILIUM_WRITE_OPENAPI=1` writes it again.
    @Test func theDescriptionIsTheOneInProtocol() throws {
        let path = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/protocol/prediction-api.yaml"
        if rewrites { try DurableFile.writeAtomically(OpenAPIDocument.value.prettyBytes(), to: path, mode: 0o644) }
        let stored = try DurableFile.read(path, maxBytes: 1 << 20)
        let isTheSame = stored == OpenAPIDocument.value.prettyBytes()
        #expect(isTheSame, "run with CONSILIUM_WRITE_OPENAPI=1")
        let node = try TestNode()
        #expect(node.send("GET", "/v1/openapi.json", key: nil).value == OpenAPIDocument.value)
    }

    private var rewrites: Bool {
        (try? DurableFile.read("/proc/self/environ", maxBytes: 1 << 20)).map {
            String(decoding: $0, as: UTF8.self).contains("CONSILIUM_WRITE_OPENAPI=1")
        } ?? false
    }
}
