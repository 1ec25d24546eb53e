// What a site's own held-out rows say of a version, held against the plan: each bound with its value, whether it holds, and
// by how much it is missed. `protocol/plan.md` §2, `deployment`.

import Codec
import Models

/// One bound and what was found.
package struct AcceptanceFinding: Equatable, Sendable {
    /// What was held: `auc`, `selectionRate gap of sex`, `brier against live`.
    package var gate: String
    /// What was measured; nil when it could not be.
    package var value: Double?
    /// Bounds, one or both.
    package var atLeast: Double?
    /// The upper one.
    package var atMost: Double?
    /// Whether the value is within them.
    package var passed: Bool

    package init(gate: String, value: Double?, atLeast: Double? = nil, atMost: Double? = nil, passed: Bool) {
        (self.gate, self.value, self.atLeast, self.atMost, self.passed) = (gate, value, atLeast, atMost, passed)
    }

    /// By how much the bound is missed; nil when it holds or nothing could be measured.
    package var missedBy: Double? {
        guard !passed, let value else { return nil }
        return max(atLeast.map { $0 - value } ?? 0, atMost.map { value - $0 } ?? 0)
    }

    /// A sentence for people, of the plan's words and figures.
    package var sentence: String {
        let bound = [atLeast.map { "at least \(decimal($0, places: 6))" }, atMost.map { "at most \(decimal($0, places: 6))" }]
            .compactMap { $0 }.joined(separator: " and ")
        guard let value else { return "\(gate) could not be measured; it must be \(bound)" }
        let missed = missedBy.map { ", missed by \(decimal($0, places: 6))" } ?? ""
        return "\(gate) is \(decimal(value, places: 6)), must be \(bound)\(missed)"
    }
}

extension DeploymentPlan {
    /// Holds a version's figures on the site's own rows against every bound of the plan.
    ///
    /// - Parameters:
    ///   - new: counts of the version on the held-out rows.
    ///   - live: metrics of the version that is live, on the same rows where that is possible; nil when none is live.
    package func accept(_ new: EvaluationHistogram, live: [String: Double]?) -> [AcceptanceFinding] {
        let metrics = new.rows > 0 ? new.metrics.named : ["rows": 0]
        var findings = siteGates.map { gate in
            AcceptanceFinding(
                gate: gate.metric.rawValue, value: metrics[gate.metric.rawValue], atLeast: gate.atLeast, atMost: gate.atMost,
                passed: gate.check(metrics).passed)
        }
        guard let rollout else { return findings }
        for bound in rollout.groupGaps { findings += bound.findings(new) }
        guard let live else { return findings }
        for bound in rollout.notWorseThanLive { findings.append(bound.finding(metrics, live)) }
        return findings
    }
}

extension LiveBound {
    /// A metric that cannot be computed for either version misses its bound.
    func finding(_ new: [String: Double], _ live: [String: Double]) -> AcceptanceFinding {
        var worse: Double?
        if let new = new[metric.rawValue], let live = live[metric.rawValue] { worse = metric.loss(new: new, live: live) }
        return AcceptanceFinding(
            gate: "loss of \(metric.rawValue) against live", value: worse, atMost: by,
            passed: worse.map { $0.isFinite && $0 <= by } ?? false)
    }
}

extension GroupGap {
    /// The gap of each sensitive feature. With fewer than two groups of enough rows there is nothing to compare: the
    /// finding has no value and passes.
    func findings(_ histogram: EvaluationHistogram) -> [AcceptanceFinding] {
        var features: [String] = []
        var values: [String: [Double]] = [:]
        for (group, metrics) in histogram.groupMetrics {
            let feature = String(group.prefix { $0 != "=" })
            if !features.contains(feature) { features.append(feature) }
            guard metrics.rows >= rowsMin, let value = value(metrics), value.isFinite else { continue }
            values[feature, default: []].append(value)
        }
        return features.map { feature in
            let known = values[feature] ?? []
            let gap = known.count > 1 ? (known.max() ?? 0) - (known.min() ?? 0) : nil
            return AcceptanceFinding(
                gate: "\(metric.rawValue) gap of \(feature)", value: gap, atMost: atMost, passed: gap.map { $0 <= atMost } ?? true)
        }
    }

    private func value(_ metrics: EvaluationMetrics) -> Double? {
        let table = metrics.confusion
        func share(_ part: Int, _ whole: Int) -> Double? { whole > 0 ? Double(part) / Double(whole) : nil }
        return switch metric {
        case .auc: metrics.auc
        case .accuracy: metrics.accuracy
        case .selectionRate: share(table.truePositives + table.falsePositives, metrics.rows)
        case .truePositiveRate: share(table.truePositives, table.truePositives + table.falseNegatives)
        case .falsePositiveRate: share(table.falsePositives, table.falsePositives + table.trueNegatives)
        }
    }
}
