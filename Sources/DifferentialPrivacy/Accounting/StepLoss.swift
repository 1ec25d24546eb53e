// The privacy loss of one step: log of how much likelier the noise x makes one neighbour than the other.
// With t = (2x − 1)/2σ² and m(x) = log(1 − q + q e^t):
//   removal   the data has the record: loss m(x), x ~ (1 − q) N(0, σ²) + q N(1, σ²), whose density is φ_σ(x) e^m(x)
//   addition  the data has it not:     loss −m(x), x ~ N(0, σ²)

import Glibc

/// Poisson-subsampled Gaussian, one step, one direction.
struct StepLoss {
    enum Direction { case removal, addition }

    let samplingRate: Double
    let noiseMultiplier: Double
    let direction: Direction

    /// Deviations beyond which noise counts as an infinite loss: less than 10^-32 of it.
    static let deviations = 12.0
    /// Probability of such noise, both sides, rounded up.
    static let outside = 4e-33

    /// The noise that is looked at.
    var places: ClosedRange<Double> {
        let reach = StepLoss.deviations * noiseMultiplier
        return -reach...(direction == .removal ? 1 + reach : reach)
    }

    /// m(x).
    private func logRatio(_ x: Double) -> Double {
        let t = (2 * x - 1) / (2 * noiseMultiplier * noiseMultiplier)
        if samplingRate == 1 { return t }
        if t > 30 { return t + log(samplingRate + (1 - samplingRate) * exp(-t)) }
        return log1p(samplingRate * expm1(t))
    }

    /// The x with m(x) = `ratio`; −∞ where there is none.
    private func place(ofLogRatio ratio: Double) -> Double {
        let square = noiseMultiplier * noiseMultiplier
        if samplingRate == 1 { return square * ratio + 0.5 }
        if ratio > 30 {
            return square * (ratio - log(samplingRate) + log1p(-(1 - samplingRate) * exp(-ratio))) + 0.5
        }
        let grown = expm1(ratio) / samplingRate
        return grown <= -1 ? -.infinity : square * log1p(grown) + 0.5
    }

    /// The x at which the loss is `loss`.
    func place(of loss: Double) -> Double {
        place(ofLogRatio: direction == .removal ? loss : -loss)
    }

    /// Loss and log density at x.
    func point(_ x: Double) -> (loss: Double, logDensity: Double) {
        let ratio = logRatio(x)
        let (sigma, square) = (noiseMultiplier, noiseMultiplier * noiseMultiplier)
        let logNormal = -x * x / (2 * square) - log(sigma * (2 * Double.pi).squareRoot())
        return direction == .removal ? (ratio, logNormal + ratio) : (-ratio, logNormal)
    }

    /// Least and largest loss of `places`.
    var losses: ClosedRange<Double> {
        let (one, other) = (point(places.lowerBound).loss, point(places.upperBound).loss)
        return min(one, other)...max(one, other)
    }
}
