// The Gaussian mechanism without sampling has an exact answer: Balle and Wang 2018. With μ = √steps/σ,
//     δ(ε) = Φ(μ/2 − ε/μ) − e^ε Φ(−μ/2 − ε/μ).
// With Mills' ratio R the second term is φ(a)·R(b), a = ε/μ − μ/2, b = ε/μ + μ/2: nothing overflows.

import Glibc

/// Exact ε and δ of full-batch Gaussian steps.
package enum AnalyticGaussian {
    /// δ at ε, for μ = √steps/σ (or the root of a sum of steps/σ²).
    package static func delta(mu: Double, epsilon: Double) -> Double {
        let (a, b) = (epsilon / mu - mu / 2, epsilon / mu + mu / 2)
        let density = exp(-a * a / 2) / (2 * Double.pi).squareRoot()
        if a > 1 { return max(0, density * (millsRatio(a) - millsRatio(b))) }
        return max(0, erfc(a / 2.0.squareRoot()) / 2 - density * millsRatio(b))
    }

    /// ε at δ: the exact value, rounded up by one part in 10^12.
    ///
    /// - Throws: `PrivacyParameterError` for a δ out of range or a μ that is not positive.
    package static func epsilon(mu: Double, delta: Double) throws(PrivacyParameterError) -> Double {
        try PrivacyLimits.check(delta: delta)
        guard mu > 0, mu.isFinite else { throw PrivacyParameterError("noise", "must be finite and above 0") }
        guard AnalyticGaussian.delta(mu: mu, epsilon: 0) > delta else { return 0 }
        var (low, high) = (0.0, mu * mu / 2 + mu)
        while AnalyticGaussian.delta(mu: mu, epsilon: high) > delta { (low, high) = (high, high * 2) }
        for _ in 0..<100 {
            let middle = (low + high) / 2
            if AnalyticGaussian.delta(mu: mu, epsilon: middle) > delta { low = middle } else { high = middle }
        }
        return high * (1 + 1e-12)
    }

    /// R(x) = (1 − Φ(x))/φ(x) for x > 0: the complementary error function, and from 6 on Laplace's continued fraction.
    private static func millsRatio(_ x: Double) -> Double {
        if x < 6 { return erfc(x / 2.0.squareRoot()) / 2 * (2 * Double.pi).squareRoot() * exp(x * x / 2) }
        var fraction = x
        for k in (1...60).reversed() { fraction = x + Double(k) / fraction }
        return 1 / fraction
    }
}
