/// What an evaluation histogram says, for all rows or for one group.
package struct EvaluationMetrics: Equatable, Sendable {
    package let rows: Int
    package let positives: Int
    /// Area under the ROC curve, rows of one bin counted as ties. nil when a class is absent.
    package let auc: Double?
    /// Rows by class and decision at the layout's threshold.
    package let confusion: Confusion
    /// Mean log loss, clipped. nil without rows.
    package let logLoss: Double?
    /// Mean squared distance of probability and label. nil without rows.
    package let brier: Double?
    /// Ten equal steps of probability with what was predicted and what came.
    package let calibration: [CalibrationStep]

    /// Share of rows decided rightly. nil without rows.
    package var accuracy: Double? { confusion.accuracy }

    /// Named values for gates and reports: `auc`, `accuracy`, `logLoss`, `brier`, `rows`. What could not be computed is absent.
    package var named: [String: Double] {
        var values = ["rows": Double(rows)]
        values["auc"] = auc
        values["accuracy"] = accuracy
        values["logLoss"] = logLoss
        values["brier"] = brier
        return values
    }
}

/// One step of a calibration table.
package struct CalibrationStep: Equatable, Sendable {
    /// Probabilities from `lower` up to `upper`.
    package let lower: Double
    package let upper: Double
    package let rows: Int
    /// Mean predicted probability, bins at their middle. nil without rows.
    package let predicted: Double?
    /// Share of positive rows. nil without rows.
    package let observed: Double?
}

extension EvaluationHistogram {
    /// Metrics over all rows.
    package var metrics: EvaluationMetrics { metrics(of: nil) }

    /// Metrics of each group, in the layout's order.
    package var groupMetrics: [(group: String, metrics: EvaluationMetrics)] {
        layout.groups.enumerated().map { ($1, metrics(of: $0)) }
    }

    private func metrics(of group: Int?) -> EvaluationMetrics {
        let (start, bins) = layout.place(group)
        let negatives = counts[start..<start + bins].map(Double.init)
        let positives = counts[start + bins..<start + 2 * bins].map(Double.init)
        let tail = counts[start + 2 * bins..<start + 2 * bins + 4].map { $0 }
        let (negativeRows, positiveRows) = (
            Int(negatives.reduce(0, +)), Int(positives.reduce(0, +))
        )
        let rows = negativeRows + positiveRows
        var confusion = Confusion()
        confusion.truePositives = min(tail[0], positiveRows)
        confusion.falsePositives = min(tail[1], negativeRows)
        confusion.falseNegatives = positiveRows - confusion.truePositives
        confusion.trueNegatives = negativeRows - confusion.falsePositives
        func mean(_ units: Int, _ scale: Double) -> Double? {
            rows > 0 ? Double(units) / EvaluationLayout.lossUnits * scale / Double(rows) : nil
        }
        return EvaluationMetrics(
            rows: rows, positives: positiveRows, auc: Self.auc(negatives, positives),
            confusion: confusion,
            logLoss: mean(tail[2], EvaluationLayout.rowLossMax), brier: mean(tail[3], 1),
            calibration: Self.calibration(negatives, positives))
    }

    private static func auc(_ negatives: [Double], _ positives: [Double]) -> Double? {
        var (below, wins, total) = (0.0, 0.0, 0.0)
        for (negative, positive) in zip(negatives, positives) {
            wins += positive * (below + negative / 2)
            below += negative
            total += positive
        }
        return below > 0 && total > 0 ? wins / (below * total) : nil
    }

    private static func calibration(_ negatives: [Double], _ positives: [Double])
        -> [CalibrationStep]
    {
        let bins = negatives.count
        return (0..<10).map { step in
            let range = step * bins / 10..<(step + 1) * bins / 10
            var (rows, hits, predicted) = (0.0, 0.0, 0.0)
            for bin in range {
                let here = negatives[bin] + positives[bin]
                rows += here
                hits += positives[bin]
                predicted += here * (Double(bin) + 0.5) / Double(bins)
            }
            return CalibrationStep(
                lower: Double(range.lowerBound) / Double(bins),
                upper: Double(range.upperBound) / Double(bins), rows: Int(rows),
                predicted: rows > 0 ? predicted / rows : nil, observed: rows > 0 ? hits / rows : nil
            )
        }
    }
}
