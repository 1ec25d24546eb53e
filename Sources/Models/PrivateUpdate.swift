import Cryptography
import DifferentialPrivacy
import Glibc

/// One site's whole update when the site itself is the unit: clipped to C, on a grid, with this site's share of the noise.
///
/// Only the sum over the sites is protected. Removing all rows of a site makes its part the zero vector, so one site
/// changes the sum of whole numbers by at most C. `protocol/differential-privacy.md` §2.
package struct PrivateUpdate: Equatable, Sendable {
    /// C: bound of the L2 norm of a site's update, above 0.
    package var clippingNorm: Double
    /// σ: standard deviation of the noise in the sum of all sites as a multiple of C, above 0.
    package var noiseMultiplier: Double
    /// h: sites whose shares are sure to be in the sum; 0 when sites add none and the coordinator noises the sum.
    package var honestSites: Int
    /// γ = 2^-f: step of the secure sum's fixed-point encoding.
    package var fractionBits: Int

    /// - Parameters: see the properties.
    package init(clippingNorm: Double, noiseMultiplier: Double, honestSites: Int, fractionBits: Int) {
        self.clippingNorm = clippingNorm
        self.noiseMultiplier = noiseMultiplier
        self.honestSites = honestSites
        self.fractionBits = fractionBits
    }

    /// Steps of the secure sum's grid in a step of this vector's, as a power of two: a finer grid than C/2^21 has no use
    /// and would be beyond the exact sampler.
    package var shift: Int { max(0, Int(log2(clippingNorm * exp2(Double(fractionBits)) / 0x1p21).rounded(.up))) }

    /// C in steps of this vector's grid.
    package var sensitivity: Double { clippingNorm * exp2(Double(fractionBits - shift)) }

    /// Variance of the noise that one party adds, in squared steps of this vector's grid.
    package var shareVariance: Double {
        let deviation = noiseMultiplier * sensitivity
        return deviation * deviation / Double(max(1, honestSites))
    }

    /// The update clipped, rounded and noised; every element a whole multiple of 2^(shift - fractionBits).
    ///
    /// - Parameters:
    ///   - update: the site's update of all parameters, finite.
    ///   - random: seeds the noise.
    /// - Throws: `ModelsError.lattice` when the grid is too coarse for so many parameters, or too fine for the sampler.
    package func vector(_ update: [Float], random: any RandomSource) throws(ModelsError) -> [Double] {
        let margin = Double(update.count).squareRoot() / 2
        guard sensitivity >= 2 * margin, shareVariance >= 1, shareVariance <= Double(DiscreteGaussian.numeratorMax) else {
            throw .lattice(parameters: update.count)
        }
        let scale = exp2(Double(fractionBits - shift))
        let norm = update.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot() * scale
        var factor = scale * min(1, (sensitivity - margin) / norm)
        var whole: [Int64]
        // Rounding keeps within the margin; the exact sum of squares is what decides.
        repeat {
            whole = update.map { norm.isFinite ? Int64((Double($0) * factor).rounded(.toNearestOrEven)) : 0 }
            factor *= 0.999
        } while whole.reduce(0.0) { $0 + Double($1) * Double($1) } > sensitivity * sensitivity
        if honestSites > 0 {
            var stream = NoiseStream(purpose: "site-noise", random: random)
            var values = whole.mutableSpan
            DiscreteGaussian(variance: shareVariance).add(to: &values, &stream)
        }
        return whole.map { Double($0) / scale }
    }
}
