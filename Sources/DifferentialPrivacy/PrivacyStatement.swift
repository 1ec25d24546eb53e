// What a release says about the rows behind it. `protocol/differential-privacy.md` §7.

import Codec

/// The guarantee of one run in words and numbers, for reports, packages and model cards. Nothing in it depends on rows.
package struct PrivacyStatement: Equatable, Sendable {
    /// Who is protected from whom.
    package var mode: PrivacyGuarantee
    /// What is protected.
    package var unit: PrivacyUnit
    /// Whom a member of the data has to trust.
    package var trust: String
    /// ε by Rényi divergences, all attempts together.
    package var renyi: Double
    /// ε by privacy loss distributions; nil for noise on whole numbers, for which only the Rényi bound is proved.
    package var loss: Double?
    /// δ of both.
    package var delta: Double
    /// q.
    package var samplingRate: Double
    /// σ.
    package var noiseMultiplier: Double
    /// C.
    package var clippingNorm: Double
    /// Steps that were charged.
    package var steps: Int
    /// Training rounds that were completed.
    package var rounds: Int
    /// Training rounds that were dropped after sites had been charged; they cost like the others.
    package var droppedRounds: Int
    /// Fewest sites in a sum; 0 before there was one.
    package var cohortMin: Int
    /// Most sites in a sum; 0 before there was one.
    package var cohortMax: Int
    /// What lies outside the guarantee, and why, in the plan's words.
    package var outside: [String: String]
    /// Heads of the sites' privacy ledgers in the last round, by site: number of the last record, and 48 hex digits.
    package var ledgers: [String: String]

    /// - Parameters: see the properties.
    package init(
        mode: PrivacyGuarantee, unit: PrivacyUnit, trust: String, renyi: Double, loss: Double?, delta: Double, samplingRate: Double,
        noiseMultiplier: Double, clippingNorm: Double, steps: Int, rounds: Int, droppedRounds: Int, cohort: ClosedRange<Int>,
        outside: [String: String], ledgers: [String: String]
    ) {
        (self.mode, self.unit, self.trust, self.renyi, self.loss, self.delta) = (mode, unit, trust, renyi, loss, delta)
        (self.samplingRate, self.noiseMultiplier, self.clippingNorm) = (samplingRate, noiseMultiplier, clippingNorm)
        (self.steps, self.rounds, self.droppedRounds, self.outside, self.ledgers) = (steps, rounds, droppedRounds, outside, ledgers)
        (cohortMin, cohortMax) = (cohort.lowerBound, cohort.upperBound)
    }

    /// Version of the accountants, so that a later one can say how its numbers differ.
    package static let accountant = "consilium-accountant/1"

    /// What neighbouring data sets differ by, in words.
    package var neighbouring: String {
        switch unit {
        case .record: "one row of one site more or less"
        case .subject: "all rows of one person at one site more or less"
        case .site: "the same sites, one of them with or without its rows"
        }
    }

    /// One sentence for a page or a card.
    package var sentence: String {
        let bound = loss.map { "ε \(sentenceNumber($0)) by privacy loss distributions (\(sentenceNumber(renyi)) by Rényi divergences, which budgets go by)" }
            ?? "ε \(sentenceNumber(renyi)) by Rényi divergences"
        return "\(mode.rawValue), one \(unit.rawValue): \(bound) at δ \(ecmaScript(delta))"
    }

    /// The form in packages and reports; every number a decimal in quotes, so that it also fits into log entries.
    package var json: JSONValue {
        [
            "mode": .string(mode.rawValue), "unit": .string(unit.rawValue), "neighbouring": .string(neighbouring), "trust": .string(trust),
            "rdp": exactDecimal(renyi), "pld": loss.map(exactDecimal) ?? .null, "delta": exactDecimal(delta),
            "samplingRate": exactDecimal(samplingRate), "noiseMultiplier": exactDecimal(noiseMultiplier),
            "clippingNorm": exactDecimal(clippingNorm), "steps": .integer(Int64(steps)), "rounds": .integer(Int64(rounds)),
            "droppedRounds": .integer(Int64(droppedRounds)), "sitesMin": .integer(Int64(cohortMin)), "sitesMax": .integer(Int64(cohortMax)),
            "outside": .object(outside.mapValues { .string($0) }), "ledgers": .object(ledgers.mapValues { .string($0) }),
            "accountant": .string(PrivacyStatement.accountant),
        ]
    }

    /// Reads what `json` writes.
    ///
    /// - Throws: `FieldError` for a member that is missing, unknown or out of range.
    package init(_ source: JSONFields) throws {
        var fields = source
        mode = try fields.choice("mode")
        unit = try fields.choice("unit")
        trust = try fields.string("trust", maxBytes: 1000)
        renyi = try fields.decimal("rdp")
        loss = fields.value("pld") == .null ? nil : try fields.decimal("pld")
        delta = try fields.decimal("delta")
        samplingRate = try fields.decimal("samplingRate")
        noiseMultiplier = try fields.decimal("noiseMultiplier")
        clippingNorm = try fields.decimal("clippingNorm")
        steps = try fields.integer("steps", in: 0...PrivacyLimits.stepsMax)
        rounds = try fields.integer("rounds", in: 0...1_000_000)
        droppedRounds = try fields.integer("droppedRounds", in: 0...1_000_000)
        cohortMin = try fields.integer("sitesMin", in: 0...1_000_000)
        cohortMax = try fields.integer("sitesMax", in: 0...1_000_000)
        outside = try fields.texts("outside")
        ledgers = try fields.texts("ledgers")
        _ = try fields.string("accountant", maxBytes: 64)
        _ = try fields.string("neighbouring", maxBytes: 200)
        try fields.finish()
    }
}

extension JSONFields {
    /// An object of texts, at most 1,024 of them.
    fileprivate mutating func texts(_ key: String) throws(FieldError) -> [String: String] {
        guard case .object(let members)? = value(key), members.count <= 1024 else {
            throw FieldError(path: key, problem: "must be an object of texts")
        }
        var texts: [String: String] = [:]
        for (name, value) in members {
            guard let text = value.stringValue else { throw FieldError(path: key, problem: "must be an object of texts") }
            texts[name] = text
        }
        return texts
    }
}
