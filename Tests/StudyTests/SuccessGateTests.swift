import Codec
import Study
import Testing

/// Gates decide about a release: what cannot be measured does not pass.
@Suite struct SuccessGateTests {
    static func gate(_ metric: String, atLeast: Double? = nil, atMost: Double? = nil) throws
        -> SuccessGate
    {
        var json: [String: JSONValue] = ["metric": .string(metric)]
        json["atLeast"] = atLeast.map { .number($0) }
        json["atMost"] = atMost.map { .number($0) }
        return try #require(plan(fullPlan.with("gates", [.object(json)])).gates.first)
    }

    @Test func boundsAreInclusive() throws {
        let gate = try SuccessGateTests.gate("auc", atLeast: 0.8, atMost: 0.9)
        for (value, passes) in [
            (0.8, true), (0.85, true), (0.9, true), (0.8.nextDown, false), (0.9.nextUp, false),
            (0, false),
        ] {
            #expect(gate.check(["auc": value]).passed == passes, "\(value)")
        }
    }

    @Test func oneBoundIsEnough() throws {
        let loss = try SuccessGateTests.gate("logLoss", atMost: 0.7)
        #expect(loss.check(["logLoss": 0]).passed && !loss.check(["logLoss": 0.71]).passed)
        let rows = try SuccessGateTests.gate("rows", atLeast: 80)
        #expect(rows.check(["rows": 1e6]).passed && !rows.check(["rows": 79]).passed)
    }

    @Test func whatIsNotANumberFails() throws {
        for gate in [
            try SuccessGateTests.gate("auc", atLeast: 0),
            try SuccessGateTests.gate("logLoss", atMost: 1e9),
        ] {
            for value in [Double.nan, .infinity, -.infinity, -.nan] {
                #expect(!gate.check([gate.metric.rawValue: value]).passed, "\(value)")
            }
            let missing = gate.check(["somethingElse": 0.5])
            #expect(!missing.passed && missing.value == nil)
        }
    }

    @Test func outcomesAreWrittenWithoutBinaryFractions() throws {
        let gate = try SuccessGateTests.gate("auc", atLeast: 0.8)
        #expect(
            String(decoding: gate.check(["auc": 1.0 / 3]).json.canonicalBytes(), as: UTF8.self)
                == #"{"gate":{"atLeast":"0.800000","atMost":null,"metric":"auc"},"passed":false,"value":"0.333333"}"#
        )
        #expect(gate.check([:]).json["value"] == .null)
        #expect(gate.check(["auc": .nan]).json["value"] == "not-a-number")
    }

    @Test func everyMetricHasAName() {
        #expect(
            SuccessGate.Metric.allCases.map(\.rawValue) == [
                "auc", "accuracy", "logLoss", "brier", "rows",
            ])
    }
}
