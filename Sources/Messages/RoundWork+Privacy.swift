// The privacy block of a round's descriptor follows from the plan, so that coordinator and nodes write the same one.

import SecureAggregation
import Study

extension PrivacyTerms {
    /// What a plan promises about a round. Statistics and evaluations are outside the guarantee, as the plan declares in words.
    ///
    /// - Parameters:
    ///   - work: the order of the round.
    ///   - sites: n_max of the round's cohort, which sets the grid.
    /// - Cost: some 10 ms for a plan that gives an ε.
    package init(round work: RoundWork, plan: Plan, sites: Int) {
        guard work.kind == .training, let guarantee = plan.privacy.guarantee, let sigma = try? plan.noiseMultiplier() else {
            self = .none
            return
        }
        let isDistributed = guarantee.mode == .recordDistributed
        let bits = TensorSpec.fractionBits(clip: work.bound(plan), cohortMax: sites)
        self.init(
            mode: isDistributed ? .recordDistributed : .recordLocal, noiseMultiplier: sigma, samplingRate: guarantee.samplingRate,
            clippingNorm: guarantee.clippingNorm,
            grid: isDistributed ? Double(sign: .plus, exponent: -bits, significand: 1) : 0,
            minimumHonest: isDistributed ? plan.honestSites : 0, delta: guarantee.delta)
    }
}
