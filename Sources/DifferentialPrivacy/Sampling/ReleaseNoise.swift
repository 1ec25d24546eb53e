import Cryptography

/// The noise that the coordinator adds to a finished sum in mode central, before anybody else sees it.
///
/// An exact discrete Gaussian on every 2^shift-th whole number. `protocol/differential-privacy.md` §2.
package struct ReleaseNoise: Equatable, Sendable {
    /// Variance in squared steps of 2^shift.
    package let variance: Double
    /// Steps of the sum in a step of the noise, as a power of two.
    package let shift: Int

    /// - Parameters: see the properties; the variance above 0 and at most `DiscreteGaussian.numeratorMax`.
    package init(variance: Double, shift: Int) {
        self.variance = variance
        self.shift = shift
    }

    /// The noisy sum. What would leave the range of a word is held at its end, which only looks at noisy numbers.
    package func noised(_ sums: [Int32], random: any RandomSource) -> [Int32] {
        var stream = NoiseStream(purpose: "release-noise", random: random)
        var noise = [Int64](repeating: 0, count: sums.count)
        var values = noise.mutableSpan
        DiscreteGaussian(variance: variance).add(to: &values, &stream)
        return zip(sums, noise).map { Int32(clamping: Int64($0) + $1 << Int64(shift)) }
    }
}
