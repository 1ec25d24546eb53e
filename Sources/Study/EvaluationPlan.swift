// How a model is judged before it is released, and how a released one is put to work.

import Codec

/// Evaluation on held-out rows.
package struct EvaluationPlan: Equatable, Sendable {
    /// Score bins of the secure evaluation round.
    package var bins: Int
    /// Class threshold on the probability.
    package var threshold: Double
    /// A secure evaluation round after every so many training rounds, for the learning curve; 0: only
    /// at the end of the run.
    package var everyRounds: Int

    init(_ source: JSONFields?) throws(FieldError) {
        (bins, threshold, everyRounds) = (1000, 0.5, 0)
        guard var fields = source else { return }
        bins = try fields.optionalInteger("bins", in: 10...10_000) ?? bins
        threshold = try fields.optionalNumber("threshold", in: 0.0001...0.9999) ?? threshold
        everyRounds = try fields.optionalInteger("everyRounds", in: 0...1000) ?? everyRounds
        try fields.finish()
    }

    var json: JSONValue {
        [
            "bins": .integer(Int64(bins)), "threshold": .number(threshold),
            "everyRounds": .integer(Int64(everyRounds)),
        ]
    }
}

/// What happens with a released version at a site.
package struct DeploymentPlan: Equatable, Sendable {
    /// Whether a verified version that passes the site's own gates goes live without a person.
    package var automatic: Bool
    /// What the version must reach on the site's own held-out rows; checked by the node.
    package var siteGates: [SuccessGate]

    init(_ source: JSONFields?) throws {
        (automatic, siteGates) = (true, [])
        guard var fields = source else { return }
        automatic = try fields.bool("automatic", default: true)
        siteGates = try SuccessGate.list(fields.optionalArray("siteGates", maxCount: 32) ?? [])
        try fields.finish()
    }

    var json: JSONValue {
        ["automatic": .bool(automatic), "siteGates": .array(siteGates.map(\.json))]
    }
}

/// A bar that a metric must clear.
package struct SuccessGate: Equatable, Sendable {
    /// Metrics that can be gated.
    package enum Metric: String, Sendable, CaseIterable {
        case auc, accuracy, logLoss, brier, rows
    }

    package var metric: Metric
    package var atLeast: Double?
    package var atMost: Double?

    /// The result of one gate.
    package struct Outcome: Equatable, Sendable {
        package var gate: SuccessGate
        /// The measured value, nil when the metric could not be computed (one class only, say).
        package var value: Double?
        package var passed: Bool

        package var json: JSONValue {
            [
                "gate": gate.json, "passed": .bool(passed),
                "value": value.map { .string(decimal($0, places: 6)) } ?? .null,
            ]
        }
    }

    /// Holds measured values against the gate. A metric that could not be computed fails it.
    package func check(_ metrics: [String: Double]) -> Outcome {
        let value = metrics[metric.rawValue]
        var passed = value?.isFinite ?? false
        if let value, let atLeast { passed = passed && value >= atLeast }
        if let value, let atMost { passed = passed && value <= atMost }
        return Outcome(gate: self, value: value, passed: passed)
    }

    static func list(_ values: [JSONValue]) throws -> [SuccessGate] {
        var gates: [SuccessGate] = []
        for (index, value) in values.enumerated() {
            var fields = try JSONFields(value, path: "gates[\(index)]")
            guard let metric = Metric(rawValue: try fields.string("metric", maxBytes: 32)) else {
                throw StudyError(
                    .planInvalid, path: "gates[\(index)].metric",
                    problem: "must be one of \(Metric.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            let gate = SuccessGate(
                metric: metric,
                atLeast: try fields.optionalNumber("atLeast", in: -1e9...1e9),
                atMost: try fields.optionalNumber("atMost", in: -1e9...1e9))
            try fields.finish()
            guard gate.atLeast != nil || gate.atMost != nil else {
                throw StudyError(.planInvalid, path: "gates[\(index)]", problem: "needs atLeast or atMost")
            }
            if let low = gate.atLeast, let high = gate.atMost, low > high {
                throw StudyError(.planContradiction, path: "gates[\(index)]", problem: "atLeast is above atMost: nothing can pass")
            }
            gates.append(gate)
        }
        return gates
    }

    package var json: JSONValue {
        var object: [String: JSONValue] = ["metric": .string(metric.rawValue)]
        if let atLeast { object["atLeast"] = .number(atLeast) }
        if let atMost { object["atMost"] = .number(atMost) }
        return .object(object)
    }
}
