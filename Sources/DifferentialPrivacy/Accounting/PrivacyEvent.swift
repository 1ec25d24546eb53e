// What a mechanism did, in the numbers that accounting needs: how records were drawn, what noise hid the sum,
// how often. `protocol/differential-privacy.md` §3.

/// A number of equal steps of one mechanism. Neighbours differ by one unit (record, subject or site) more or less.
package struct PrivacyEvent: Hashable, Sendable {
    /// The noise of one step on a sum whose units were clipped.
    package enum Noise: Hashable, Sendable {
        /// A normal distribution, standard deviation σ times the L2 clipping norm.
        case gaussian(Double)
        /// The discrete Gaussian of one party on integers, standard deviation σ times the L2 clipping norm.
        case discreteGaussian(Double)
        /// The sum of several parties' discrete Gaussians.
        case distributed(DistributedDiscreteGaussian)
    }

    /// What hides the sum.
    package let noise: Noise
    /// q: each unit is drawn on its own with this probability. 1: the full batch, without amplification.
    package let samplingRate: Double
    /// How often.
    package let steps: Int

    /// - Throws: `PrivacyParameterError` outside the ranges of `PrivacyLimits`.
    package init(noise: Noise, samplingRate: Double, steps: Int) throws(PrivacyParameterError) {
        guard PrivacyLimits.samplingRate.contains(samplingRate) else {
            throw PrivacyParameterError("sampling rate", "must be from 1e-9 to 1 (1: every unit in every step)")
        }
        guard steps >= 1, steps <= PrivacyLimits.stepsMax else {
            throw PrivacyParameterError("number of steps", "must be from 1 to \(PrivacyLimits.stepsMax)")
        }
        switch noise {
        case .gaussian(let multiplier), .discreteGaussian(let multiplier):
            guard PrivacyLimits.noiseMultiplier.contains(multiplier) else {
                throw PrivacyParameterError("noise multiplier", "must be from 0.01 to 1000000")
            }
        case .distributed: break
        }
        self.noise = noise
        self.samplingRate = samplingRate
        self.steps = steps
    }

    /// Steps of DP-SGD: Poisson sampling at rate `samplingRate`, then Gaussian noise on the sum of clipped gradients.
    ///
    /// - Throws: `PrivacyParameterError` outside the ranges of `PrivacyLimits`.
    package static func poissonGaussian(samplingRate: Double, noiseMultiplier: Double, steps: Int)
        throws(PrivacyParameterError) -> PrivacyEvent
    {
        try PrivacyEvent(noise: .gaussian(noiseMultiplier), samplingRate: samplingRate, steps: steps)
    }

    /// The same mechanism once: what a cache is keyed by.
    var single: Mechanism { Mechanism(noise: noise, samplingRate: samplingRate) }

    struct Mechanism: Hashable, Sendable {
        let noise: Noise
        let samplingRate: Double
    }
}
