import Codec
import Cryptography
import Glibc
import HTTP
import Models
import Testing

@testable import Serving

/// Decisions outlive the versions that made them: 200 in the ordinary run, 10,000 with `CONSILIUM_LONG`.
@Suite struct UpgradeTests {
    private static let families: [ModelFamily] = [
        TestModel.linear, TestModel.network, TestModel.linearWithIntercept, .perceptron(hidden: [8], output: .softmax, l2: 0, perSiteIntercept: false),
    ]

    /// What was answered when a row was decided.
    private struct Told {
        var digest: Digest
        var answer: JSONValue
    }

    private func row(_ number: Int) -> String {
        let chol = number % 7 == 0 ? "null" : "\(50 + number * 37 % 640)"
        return
            #"{"age":\#(number * 13 % 121),"chol":\#(chol),"sex":"\#(number % 2 == 0 ? "male" : "female")","cp":"\#(["typical", "atypical", "none"][number % 3])"}"#
    }

    @Test func everyStoredDecisionExplainsItselfAfterThreeUpgrades() throws {
        // Only asked whether it is set.
        let isLong = unsafe getenv("CONSILIUM_LONG") != nil
        let perVersion = (isLong ? 10_000 : 200) / Self.families.count
        let node = try TestNode()
        var told: [String: Told] = [:]
        var order: [String] = []
        for (index, family) in Self.families.enumerated() {
            let package = try node.deploy(index + 1, family: family, intercept: index == 2 ? 0.375 : 0)
            for start in stride(from: 0, to: perVersion, by: 10) {
                let rows = (start..<start + 10).map(row).joined(separator: ",")
                let answer = node.predict(#"{"rows":[\#(rows)],"explain":true,"counterfactual":true}"#)
                try #require(answer.status == 200, "\(answer.string)")
                for row in answer.rows {
                    let id = try #require(row["id"]?.stringValue)
                    told[id] = Told(digest: package.digest, answer: row)
                    order.append(id)
                }
            }
        }
        #expect(told.count == perVersion * Self.families.count)
        try node.restart()
        var flipped = 0
        for (place, id) in order.enumerated() {
            let then = try #require(told[id])
            let now = node.get("/v1/decisions/\(id)").value
            #expect(now["digest"]?.stringValue == then.digest.hex && now["version"]?.intValue == place / perVersion + 1, "\(id)")
            for member in ["score", "probability", "class", "positive", "explanation"] {
                #expect(now[member] == then.answer[member], "\(id): \(member)")
            }
            let explanation = try #require(now["explanation"])
            let sum = (explanation["contributions"]?.objectValue ?? [:]).values.reduce(
                (explanation["base"]?.doubleValue ?? .nan) + (explanation["residual"]?.doubleValue ?? .nan)
            ) { $0 + ($1.doubleValue ?? .nan) }
            #expect(abs(sum - (now["score"]?.doubleValue ?? .nan)) < 1e-6, "\(id)")
            flipped += try checkFlip(node, id, then.answer["counterfactual"])
        }
        print("\(order.count) decisions of \(Self.families.count) versions explained again, \(flipped) counterfactuals flip")
        #expect(flipped > order.count / 4)
    }

    /// 1 when a counterfactual was told, and then the version that decided gives the changed row the other class; 0 for none.
    private func checkFlip(_ node: TestNode, _ id: String, _ counterfactual: JSONValue?) throws -> Int {
        guard let changes = counterfactual?["changes"]?.objectValue else { return 0 }
        let name = try #require(PredictionID(id))
        let decision = try #require(try node.service.records.decision(name)).decision
        let model = try node.service.deployments.version(decision.context.digest, intercept: decision.context.intercept)
        var values = decision.values
        for (feature, value) in changes {
            let index = try #require(model.rules.featureIndex(named: feature))
            if let codes = TestModel.schema.features[index].codes {
                values[index] = Double(try #require(codes.firstIndex(of: value.stringValue ?? "")))
            } else {
                values[index] = try #require(value.doubleValue)
            }
        }
        let turned = model.score(values)
        #expect(turned.positive != decision.positive && turned.score == counterfactual?["score"]?.doubleValue, "\(id)")
        return 1
    }
}
