// The sum of discrete Gaussians that several parties drew is nearly, not exactly, a discrete Gaussian: τ measures
// by how much. Kairouz, Liu and Steinke 2021, Theorem 1 and §4.

import Glibc

/// The noise that `parties` sites add together, in units of the integer grid.
package struct DistributedDiscreteGaussian: Hashable, Sendable {
    /// Standard deviation parameter of each party's share.
    package let localDeviation: Double
    /// Honest parties whose shares are in the sum for certain.
    package let parties: Int
    /// How far one unit moves the sum, L2.
    package let l2Sensitivity: Double
    /// How far one unit moves the sum, L1.
    package let l1Sensitivity: Double
    /// Coordinates.
    package let dimension: Int

    /// - Parameters:
    ///   - localDeviation: above 0, in grid steps.
    ///   - l1Sensitivity: nil takes √dimension · l2Sensitivity, or the square of an integer grid's L2 norm if that is less.
    /// - Throws: `PrivacyParameterError` for a number that is not positive.
    package init(
        localDeviation: Double, parties: Int, l2Sensitivity: Double, l1Sensitivity: Double? = nil, dimension: Int
    ) throws(PrivacyParameterError) {
        guard localDeviation > 0, localDeviation.isFinite else {
            throw PrivacyParameterError("deviation of a site's noise", "must be above 0")
        }
        guard parties >= 1, parties <= 1_000_000 else {
            throw PrivacyParameterError("number of sites that add noise", "must be from 1 to 1000000")
        }
        guard l2Sensitivity > 0, l2Sensitivity.isFinite, l1Sensitivity.map({ $0 > 0 && $0.isFinite }) ?? true else {
            throw PrivacyParameterError("sensitivity", "must be above 0")
        }
        guard dimension >= 1 else { throw PrivacyParameterError("number of coordinates", "must be at least 1") }
        self.localDeviation = localDeviation
        self.parties = parties
        self.l2Sensitivity = l2Sensitivity
        self.l1Sensitivity =
            l1Sensitivity ?? min(l2Sensitivity * Double(dimension).squareRoot(), l2Sensitivity * l2Sensitivity)
        self.dimension = dimension
    }

    /// σ: deviation of the sum as a multiple of the L2 sensitivity.
    package var noiseMultiplier: Double { localDeviation * Double(parties).squareRoot() / l2Sensitivity }

    /// τ = 10 Σ_{k=1…parties−1} e^(−2π²s²·k/(k+1)), s the local deviation. Rounded up to the least positive number
    /// where it is less than any: 0 only for one party, whose noise is exactly a discrete Gaussian.
    package var deviationFromGaussian: Double {
        guard parties > 1 else { return 0 }
        let exponent = -2 * Double.pi * Double.pi * localDeviation * localDeviation
        var sum = 0.0
        for k in 1..<parties {
            let term = 10 * exp(exponent * Double(k) / Double(k + 1))
            sum += max(term, .leastNonzeroMagnitude)
            // Terms only fall: what follows is at most as large as this one.
            if term < sum * 1e-17 {
                sum += Double(parties - 1 - k) * max(term, .leastNonzeroMagnitude)
                break
            }
        }
        return sum
    }

    /// ε(α) of one step without sampling; any α > 1.
    package func divergence(order: Double) -> Double {
        let scale = localDeviation * Double(parties).squareRoot()
        let (l2, l1) = (l2Sensitivity / scale, l1Sensitivity / scale)
        let (tau, d) = (deviationFromGaussian, Double(dimension))
        return min(
            order / 2 * l2 * l2 + tau * d,
            order / 2 * (l2 * l2 + 2 * l1 * tau + tau * tau * d),
            order / 2 * (l2 + d.squareRoot() * tau) * (l2 + d.squareRoot() * tau))
    }
}
