import Glibc

/// Zero-concentrated differential privacy: ε(α) = ρα at every order. Bun and Steinke 2016.
package enum ConcentratedPrivacy {
    /// ρ of Gaussian or discrete Gaussian noise without sampling: steps / 2σ².
    package static func rho(noiseMultiplier: Double, steps: Int = 1) -> Double {
        Double(steps) / (2 * noiseMultiplier * noiseMultiplier)
    }

    /// The least ε over all real orders, and the order.
    ///
    /// - Throws: `PrivacyParameterError` for a ρ that is not positive or a δ out of range.
    package static func epsilon(rho: Double, delta: Double) throws(PrivacyParameterError) -> (epsilon: Double, order: Double) {
        try PrivacyLimits.check(delta: delta)
        guard rho > 0, rho.isFinite else { throw PrivacyParameterError("rho", "must be above 0") }
        // The derivative ρ − (log 1/(δα))… has one sign change: the term that falls is convex in log(α − 1).
        func bound(_ logarithm: Double) -> Double {
            let rest = exp(logarithm)
            let order = 1 + rest
            return rho * order + log(rest / order) - log(delta * order) / rest
        }
        // Golden section on log(α − 1).
        let ratio = (5.0.squareRoot() - 1) / 2
        var (low, high) = (-30.0, 60.0)
        var (left, right) = (high - ratio * (high - low), low + ratio * (high - low))
        var (leftBound, rightBound) = (bound(left), bound(right))
        for _ in 0..<120 {
            if leftBound < rightBound {
                (high, right, rightBound) = (right, left, leftBound)
                left = high - ratio * (high - low)
                leftBound = bound(left)
            } else {
                (low, left, leftBound) = (left, right, rightBound)
                right = low + ratio * (high - low)
                rightBound = bound(right)
            }
        }
        let best = (low + high) / 2
        return (max(0, bound(best)), 1 + exp(best))
    }
}
