// A version that takes over step by step, or that is held against the live one on equal terms. `protocol/plan.md` §2,
// `protocol/prediction-api.md` §9.

import Codec

/// Steps, guardrails and test of a canary or an A/B comparison.
package struct CanaryPlan: Equatable, Sendable {
    /// What decides.
    package enum Kind: String, Sendable, CaseIterable {
        /// The version goes on from step to step unless a guardrail is crossed, and goes live after the last.
        case canary
        /// One share; outcomes decide. Better: it goes live. Worse, or no difference shown: the live version stays.
        case ab
    }

    /// What decides.
    package var kind: Kind
    /// Share of requests at each step, in percent, ascending.
    package var steps: [Int]
    /// Rows that the version answers in a step before the next.
    package var rowsPerStep: Int
    /// Minutes that a step lasts at least.
    package var minutesPerStep: Int
    /// α: the chance, over the whole trial however often one looks, that a version within all guardrails is stopped.
    package var alpha: Double
    /// Guardrail: share of rows on which the version gives no usable score.
    package var errorShareMax: Double
    /// Guardrail: how far its mean probability may be from the live version's on the same rows.
    package var scoreShiftMax: Double
    /// Guardrail: how many times the live version's time it may usually take for a row.
    package var slowerTimesMax: Double
    /// Guardrail: how much worse its squared error may be than the live version's, by outcomes that come back.
    package var outcomeMargin: Double
    /// Pairs of outcomes after which an A/B comparison ends without a decision.
    package var outcomesMax: Int

    /// A trial with the defaults.
    package init(_ kind: Kind = .canary) {
        self.kind = kind
        (steps, rowsPerStep, minutesPerStep) = (kind == .ab ? [50] : [1, 5, 25, 50], 500, 0)
        alpha = 0.05
        (errorShareMax, scoreShiftMax, slowerTimesMax) = (0.01, 0.2, 10)
        outcomeMargin = kind == .ab ? 0 : 0.02
        outcomesMax = 10_000
    }

    /// Most steps of a trial.
    package static let stepsMax = 20

    /// Reads the object.
    /// - Throws: `FieldError`, `StudyError` for steps that make no sense.
    package init(_ source: JSONFields) throws {
        var fields = source
        self.init(fields.has("kind") ? try fields.word("kind") : .canary)
        if let values = try fields.optionalArray("steps", maxCount: CanaryPlan.stepsMax) {
            steps = try CanaryPlan.steps(values, path: fields.path + ".steps")
        }
        guard kind == .canary || steps.count == 1 else {
            throw StudyError(.planContradiction, path: fields.path + ".steps", problem: "an A/B comparison has one share")
        }
        rowsPerStep = try fields.optionalInteger("rowsPerStep", in: 1...100_000_000) ?? rowsPerStep
        minutesPerStep = try fields.optionalInteger("minutesPerStep", in: 0...525_600) ?? minutesPerStep
        alpha = try fields.optionalNumber("alpha", in: 0.0001...0.5) ?? alpha
        errorShareMax = try fields.optionalNumber("errorShareMax", in: 0.0001...0.5) ?? errorShareMax
        scoreShiftMax = try fields.optionalNumber("scoreShiftMax", in: 0.001...0.999) ?? scoreShiftMax
        slowerTimesMax = try fields.optionalNumber("slowerTimesMax", in: 1.1...1000) ?? slowerTimesMax
        outcomeMargin = try fields.optionalNumber("outcomeMargin", in: 0...0.9) ?? outcomeMargin
        outcomesMax = try fields.optionalInteger("outcomesMax", in: 10...100_000_000) ?? outcomesMax
        try fields.finish()
    }

    private static func steps(_ values: [JSONValue], path: String) throws -> [Int] {
        let steps = values.compactMap(\.intValue)
        guard !steps.isEmpty, steps.count == values.count, steps.allSatisfy({ (1...99).contains($0) }),
            zip(steps, steps.dropFirst()).allSatisfy({ $0 < $1 })
        else {
            throw FieldError(path: path, problem: "must be whole percentages from 1 to 99, each above the one before")
        }
        return steps
    }

    /// The form that plans carry.
    package var json: JSONValue {
        [
            "kind": .string(kind.rawValue), "steps": .array(steps.map { .integer(Int64($0)) }),
            "rowsPerStep": .integer(Int64(rowsPerStep)), "minutesPerStep": .integer(Int64(minutesPerStep)),
            "alpha": .number(alpha), "errorShareMax": .number(errorShareMax), "scoreShiftMax": .number(scoreShiftMax),
            "slowerTimesMax": .number(slowerTimesMax), "outcomeMargin": .number(outcomeMargin),
            "outcomesMax": .integer(Int64(outcomesMax)),
        ]
    }
}
