import Cryptography
import DifferentialPrivacy
import Glibc
import Kernels

/// One site's part of a step of distributed DP-SGD: the clipped gradients of one Poisson batch as whole numbers, plus
/// this site's share of the noise. Only the sum over the sites is protected; secure aggregation has to hide the parts.
///
/// The share is an exact discrete Gaussian of variance (σ·C)² / h in squared steps of the grid, so that the shares of h
/// honest sites add up to the noise that is accounted for (Kairouz, Liu and Steinke 2021).
/// `protocol/differential-privacy.md` §5.
package struct PrivateGradient: Equatable, Sendable {
    /// q: probability that a unit is in the batch, above 0 and at most 1.
    package var samplingRate: Double
    /// What the sum is divided by: a number of the plan. Above 0.
    package var expectedBatch: Double
    /// C: bound of the L2 norm of one unit's gradient, above 0.
    package var clippingNorm: Double
    /// σ: standard deviation of the noise in the sum of all sites as a multiple of C, above 0.
    package var noiseMultiplier: Double
    /// h: sites whose shares are sure to be in the sum; 0 when sites add none and the coordinator noises the sum.
    package var honestSites: Int
    /// γ = 2^-f: step of the secure sum's fixed-point encoding of −gradient / expectedBatch.
    package var fractionBits: Int

    /// - Parameters: see the properties.
    package init(
        samplingRate: Double, expectedBatch: Double, clippingNorm: Double, noiseMultiplier: Double, honestSites: Int,
        fractionBits: Int
    ) {
        self.samplingRate = samplingRate
        self.expectedBatch = expectedBatch
        self.clippingNorm = clippingNorm
        self.noiseMultiplier = noiseMultiplier
        self.honestSites = honestSites
        self.fractionBits = fractionBits
    }

    /// C in steps of the grid: what one unit changes the sum of whole numbers by, at most, in the L2 norm.
    package var sensitivity: Double { clippingNorm / expectedBatch * exp2(Double(fractionBits)) }

    /// Variance of the noise that one party adds, in squared steps of the grid: a site's share, or the whole of it when the
    /// coordinator adds it.
    package var shareVariance: Double {
        let deviation = noiseMultiplier * sensitivity
        return deviation * deviation / Double(max(1, honestSites))
    }

    /// The site's vector −(Σ clipped gradients + noise share, if sites add one) / expectedBatch − l2 · weights, every element a whole
    /// multiple of 2^-f, in the order of the flattened parameters.
    ///
    /// - Parameters: as for `PrivateTraining.train`.
    /// - Throws: `ModelsError.noRows`, `.unlabelled`, `.shape`; `.lattice` when the grid is too coarse for the model or too
    ///   fine for the sampler.
    package func vector(
        _ parameters: ModelParameters, family: ModelFamily, on matrix: FeatureMatrix, units: TrainingUnits? = nil,
        random: any RandomSource, path: KernelPath = .best
    ) throws(ModelsError) -> [Double] {
        let plan = try PrivateTraining.check(parameters, family, matrix, units)
        precondition(expectedBatch > 0 && noiseMultiplier > 0 && honestSites >= 0, "a private gradient without noise")
        // The kernels round to at most 2^21 steps: where the grid is finer, gradients lie on every 2^shift-th step of it.
        let shift = max(0, Int(log2(sensitivity / GradientLattice.radiusMax).rounded(.up)))
        let lattice = try GradientLattice(
            clippingNorm: clippingNorm, radius: sensitivity * exp2(-Double(shift)), parameters: plan.parameterCount)
        guard shareVariance <= Double(DiscreteGaussian.numeratorMax), shareVariance >= 1 else {
            throw .lattice(parameters: plan.parameterCount)
        }
        let noise = DiscreteGaussian(variance: shareVariance)
        let tensors = parameters.tensors.map(\.values)
        let network = Network(plan: plan, tensors: tensors, path: path)
        var gradients = ClippedGradients(plan, lattice: lattice)
        var batches = UnitBatches(units, rows: matrix.rows, samplingRate: samplingRate, random: random)
        batches.addNext(to: &gradients, matrix, network)
        var stream = NoiseStream(purpose: "distributed-noise", random: random)
        gradients.withSums { sums in
            for index in 0..<sums.count { sums[index] <<= Int64(shift) }
            if honestSites > 0 { noise.add(to: &sums, &stream) }
        }
        let (step, scale) = (exp2(-Double(fractionBits)), exp2(Double(fractionBits)))
        var result: [Double] = []
        result.reserveCapacity(plan.parameterCount)
        for (tensor, sums) in gradients.sums.enumerated() {
            let decay = tensor % 2 == 0 ? family.l2 * scale : 0
            for (index, sum) in sums.enumerated() {
                let penalty = (decay * Double(tensors[tensor][index])).rounded(.toNearestOrEven)
                result.append(-(Double(sum) + penalty) * step)
            }
        }
        return result
    }
}
