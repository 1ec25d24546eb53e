// The answer to a prediction request, and its JSON. `protocol/prediction-api.md` §3.

import Codec
import Cryptography

/// Why a row was not scored. It names features and rules of the schema, never what the caller wrote.
struct RowViolation: Equatable, Sendable {
    /// The feature, when the schema has it.
    var feature: String?
    /// For a member that is no feature: its place in the row object, from 1.
    var member: Int?
    /// A fixed word: `missing`, `out-of-range`, `unknown-feature` …
    var rule: String
    /// A sentence made from the schema.
    var message: String
    /// The step of a pipeline that has no value.
    var step: String?
}

/// How much each feature moved the score away from the base value. Values are in log-odds.
package struct Explanation: Equatable, Sendable {
    /// The score of the reference point, the site's intercept included.
    package var base: Double
    /// One value per feature of the schema, in its order.
    package var contributions: [Double]
    /// score − (base + Σ contributions): rounding, and for networks of thousands of pieces the error of the sum.
    package var residual: Double
}

/// Builds JSON text in a byte array without a tree.
struct JSONBody {
    private(set) var bytes: [UInt8]

    init(reserving count: Int) {
        bytes = []
        bytes.reserveCapacity(count)
    }

    /// Appends text that is JSON already.
    mutating func raw(_ text: StaticString) {
        // Safe: a StaticString with a UTF-8 pointer owns `utf8CodeUnitCount` bytes for the whole run.
        unsafe bytes.append(
            contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// Appends bytes that are JSON already.
    mutating func raw(_ text: [UInt8]) { bytes.append(contentsOf: text) }

    /// A number, whole ones without a point; JSON has no NaN, so it becomes null.
    mutating func number(_ value: Double) {
        guard value.isFinite else { return raw("null") }
        if let whole = Int32(exactly: value) { return number(Int(whole)) }
        bytes.append(contentsOf: value.description.utf8)
    }

    /// Appends text that is JSON already.
    mutating func text(_ text: String) { bytes.append(contentsOf: text.utf8) }

    mutating func number(_ value: Int) { bytes.append(decimal: value) }

    mutating func string(_ text: String) { raw(Self.quoted(text)) }

    mutating func id(_ id: PredictionID) {
        bytes.append(UInt8(ascii: "\""))
        id.appendText(to: &bytes)
        bytes.append(UInt8(ascii: "\""))
    }

    /// A JSON string, quotes included.
    static func quoted(_ text: String) -> [UInt8] { JSONValue.string(text).canonicalBytes() }
}

extension JSONBody {
    /// The body for a request.
    /// - Parameter rows: those of the request, refused ones among them.
    static func answer(_ scored: ScoredRows, of rows: RequestRows, pipeline: DeployedPipeline? = nil) -> [UInt8] {
        var text = JSONBody(reserving: 256 + rows.count * 256)
        text.raw(scored.model.answerHead)
        rows.forEach { place, row in
            if place > 0 { text.raw(",") }
            switch row {
            case .valid(let number): text.append(scored, number, row: place)
            case .refused(let violations): text.append(violations, row: place)
            }
        }
        text.raw("]")
        if let pipeline {
            text.raw(",")
            text.append(pipeline)
        }
        text.raw("}")
        return text.bytes
    }

    /// `"pipeline":{"name","digest"}`
    private mutating func append(_ pipeline: DeployedPipeline) {
        raw("\"pipeline\":{\"name\":")
        string(pipeline.document.name)
        raw(",\"digest\":")
        string(pipeline.document.digest.hex)
        raw("}")
    }

    /// - Parameters:
    ///   - number: among the rows that were scored.
    ///   - row: the place in the request.
    private mutating func append(_ scored: ScoredRows, _ number: Int, row: Int) {
        let (model, score) = (scored.model, scored.scores[number])
        raw("{\"row\":")
        self.number(row)
        raw(",\"id\":")
        id(scored.id(number))
        raw(",\"score\":")
        self.number(score.score)
        raw(",\"probability\":")
        self.number(score.probability)
        raw(",\"class\":")
        raw(score.positive ? model.positiveClass : model.negativeClass)
        raw(score.positive ? ",\"positive\":true" : ",\"positive\":false")
        raw(",\"flags\":[")
        for (position, flag) in scored.flags(number).enumerated() {
            if position > 0 { raw(",") }
            raw("{\"feature\":")
            raw(model.quotedNames[flag.feature])
            raw(",\"flag\":\"")
            text(flag.kind.rawValue)
            raw("\"}")
        }
        raw("]")
        if model.abstain != nil {
            raw(scored.abstains(number) ? ",\"abstain\":true" : ",\"abstain\":false")
        }
        if let calibrated = model.calibrated(score.score) {
            raw(",\"calibrated_probability\":")
            self.number(calibrated)
        }
        if let details = scored.details(number) { append(details, model) }
        raw("}")
    }

    private mutating func append(_ details: RowDetails, _ model: DeployedModel) {
        if let reasons = details.reasons {
            raw(",\"reasons\":")
            append(reasons, model)
        }
        if details.wantsCounterfactual {
            raw(",\"counterfactual\":")
            append(details.counterfactual, model)
        }
        if let explanation = details.explanation {
            raw(",\"explanation\":")
            append(explanation, names: model.quotedNames)
        }
    }

    /// `{"code": "R1", "feature", "contribution", "text"}`; the code is the feature's place in the schema.
    private mutating func append(_ reasons: [ReasonCode], _ model: DeployedModel) {
        raw("[")
        for (index, reason) in reasons.enumerated() {
            if index > 0 { raw(",") }
            raw("{\"code\":\"R")
            number(reason.feature + 1)
            raw("\",\"feature\":")
            raw(model.quotedNames[reason.feature])
            raw(",\"contribution\":")
            number(reason.contribution)
            let feature = model.package.schema.features[reason.feature]
            raw(",\"text\":")
            string((feature.description.isEmpty ? feature.name : feature.description) + " raised the score")
            raw("}")
        }
        raw("]")
    }

    private mutating func append(_ counterfactual: Counterfactual?, _ model: DeployedModel) {
        guard let counterfactual else { return raw("null") }
        raw("{\"changes\":{")
        for (index, change) in counterfactual.changes.enumerated() {
            if index > 0 { raw(",") }
            raw(model.quotedNames[change.feature])
            raw(":")
            feature(change.value, model.package.schema.features[change.feature])
        }
        raw("},\"score\":")
        number(counterfactual.score)
        raw(",\"probability\":")
        number(counterfactual.probability)
        raw(",\"distance\":")
        number(counterfactual.distance)
        raw("}")
    }

    /// Appends an explanation as an object.
    mutating func append(_ explanation: Explanation, names: [[UInt8]]) {
        raw("{\"scale\":\"log-odds\",\"base\":")
        number(explanation.base)
        raw(",\"contributions\":{")
        for (index, value) in explanation.contributions.enumerated() {
            if index > 0 { raw(",") }
            raw(names[index])
            raw(":")
            number(value)
        }
        raw("},\"residual\":")
        number(explanation.residual)
        raw("}")
    }

    private mutating func append(_ violations: [RowViolation], row: Int) {
        raw("{\"row\":")
        number(row)
        raw(",\"violations\":")
        append(violations)
        raw("}")
    }

    /// Appends violations as an array of objects.
    mutating func append(_ violations: [RowViolation]) {
        raw("[")
        for (index, violation) in violations.enumerated() {
            if index > 0 { raw(",") }
            raw("{")
            if let feature = violation.feature {
                raw("\"feature\":")
                string(feature)
                raw(",")
            }
            if let member = violation.member {
                raw("\"member\":")
                number(member)
                raw(",")
            }
            if let step = violation.step {
                raw("\"step\":")
                string(step)
                raw(",")
            }
            raw("\"rule\":")
            string(violation.rule)
            raw(",\"message\":")
            string(violation.message)
            raw("}")
        }
        raw("]")
    }

    /// The body when no row could be scored: an error, then the rows with their violations.
    static func refusal(_ rows: RequestRows) -> [UInt8] {
        var text = JSONBody(reserving: 512)
        text.raw("{\"error\":")
        text.string(refusalSentence(rows))
        text.raw(",\"predictions\":[")
        for (index, row) in rows.refused.enumerated() {
            if index > 0 { text.raw(",") }
            text.append(row.violations, row: row.place)
        }
        text.raw("]}")
        return text.bytes
    }

    private static func refusalSentence(_ rows: RequestRows) -> String {
        guard let violations = rows.refused.first?.violations, let first = violations.first else {
            return "no row could be scored"
        }
        let more = violations.count - 1
        return "no row could be scored; row 0: \(first.message)"
            + (more > 0 ? " and \(more) more" : "")
    }
}
