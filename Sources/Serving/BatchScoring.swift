// Scores a CSV file of any size through a node's own `POST /v1/predict`: the same checks, preprocessing, records and log
// entries as a live request, and one more file for the rows that do not fit.
//
//   scored       row,prediction_id,version,score,probability,class,flags,calibrated_probability,abstain   row counts from 1, header not counted
//   quarantine   row,line,column,rule,message                                   one line per broken rule

import Codec
import HTTP
import Tabular

/// What becomes of each row of a file.
package struct BatchScoring {
    /// Sends a body to `/v1/predict` and waits for the answer.
    package typealias Send = ([UInt8]) throws -> HTTPResponse
    /// Takes bytes of an output file.
    package typealias Sink = ([UInt8]) throws -> Void

    /// Takes note of how far the file is scored, after each answered request.
    package typealias Step = (Standing) throws -> Void

    /// Rows of one request at most; of wide rows fewer, so that a body keeps to its limit.
    package static let rowsPerRequest = ServingLimits.rows

    /// How far a file is scored: all rows up to one, from 1, are in the output or in quarantine.
    package struct Standing: Equatable, Sendable {
        /// The last row.
        package var row = 0
        /// Rows in the output.
        package var scored = 0
        /// Rows in quarantine.
        package var refused = 0
    }

    /// Why a file was not scored to its end. Rows before it are scored and logged.
    package struct Failure: Error, CustomStringConvertible {
        /// The node's status; 0 when the answer was not understood.
        package var status: Int
        /// Rows that were scored before.
        package var scored: Int
        var message: String

        package var description: String {
            "the node stopped scoring after \(scored) rows: \(message)"
        }
    }

    private let schema: Schema
    private let model: String
    private let send: Send
    private let output: Sink
    private let quarantine: Sink
    private let step: Step
    private let doneBefore: Int
    private let rowsMax: Int
    private var decoder: RowDecoder
    private var waiting: [(row: Int, line: Int, values: [Double])] = []
    /// Rows so far.
    package private(set) var standing: Standing

    /// - Parameters:
    ///   - schema: of the version that answers; its columns are looked for in the file.
    ///   - model: the model's name at the node.
    ///   - isLaidOutAsTrained: whether the file has the layout of the training files, which may be without header. Else
    ///     it has a header line with the features' columns, and other columns are passed over.
    ///   - before: what an earlier run of the same file has done; it is not done again, and no header lines are written.
    /// - Throws: `TabularError` when the schema's column list does not fit itself; what the sinks throw.
    package init(
        schema: Schema, model: String, isLaidOutAsTrained: Bool, after before: Standing? = nil, send: @escaping Send,
        output: @escaping Sink, quarantine: @escaping Sink, step: @escaping Step = { _ in }
    ) throws {
        var schema = schema
        if !isLaidOutAsTrained {
            schema.hasHeader = true
            schema.columns = []
            schema.otherColumns = .ignore
        }
        (self.schema, self.model, self.send) = (schema, model, send)
        (self.output, self.quarantine, self.step) = (output, quarantine, step)
        standing = before ?? Standing()
        doneBefore = standing.row
        rowsMax = Self.rowsMax(schema)
        var limits = CSVLimits()
        limits.recordsMax = Int.max
        decoder = try RowDecoder(RowRules(schema), labelled: false, limits: limits)
        guard before == nil else { return }
        try write(
            ["row", "prediction_id", "version", "score", "probability", "class", "flags", "calibrated_probability", "abstain"], output)
        try write(["row", "line", "column", "rule", "message"], quarantine)
    }

    /// Takes a chunk of the file, of any size.
    /// - Throws: `TabularError` for the file as a whole, ``Failure``, what `send` and the sinks throw.
    package mutating func feed(_ chunk: [UInt8]) throws {
        var rows: [DecodedRow] = []
        try decoder.feed(chunk) { rows.append($0) }
        try take(rows)
    }

    /// Ends the file.
    package mutating func finish() throws {
        var rows: [DecodedRow] = []
        try decoder.finish { rows.append($0) }
        try take(rows)
        try flush()
    }

    private mutating func take(_ rows: [DecodedRow]) throws {
        for row in rows where row.dataRow >= doneBefore {
            standing.row = row.dataRow + 1
            switch row.content {
            case .valid(let values, _, _):
                waiting.append((row.dataRow + 1, row.line, values.values))
                if waiting.count == rowsMax { try flush() }
            case .refused(let violations):
                standing.refused += 1
                for violation in violations {
                    try refuse(row.dataRow + 1, row.line, violation.name, violation.rule.code, "\(violation)")
                }
            case .incomplete:
                standing.refused += 1
                try refuse(
                    row.dataRow + 1, row.line, "", "incomplete", "the schema leaves incomplete rows out")
            }
        }
    }

    private mutating func flush() throws {
        guard !waiting.isEmpty else { return }
        let response = try send(body)
        guard let value = try? JSONValue.parse(response.body, dialect: .strict),
            let answers = value["predictions"]?.arrayValue, answers.count == waiting.count
        else {
            throw Failure(
                status: response.status, scored: standing.scored,
                message: response.errorMessage ?? "the answer is not that of a prediction")
        }
        let version = value["version"]?.intValue.map(String.init) ?? ""
        var lines: [UInt8] = []
        for (row, answer) in zip(waiting, answers) {
            if let violations = answer["violations"]?.arrayValue {
                standing.refused += 1
                for violation in violations {
                    try refuse(
                        row.row, row.line, violation["feature"]?.stringValue ?? "",
                        violation["rule"]?.stringValue ?? "", violation["message"]?.stringValue ?? "")
                }
                continue
            }
            standing.scored += 1
            let flags = (answer["flags"]?.arrayValue ?? []).map {
                "\($0["feature"]?.stringValue ?? ""):\($0["flag"]?.stringValue ?? "")"
            }
            CSVWriter.append(
                [
                    String(row.row), answer["id"]?.stringValue ?? "", version, number(answer["score"]),
                    number(answer["probability"]), answer["class"]?.stringValue ?? "",
                    flags.joined(separator: ";"), number(answer["calibrated_probability"]),
                    answer["abstain"]?.boolValue.map { String($0) } ?? "",
                ], to: &lines)
        }
        try output(lines)
        waiting.removeAll(keepingCapacity: true)
        try step(standing)
    }

    private func number(_ value: JSONValue?) -> String {
        value?.doubleValue.map { $0.description } ?? ""
    }

    private static func rowsMax(_ schema: Schema) -> Int {
        let bytes = schema.features.reduce(4) { bytes, feature in
            let value = feature.codes?.map { JSONBody.quoted($0).count }.max() ?? 0
            return bytes + JSONBody.quoted(feature.name).count + max(value, numberBytesMax) + 2
        }
        return max(1, min(rowsPerRequest, (ServingLimits.predictBodyBytes - 1024) / bytes))
    }

    /// The longest decimal text of a double.
    private static let numberBytesMax = 25

    private var body: [UInt8] {
        var text = JSONBody(reserving: waiting.count * 32 * schema.features.count)
        let names = schema.features.map { JSONBody.quoted($0.name) }
        text.raw("{\"model\":")
        text.string(model)
        text.raw(",\"rows\":[")
        for (index, row) in waiting.enumerated() {
            text.raw(index > 0 ? ",{" : "{")
            for (place, feature) in schema.features.enumerated() {
                if place > 0 { text.raw(",") }
                text.raw(names[place])
                text.raw(":")
                text.feature(row.values[place], feature)
            }
            text.raw("}")
        }
        text.raw("]}")
        return text.bytes
    }

    private func refuse(_ row: Int, _ line: Int, _ column: String, _ rule: String, _ message: String) throws {
        try write([String(row), String(line), column, rule, message], quarantine)
    }

    private func write(_ fields: [String], _ sink: Sink) throws {
        var bytes: [UInt8] = []
        CSVWriter.append(fields, to: &bytes)
        try sink(bytes)
    }
}
