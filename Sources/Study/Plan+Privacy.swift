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
    /// For record-distributed noise the parties are the honest sites of the smallest cohort, and the grid is that of the largest.
    /// - Parameter noiseMultiplier: σ.
    package func privacyEvent(noiseMultiplier: Double) throws(PrivacyParameterError) -> PrivacyEvent? {
        guard let guarantee = privacy.guarantee else { return nil }
        guard guarantee.mode == .recordDistributed else {
            return try .poissonGaussian(
                samplingRate: guarantee.samplingRate, noiseMultiplier: noiseMultiplier, steps: privateSteps)
        }
        let gradient = privateGradient(guarantee, noiseMultiplier: noiseMultiplier, fractionBits: coarsestFractionBits)
        let noise = try DistributedDiscreteGaussian(
            localDeviation: gradient.shareVariance.squareRoot(), parties: honestSites, l2Sensitivity: gradient.sensitivity,
            dimension: family.parameterCount(inputs: modelInputs))
        return try PrivacyEvent(noise: .distributed(noise), samplingRate: guarantee.samplingRate, steps: privateSteps)
    }

    /// ε of one run at the plan's δ by the accountant that budgets go by.
    package func renyiEpsilon(noiseMultiplier: Double) throws(PrivacyParameterError) -> Double? {
        guard let guarantee = privacy.guarantee, let event = try privacyEvent(noiseMultiplier: noiseMultiplier) else { return nil }
        return try RenyiAccountant([event]).total.epsilon(delta: guarantee.delta).value
    }

    /// One site's step of record-distributed training on a grid.
    ///
    /// - Parameter fractionBits: f of the secure sum's encoding.
    package func privateGradient(_ guarantee: PrivacyPlan.Guarantee, noiseMultiplier: Double, fractionBits: Int) -> PrivateGradient {
        PrivateGradient(
            samplingRate: guarantee.samplingRate, expectedBatch: guarantee.expectedBatch, clippingNorm: guarantee.clippingNorm,
            noiseMultiplier: noiseMultiplier, honestSites: honestSites, fractionBits: fractionBits)
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
        switch guarantee.mode {
        case .recordLocal: try refuseLocalContradictions()
        case .recordDistributed: try refuseDistributedContradictions(guarantee, sigma)
        case .siteDistributed: try refuseSiteLevel(guarantee, sigma)
        case .central:
            try refuse("mode", "central would have the coordinator add the noise, which must then be trusted with exact sums; this version does not offer it: use record-local or record-distributed")
        }
        if guarantee.unit == .subject {
            try refuse("unit", "must be record: schemas have no subject column yet, so rows of one person cannot be told from others")
        }
    }

    private func refuseLocalContradictions() throws(StudyError) {
        let unused = LocalTraining(optimizer: training.local.optimizer, epochs: 1, batchSize: 32, proximalMu: training.local.proximalMu)
        guard training.local == unused else {
            throw StudyError(
                .planContradiction, path: "training.local",
                problem: "has epochs or batchSize, which mean nothing with a privacy mode: batches are drawn by privacy.samplingRate, privacy.stepsPerRound of them; leave both out")
        }
    }

    private func refuseDistributedContradictions(_ guarantee: PrivacyPlan.Guarantee, _ sigma: Double) throws(StudyError) {
        func refuse(_ path: String, _ problem: String) throws(StudyError) {
            throw StudyError(.planContradiction, path: path, problem: problem)
        }
        if guarantee.stepsPerRound != 1 {
            try refuse("privacy.stepsPerRound", "must be 1 in mode record-distributed: noise is only added to the sum of all sites, so a step is a round")
        }
        if training.local != LocalTraining(optimizer: .sgd(learningRate: 1, momentum: 0), epochs: 1, batchSize: 32) {
            try refuse(
                "training.local",
                "must be { optimizer: \"sgd\", learningRate: 1 } in mode record-distributed: a site gives one clipped gradient, and training.server takes the step")
        }
        let spread = sigma * guarantee.clippingNorm / Double(honestSites).squareRoot() / guarantee.expectedBatch
        let reach = guarantee.clippingNorm + 10 * spread
        if training.updateBound < reach {
            try refuse(
                "training.updateBound", "must be at least \(decimal(reach, places: 3)) in mode record-distributed: clipping norm and ten standard deviations of a site's noise share")
        }
        let gradient = privateGradient(guarantee, noiseMultiplier: sigma, fractionBits: coarsestFractionBits)
        let margin = Double(family.parameterCount(inputs: modelInputs)).squareRoot() / 2
        if gradient.sensitivity < 4 * margin || gradient.shareVariance < 25 {
            try refuse(
                "privacy.expectedBatch",
                "is too large for the grid of the secure sum: a gradient of the clipping norm is \(decimal(gradient.sensitivity, places: 1)) steps, and rounding \(family.parameterCount(inputs: modelInputs)) parameters takes \(decimal(margin, places: 1)); lower it, training.updateBound or cohort.sitesMax")
        }
        if gradient.shareVariance > Double(DiscreteGaussian.numeratorMax) {
            try refuse("privacy.noiseMultiplier", "is too large for the exact sampler: raise training.updateBound or privacy.expectedBatch")
        }
    }

    /// Site-level noise in numbers, which is why it is not offered.
    private func refuseSiteLevel(_ guarantee: PrivacyPlan.Guarantee, _ sigma: Double) throws(StudyError) {
        let sites = Double(cohort.sitesMax)
        let parameters = Double(family.parameterCount(inputs: modelInputs))
        // Every site takes part in every round: no amplification, whatever the sampling rate of records.
        var full = sigma
        if case .epsilon(let epsilon) = guarantee.noise,
            let calibrated = try? NoiseCalibration(samplingRate: 1, steps: training.rounds, delta: guarantee.delta).noiseMultiplier(epsilon: epsilon)
        { full = calibrated }
        let each = full / sites
        throw StudyError(
            .planContradiction, path: "privacy.mode",
            problem: "site-distributed protects whole sites: over \(training.rounds) rounds that takes noise of \(decimal(full, places: 2)) clipping norms in the sum, with at most \(cohort.sitesMax) sites \(decimal(each, places: 4)) on every coordinate of the mean update and \(decimal(each * parameters.squareRoot(), places: 2)) over all, against a mean update of at most 1. It is useful from about 1,000 sites on and this version does not offer it: use record-local or record-distributed")
    }
}
