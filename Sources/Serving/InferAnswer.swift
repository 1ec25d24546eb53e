// The answer to an Open Inference Protocol v2 request: JSON, and behind it the outputs that were wanted in binary.

import Codec
import HTTP

struct InferAnswer {
    let request: InferRequest
    let rows: ScoredRows
    let model: DeployedModel
    /// The pipeline that was asked, if it was one.
    var pipeline: DeployedPipeline?

    /// The whole response.
    var response: HTTPResponse {
        let outputs = request.outputs
        var text = JSONBody(reserving: 512 + rows.count * 64 * outputs.count { !$0.isBinary })
        var data: [UInt8] = []
        data.reserveCapacity(rows.count * 24 * outputs.count(where: \.isBinary))
        appendHead(&text)
        for (index, wanted) in outputs.enumerated() {
            if index > 0 { text.raw(",") }
            append(wanted, &text, &data)
        }
        text.raw("]}")
        guard outputs.contains(where: \.isBinary) else {
            return HTTPResponse(contentType: "application/json", body: text.bytes)
        }
        let length = text.bytes.count
        text.raw(data)
        var response = HTTPResponse(contentType: "application/octet-stream", body: text.bytes)
        response.headers.append("Inference-Header-Content-Length", String(length))
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
        if rows.count == 1 {
            text.raw(",\"prediction_id\":")
            text.id(rows.firstID)
            text.raw(rows.abstains(0) ? ",\"abstain\":true" : ",\"abstain\":false")
            if let calibrated = model.calibrated(rows.scores[0].score) {
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
            for row in 0..<rows.count {
                if row > 0 { text.raw(",") }
                appendJSON(wanted, row, &text)
            }
            return text.raw("]}")
        }
        let start = data.count
        appendBinary(wanted, &data)
        text.raw("],\"parameters\":{\"binary_data_size\":")
        text.number(data.count - start)
        text.raw("}}")
    }

    private func appendJSON(_ wanted: WantedOutput, _ row: Int, _ text: inout JSONBody) {
        let score = rows.scores[row]
        switch wanted.output {
        case .probability:
            guard let count = wanted.classes else { return text.number(score.probability) }
            for (index, item) in classification(row, count).enumerated() {
                if index > 0 { text.raw(",") }
                text.string(item)
            }
        case .class: text.raw(score.positive ? model.positiveClass : model.negativeClass)
        case .predictionID: text.id(rows.id(row))
        case .abstain: text.raw(rows.abstains(row) ? "true" : "false")
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

    /// Appends an output of all rows.
    private func appendBinary(_ wanted: WantedOutput, _ data: inout [UInt8]) {
        switch wanted.output {
        case .probability where wanted.classes != nil:
            for row in 0..<rows.count { for item in classification(row, wanted.classes ?? 0) { append(Array(item.utf8), &data) } }
        case .probability: append(rows.scores.map(\.probability), &data)
        case .score: append(rows.scores.map(\.score), &data)
        case .calibratedProbability, .base, .residual, .contributions:
            for row in 0..<rows.count { append(numbers(wanted.output, row), &data) }
        case .class:
            let (positive, negative) = (element(model.positiveText), element(model.negativeText))
            for score in rows.scores { data += score.positive ? positive : negative }
        case .predictionID: rows.firstID.appendTexts(rows.count, prefix: Self.length(36), to: &data)
        case .abstain: for row in 0..<rows.count { data.append(rows.abstains(row) ? 1 : 0) }
        case .flags: for row in 0..<rows.count { append(Array(flags(row).utf8), &data) }
        case .reasons: for row in 0..<rows.count { for reason in reasons(row) { append(Array(reason.utf8), &data) } }
        }
    }

    /// FP64 elements.
    private func append(_ numbers: [Double], _ data: inout [UInt8]) {
        let start = data.count
        data += [UInt8](repeating: 0, count: 8 * numbers.count)
        var span = data.mutableSpan
        // Safe: any bytes make [UInt8].
        var bytes = unsafe span.mutableBytes
        for (index, number) in numbers.enumerated() {
            bytes.storeBytes(of: number.bitPattern.littleEndian, toByteOffset: start + 8 * index, as: UInt64.self)
        }
    }

    /// A BYTES element: its length, then the bytes.
    private func append(_ text: [UInt8], _ data: inout [UInt8]) { data += element(text) }

    private func element(_ text: [UInt8]) -> [UInt8] { Self.length(text.count) + text }

    private static func length(_ count: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) } }

    private func numbers(_ output: InferOutput, _ row: Int) -> [Double] {
        let explanation = rows.details(row)?.explanation
        return switch output {
        case .probability: [rows.scores[row].probability]
        case .score: [rows.scores[row].score]
        case .base: [explanation?.base ?? 0]
        case .residual: [explanation?.residual ?? 0]
        case .contributions: explanation?.contributions ?? []
        // NaN, in JSON null, where the version has no calibration.
        case .calibratedProbability: [model.calibrated(rows.scores[row].score) ?? .nan]
        case .class, .predictionID, .abstain, .flags, .reasons: []
        }
    }

    /// `feature:flag` with semicolons between; empty for a row without remarks.
    private func flags(_ row: Int) -> String {
        rows.flags(row).map { "\(model.package.schema.features[$0.feature].name):\($0.kind.rawValue)" }.joined(separator: ";")
    }

    /// `code:feature:contribution`, the largest first, then empty texts.
    private func reasons(_ row: Int) -> [String] {
        let found = (rows.details(row)?.reasons ?? []).map {
            "R\($0.feature + 1):\(model.package.schema.features[$0.feature].name):\($0.contribution)"
        }
        return found + [String](repeating: "", count: InferOutput.reasonsWidth - found.count)
    }

    /// `value:index:label` of the likelier class, then of the other one.
    private func classification(_ row: Int, _ count: Int) -> [String] {
        let classes = model.package.manifest.classes
        let probability = rows.scores[row].probability
        let probabilities = [1 - probability, probability]
        let order = probabilities[1] > probabilities[0] ? [1, 0] : [0, 1]
        return order.prefix(count).map { "\(probabilities[$0]):\($0):\(classes[$0])" }
    }
}
