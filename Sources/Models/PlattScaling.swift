import Glibc

/// Platt's calibration (1999): probability = 1 / (1 + e^−(slope × log-odds + intercept)), fitted on rows that training did not see.
///
/// Two numbers of largest posterior density under a normal prior about slope 1 and intercept 0, that is about leaving the scores as they are:
/// few rows change little. A convex problem of two unknowns, solved by guarded Newton steps.
package struct PlattScaling: Equatable, Sendable {
    /// Above 1 where the scores were too timid, below where they were too bold.
    package let slope: Double
    /// Log-odds that the scores miss by.
    package let intercept: Double

    /// Rows of one score.
    package struct Point: Sendable {
        var logOdds: Double
        var negatives: Double
        var positives: Double

        /// Counts of both classes at a score.
        package init(logOdds: Double, negatives: Double, positives: Double) {
            (self.logOdds, self.negatives, self.positives) = (logOdds, negatives, positives)
        }
    }

    private static let priorVariance = 4.0
    private static let logOddsMax = 30.0

    /// - Returns: nil when a class has no row, or when higher scores do not go with more positives: then there is nothing to calibrate.
    package init?(_ points: [Point]) {
        guard points.contains(where: { $0.negatives > 0 }), points.contains(where: { $0.positives > 0 }) else { return nil }
        var (slope, intercept) = (1.0, 0.0)
        for _ in 0..<100 {
            var (gradientS, gradientI) = ((slope - 1) / Self.priorVariance, intercept / Self.priorVariance)
            var (ss, si, ii) = (1 / Self.priorVariance, 0.0, 1 / Self.priorVariance)
            for point in points {
                let z = max(-Self.logOddsMax, min(Self.logOddsMax, point.logOdds))
                let p = 1 / (1 + exp(-(slope * z + intercept)))
                let rows = point.negatives + point.positives
                let miss = rows * p - point.positives
                let weight = rows * p * (1 - p)
                gradientS += miss * z
                gradientI += miss
                ss += weight * z * z
                si += weight * z
                ii += weight
            }
            let determinant = ss * ii - si * si
            let stepS = max(-0.5, min(0.5, (gradientS * ii - gradientI * si) / determinant))
            let stepI = max(-2, min(2, (gradientI * ss - gradientS * si) / determinant))
            slope -= stepS
            intercept -= stepI
            if abs(stepS) < 1e-10, abs(stepI) < 1e-10 { break }
        }
        guard slope > 0, slope.isFinite, intercept.isFinite else { return nil }
        (self.slope, self.intercept) = (slope, intercept)
    }

    /// Two numbers that are known.
    package init(slope: Double, intercept: Double) { (self.slope, self.intercept) = (slope, intercept) }

    /// From scores and labels row by row.
    package init?(logOdds: [Float], labels: [Float]) {
        self.init(
            zip(logOdds, labels).map { Point(logOdds: Double($0), negatives: $1 > 0.5 ? 0 : 1, positives: $1 > 0.5 ? 1 : 0) })
    }

    /// The calibrated probability of a score.
    package func probability(_ logOdds: Double) -> Double { 1 / (1 + exp(-(slope * logOdds + intercept))) }
}

extension EvaluationHistogram {
    /// The calibration that the counted rows suggest; each bin stands for its middle.
    package var calibration: PlattScaling? {
        let bins = layout.bins
        return PlattScaling(
            (0..<bins).map { bin in
                let middle = (Double(bin) + 0.5) / Double(bins)
                return .init(logOdds: log(middle / (1 - middle)), negatives: Double(counts[bin]), positives: Double(counts[bins + bin]))
            })
    }
}
