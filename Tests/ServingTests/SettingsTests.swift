import Codec
import Cryptography
import HTTP
import Models
import Testing

@testable import Serving

/// Threshold, abstain band and calibration as a site sets them.
@Suite struct SettingsTests {
    private let row = #"{"row":\#(TestModel.goodRow)}"#

    private func configure(_ node: TestNode, _ body: String) throws -> HTTPResponse {
        let digest = try #require(node.service.deployments.liveModel("heart")).digestHex
        return node.post("/v1/models/\(digest)/configure", Array(body.utf8), as: .operator)
    }

    @Test func whatTheSiteSetsHoldsAtOnceIsLoggedAndSurvivesARestart() throws {
        let node = try TestNode()
        try node.deploy()
        let before = try #require(node.predict(row).rows.first)
        let probability = try #require(before["probability"]?.doubleValue)
        #expect(before["abstain"] == nil && before["calibrated_probability"] == nil)
        let (threshold, low, high) = (probability + 0.01, probability - 0.02, probability + 0.02)
        let answer = try configure(
            node, #"{"threshold":\#(threshold),"abstain":[\#(low),\#(high)],"calibration":{"slope":0.5,"intercept":0.25}}"#)
        #expect(answer.status == 200, "\(answer.string)")
        func check(_ note: String) {
            let answer = node.predict(row)
            let now = answer.rows.first ?? .null
            #expect(answer.value["threshold"]?.doubleValue == threshold, "\(note)")
            #expect(now["positive"] == false && now["abstain"] == true, "\(note)")
            let expected = PlattValue.calibrated(now["score"]?.doubleValue ?? 0, 0.5, 0.25)
            #expect(now["calibrated_probability"]?.doubleValue.map { abs($0 - expected) < 1e-12 } == true, "\(note)")
            #expect(now["score"] == before["score"])
        }
        check("at once")
        let entry = try #require(node.log.entries(.configurationChanged).last)
        #expect(entry.details["settings"]?.stringValue?.contains("0.25") == true && entry.actor.hasPrefix("key:"))
        try node.restart()
        check("after a restart")
        let cleared = try configure(node, "{}")
        #expect(cleared.status == 200)
        #expect(node.predict(row).rows.first?["positive"] == before["positive"])
        #expect(node.predict(row).rows.first?["abstain"] == nil)
    }

    @Test func theConfigurationsDigestChangesWithIt() throws {
        let package = try TestModel.package(1)
        var settings = SiteSettings()
        var digests = [try DeployedModel(package).configurationDigest]
        for edit in [
            { (settings: inout SiteSettings) in settings.threshold = 0.4 }, { $0.abstain = 0.1...0.2 }, { $0.abstain = 0.1...0.3 },
            { $0.calibration = .init(slope: 1, intercept: 0) },
        ] as [(inout SiteSettings) -> Void] {
            edit(&settings)
            digests.append(try DeployedModel(package, settings).configurationDigest)
        }
        #expect(Set(digests).count == digests.count)
        // Saying what the package says changes nothing.
        settings = SiteSettings()
        settings.threshold = package.threshold
        #expect(try DeployedModel(package, settings).configurationDigest == digests[0])
    }

    @Test func wrongSettingsAreRefusedAndNothingIsLogged() throws {
        let node = try TestNode()
        try node.deploy()
        let before = node.log.entries.count
        for body in [
            "", "[]", #"{"threshold":1.5}"#, #"{"threshold":"a"}"#, #"{"abstain":[0.5,0.4]}"#, #"{"abstain":[0.5]}"#, #"{"abstain":[-0.1,0.4]}"#,
            #"{"abstain":[0.1,0.2,0.3]}"#, #"{"calibration":{"slope":1}}"#, #"{"calibration":{"slope":-1,"intercept":0}}"#,
            #"{"calibration":{"slope":1,"intercept":0,"hat":1}}"#, #"{"hat":1}"#, #"{"intercept":1}"#,
        ] {
            let answer = try configure(node, body)
            #expect(answer.status == 400 && answer.value["error"] != nil, "\(body): \(answer.status)")
        }
        #expect(node.post("/v1/models/\(String(repeating: "a", count: 64))/configure", Array("{}".utf8), as: .operator).status == 404)
        #expect(node.log.entries.count == before)
    }

    @Test func openInferenceHasThemAsOutputsAndParameters() throws {
        let node = try TestNode()
        try node.deploy()
        _ = try configure(node, #"{"threshold":0.000001,"calibration":{"slope":2,"intercept":0}}"#)
        let inputs = #"{"name":"age","shape":[1],"datatype":"FP64","data":[119]},{"name":"chol","shape":[1],"datatype":"FP64","data":[null]},{"name":"sex","shape":[1],"datatype":"BYTES","data":["male"]},{"name":"cp","shape":[1],"datatype":"BYTES","data":["none"]}"#
        func infer(_ outputs: String, _ parameters: String = "{}") -> HTTPResponse {
            node.send(
                "POST", "/v2/models/heart/infer", Array(#"{"inputs":[\#(inputs)],"outputs":[\#(outputs)],"parameters":\#(parameters)}"#.utf8),
                key: node.roleKeys[.predict])
        }
        let answer = infer(
            #"{"name":"score"},{"name":"calibrated_probability"},{"name":"flags"},{"name":"reasons"},{"name":"contributions"}"#,
            #"{"subject":"patient 4711","routing_key":"ward 7"}"#)
        #expect(answer.status == 200, "\(answer.string)")
        var outputs: [String: JSONValue] = [:]
        for output in answer.value["outputs"]?.arrayValue ?? [] { outputs[output["name"]?.stringValue ?? ""] = output }
        let score = outputs["score"]?["data"]?.arrayValue?[0].doubleValue ?? 0
        let expected = PlattValue.calibrated(score, 2, 0)
        #expect(abs((outputs["calibrated_probability"]?["data"]?.arrayValue?[0].doubleValue ?? 0) - expected) < 1e-12)
        #expect(abs((answer.value["parameters"]?["calibrated_probability"]?.doubleValue ?? 0) - expected) < 1e-12)
        #expect(outputs["flags"]?["data"]?.arrayValue == ["age:far-from-training;chol:imputed"])
        #expect(outputs["reasons"]?["shape"]?.arrayValue == [1, 4])
        let reasons = (outputs["reasons"]?["data"]?.arrayValue ?? []).compactMap(\.stringValue)
        let contributions = (outputs["contributions"]?["data"]?.arrayValue ?? []).compactMap(\.doubleValue)
        let largest = try #require(contributions.indices.max { contributions[$0] < contributions[$1] })
        #expect(reasons.count == 4 && reasons[0].hasPrefix("R\(largest + 1):"))
        #expect(!answer.string.contains("4711") && !answer.string.contains("ward 7"))
        #expect(node.log.entries(.prediction).last?.subjectCommitment != nil)
        // Without a calibration the output is null, in binary NaN.
        _ = try configure(node, "{}")
        #expect(infer(#"{"name":"calibrated_probability"}"#).string.contains(#""data":[null]"#))
        for parameters in [#"{"subject":""}"#, #"{"subject":7}"#, #"{"subject":"\#(String(repeating: "a", count: 257))"}"#, #"{"routing_key":true}"#] {
            #expect(infer(#"{"name":"score"}"#, parameters).status == 400, "\(parameters)")
        }
    }
}

private enum PlattValue {
    static func calibrated(_ score: Double, _ slope: Double, _ intercept: Double) -> Double {
        PlattScaling(slope: slope, intercept: intercept).probability(score)
    }
}
