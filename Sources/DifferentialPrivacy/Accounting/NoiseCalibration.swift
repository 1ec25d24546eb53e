import Glibc

/// The least noise that keeps a promise, by bisection; the answer is rounded to the safe side.
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

    /// Relative width at which bisection ends.
    package static let precision = 1e-7

    /// - Parameters: see the properties; ranges as in `PrivacyEvent` and `PrivacyLimits`.
    package init(samplingRate: Double, steps: Int, delta: Double) {
        self.samplingRate = samplingRate
        self.steps = steps
        self.delta = delta
    }

    /// σ whose ε is at most `epsilon`, and not more than a part in 10^7 above the least.
    ///
    /// - Throws: `PrivacyParameterError` for a number out of range, or when no σ of the range is enough.
    /// - Complexity: some 40 calls of the accountant.
    package func noiseMultiplier(epsilon: Double, by accountant: Accountant = .renyi(orders: RenyiOrders.all))
        throws(PrivacyParameterError) -> Double
    {
        try PrivacyLimits.check(epsilon: epsilon)
        let range = PrivacyLimits.noiseMultiplier
        var (low, high) = (1.0, 1.0)
        if try self.epsilon(high, accountant) > epsilon {
            repeat {
                guard high < range.upperBound else {
                    throw PrivacyParameterError("epsilon", "is too small for these steps: no noise multiplier up to 1000000 is enough")
                }
                (low, high) = (high, min(high * 2, range.upperBound))
            } while try self.epsilon(high, accountant) > epsilon
        } else {
            repeat {
                guard low > range.lowerBound else { return low }
                (low, high) = (max(low / 2, range.lowerBound), low)
            } while try self.epsilon(low, accountant) <= epsilon
        }
        while high - low > NoiseCalibration.precision * high {
            let middle = (low + high) / 2
            if try self.epsilon(middle, accountant) > epsilon { low = middle } else { high = middle }
        }
        return high
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
