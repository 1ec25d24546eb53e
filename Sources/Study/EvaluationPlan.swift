// How a model is judged before it is released, and how a released one is put to work.

import Codec
import Models
import Tabular

/// Evaluation on held-out rows.
package struct EvaluationPlan: Equatable, Sendable {
    /// Score bins of the secure evaluation round.
    package var bins: Int
    /// Class threshold on the probability.
    package var threshold: Double
    /// A secure evaluation round after every so many training rounds, for the learning curve; 0: only
    /// at the end of the run.
    package var everyRounds: Int
    /// Probabilities at which a person should decide; nil for none.
    package var abstain: ClosedRange<Double>?
    /// Whether the last evaluation is used to calibrate probabilities.
    package var calibrates = false

    init(_ source: JSONFields?) throws(FieldError) {
        (bins, threshold, everyRounds) = (1000, 0.5, 0)
        guard var fields = source else { return }
        bins = try fields.optionalInteger("bins", in: 10...10_000) ?? bins
        threshold = try fields.optionalNumber("threshold", in: 0.0001...0.9999) ?? threshold
        everyRounds = try fields.optionalInteger("everyRounds", in: 0...1000) ?? everyRounds
        if let ends = try fields.optionalArray("abstain", maxCount: 2)?.compactMap(\.doubleValue) {
            guard ends.count == 2, 0 <= ends[0], ends[0] <= ends[1], ends[1] <= 1 else {
                throw FieldError(path: "evaluation.abstain", problem: "must be two probabilities, the lower one first")
            }
            abstain = ends[0]...ends[1]
        }
        calibrates = try fields.bool("calibrate", default: false)
        try fields.finish()
    }

    var json: JSONValue {
        var members: [String: JSONValue] = [
            "bins": .integer(Int64(bins)), "threshold": .number(threshold),
            "everyRounds": .integer(Int64(everyRounds)),
        ]
        members["abstain"] = abstain.map { [.number($0.lowerBound), .number($0.upperBound)] }
        if calibrates { members["calibrate"] = true }
        return .object(members)
    }
}

/// What happens with a released version at a site.
package struct DeploymentPlan: Equatable, Sendable {
    /// Whether a verified version that passes the site's own gates goes live without a person.
    package var automatic: Bool
    /// What the version must reach on the site's own held-out rows; checked by the node.
    package var siteGates: [SuccessGate]
    /// What else it needs to get into service; nil: nothing.
    package var rollout: RolloutPlan?

    init(_ source: JSONFields?) throws {
        (automatic, siteGates, rollout) = (true, [], nil)
        guard var fields = source else { return }
        automatic = try fields.bool("automatic", default: true)
        siteGates = try SuccessGate.list(
            fields.optionalArray("siteGates", maxCount: SuccessGate.gatesMax) ?? [],
            path: "deployment.siteGates")
        rollout = try fields.optionalFields("rollout").map(RolloutPlan.init)
        try fields.finish()
    }

    var json: JSONValue {
        var object: [String: JSONValue] = [
            "automatic": .bool(automatic), "siteGates": .array(siteGates.map(\.json)),
        ]
        if let rollout { object["rollout"] = rollout.json }
        return .object(object)
    }
}

/// A bar that a metric must clear.
package struct SuccessGate: Equatable, Sendable {
    /// Metrics that can be gated.
    package enum Metric: String, Sendable, CaseIterable {
        /// Area under the ROC curve, 0 to 1.
        case auc
        /// Share of right decisions at the plan's threshold, 0 to 1.
        case accuracy
        /// Mean negative log likelihood, in nats; 0 is perfect.
        case logLoss
        /// Mean squared error of the probability, 0 to 1; 0 is perfect.
        case brier
        /// Rows that the other metrics were computed from.
        case rows

        /// The largest value that the metric can take; nil when there is none.
        var ceiling: Double? {
            switch self {
            case .auc, .accuracy, .brier: 1
            case .logLoss, .rows: nil
            }
        }
    }

    /// Gates of one list.
    static let gatesMax = 32

    /// What is measured.
    package var metric: Metric
    /// The gate passes at this value and above.
    package var atLeast: Double?
    /// The gate passes at this value and below.
    package var atMost: Double?

    /// The result of one gate.
    package struct Outcome: Equatable, Sendable {
        /// What was asked.
        package var gate: SuccessGate
        /// The measured value, nil when the metric could not be computed (one class only, say).
        package var value: Double?
        /// Whether the value is within the gate's bounds.
        package var passed: Bool

        /// For the log and reports, which hold no binary fractions: value and bounds are decimal texts with
        /// 6 places, or null.
        package var json: JSONValue {
            func text(_ value: Double?) -> JSONValue {
                value.map { .string(decimal($0, places: 6)) } ?? .null
            }
            return [
                "gate": [
                    "metric": .string(gate.metric.rawValue), "atLeast": text(gate.atLeast),
                    "atMost": text(gate.atMost),
                ],
                "passed": .bool(passed), "value": text(value),
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

    static func list(_ values: [JSONValue], path: String) throws -> [SuccessGate] {
        var gates: [SuccessGate] = []
        for (index, value) in values.enumerated() {
            let place = "\(path)[\(index)]"
            var fields = try JSONFields(value, path: place)
            guard let metric = Metric(rawValue: try fields.string("metric", maxBytes: 32)) else {
                throw StudyError(
                    .planInvalid, path: "\(place).metric",
                    problem:
                        "must be one of \(Metric.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            let gate = SuccessGate(
                metric: metric,
                atLeast: try fields.optionalNumber("atLeast", in: -1e9...1e9),
                atMost: try fields.optionalNumber("atMost", in: -1e9...1e9))
            try fields.finish()
            guard gate.atLeast != nil || gate.atMost != nil else {
                throw StudyError(.planInvalid, path: place, problem: "needs atLeast or atMost")
            }
            if let low = gate.atLeast, let high = gate.atMost, low > high {
                throw StudyError(
                    .planContradiction, path: place,
                    problem: "atLeast is above atMost: nothing can pass")
            }
            gates.append(gate)
        }
        return gates
    }

    /// The form that plans carry.
    package var json: JSONValue {
        var object: [String: JSONValue] = ["metric": .string(metric.rawValue)]
        if let atLeast { object["atLeast"] = .number(atLeast) }
        if let atMost { object["atMost"] = .number(atMost) }
        return .object(object)
    }
}

extension Plan {
    /// What the secure evaluation counts: score bins over all rows and over each group of a sensitive
    /// feature with codes, such as `sex=1`.
    ///
    /// - Throws: nothing for a plan that was parsed, which has been through this once.
    package func evaluationLayout() throws(ModelsError) -> EvaluationLayout {
        let groups = sensitiveGroups.map(\.name)
        return try EvaluationLayout(
            bins: evaluation.bins, threshold: evaluation.threshold, groups: groups)
    }

    /// The groups of the layout, in order of features and codes: name, feature index, category index.
    package var sensitiveGroups: [(name: String, feature: Int, category: Int)] {
        schema.features.enumerated().flatMap { index, feature -> [(String, Int, Int)] in
            guard feature.sensitive, let codes = feature.codes else { return [] }
            return codes.enumerated().map { ("\(feature.name)=\($0.element)", index, $0.offset) }
        }.map { (name: $0.0, feature: $0.1, category: $0.2) }
    }
}
