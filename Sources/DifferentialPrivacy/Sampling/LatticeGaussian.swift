import Glibc

/// Gaussian noise for sums that are whole numbers: round(z), z normal with the given standard deviation.
///
/// For a whole number q, q + round(z) = round(q + z): what is released is post-processing of the Gaussian mechanism, and
/// its accountant applies. z comes from Box and Muller 1958 with 128 bits under the logarithm, so the tail
/// reaches 13 standard deviations (53 bits would end it at 8.6). About 25 ns an element.
/// `protocol/differential-privacy.md` §3.
package struct LatticeGaussian: Equatable, Sendable {
    /// Largest standard deviation: a draw stays far inside 64 bits.
    package static let standardDeviationMax = 0x1p52

    /// In units of the lattice.
    package let standardDeviation: Double

    /// - Parameter standardDeviation: above 0 and at most `standardDeviationMax`, in units of the lattice.
    package init(standardDeviation: Double) {
        precondition(
            standardDeviation > 0 && standardDeviation <= LatticeGaussian.standardDeviationMax,
            "the standard deviation of lattice noise is above 0 and at most 2^52")
        self.standardDeviation = standardDeviation
    }

    /// Adds one draw to each element.
    package func add(to values: inout MutableSpan<Int64>, _ stream: inout NoiseStream) {
        #if !CONSILIUM_NO_NOISE_AUDIT
            var index = 0
            while index < values.count {
                let (first, second) = LatticeGaussian.pair(&stream)
                values[index] += Int64((first * standardDeviation).rounded(.toNearestOrEven))
                if index + 1 < values.count {
                    values[index + 1] += Int64(
                        (second * standardDeviation).rounded(.toNearestOrEven))
                }
                index += 2
            }
        #endif
    }

    /// Two independent standard normal numbers.
    @inline(__always)
    static func pair(_ stream: inout NoiseStream) -> (Double, Double) {
        // Uniform in (0, 1) with 128 bits; near 0, where the tail comes from, every one of them counts.
        let uniform = Double(stream.word()) * 0x1p-64 + (Double(stream.word()) + 0.5) * 0x1p-128
        let radius = (-2 * log(min(uniform, 1))).squareRoot()
        let angle = 2 * Double.pi * (Double(stream.word()) * 0x1p-64)
        return (radius * cos(angle), radius * sin(angle))
    }
}
