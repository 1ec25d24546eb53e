/// The promise of a round in the terms that a site approved with the plan, or that a round asks for.
package struct GuaranteeTerms: Equatable, Sendable {
    /// The mode.
    package var mode: PrivacyGuarantee
    /// The unit.
    package var unit: PrivacyUnit
    /// q.
    package var samplingRate: Double
    /// σ.
    package var noiseMultiplier: Double
    /// C.
    package var clippingNorm: Double
    /// h: sites whose noise shares are sure to be in the sum; 1 where a site's own noise is enough.
    package var honestSites: Int
    /// δ.
    package var delta: Double

    /// - Parameters: see the properties.
    package init(
        mode: PrivacyGuarantee, unit: PrivacyUnit, samplingRate: Double, noiseMultiplier: Double, clippingNorm: Double,
        honestSites: Int, delta: Double
    ) {
        self.mode = mode
        self.unit = unit
        self.samplingRate = samplingRate
        self.noiseMultiplier = noiseMultiplier
        self.clippingNorm = clippingNorm
        self.honestSites = honestSites
        self.delta = delta
    }

    /// Refuses a round that is weaker than what was approved; stronger is fine.
    ///
    /// - Parameters:
    ///   - approved: the plan's terms.
    ///   - protectedUnits: N at this site.
    ///   - samplesByPoisson: whether batches are drawn unit by unit.
    ///   - usesSecureAggregation: whether the coordinator sees sums only.
    /// - Throws: `PrivacyRefusal` with the first thing that is weaker.
    package func check(
        against approved: GuaranteeTerms, protectedUnits: Int, samplesByPoisson: Bool, usesSecureAggregation: Bool
    ) throws(PrivacyRefusal) {
        guard mode == approved.mode else {
            throw PrivacyRefusal(.mode, "the round is \(mode.rawValue), the approved plan \(approved.mode.rawValue)")
        }
        guard unit.covers(approved.unit) else {
            throw PrivacyRefusal(.unit, "the round protects one \(unit.rawValue), the approved plan one \(approved.unit.rawValue)")
        }
        guard samplesByPoisson || samplingRate == 1 else {
            throw PrivacyRefusal(.sampler, "batches must be drawn unit by unit (Poisson); batches of a fixed size are only accounted as the full batch, sampling rate 1")
        }
        guard samplingRate <= approved.samplingRate else {
            throw PrivacyRefusal(.samplingRate, "the round samples more than the approved plan's rate")
        }
        guard noiseMultiplier >= approved.noiseMultiplier else {
            throw PrivacyRefusal(.noise, "the round's noise multiplier is below the approved plan's")
        }
        guard clippingNorm <= approved.clippingNorm else {
            throw PrivacyRefusal(.clippingNorm, "the round's clipping norm is above the approved plan's")
        }
        guard honestSites >= approved.honestSites else {
            throw PrivacyRefusal(.honestSites, "the round counts on fewer honest sites than the approved plan, \(approved.honestSites)")
        }
        guard delta <= approved.delta, delta <= PrivacyBudget.deltaMax(protectedUnits: unit == .site ? 1 : protectedUnits) else {
            throw PrivacyRefusal(.delta, "the round's delta is above the approved plan's or above min(1e-5, 1/(10 N)) for this site's N")
        }
        guard usesSecureAggregation || !(mode == .recordDistributed || mode == .siteDistributed) else {
            throw PrivacyRefusal(.secureAggregation, "\(mode.rawValue) rests on secure aggregation, which is off")
        }
        guard unit == .site || samplingRate * Double(protectedUnits) >= 1 else {
            throw PrivacyRefusal(.expectedBatch, "the sampling rate draws fewer than one unit a step at this site; there is too little data for this plan")
        }
    }

    /// Refuses a sum with too few noise shares: distributed modes count on `honestSites` of them.
    ///
    /// - Parameters:
    ///   - survivors: sites in the sum.
    ///   - colluders: c, how many of them may work together.
    /// - Throws: `PrivacyRefusal` (`privacy.noise-short`).
    package func checkSurvivors(_ survivors: Int, colluders: Int) throws(PrivacyRefusal) {
        guard mode == .recordDistributed || mode == .siteDistributed else { return }
        guard survivors - colluders >= honestSites else {
            throw PrivacyRefusal(
                .noiseShort,
                "\(survivors) sites are in the sum, of which \(colluders) may collude; the noise needs \(honestSites) honest ones")
        }
    }
}
