// What a plan's guarantee comes to in numbers, and the contradictions of its privacy block.

import DifferentialPrivacy
import Glibc
import Models

extension Plan {
    /// h: sites whose noise shares are sure to be in every sum.
    package var honestSites: Int { cohort.sitesMin - cohort.colluders }

    /// Steps of one run, without repeated attempts; 0 without differential privacy.
    package var privateSteps: Int { training.rounds * (privacy.guarantee?.stepsPerRound ?? 0) }

    /// σ of the training rounds: the plan's own, or the least that keeps its ε, rounded up to 4 decimals so that every
    /// machine has the same. Nil without differential privacy.
    ///
    /// - Throws: `PrivacyParameterError` when no σ keeps the ε.
    /// - Cost: some 10 ms for an ε.
    package func noiseMultiplier() throws(PrivacyParameterError) -> Double? {
        guard let guarantee = privacy.guarantee else { return nil }
        guard case .epsilon(let epsilon) = guarantee.noise else {
            if case .multiplier(let multiplier) = guarantee.noise { return multiplier }
            return nil
        }
        var sigma = try NoiseCalibration(samplingRate: guarantee.samplingRate, steps: privateSteps, delta: guarantee.delta)
            .noiseMultiplier(epsilon: epsilon)
        sigma = (sigma * 1e4).rounded(.up) / 1e4
        // The bound for noise on whole numbers is a little above the Gaussian's that the calibration is for.
        while let spent = try renyiEpsilon(noiseMultiplier: sigma), spent > epsilon, sigma < PrivacyLimits.noiseMultiplier.upperBound {
            sigma = (sigma * 1.002 * 1e4).rounded(.up) / 1e4
        }
        return sigma
    }

    /// The training rounds of one run as the accountants take them; nil without differential privacy.
    ///
    /// For noise of several sites the parties are the honest sites of the smallest cohort, and the grid is that of the largest.
    /// - Parameter noiseMultiplier: σ.
    package func privacyEvent(noiseMultiplier: Double) throws(PrivacyParameterError) -> PrivacyEvent? {
        guard let guarantee = privacy.guarantee else { return nil }
        let noise: PrivacyEvent.Noise
        switch guarantee.mode {
        case .recordLocal: noise = .gaussian(noiseMultiplier)
        case .central: noise = .discreteGaussian(noiseMultiplier)
        case .recordDistributed, .siteDistributed:
            let grid = grid(guarantee, noiseMultiplier: noiseMultiplier, fractionBits: coarsestFractionBits)
            noise = .distributed(
                try DistributedDiscreteGaussian(
                    localDeviation: grid.shareVariance.squareRoot(), parties: honestSites, l2Sensitivity: grid.sensitivity,
                    dimension: family.parameterCount(inputs: modelInputs)))
        }
        return try PrivacyEvent(noise: noise, samplingRate: guarantee.samplingRate, steps: privateSteps)
    }

    /// ε of one run at the plan's δ by the accountant that budgets go by.
    package func renyiEpsilon(noiseMultiplier: Double) throws(PrivacyParameterError) -> Double? {
        guard let guarantee = privacy.guarantee, let event = try privacyEvent(noiseMultiplier: noiseMultiplier) else { return nil }
        return try RenyiAccountant([event]).total.epsilon(delta: guarantee.delta).value
    }

    /// One site's step on a grid, where the noise is added to sums: a clipped gradient of records or subjects.
    ///
    /// - Parameter fractionBits: f of the secure sum's encoding.
    package func privateGradient(_ guarantee: PrivacyPlan.Guarantee, noiseMultiplier: Double, fractionBits: Int) -> PrivateGradient {
        PrivateGradient(
            samplingRate: guarantee.samplingRate, expectedBatch: guarantee.expectedBatch, clippingNorm: guarantee.clippingNorm,
            noiseMultiplier: noiseMultiplier, honestSites: guarantee.mode == .central ? 0 : honestSites, fractionBits: fractionBits)
    }

    /// The same where the site is the unit: its clipped update.
    package func privateUpdate(_ guarantee: PrivacyPlan.Guarantee, noiseMultiplier: Double, fractionBits: Int) -> PrivateUpdate {
        PrivateUpdate(
            clippingNorm: guarantee.clippingNorm, noiseMultiplier: noiseMultiplier,
            honestSites: guarantee.mode == .central ? 0 : honestSites, fractionBits: fractionBits)
    }

    /// What the coordinator adds to the sum of a training round; nil in all modes but central.
    ///
    /// - Parameter fractionBits: f of the secure sum's encoding.
    /// - Throws: `PrivacyParameterError` when no σ keeps the plan's ε; such a plan is refused when it is read.
    package func releaseNoise(fractionBits: Int) throws(PrivacyParameterError) -> ReleaseNoise? {
        guard let guarantee = privacy.guarantee, guarantee.mode == .central, let sigma = try noiseMultiplier() else { return nil }
        let grid = grid(guarantee, noiseMultiplier: sigma, fractionBits: fractionBits)
        return ReleaseNoise(variance: grid.shareVariance, shift: grid.shift)
    }

    /// What a run of this plan says about the rows behind it; nil without differential privacy.
    ///
    /// - Parameters:
    ///   - rounds: training rounds that were completed.
    ///   - dropped: training rounds that were given up after sites may have been charged.
    ///   - cohort: fewest and most sites in a sum.
    ///   - ledgers: heads of the sites' ledgers.
    /// - Cost: up to 0.2 s for the privacy loss distribution.
    package func privacyStatement(rounds: Int, dropped: Int, cohort: ClosedRange<Int>, ledgers: [String: String])
        throws(PrivacyParameterError) -> PrivacyStatement?
    {
        guard let guarantee = privacy.guarantee, let sigma = try noiseMultiplier(), let run = try privacyEvent(noiseMultiplier: sigma) else { return nil }
        let steps = (rounds + dropped) * guarantee.stepsPerRound
        var (renyi, loss): (Double, Double?) = (0, nil)
        if steps > 0 {
            let event = try PrivacyEvent(noise: run.noise, samplingRate: run.samplingRate, steps: steps)
            renyi = try RenyiAccountant([event]).total.epsilon(delta: guarantee.delta).value
            if case .gaussian = event.noise { loss = try LossAccountant([event]).epsilon(delta: guarantee.delta) }
        }
        return PrivacyStatement(
            mode: guarantee.mode, unit: guarantee.unit, trust: privacyTrust(guarantee.mode), renyi: renyi, loss: loss, delta: guarantee.delta,
            samplingRate: guarantee.samplingRate, noiseMultiplier: sigma, clippingNorm: guarantee.clippingNorm, steps: steps, rounds: rounds,
            droppedRounds: dropped, cohort: cohort,
            outside: ["statistics": guarantee.statisticsOutsideGuarantee, "evaluation": guarantee.evaluationOutsideGuarantee], ledgers: ledgers)
    }

    /// Whom a member of the data has to trust, as reports print it: `protocol/differential-privacy.md` §1.
    package func privacyTrust(_ mode: PrivacyGuarantee) -> String {
        switch mode {
        case .recordLocal: "Nobody outside the site has to be trusted."
        case .recordDistributed, .siteDistributed:
            "Holds against the coordinator together with at most \(cohort.colluders) sites; secure aggregation and \(honestSites) other sites have to work as specified."
        case .central: "The coordinator is trusted: it sees sums without noise."
        }
    }

    private func grid(_ guarantee: PrivacyPlan.Guarantee, noiseMultiplier: Double, fractionBits: Int)
        -> (sensitivity: Double, shareVariance: Double, shift: Int)
    {
        if guarantee.unit == .site {
            let update = privateUpdate(guarantee, noiseMultiplier: noiseMultiplier, fractionBits: fractionBits)
            return (update.sensitivity, update.shareVariance, update.shift)
        }
        let gradient = privateGradient(guarantee, noiseMultiplier: noiseMultiplier, fractionBits: fractionBits)
        return (gradient.sensitivity, gradient.shareVariance, 0)
    }

    /// f for the largest cohort: ⌊log₂((2³¹ − 1) / sites / B)⌋, less one for rounding the bound up.
    private var coarsestFractionBits: Int {
        Int(log2(0x1p31 / Double(cohort.sitesMax) / training.updateBound)) - 1
    }
}

extension Plan {
    func refusePrivacyContradictions() throws(StudyError) {
        func refuse(_ path: String, _ problem: String) throws(StudyError) {
            throw StudyError(.planContradiction, path: "privacy." + path, problem: problem)
        }
        guard let guarantee = privacy.guarantee else {
            if !privacy.withoutDifferentialPrivacy {
                try refuse(
                    "withoutDifferentialPrivacy",
                    "the plan names no mode of differential privacy: give privacy.mode, or set this to true if the sites accept that, and each consent will repeat it")
            }
            return
        }
        if privacy.withoutDifferentialPrivacy {
            try refuse("withoutDifferentialPrivacy", "is true although privacy.mode promises differential privacy: leave one of them out")
        }
        let sigma: Double
        do { sigma = try noiseMultiplier() ?? 0 } catch {
            throw StudyError(.planContradiction, path: "privacy.epsilon", problem: "cannot be kept over \(privateSteps) steps: \(error)")
        }
        let allowed: Set<PrivacyUnit> =
            switch guarantee.mode {
            case .recordLocal, .recordDistributed: [.record, .subject]
            case .siteDistributed: [.site]
            case .central: [.record, .subject, .site]
            }
        guard allowed.contains(guarantee.unit) else {
            throw StudyError(
                .planContradiction, path: "privacy.unit",
                problem: "must be \(allowed.map(\.rawValue).sorted().joined(separator: " or ")) in mode \(guarantee.mode.rawValue)")
        }
        if guarantee.unit == .subject, schema.subjectColumn == nil {
            try refuse("unit", "is subject, but the schema names no subjectColumn, so rows of one person cannot be told from others")
        }
        if guarantee.mode == .recordLocal { return try refuseLocalContradictions() }
        if guarantee.stepsPerRound != 1 {
            try refuse("stepsPerRound", "must be 1 in mode \(guarantee.mode.rawValue): noise is only added to the sum of all sites, so a step is a round")
        }
        if guarantee.unit == .site {
            try refuseSiteContradictions(guarantee, sigma)
        } else {
            try refuseGradientContradictions(guarantee, sigma)
        }
        try refuseGrid(guarantee, sigma)
    }

    private func refuseLocalContradictions() throws(StudyError) {
        let unused = LocalTraining(optimizer: training.local.optimizer, epochs: 1, batchSize: 32, proximalMu: training.local.proximalMu)
        guard training.local == unused else {
            throw StudyError(
                .planContradiction, path: "training.local",
                problem: "has epochs or batchSize, which mean nothing with a privacy mode: batches are drawn by privacy.samplingRate, privacy.stepsPerRound of them; leave both out")
        }
    }

    /// A round is one step over all sites: clipped gradients of a batch, and noise on their sum.
    private func refuseGradientContradictions(_ guarantee: PrivacyPlan.Guarantee, _ sigma: Double) throws(StudyError) {
        if training.local != LocalTraining(optimizer: .sgd(learningRate: 1, momentum: 0), epochs: 1, batchSize: 32) {
            throw StudyError(
                .planContradiction, path: "training.local",
                problem: "must be { optimizer: \"sgd\", learningRate: 1 } in mode \(guarantee.mode.rawValue) for a \(guarantee.unit.rawValue): a site gives one clipped gradient, and training.server takes the step")
        }
        let parties = guarantee.mode == .central ? 1 : Double(honestSites)
        try refuseUpdateBound(guarantee, sigma, spread: sigma * guarantee.clippingNorm / parties.squareRoot() / guarantee.expectedBatch)
    }

    /// Whole sites: there is no sampling, the mean is over few, and noise is on every coordinate of it. The numbers decide.
    private func refuseSiteContradictions(_ guarantee: PrivacyPlan.Guarantee, _ sigma: Double) throws(StudyError) {
        guard guarantee.samplingRate == 1, guarantee.expectedBatch == 1 else {
            throw StudyError(
                .planContradiction, path: "privacy.samplingRate",
                problem: "must be 1, and so must expectedBatch, where the site is the unit: every site is in every sum, whole")
        }
        let parameters = Double(family.parameterCount(inputs: modelInputs))
        // Distributed noise counts on honest shares; all sites add theirs, so the sum has a little more than σ.
        let surplus = guarantee.mode == .central ? 1 : (Double(cohort.sitesMin) / Double(honestSites)).squareRoot()
        let each = sigma * surplus / Double(cohort.sitesMin)
        let length = each * parameters.squareRoot()
        guard length <= Plan.siteNoiseLengthMax else {
            let enough = Int((sigma * surplus * parameters.squareRoot() / Plan.siteNoiseLengthMax).rounded(.up))
            throw StudyError(
                .planContradiction, path: "privacy.unit",
                problem: "site is of no use here: over \(training.rounds) rounds it takes noise of \(decimal(sigma, places: 2)) clipping norms in the sum; with \(cohort.sitesMin) sites that is \(decimal(each, places: 4)) on every coordinate of the mean update and a length of \(decimal(length, places: 2)) over \(Int(parameters)) parameters, against a mean update of at most 1. It is allowed up to a length of \(decimal(Plan.siteNoiseLengthMax, places: 1)): about \(enough) sites at this noise, a smaller model, fewer rounds or a larger epsilon; or use record-local or record-distributed")
        }
        let parties = guarantee.mode == .central ? 1 : Double(honestSites)
        try refuseUpdateBound(guarantee, sigma, spread: sigma * guarantee.clippingNorm / parties.squareRoot())
    }

    /// Length of the noise on a mean update of whole sites, in clipping norms, above which a plan is refused.
    package static let siteNoiseLengthMax = 0.5

    private func refuseUpdateBound(_ guarantee: PrivacyPlan.Guarantee, _ sigma: Double, spread: Double) throws(StudyError) {
        let reach = guarantee.clippingNorm + 10 * spread
        guard training.updateBound >= reach else {
            throw StudyError(
                .planContradiction, path: "training.updateBound",
                problem: "must be at least \(decimal(reach, places: 3)) in mode \(guarantee.mode.rawValue): clipping norm and ten standard deviations of the noise that one party adds")
        }
    }

    private func refuseGrid(_ guarantee: PrivacyPlan.Guarantee, _ sigma: Double) throws(StudyError) {
        func refuse(_ path: String, _ problem: String) throws(StudyError) {
            throw StudyError(.planContradiction, path: "privacy." + path, problem: problem)
        }
        let grid = grid(guarantee, noiseMultiplier: sigma, fractionBits: coarsestFractionBits)
        let margin = Double(family.parameterCount(inputs: modelInputs)).squareRoot() / 2
        if grid.sensitivity < 4 * margin || grid.shareVariance < 25 {
            try refuse(
                guarantee.unit == .site ? "clippingNorm" : "expectedBatch",
                "does not suit the grid of the secure sum: a gradient of the clipping norm is \(decimal(grid.sensitivity, places: 1)) steps, and rounding \(family.parameterCount(inputs: modelInputs)) parameters takes \(decimal(margin, places: 1)); lower expectedBatch, training.updateBound or cohort.sitesMax")
        }
        if grid.shareVariance > Double(DiscreteGaussian.numeratorMax) {
            try refuse("noiseMultiplier", "is too large for the exact sampler: raise training.updateBound or privacy.expectedBatch")
        }
    }
}
