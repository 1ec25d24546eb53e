import Glibc

/// Exact metrics over scored rows in one place. Scores are probabilities in [0, 1], labels 0 or 1.
package enum Metrics {
    /// Probabilities are held this far from 0 and 1 before their logarithm is taken, here and in `EvaluationHistogram`.
    package static let probabilityMin = 1e-7

    /// Area under the ROC curve: how often a positive row scores above a negative one, ties half. nil when a class is
    /// absent. Costs one sort.
    package static func auc(_ scores: [Float], _ labels: [Float]) -> Double? {
        precondition(
            scores.count == labels.count, "\(scores.count) scores for \(labels.count) labels")
        let order = scores.indices.sorted { scores[$0] < scores[$1] }
        var (negatives, positives, wins) = (0.0, 0.0, 0.0)
        var start = 0
        while start < order.count {
            var end = start
            var (tiedNegatives, tiedPositives) = (0.0, 0.0)
            while end < order.count, scores[order[end]] == scores[order[start]] {
                if labels[order[end]] > 0.5 { tiedPositives += 1 } else { tiedNegatives += 1 }
                end += 1
            }
            wins += tiedPositives * (negatives + tiedNegatives / 2)
            negatives += tiedNegatives
            positives += tiedPositives
            start = end
        }
        return negatives > 0 && positives > 0 ? wins / (negatives * positives) : nil
    }

    /// Share of rows on the right side of `threshold` (a score at the threshold is positive). nil without rows.
    package static func accuracy(_ scores: [Float], _ labels: [Float], threshold: Double = 0.5)
        -> Double?
    {
        confusion(scores, labels, threshold: threshold).accuracy
    }

    /// Mean log loss, with probabilities clipped to `probabilityMin`. nil without rows.
    package static func logLoss(_ scores: [Float], _ labels: [Float]) -> Double? {
        precondition(
            scores.count == labels.count, "\(scores.count) scores for \(labels.count) labels")
        guard !scores.isEmpty else { return nil }
        var total = 0.0
        for (score, label) in zip(scores, labels) { total += rowLogLoss(score, label) }
        return total / Double(scores.count)
    }

    /// Mean squared distance of probability and label (Brier 1950). nil without rows.
    package static func brier(_ scores: [Float], _ labels: [Float]) -> Double? {
        precondition(
            scores.count == labels.count, "\(scores.count) scores for \(labels.count) labels")
        guard !scores.isEmpty else { return nil }
        var total = 0.0
        for (score, label) in zip(scores, labels) {
            total += Double(score - label) * Double(score - label)
        }
        return total / Double(scores.count)
    }

    /// Rows by class and side of the threshold.
    package static func confusion(_ scores: [Float], _ labels: [Float], threshold: Double = 0.5)
        -> Confusion
    {
        precondition(
            scores.count == labels.count, "\(scores.count) scores for \(labels.count) labels")
        var counts = Confusion()
        for (score, label) in zip(scores, labels) {
            switch (Double(score) >= threshold, label > 0.5) {
            case (true, true): counts.truePositives += 1
            case (true, false): counts.falsePositives += 1
            case (false, true): counts.falseNegatives += 1
            case (false, false): counts.trueNegatives += 1
            }
        }
        return counts
    }

    /// −log of the clipped probability of the row's class.
    static func rowLogLoss(_ score: Float, _ label: Float) -> Double {
        let p = label > 0.5 ? Double(score) : 1 - Double(score)
        return -log(min(1 - probabilityMin, max(probabilityMin, p)))
    }
}

/// Counts of rows by class and decision at a threshold.
package struct Confusion: Equatable, Sendable {
    package var truePositives = 0
    package var falsePositives = 0
    package var trueNegatives = 0
    package var falseNegatives = 0

    package init() {}

    /// All rows.
    package var rows: Int { truePositives + falsePositives + trueNegatives + falseNegatives }
    /// Share of rows decided rightly. nil without rows.
    package var accuracy: Double? { ratio(truePositives + trueNegatives, rows) }
    /// Share of positive rows decided positive. nil without positive rows.
    package var sensitivity: Double? { ratio(truePositives, truePositives + falseNegatives) }
    /// Share of negative rows decided negative. nil without negative rows.
    package var specificity: Double? { ratio(trueNegatives, trueNegatives + falsePositives) }
    /// Share of rows decided positive that are. nil without such rows.
    package var precision: Double? { ratio(truePositives, truePositives + falsePositives) }
    /// Share of rows decided positive. nil without rows.
    package var positiveShare: Double? { ratio(truePositives + falsePositives, rows) }

    private func ratio(_ part: Int, _ whole: Int) -> Double? {
        whole > 0 ? Double(part) / Double(whole) : nil
    }
}
