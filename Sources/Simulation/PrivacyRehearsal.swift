// What noise costs in accuracy, tried out on rows that are nobody's secret: a public file of the same schema, or rows made
// from the schema. The training is the node's own code; only the secure sum and the network are left out, as they change nothing.
// `protocol/differential-privacy.md` §3.

import Cryptography
import DifferentialPrivacy
import Glibc
import Messages
import Models
import SecureAggregation
import SiteNode
import Study
import Tabular

/// A plan's training on stand-in rows, with as much noise as asked for.
package struct PrivacyRehearsal: Sendable {
    /// The plan; the noise of its privacy block is replaced.
    private let plan: Plan
    private let sites: [LocalWork]
    private let pooled: LocalWork
    private let preprocessor: Preprocessor
    private let seed: UInt64
    /// Rows in all.
    package let rows: Int
    /// Whether the rows were made from the schema.
    package let isSynthetic: Bool

    /// Rows of a site, at most: enough for the expected batch of usual plans.
    package static let siteRowsMax = 20_000
    /// The noise that stands for "none": the plan's clipping stays.
    private static let quiet = 0.01

    /// - Parameters:
    ///   - plan: with a guarantee.
    ///   - publicRows: labelled rows of the plan's schema; nil: rows made from the schema and the seed.
    ///   - seed: of rows, batches and noise.
    /// - Throws: `NodeError.data` or a `TabularError` when the rows do not carry the plan's training.
    package init(_ plan: Plan, publicRows: Table?, seed: UInt64) throws {
        guard let guarantee = plan.privacy.guarantee else { throw ScenarioError.unusable("the plan has no differential privacy to rehearse") }
        self.plan = plan
        self.seed = seed
        isSynthetic = publicRows == nil
        let count = plan.cohort.sitesMin
        // The plan's own arithmetic says how many units it expects at a site.
        let wanted = min(PrivacyRehearsal.siteRowsMax, max(200, Int(guarantee.expectedBatch / guarantee.samplingRate)))
        let random = SeededRandom(seed: seed).child("rehearsal/rows")
        let table = publicRows ?? StandInRows.table(plan.schema, rows: wanted * count * 4 / 3, random: random)
        var order = Array(0..<table.rowCount)
        for place in stride(from: order.count - 1, to: 0, by: -1) { order.swapAt(place, random.uniform(below: place + 1)) }
        var parts = [[Int]](repeating: [], count: count)
        var judges: [Int] = []
        for (place, row) in order.enumerated() {
            if place % 4 == 3 { judges.append(row) } else { parts[(place - place / 4) % count].append(row) }
        }
        let heldOut = table.subset(judges)
        func work(_ train: Table, _ site: String) -> LocalWork {
            LocalWork(
                plan: plan, site: site,
                dataset: SiteDataset(
                    train: train, heldOut: heldOut, sourceFingerprint: .zero, feedbackRows: 0,
                    quality: QualityReport(of: train), quarantined: 0))
        }
        sites = parts.enumerated().map { work(table.subset($1), "site\($0)") }
        pooled = work(table.subset(parts.flatMap { $0 }), "all")
        rows = table.rowCount
        preprocessor = try Preprocessor(
            schema: plan.schema,
            statistics: SiteStatistics.decode(
                weightedMeans: SiteStatistics.encode(pooled.dataset.train), totalRows: pooled.dataset.train.rowCount, schema: plan.schema))
    }

    /// Draws of the noise that a figure is the mean of.
    package static let draws = 5

    /// AUC on held-out stand-in rows after the plan's rounds, mean of `draws`.
    ///
    /// - Parameter noiseMultiplier: σ; nil for next to no noise.
    /// - Throws: `ModelsError` when the training diverges.
    package func auc(noiseMultiplier: Double?) throws -> Double {
        try (0..<PrivacyRehearsal.draws).reduce(0) { try $0 + auc(noiseMultiplier: noiseMultiplier, draw: $1) } / Double(PrivacyRehearsal.draws)
    }

    private func auc(noiseMultiplier: Double?, draw: Int) throws -> Double {
        var plan = plan
        let sigma = noiseMultiplier ?? PrivacyRehearsal.quiet
        plan.privacy.guarantee?.noise = .multiplier(sigma)
        let initial = ModelParameters(family: plan.family, inputs: preprocessor.columnCount, seed: plan.training.initialSeed)
        var (model, optimizer) = (initial, ServerOptimizer.State())
        let spec = RoundWork.vector(.training, plan: plan, elements: initial.count, sites: sites.count)
        let bits = spec.tensors.first?.fractionBits ?? 0
        let random = SeededRandom(seed: seed).child("rehearsal/noise/\(sigma)/\(draw)")
        let noise = try plan.releaseNoise(fractionBits: bits)
        for step in 0..<plan.training.rounds {
            let order = RoundWork(kind: .training, run: "rehearsal", planHash: .zero, number: UInt64(step + 1), step: step, preprocessor: .zero, model: .zero)
            var sum = [Double](repeating: 0, count: initial.count)
            for site in sites {
                let work = LocalWork(plan: plan, site: site.site, dataset: site.dataset)
                let part = try work.training(order, preprocessor, model, fractionBits: bits, random: random.child("\(step)/\(site.site)"))
                for index in sum.indices { sum[index] += part.values[index] }
            }
            if let noise {
                let scale = Double(sign: .plus, exponent: bits, significand: 1)
                sum = noise.noised(sum.map { Int32(clamping: Int64(($0 * scale).rounded())) }, random: random).map { Double($0) / scale }
            }
            let mean = sum.map { Float($0 / Double(sites.count)) }
            model = try model.replacing(plan.training.server.apply(previous: model.flattened, meanUpdate: mean, state: &optimizer))
        }
        return try pooled.histogram(plan.evaluationLayout(), preprocessor, model).metrics.named["auc"] ?? .nan
    }
}

/// Rows made from nothing but a schema: values spread over their ranges, a label that some of them carry.
package enum StandInRows {
    /// - Parameters:
    ///   - schema: what a row is.
    ///   - rows: how many.
    ///   - random: same source, same rows.
    package static func table(_ schema: Schema, rows: Int, random: SeededRandom) -> Table {
        var table = Table(schema: schema)
        let rules = RowRules(schema)
        let weights = schema.features.map { _ in normal(random) }
        let length = weights.reduce(0) { $0 + $1 * $1 }.squareRoot()
        for row in 0..<rows {
            var score = 0.0
            var values: [String: FieldInput] = [:]
            for (index, feature) in schema.features.enumerated() {
                let (value, standard) = draw(feature, random)
                score += standard * weights[index] * 2 / max(length, 1e-9)
                values[feature.name] = value
            }
            let positive = random.double() < 1 / (1 + exp(-score))
            guard let valid = try? rules.validate(named: values) else { preconditionFailure("a row made from a schema breaks it") }
            table.append(
                valid, label: positive, subject: schema.subjectColumn == nil ? nil : Array("person \(row / 2)".utf8))
        }
        return table
    }

    private static func normal(_ random: SeededRandom) -> Double {
        (-2 * log(1 - random.double())).squareRoot() * cos(2 * .pi * random.double())
    }

    /// A value, and the same centred and scaled.
    private static func draw(_ feature: Feature, _ random: SeededRandom) -> (FieldInput, Double) {
        switch feature.kind {
        case .numeric(_, let range, let isWhole):
            let width = range.upperBound - range.lowerBound
            let standard = min(3, max(-3, normal(random)))
            let value = range.lowerBound + width * (standard + 3) / 6
            let whole = min(range.upperBound.rounded(.down), max(range.lowerBound.rounded(.up), value.rounded()))
            return (.number(isWhole ? whole : value), standard)
        case .categorical(let categories, _):
            let place = Int(random.double() * Double(categories.count))
            return (.text(categories[place]), categories.count < 2 ? 0 : (Double(place) / Double(categories.count - 1) - 0.5) * 3)
        case .binary(let zero, let other):
            let one = random.double() < 0.5
            return (.text(one ? other : zero), one ? 1 : -1)
        }
    }
}
