import Cryptography
import DifferentialPrivacy
import Kernels

/// DP-SGD inside a site (Abadi et al. 2016): what a round of local work may be when the update itself has to protect
/// every record.
///
/// Each step draws a real Poisson batch, clips every unit's gradient to `clippingNorm`, rounds it to a lattice, sums whole
/// numbers, adds round(z) with z ~ N(0, (noiseMultiplier · clippingNorm)²), and divides by the *expected* batch. A
/// round of T steps is T subsampled Gaussian mechanisms of rate q and multiplier σ, for adding or removing one unit.
/// Penalties, momentum and Adam only see what the mechanism gave. `protocol/differential-privacy.md` §4.
package struct PrivateTraining: Equatable, Sendable {
    /// The step rule; its state starts anew each round.
    package var optimizer: LocalTraining.Optimizer
    /// T: steps of a round, 1 to 100,000.
    package var steps: Int
    /// q: probability that a unit is in a batch, above 0 and at most 1.
    package var samplingRate: Double
    /// What sums are divided by: a number of the plan, never counted from the rows. Above 0.
    package var expectedBatch: Double
    /// C: bound of the L2 norm of one unit's gradient, above 0.
    package var clippingNorm: Double
    /// σ: standard deviation of the noise as a multiple of C, above 0.
    package var noiseMultiplier: Double
    /// Weight µ of FedProx's proximal term, 0 for none.
    package var proximalMu: Double

    package init(
        optimizer: LocalTraining.Optimizer, steps: Int, samplingRate: Double, expectedBatch: Double,
        clippingNorm: Double, noiseMultiplier: Double, proximalMu: Double = 0
    ) {
        self.optimizer = optimizer
        self.steps = steps
        self.samplingRate = samplingRate
        self.expectedBatch = expectedBatch
        self.clippingNorm = clippingNorm
        self.noiseMultiplier = noiseMultiplier
        self.proximalMu = proximalMu
    }

    /// log2 of the clipping norm in steps of the lattice.
    private static let latticeBits = 21

    /// Trains on a site's rows. The result depends on rows only through the noisy sums: no loss, no count.
    ///
    /// - Parameters:
    ///   - parameters: the global parameters of the round.
    ///   - family: the model family. A site intercept takes no part: it is fitted without noise.
    ///   - matrix: the site's labelled training rows.
    ///   - units: which rows are one unit, each row in exactly one; nil: every row is a unit.
    ///   - random: seeds the batches and the noise.
    ///   - path: which kernels run; tests force one.
    /// - Throws: `ModelsError.noRows`, `.unlabelled`, `.shape`, `.lattice`, or `.diverged` when a parameter stops
    ///   being finite, which is decided on noisy numbers only.
    /// - Cost: about that of as many rows in `LocalTraining`, twice for small batches.
    package func train(
        _ parameters: ModelParameters, family: ModelFamily, on matrix: FeatureMatrix,
        units: TrainingUnits? = nil, random: any RandomSource, path: KernelPath = .best
    ) throws(ModelsError) -> ModelParameters {
        let plan = try PrivateTraining.check(parameters, family, matrix, units)
        precondition(steps > 0 && expectedBatch > 0 && noiseMultiplier > 0, "private training of no steps or without noise")
        let lattice = try GradientLattice(
            clippingNorm: clippingNorm, radius: Double(1 << PrivateTraining.latticeBits), parameters: plan.parameterCount)
        let noise = LatticeGaussian(standardDeviation: noiseMultiplier * lattice.radius)
        let global = parameters.tensors.map(\.values)
        var network = Network(plan: plan, tensors: global, path: path)
        var optimizer = DescentStep(optimizer, like: global)
        var batches = UnitBatches(units, rows: matrix.rows, samplingRate: samplingRate, random: random)
        var noiseStream = NoiseStream(purpose: "gradient-noise", random: random)
        var gradients = ClippedGradients(plan, lattice: lattice)
        var slope = global
        let share = lattice.step / expectedBatch
        for step in 1...steps {
            gradients.clear()
            batches.addNext(to: &gradients, matrix, network)
            gradients.withSums { noise.add(to: &$0, &noiseStream) }
            fillPenalties(
                l2: Float(family.l2), proximalMu: Float(proximalMu), parameters: network.tensors, global: global, into: &slope)
            for tensor in slope.indices {
                let sums = gradients.sums[tensor]
                var target = slope[tensor].mutableSpan
                for index in 0..<target.count { target[index] += Float(Double(sums[index]) * share) }
            }
            optimizer.move(&network, gradient: slope)
            guard network.tensors.allSatisfy({ $0.allSatisfy(\.isFinite) }) else { throw .diverged(epoch: step) }
        }
        return parameters.replacing(tensors: network.tensors)
    }

    static func check(
        _ parameters: ModelParameters, _ family: ModelFamily, _ matrix: FeatureMatrix, _ units: TrainingUnits?
    ) throws(ModelsError) -> LayerPlan {
        let plan = try parameters.layers(of: family, for: matrix)
        guard units.map({ $0.rowCount == matrix.rows }) ?? true else {
            throw .shape("units that are not made of the \(matrix.rows) rows")
        }
        return plan
    }
}
