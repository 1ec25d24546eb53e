// A step's loss that is spread over two grid points by `LossGrid` grows in E[e^(λ·loss)] by at most the factor
// 1 + λ(λ + 1)h²/12 on average, which moves ε up by steps · (λ + 1)h²/12. The grid's spacing h is chosen from that.

import Glibc

/// Where the total loss is looked at for one tilt, and on which grid.
struct LossWindow {
    let events: [(step: StepLoss, count: Int, floor: Double)]
    let tilt: Double
    /// Mean of the tilted loss.
    let centre: Double
    let spacing: Double
    /// Points of the window, a power of two.
    let size: Int
    /// Grid index of the first point.
    let first: Int
    /// Tilts that bound what lies above the window.
    let upperTilts: [Double]

    /// Points at most: 2^20, some 50 MB while composing.
    static let sizeMax = 1 << 20
    /// Kullback–Leibler distance of the ends from the middle: at most e^-18 of the tilted mass lies above, e^-12 below.
    static let reach = (lower: 12.0, upper: 18.0)
    /// How far the grid may move ε, relative to it.
    static let precision = 2e-5

    /// - Parameters:
    ///   - epsilon: the loss that matters, about; nil for a coarse window that finds it.
    ///   - pointsPerDeviation: grid points per standard deviation of one tilted step, at least.
    init(_ composition: Composition, tilt: Double, epsilon: Double?, pointsPerDeviation: Double = 64) {
        let middle = composition.cumulant(at: tilt)
        let (lower, upper, upperTilt) = LossWindow.ends(composition, tilt, middle)
        let steps = Double(composition.events.reduce(0) { $0 + $1.count })
        let span = max(upper - lower, 1e-9 * max(abs(upper), abs(lower)), 1e-12)
        let deviation = (middle.variance / steps).squareRoot()
        var wanted = deviation / pointsPerDeviation
        if let epsilon {
            let move = LossWindow.precision * max(epsilon, 1e-9)
            wanted = min(wanted, (12 * move / (steps * (tilt + 1))).squareRoot())
        }
        // One step's losses have to fit the grid too.
        events = composition.negligible(at: tilt)
        let widest = events.map { $0.step.losses.upperBound - max($0.floor, $0.step.losses.lowerBound) }.max() ?? 0
        let spacingMin = max(span, widest) / Double(LossWindow.sizeMax - 64)
        var size = epsilon == nil ? 1 << 10 : 1 << 14
        while Double(size - 32) * max(wanted, spacingMin) < span, size < LossWindow.sizeMax { size *= 2 }
        // The whole ring is used: a finer grid costs nothing then.
        spacing = max(span / Double(size - 32), spacingMin)
        first = Int((lower / spacing).rounded(.down)) - 8
        self.size = size
        self.tilt = tilt
        centre = middle.mean
        upperTilts = [upperTilt, (upperTilt + tilt) / 2, min(2 * upperTilt, composition.tiltMax)]
    }

    /// Both ends, and the tilt whose mean is the upper one.
    private static func ends(_ composition: Composition, _ tilt: Double, _ middle: CumulantTable.Cumulant)
        -> (lower: Double, upper: Double, upperTilt: Double)
    {
        func distance(_ other: Double, _ end: CumulantTable.Cumulant) -> Double {
            (other - tilt) * end.mean - end.value + middle.value
        }
        let limit = composition.tiltMax
        let up = composition.crossing(of: reach.upper, limit: limit) { distance(tilt + $0, composition.cumulant(at: tilt + $0)) }
        let down = composition.crossing(of: reach.lower, limit: limit) {
            distance(tilt - $0, composition.cumulant(at: tilt - $0))
        }
        return (
            down.map { composition.cumulant(at: tilt - $0).mean } ?? composition.range.lowerBound,
            up.map { composition.cumulant(at: tilt + $0).mean } ?? composition.range.upperBound, tilt + (up ?? limit)
        )
    }
}
