import Glibc

/// The least noise that keeps a promise, by bracketing; the answer is rounded to the safe side.
package struct NoiseCalibration: Sendable {
    /// Which accountant decides.
    package enum Accountant: Sendable {
        /// The Rényi bound over some orders (tenths): what budgets go by.
        case renyi(orders: [Int])
        /// Privacy loss distributions: what reports state.
        case loss
    }

    /// q.
    package let samplingRate: Double
    /// Steps in all.
    package let steps: Int
    /// δ of the promise.
    package let delta: Double

    /// Relative width at which the search ends.
    package static let precision = 1e-6

    /// - Parameters: see the properties; ranges as in `PrivacyEvent` and `PrivacyLimits`.
    package init(samplingRate: Double, steps: Int, delta: Double) {
        self.samplingRate = samplingRate
        self.steps = steps
        self.delta = delta
    }

    /// σ whose ε is at most `epsilon`, and at most a part in 10^6 above the least.
    ///
    /// - Throws: `PrivacyParameterError` for a number out of range, or when no σ of the range is enough.
    /// - Complexity: some 15 calls of the accountant.
    package func noiseMultiplier(epsilon: Double, by accountant: Accountant = .renyi(orders: RenyiOrders.all))
        throws(PrivacyParameterError) -> Double
    {
        try PrivacyLimits.check(epsilon: epsilon)
        let range = PrivacyLimits.noiseMultiplier
        /// log of the excess: above 0 where there is too little noise.
        func excess(_ noise: Double) throws(PrivacyParameterError) -> Double {
            log(max(try self.epsilon(noise, accountant), epsilon * 1e-9) / epsilon)
        }
        var low = (noise: 1.0, excess: try excess(1))
        var high = low
        while high.excess > 0 {
            guard high.noise < range.upperBound else {
                throw PrivacyParameterError(
                    "epsilon", "is below what this bound can show at this delta with any noise multiplier up to 1000000")
            }
            let next = min(high.noise * 2, range.upperBound)
            (low, high) = (high, (next, try excess(next)))
        }
        while low.excess <= 0 {
            guard low.noise > range.lowerBound else { return low.noise }
            let next = max(low.noise / 2, range.lowerBound)
            (high, low) = (low, (next, try excess(next)))
        }
        // Regula falsi on logarithms; an end that stays twice is pulled in (Illinois).
        while high.noise - low.noise > NoiseCalibration.precision * high.noise {
            let share = min(max(low.excess / (low.excess - high.excess), 1e-3), 1 - 1e-3)
            let middle = low.noise * exp(share * log(high.noise / low.noise))
            let there = try excess(middle)
            if there > 0 {
                low = (middle, there)
                high.excess /= 2
            } else {
                high = (middle, there)
                low.excess /= 2
            }
        }
        return high.noise
    }

    private func epsilon(_ noiseMultiplier: Double, _ accountant: Accountant) throws(PrivacyParameterError) -> Double {
        let event = try PrivacyEvent.poissonGaussian(
            samplingRate: samplingRate, noiseMultiplier: noiseMultiplier, steps: steps)
        switch accountant {
        case .renyi(let orders): return try RenyiAccountant([event]).total.epsilon(delta: delta, orders: orders).value
        case .loss: return try LossAccountant([event]).epsilon(delta: delta)
        }
    }
}
