// What a version said of the valid rows of a request. `protocol/prediction-api.md` §3.
//
// Numbers of all rows lie in arrays of their own, so a thousand rows cost a few allocations; remarks, explanations and what
// else an answer may show of a row are made when it is asked for.

import AuditLog
import Cryptography

/// The valid rows of a request, scored by one version.
struct ScoredRows: Sendable {
    let model: DeployedModel
    let context: DecisionContext
    /// The name of the first row; the others' follow one another.
    let firstID: PredictionID
    let scores: [DeployedModel.Score]
    /// What the version scored, one row after another.
    private let features: [Double]
    /// What the record keeps: the features, and behind them the inputs of a pipeline.
    private let stored: [Double]
    /// What was asked for of each row; empty when nothing was.
    private let details: [RowDetails]

    /// - Parameters:
    ///   - rows: what is scored; refused rows have no part here.
    ///   - inputs: of a pipeline, one row of its own inputs for each valid row, one after another.
    init(
        _ rows: RequestRows, _ model: DeployedModel, _ wishes: RowWishes, _ context: DecisionContext, first: PredictionID,
        inputs: [Double] = []
    ) {
        (self.model, self.context, firstID, features) = (model, context, first, rows.values)
        let scores = model.scores(rows.values)
        self.scores = scores
        stored = inputs.isEmpty ? rows.values : Self.joined(rows.values, inputs, rows: scores.count)
        details = wishes.isNone ? [] : scores.indices.map { RowDetails(rows.row($0), scores[$0], model, wishes) }
    }

    private static func joined(_ features: [Double], _ inputs: [Double], rows: Int) -> [Double] {
        let (width, inputWidth) = (features.count / rows, inputs.count / rows)
        var joined: [Double] = []
        joined.reserveCapacity(features.count + inputs.count)
        for row in 0..<rows {
            joined += features[row * width..<(row + 1) * width]
            joined += inputs[row * inputWidth..<(row + 1) * inputWidth]
        }
        return joined
    }

    /// At least one, since a request without a valid row is refused.
    var count: Int { scores.count }

    /// The name of a row.
    func id(_ row: Int) -> PredictionID { firstID.advanced(by: row) }

    /// Values of a row's record.
    private var storedWidth: Int { stored.count / max(1, count) }

    /// What the version scored of a row.
    func features(_ row: Int) -> [Double] {
        let width = features.count / count
        return Array(features[row * width..<(row + 1) * width])
    }

    /// One row as its record has it.
    func record(_ row: Int) -> DecisionRecord {
        let score = scores[row]
        return DecisionRecord(
            id: id(row), context: context, score: score.score, probability: score.probability, positive: score.positive,
            values: Array(stored[row * storedWidth..<(row + 1) * storedWidth]))
    }

    /// Remarks on a row's features.
    func flags(_ row: Int) -> [RowFlag] {
        let width = features.count / count
        return model.flags(features.span.extracting(row * width..<(row + 1) * width))
    }

    /// Whether the score lies in the package's abstain band, so that a person should decide.
    func abstains(_ row: Int) -> Bool { model.abstains(scores[row].probability) }

    /// What was asked for of a row, if anything was.
    func details(_ row: Int) -> RowDetails? { details.isEmpty ? nil : details[row] }

    /// The record of all rows.
    /// - Parameter salts: 32 random bytes for each row.
    func record(subject: Record.Subject?, salts: [UInt8]) -> Record {
        let width = storedWidth
        return Record(
            id: firstID, kind: DecisionRecord.Kind.current, subject: subject, shared: context.bytes, salts: salts,
            payloadBytes: DecisionRecord.payloadBytes(values: width)
        ) { row, frame, start in
            let score = scores[row]
            frame.storeBytes(of: score.score.bitPattern.bigEndian, toByteOffset: start, as: UInt64.self)
            frame.storeBytes(of: score.probability.bitPattern.bigEndian, toByteOffset: start + 8, as: UInt64.self)
            frame.storeBytes(of: score.positive ? 1 : 0, toByteOffset: start + 16, as: UInt8.self)
            let values = stored.span
            var place = start + 17
            for index in row * width..<(row + 1) * width {
                let value = values[index]
                let bits = (value.isNaN ? Double.nan : value).bitPattern.bigEndian
                frame.storeBytes(of: bits, toByteOffset: place, as: UInt64.self)
                place += 8
            }
        }
    }
}

/// What a request asked to know of one row besides its score.
final class RowDetails: Sendable {
    /// Present when the request asked for it.
    let explanation: Explanation?
    /// Present when the request asked for them.
    let reasons: [ReasonCode]?
    /// What the request asked for and was found.
    let counterfactual: Counterfactual?
    let wantsCounterfactual: Bool

    init(_ values: [Double], _ score: DeployedModel.Score, _ model: DeployedModel, _ wishes: RowWishes) {
        let explanation = wishes.explain || wishes.reasons ? model.explain(values) : nil
        self.explanation = wishes.explain ? explanation : nil
        reasons = wishes.reasons ? explanation.map { model.reasons($0, positive: score.positive) } : nil
        let wish = wishes.counterfactual ?? .nothing
        wantsCounterfactual = wish != .nothing
        counterfactual = wantsCounterfactual ? model.counterfactual(values, wish) : nil
    }
}
