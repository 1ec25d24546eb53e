// The answer to an Open Inference Protocol v2 request: JSON, and behind it the outputs that were wanted in binary.

import Codec
import HTTP

struct InferAnswer {
    let request: InferRequest
    let rows: [ScoredRow]
    let model: DeployedModel
    /// The pipeline that was asked, if it was one.
    var pipeline: DeployedPipeline?

    /// The whole response.
    var response: HTTPResponse {
        var text = JSONBody(reserving: 512 + rows.count * 64 * request.outputs.count)
        var data: [UInt8] = []
        appendHead(&text)
        for (index, wanted) in request.outputs.enumerated() {
            if index > 0 { text.raw(",") }
            append(wanted, &text, &data)
        }
        text.raw("]}")
        guard request.outputs.contains(where: \.isBinary) else {
            return HTTPResponse(contentType: "application/json", body: text.bytes)
        }
        var response = HTTPResponse(
            contentType: "application/octet-stream", body: text.bytes + data)
        response.headers.append("Inference-Header-Content-Length", String(text.bytes.count))
        return response
    }

    /// Everything up to the outputs. What belongs to a row is a parameter too when there is one row.
    private func appendHead(_ text: inout JSONBody) {
        text.raw(model.inferHead)
        if let id = request.id {
            text.raw(",\"id\":")
            text.string(id)
        }
        text.raw(",\"parameters\":{")
        text.raw(model.inferParameters)
        if let pipeline {
            text.raw(",\"pipeline\":")
            text.string(pipeline.document.name)
            text.raw(",\"pipeline_digest\":")
            text.string(pipeline.document.digest.hex)
        }
        if rows.count == 1, let row = rows.first {
            text.raw(",\"prediction_id\":")
            text.id(row.record.id)
            text.raw(row.abstains ? ",\"abstain\":true" : ",\"abstain\":false")
            if let calibrated = model.calibrated(row.record.score) {
                text.raw(",\"calibrated_probability\":")
                text.number(calibrated)
            }
        }
        text.raw("},\"outputs\":[")
    }

    private func append(_ wanted: WantedOutput, _ text: inout JSONBody, _ data: inout [UInt8]) {
        let width = wanted.classes.map { min($0, 2) } ?? wanted.output.width(model)
        text.raw("{\"name\":\"")
        text.raw(Array(wanted.output.rawValue.utf8))
        text.raw("\",\"datatype\":\"")
        text.raw(Array(wanted.datatype.rawValue.utf8))
        text.raw("\",\"shape\":[")
        text.number(rows.count)
        if width > 1 || wanted.classes != nil || wanted.output == .contributions || wanted.output == .reasons {
            text.raw(",")
            text.number(width)
        }
        guard wanted.isBinary else {
            text.raw("],\"data\":[")
            for (index, row) in rows.enumerated() {
                if index > 0 { text.raw(",") }
                appendJSON(wanted, row, &text)
            }
            return text.raw("]}")
        }
        let start = data.count
        data.reserveCapacity(start + rows.count * width * 40)
        for row in rows { appendBinary(wanted, row, &data) }
        text.raw("],\"parameters\":{\"binary_data_size\":")
        text.number(data.count - start)
        text.raw("}}")
    }

    private func appendJSON(_ wanted: WantedOutput, _ row: ScoredRow, _ text: inout JSONBody) {
        switch wanted.output {
        case .probability:
            guard let count = wanted.classes else { return text.number(row.record.probability) }
            for (index, item) in classification(row, count).enumerated() {
                if index > 0 { text.raw(",") }
                text.string(item)
            }
        case .class: text.raw(row.record.positive ? model.positiveClass : model.negativeClass)
        case .predictionID: text.id(row.record.id)
        case .abstain: text.raw(row.abstains ? "true" : "false")
        case .flags: text.string(flags(row))
        case .reasons:
            for (index, reason) in reasons(row).enumerated() {
                if index > 0 { text.raw(",") }
                text.string(reason)
            }
        case .score, .base, .residual, .contributions, .calibratedProbability:
            for (index, number) in numbers(wanted.output, row).enumerated() {
                if index > 0 { text.raw(",") }
                text.number(number)
            }
        }
    }

    private func appendBinary(_ wanted: WantedOutput, _ row: ScoredRow, _ data: inout [UInt8]) {
        switch wanted.output {
        case .probability where wanted.classes != nil:
            for item in classification(row, wanted.classes ?? 0) { append(Array(item.utf8), &data) }
        case .class:
            append(row.record.positive ? model.positiveText : model.negativeText, &data)
        case .predictionID:
            appendLength(36, &data)
            row.record.id.appendText(to: &data)
        case .abstain: data.append(row.abstains ? 1 : 0)
        case .flags: append(Array(flags(row).utf8), &data)
        case .reasons: for reason in reasons(row) { append(Array(reason.utf8), &data) }
        case .probability: append(row.record.probability, &data)
        case .score: append(row.record.score, &data)
        case .calibratedProbability, .base, .residual, .contributions:
            for number in numbers(wanted.output, row) { append(number, &data) }
        }
    }

    private func append(_ number: Double, _ data: inout [UInt8]) {
        for byte in 0..<8 {
            data.append(UInt8(truncatingIfNeeded: number.bitPattern >> (8 * UInt64(byte))))
        }
    }

    /// A BYTES element: its length, then the bytes.
    private func append(_ text: [UInt8], _ data: inout [UInt8]) {
        appendLength(text.count, &data)
        data += text
    }

    private func appendLength(_ count: Int, _ data: inout [UInt8]) {
        for byte in 0..<4 { data.append(UInt8(truncatingIfNeeded: count >> (8 * byte))) }
    }

    private func numbers(_ output: InferOutput, _ row: ScoredRow) -> [Double] {
        switch output {
        case .probability: [row.record.probability]
        case .score: [row.record.score]
        case .base: [row.explanation?.base ?? 0]
        case .residual: [row.explanation?.residual ?? 0]
        case .contributions: row.explanation?.contributions ?? []
        // NaN, in JSON null, where the version has no calibration.
        case .calibratedProbability: [model.calibrated(row.record.score) ?? .nan]
        case .class, .predictionID, .abstain, .flags, .reasons: []
        }
    }

    /// `feature:flag` with semicolons between; empty for a row without remarks.
    private func flags(_ row: ScoredRow) -> String {
        row.flags.map { "\(model.package.schema.features[$0.feature].name):\($0.kind.rawValue)" }.joined(separator: ";")
    }

    /// `code:feature:contribution`, the largest first, then empty texts.
    private func reasons(_ row: ScoredRow) -> [String] {
        let found = (row.reasons ?? []).map {
            "R\($0.feature + 1):\(model.package.schema.features[$0.feature].name):\($0.contribution)"
        }
        return found + [String](repeating: "", count: InferOutput.reasonsWidth - found.count)
    }

    /// `value:index:label` of the likelier class, then of the other one.
    private func classification(_ row: ScoredRow, _ count: Int) -> [String] {
        let classes = model.package.manifest.classes
        let probabilities = [1 - row.record.probability, row.record.probability]
        let order = probabilities[1] > probabilities[0] ? [1, 0] : [0, 1]
        return order.prefix(count).map { "\(probabilities[$0]):\($0):\(classes[$0])" }
    }
}
