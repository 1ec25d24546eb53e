// What protects the rows: secure aggregation always, and one mode of differential privacy or the explicit word
// that there is none. `protocol/plan.md` §2, `protocol/differential-privacy.md` §1.

import Codec
import DifferentialPrivacy

/// The privacy block of a plan.
package struct PrivacyPlan: Equatable, Sendable {
    /// Must be true: this program has no round outside secure aggregation. The field exists so that
    /// a plan says it in its own words and a policy can hold it to them.
    package var secureAggregation: Bool
    /// Set when the plan runs without differential privacy; each consent must repeat it.
    package var withoutDifferentialPrivacy: Bool
    /// The guarantee of the training rounds; nil without differential privacy.
    package var guarantee: Guarantee?

    /// What every unit of every site is promised about the training rounds of one run.
    package struct Guarantee: Equatable, Sendable {
        /// Who is protected from whom.
        package var mode: PrivacyGuarantee
        /// What counts as one.
        package var unit: PrivacyUnit
        /// How much noise.
        package var noise: Noise
        /// δ of the promise, above 0 and at most 10⁻⁵.
        package var delta: Double
        /// C: bound of the L2 norm of one unit's gradient; of a site's whole update where the site is the unit.
        package var clippingNorm: Double
        /// q: probability that a unit is in the batch of a step; 1 where the site is the unit.
        package var samplingRate: Double
        /// What the sum of a batch is divided by. A number of the plan, the same at every site, so that nothing counts rows.
        /// 1 where the site is the unit.
        package var expectedBatch: Double
        /// Steps of a site in a training round.
        package var stepsPerRound: Int
        /// Why the statistics round may be outside the guarantee, for the report and the consent.
        package var statisticsOutsideGuarantee: String
        /// Why evaluations may be outside the guarantee, for the report and the consent.
        package var evaluationOutsideGuarantee: String
    }

    /// The two ways to say how much noise.
    package enum Noise: Equatable, Sendable {
        /// ε of a whole run, without repeated attempts; σ follows from it.
        case epsilon(Double)
        /// σ; ε follows from it.
        case multiplier(Double)
    }

    /// Bytes of a declaration in words.
    static let wordsBytesMax = 1000

    init(_ source: JSONFields) throws(FieldError) {
        var fields = source
        secureAggregation = try fields.bool("secureAggregation")
        withoutDifferentialPrivacy = try fields.bool("withoutDifferentialPrivacy", default: false)
        guarantee = fields.has("mode") ? try Guarantee(&fields) : nil
        try fields.finish()
    }

    var json: JSONValue {
        var object: [String: JSONValue] = ["secureAggregation": .bool(secureAggregation)]
        object["withoutDifferentialPrivacy"] = .bool(withoutDifferentialPrivacy)
        return .object(object.merging(guarantee?.json ?? [:]) { _, new in new })
    }
}

extension PrivacyPlan.Guarantee {
    init(_ fields: inout JSONFields) throws(FieldError) {
        mode = try fields.word("mode")
        let usual: PrivacyUnit = mode == .siteDistributed ? .site : .record
        unit = try fields.has("unit") ? fields.word("unit") : usual
        let epsilon = try fields.optionalNumber("epsilon", in: 0.01...100)
        let multiplier = try fields.optionalNumber("noiseMultiplier", in: 0.3...100_000)
        switch (epsilon, multiplier) {
        case (let epsilon?, nil): noise = .epsilon(epsilon)
        case (nil, let multiplier?): noise = .multiplier(multiplier)
        default:
            throw FieldError(path: "privacy.epsilon", problem: "give either epsilon (of a whole run) or noiseMultiplier, not both and not neither")
        }
        delta = try fields.number("delta", in: 1e-15...1e-5)
        clippingNorm = try fields.number("clippingNorm", in: 1e-3...1000)
        // A site is in every sum, whole: there is nothing to sample and nothing to divide by.
        let isWhole = unit == .site
        func drawn(_ key: String, _ fields: inout JSONFields, in range: ClosedRange<Double>) throws(FieldError) -> Double {
            if isWhole, !fields.has(key) { return 1 }
            return try fields.number(key, in: range)
        }
        samplingRate = try drawn("samplingRate", &fields, in: 1e-6...1)
        expectedBatch = try drawn("expectedBatch", &fields, in: 1...1e7)
        stepsPerRound = try fields.optionalInteger("stepsPerRound", in: 1...100_000) ?? 1
        statisticsOutsideGuarantee = try PrivacyPlan.words(&fields, "statisticsOutsideGuarantee")
        evaluationOutsideGuarantee = try PrivacyPlan.words(&fields, "evaluationOutsideGuarantee")
    }

    var json: [String: JSONValue] {
        var object: [String: JSONValue] = [
            "mode": .string(mode.rawValue), "unit": .string(unit.rawValue), "delta": .number(delta),
            "clippingNorm": .number(clippingNorm), "samplingRate": .number(samplingRate), "expectedBatch": .number(expectedBatch),
            "stepsPerRound": .integer(Int64(stepsPerRound)), "statisticsOutsideGuarantee": .string(statisticsOutsideGuarantee),
            "evaluationOutsideGuarantee": .string(evaluationOutsideGuarantee),
        ]
        switch noise {
        case .epsilon(let value): object["epsilon"] = .number(value)
        case .multiplier(let value): object["noiseMultiplier"] = .number(value)
        }
        return object
    }
}

extension PrivacyPlan {
    /// The declaration that a kind of round is outside the guarantee: somebody has to write down why.
    fileprivate static func words(_ fields: inout JSONFields, _ key: String) throws(FieldError) -> String {
        guard let text = try fields.optionalString(key, maxBytes: wordsBytesMax), text.contains(where: { !$0.isWhitespace }) else {
            throw FieldError(
                path: "privacy." + key,
                problem: "must say in words why these rounds, which reveal exact sums over private rows, may be outside the guarantee")
        }
        return text
    }
}
