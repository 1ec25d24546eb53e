// The privacy block of a round's descriptor follows from the plan, so that coordinator and nodes write the same one.

import SecureAggregation
import Study

extension PrivacyMode {
    /// The mode of a round: the plan's for training, none for statistics and evaluations.
    package init(round work: RoundWork, plan: Plan) {
        self =
            switch work.kind == .training ? plan.privacy.guarantee?.mode : nil {
            case nil: .none
            case .recordLocal: .recordLocal
            case .recordDistributed: .recordDistributed
            case .siteDistributed: .siteDistributed
            case .central: .central
            }
    }
}

extension PrivacyTerms {
    /// What a plan promises about a round. Statistics and evaluations are outside the guarantee, as the plan declares in words.
    ///
    /// - Parameters:
    ///   - work: the order of the round.
    ///   - sites: n_max of the round's cohort, which sets the grid.
    /// - Cost: some 10 ms for a plan that gives an ε.
    package init(round work: RoundWork, plan: Plan, sites: Int) {
        let mode = PrivacyMode(round: work, plan: plan)
        guard mode != .none, let guarantee = plan.privacy.guarantee else {
            self = .none
            return
        }
        let isDistributed = mode == .recordDistributed || mode == .siteDistributed
        let bits = TensorSpec.fractionBits(clip: work.bound(plan), cohortMax: sites)
        self.init(
            // A plan whose ε no σ keeps is refused when it is read; 0 is refused by every node.
            mode: mode, noiseMultiplier: (try? plan.noiseMultiplier()) ?? 0, samplingRate: guarantee.samplingRate,
            clippingNorm: guarantee.clippingNorm,
            grid: mode != .recordLocal ? Double(sign: .plus, exponent: -bits, significand: 1) : 0,
            minimumHonest: isDistributed ? plan.honestSites : 0, delta: guarantee.delta)
    }
}
