// The privacy loss of many steps near the loss that matters for one δ.
//
// The distribution of each step is tilted, P(l) e^(λl)/M, before it is composed (Keich 2005, Wilson and Keich 2016; for
// privacy, Alghamdi et al. 2023 use the same saddle point): then the far tail that δ measures lies in the middle of
// what the Fourier transform sees, and its round-off is relative to that tail instead of to 1. δ = 10^-10 after 10^5
// steps comes out as exact as δ = 0.1 after one. A window on both sides of the middle is enough:
//   * what lies below it is folded into it, which only adds to δ;
//   * what lies above it is bounded by Markov's inequality and counted as infinite loss;
//   * round-off of the transform is bounded per point and added to every point.

import Glibc

/// Probabilities of the total loss in a window, scaled: P(j) = points[j] · exp(scale − tilt·(j·spacing − centre)).
struct ComposedLoss {
    let spacing: Double
    let tilt: Double
    let centre: Double
    /// log of E[e^(tilt·loss)] less tilt · centre.
    let scale: Double
    /// Grid index of the first point.
    let first: Int
    let points: [Double]
    /// Probability counted as infinite loss.
    let infinite: Double

    /// - Parameter window: where the loss that matters lies.
    init(_ window: LossWindow) {
        let (spacing, size) = (window.spacing, window.size)
        let grids = window.events.map { (grid: LossGrid($0.step, spacing: spacing, floor: $0.floor), count: $0.count) }
        let ring = Spectrum.compose(grids, size: size, tilt: window.tilt, spacing: spacing)
        var points = [Double](repeating: 0, count: size)
        for index in 0..<size {
            points[index] = max(0, ring.values[(window.first + index) & (size - 1)]) + ring.error
        }
        self.spacing = spacing
        tilt = window.tilt
        centre = window.centre
        scale = ring.logMass - window.tilt * window.centre
        first = window.first
        self.points = points
        infinite = ComposedLoss.mass(above: window.first + size, grids, window)
    }

    /// Bound of the probability of a loss at or above a grid index, and of noise that was not looked at.
    private static func mass(above top: Int, _ grids: [(grid: LossGrid, count: Int)], _ window: LossWindow) -> Double {
        let steps = Double(grids.reduce(0) { $0 + $1.count })
        let outside = steps * StepLoss.outside
        guard grids.reduce(0, { $0 + $1.count * $1.grid.lastIndex }) >= top else { return outside }
        let loss = Double(top) * window.spacing
        var exponent = 0.0
        for tilt in window.upperTilts {
            var sum = -tilt * loss
            for (grid, count) in grids { sum += Double(count) * grid.cumulant(at: tilt, spacing: window.spacing) }
            exponent = min(exponent, sum)
        }
        return outside + exp(exponent)
    }

    /// Walks down from the top: δ/e^scale at grid points, each from the one above by
    /// δ(jh) = e^-h δ((j+1)h) + (1 − e^-h) P(loss > jh), in which all terms are positive.
    private func walk(until isDone: (_ index: Int, _ above: Double, _ here: Double) -> Bool) {
        let (shrink, rest) = (exp(-spacing), -expm1(-spacing))
        var (tail, delta) = (0.0, 0.0)
        for index in (0..<points.count).reversed() {
            let loss = Double(first + index) * spacing
            let here = shrink * delta + rest * tail
            if isDone(index, delta, here) { return }
            delta = here
            tail += points[index] * exp(-tilt * (loss - centre))
        }
    }

    /// The ε at which δ(ε) is `delta`; nil when it lies below the window.
    func epsilon(delta: Double) -> Double? {
        guard delta > infinite else { return .infinity }
        let target = (delta - infinite) * exp(-scale) * (1 - ComposedLoss.allowance)
        var found: Double?
        walk { index, above, here in
            guard here > target else { return false }
            // Between grid points δ is linear in e^ε.
            let share = (here - target) / (here - above)
            let epsilon = Double(first + index) * spacing + log1p(share * expm1(spacing))
            found = epsilon + abs(epsilon) * 1e-9
            return true
        }
        return found
    }

    /// δ at `epsilon`; nil when it lies outside the window.
    func delta(epsilon: Double) -> Double? {
        let place = epsilon / spacing - Double(first)
        guard place >= 0, place < Double(points.count - 1) else { return nil }
        let wanted = Int(place)
        var found: Double?
        walk { index, above, here in
            guard index <= wanted else { return false }
            let share = min(1, expm1((place - Double(wanted)) * spacing) / expm1(spacing))
            found = (here - share * (here - above)) * exp(scale) * (1 + ComposedLoss.allowance) + infinite
            return true
        }
        return found
    }

    /// Relative allowance for quadrature and sums: 10^-13 a step over 10^5 steps.
    static let allowance = 1e-8
}
