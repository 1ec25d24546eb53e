// K(λ) = log E[e^(λL)] of one step's loss L with its first two derivatives: mean and variance after tilting the
// distribution by e^(λL). Says where to look for a given δ, so it need not be exact; bounds never rest on it.

import Glibc

struct CumulantTable {
    private let logWeights: [Double]
    private let losses: [Double]
    /// Least and largest loss.
    let range: ClosedRange<Double>

    init(_ step: StepLoss) {
        let places = step.places
        let count = 1 + Int(((places.upperBound - places.lowerBound) / (step.noiseMultiplier / 32)).rounded(.up))
        let width = (places.upperBound - places.lowerBound) / Double(count)
        var (logWeights, losses): ([Double], [Double]) = ([], [])
        for index in 0..<count {
            let point = step.point(places.lowerBound + (Double(index) + 0.5) * width)
            logWeights.append(point.logDensity + log(width))
            losses.append(point.loss)
        }
        self.logWeights = logWeights
        self.losses = losses
        range = step.losses
    }

    struct Cumulant {
        var value: Double
        var mean: Double
        var variance: Double
    }

    func cumulant(at tilt: Double) -> Cumulant {
        let (logWeights, losses) = (logWeights.span, losses.span)
        var largest = -Double.infinity
        for index in 0..<losses.count { largest = max(largest, logWeights[index] + tilt * losses[index]) }
        var (sum, first, second) = (0.0, 0.0, 0.0)
        for index in 0..<losses.count {
            let weight = exp(logWeights[index] + tilt * losses[index] - largest)
            sum += weight
            first += weight * losses[index]
            second += weight * losses[index] * losses[index]
        }
        let mean = first / sum
        return Cumulant(value: largest + log(sum), mean: mean, variance: max(0, second / sum - mean * mean))
    }
}

/// Cumulants of a whole composition.
struct Composition {
    let events: [(step: StepLoss, count: Int)]
    private let steps: [(table: CumulantTable, count: Double)]
    /// Least and largest loss of all steps together.
    let range: ClosedRange<Double>
    /// Tilts beyond which nothing is gained: the highest losses of a step are then told apart to 1/2000 of the highest.
    let tiltMax: Double

    init(_ events: [(step: StepLoss, count: Int)]) {
        self.events = events
        steps = events.map { (CumulantTable($0.step), Double($0.count)) }
        range =
            steps.reduce(0) { $0 + $1.count * $1.table.range.lowerBound }...steps.reduce(0) {
                $0 + $1.count * $1.table.range.upperBound
            }
        let highest = steps.map { $0.table.range.upperBound }.max() ?? 0
        tiltMax = 2000 / max(highest, 1e-200)
    }

    func cumulant(at tilt: Double) -> CumulantTable.Cumulant {
        steps.reduce(into: CumulantTable.Cumulant(value: 0, mean: 0, variance: 0)) { sum, step in
            let one = step.table.cumulant(at: tilt)
            sum.value += step.count * one.value
            sum.mean += step.count * one.mean
            sum.variance += step.count * one.variance
        }
    }

    /// The events, each with the loss below which all of its tilted probability over all its steps is less than 10^-9.
    func negligible(at tilt: Double) -> [(step: StepLoss, count: Int, floor: Double)] {
        zip(events, steps).map { event, step in
            let floor = (step.table.cumulant(at: tilt).value - log(1e9 * step.count)) / max(tilt, 1e-300)
            return (event.step, event.count, floor)
        }
    }

    /// The least x in 0…`limit`, to seven digits, at which a rising function of it reaches `target`; nil when none does.
    func crossing(of target: Double, limit: Double, _ function: (Double) -> Double) -> Double? {
        guard function(0) < target else { return 0 }
        var (low, high) = (0.0, limit * 1e-6)
        while function(high) < target {
            guard high < limit else { return nil }
            (low, high) = (high, min(limit, high * 4))
        }
        for _ in 0..<24 {
            let middle = (low + high) / 2
            if function(middle) < target { low = middle } else { high = middle }
        }
        return high
    }
}
