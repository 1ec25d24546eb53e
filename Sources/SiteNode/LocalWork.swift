// What a node computes for a round, from its own rows: the vector that only ever leaves masked.

import Cryptography
import Messages
import ModelPackage
import Models
import SecureAggregation
import Study
import Tabular

/// A vector with its weight, before quantisation.
package struct LocalVector {
    /// One per element.
    package var values: [Double]
    /// Rows behind it; the plan's largest weight at every site where a count of rows would say too much.
    package var weight: Int
    /// Mean training loss, 0 for rounds without training.
    package var loss: Double
}

/// The computation behind each kind of round.
package struct LocalWork: Sendable {
    /// The plan that says what to compute.
    package let plan: Plan
    /// The site's name.
    package let site: String
    /// Its rows.
    package let dataset: SiteDataset

    /// - Parameters: see the properties.
    package init(plan: Plan, site: String, dataset: SiteDataset) {
        (self.plan, self.site, self.dataset) = (plan, site, dataset)
    }

    /// Means, squares and shares of the training rows.
    func statistics() -> LocalVector {
        LocalVector(values: SiteStatistics.encode(dataset.train), weight: dataset.train.rowCount, loss: 0)
    }

    /// Local training from the round's model: what the plan's guarantee wants, or ordinary descent where it has none.
    ///
    /// - Parameters:
    ///   - fractionBits: f of the round's encoding.
    ///   - random: seeds batches and noise.
    package func training(
        _ work: RoundWork, _ preprocessor: Preprocessor, _ model: ModelParameters, fractionBits: Int, random: any RandomSource
    ) throws -> LocalVector {
        guard let guarantee = plan.privacy.guarantee else { return try plainTraining(work, preprocessor, model) }
        guard let sigma = try plan.noiseMultiplier() else { preconditionFailure("a guarantee comes with a noise multiplier") }
        // Equal weights and no loss: neither a count nor a mean of rows goes with a private update. Clamped here, so that
        // the encoding has nothing to clip and nothing to count.
        let bound = plan.training.updateBound
        func vector(_ values: [Double]) -> LocalVector {
            LocalVector(values: values.map { min(max($0, -bound), bound) }, weight: plan.cohort.rowsPerSiteMax, loss: 0)
        }
        guard guarantee.unit != .site else {
            let update = plan.privateUpdate(guarantee, noiseMultiplier: sigma, fractionBits: fractionBits)
            return vector(try update.vector(plainResult(work, preprocessor, model).update(from: model), random: random))
        }
        let matrix = try preprocessor.transform(dataset.train)
        let units = guarantee.unit == .subject ? TrainingUnits(keys: dataset.train.unitKeys) : nil
        guard guarantee.mode == .recordLocal else {
            let gradient = plan.privateGradient(guarantee, noiseMultiplier: sigma, fractionBits: fractionBits)
            return vector(try gradient.vector(model, family: plan.family, on: matrix, units: units, random: random))
        }
        let training = PrivateTraining(
            optimizer: plan.training.local.optimizer, steps: guarantee.stepsPerRound, samplingRate: guarantee.samplingRate,
            expectedBatch: guarantee.expectedBatch, clippingNorm: guarantee.clippingNorm, noiseMultiplier: sigma,
            proximalMu: plan.training.local.proximalMu)
        let trained = try training.train(model, family: plan.family, on: matrix, units: units, random: random)
        return vector(zip(trained.flattened, model.flattened).map { Double($0 - $1) })
    }

    private func plainTraining(_ work: RoundWork, _ preprocessor: Preprocessor, _ model: ModelParameters) throws -> LocalVector {
        let result = try plainResult(work, preprocessor, model)
        return LocalVector(values: result.update(from: model).map(Double.init), weight: result.examples, loss: result.loss)
    }

    /// Descent without noise. The order of rows follows from plan, run, step and site, so a run can be repeated exactly.
    private func plainResult(
        _ work: RoundWork, _ preprocessor: Preprocessor, _ model: ModelParameters
    ) throws -> LocalTrainingResult {
        let matrix = try preprocessor.transform(dataset.train)
        let text = "consilium/order/v1/\(plan.training.seed)/\(work.step)/\(site)"
        let seed = SHA256.hash(Array(text.utf8)).bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return try plan.training.local.train(model, family: plan.family, on: matrix, seed: seed)
    }

    /// Score histogram of the held-out rows, with the site's own intercept where the family has one.
    func evaluation(_ preprocessor: Preprocessor, _ model: ModelParameters) throws -> LocalVector {
        let layout = try plan.evaluationLayout()
        let histogram = try histogram(layout, preprocessor, model)
        return LocalVector(values: histogram.shares, weight: dataset.heldOut.rowCount, loss: 0)
    }

    /// The counts of the site's own held-out rows; they stay here.
    package func histogram(_ layout: EvaluationLayout, _ preprocessor: Preprocessor, _ model: ModelParameters) throws -> EvaluationHistogram {
        let matrix = try preprocessor.transform(dataset.heldOut)
        let scores = try Predictor(model, family: plan.family, localIntercept: try intercept(preprocessor, model)).probabilities(matrix)
        return try count(scores, layout)
    }

    /// The same for a version as it serves here.
    func histogram(_ layout: EvaluationLayout, _ package: VerifiedPackage, intercept: Float) throws -> EvaluationHistogram {
        let matrix = try package.preprocessor.transform(dataset.heldOut)
        let scores = try Predictor(package.parameters, family: package.family, localIntercept: intercept).probabilities(matrix)
        return try count(scores, layout)
    }

    /// What the held-out rows say of a version's scores; nil when they say nothing.
    func calibration(_ package: VerifiedPackage, intercept: Float) throws -> PlattScaling? {
        let matrix = try package.preprocessor.transform(dataset.heldOut)
        let scores = try Predictor(package.parameters, family: package.family, localIntercept: intercept).logOdds(matrix)
        return PlattScaling(logOdds: scores, labels: dataset.heldOut.labels)
    }

    private func count(_ scores: [Float], _ layout: EvaluationLayout) throws -> EvaluationHistogram {
        let groups = plan.sensitiveGroups.map { group in
            dataset.heldOut.columns[group.feature].map { $0 == Double(group.category) }
        }
        return try EvaluationHistogram(layout: layout, scores: scores, labels: dataset.heldOut.labels, groups: groups)
    }

    /// The site's own intercept for a shared model: fitted on its training rows, kept here.
    func intercept(_ preprocessor: Preprocessor, _ model: ModelParameters) throws -> Float {
        guard plan.family.perSiteIntercept else { return 0 }
        return try SiteIntercept.fit(model, family: plan.family, on: preprocessor.transform(dataset.train))
    }
}
