// The Open Inference Protocol v2, in its JSON form: metadata, readiness and inference.
//
// Each feature of the schema is an input tensor of shape [n] or [n, 1]: FP64 for numbers, BYTES for categories and binary
// features; other numeric types and BOOL are taken where the schema takes such a value, and null means missing. Outputs:
// `probability`, `score` (FP64 [n]), `class`, `prediction_id` (BYTES [n]) and, when asked for, `contributions`
// (FP64 [n, features]) with `base` (FP64 [n]). A row that does not fit fails the request: tensors have no place for it.

import Codec
import HTTP
import Tabular
import Telemetry

extension PredictionService {
    func serverJSON() -> JSONValue {
        ["name": "consilium", "version": "1", "extensions": .array([])]
    }

    /// `GET /v2/models/{model}`.
    func modelJSON(_ name: String) throws(RequestRefusal) -> JSONValue {
        let model = try liveModel(name)
        let inputs = model.package.schema.features.map { feature -> JSONValue in
            [
                "name": .string(feature.name),
                "datatype": .string(feature.codes == nil ? "FP64" : "BYTES"), "shape": [-1],
            ]
        }
        return [
            "name": .string(name), "versions": .array([.string(String(model.package.version))]),
            "platform": "consilium_safetensors",
            "inputs": .array(inputs),
            "outputs": .array(
                InferOutput.allCases.map { $0.json(model.package.schema.features.count) }),
        ]
    }

    /// `GET /v2/models/{model}/ready`.
    func modelReady(_ name: String, _ responder: HTTPResponder) throws(RequestRefusal) {
        _ = try liveModel(name)
        guard isReady else {
            throw RequestRefusal(503, .unavailable, "the node is not ready; see /v2/health/ready")
        }
        responder.respond(.json(["name": .string(name), "ready": true]))
    }

    /// `POST /v2/models/{model}/infer`.
    func infer(
        _ name: String, _ request: HTTPRequest, _ principal: Principal, _ responder: HTTPResponder,
        _ start: UInt64
    ) throws {
        let model = try liveModel(name)
        let asked = try InferRequest(request.body, model.rules)
        let rows = asked.rows
        for (index, row) in rows.enumerated() {
            guard case .refused(let violations) = row, let first = violations.first else {
                continue
            }
            throw RequestRefusal(400, .schema, "row \(index): \(first.message)")
        }
        let answers = score(rows, model, explain: asked.wants(.contributions) || asked.wants(.base))
        try commit(answers, model, principal, responder, .infer, start) {
            asked.answer(answers, model).canonicalBytes()
        }
    }

    private func liveModel(_ name: String) throws(RequestRefusal) -> DeployedModel {
        guard let model = deployments.liveModel(name) else {
            throw RequestRefusal(
                404, .unknownModel, "no such model is live; GET /v1/models lists them")
        }
        return model
    }
}

/// The output tensors.
private enum InferOutput: String, CaseIterable {
    case probability, score, `class`
    case predictionID = "prediction_id"
    case contributions, base

    var isDefault: Bool { self != .contributions && self != .base }

    var datatype: String {
        switch self {
        case .class, .predictionID: "BYTES"
        default: "FP64"
        }
    }

    func json(_ features: Int) -> JSONValue {
        let shape: JSONValue = self == .contributions ? [-1, .integer(Int64(features))] : [-1]
        return ["name": .string(rawValue), "datatype": .string(datatype), "shape": shape]
    }
}

private struct InferRequest {
    private(set) var rows: [RequestRow] = []
    private var id: String?
    private var outputs: [InferOutput] = InferOutput.allCases.filter(\.isDefault)

    func wants(_ output: InferOutput) -> Bool { outputs.contains(output) }

    init(_ body: [UInt8], _ rules: RowRules) throws(RequestRefusal) {
        let value: JSONValue
        do {
            value = try JSONValue.parse(
                body, dialect: .strict,
                limits: JSONLimits(bytesMax: ServingLimits.predictBodyBytes, depthMax: 8))
        } catch {
            throw .malformed("the body is not strict JSON: \(error)")
        }
        guard case .object(let members) = value else {
            throw .malformed("the body must be an object with inputs")
        }
        guard members.keys.allSatisfy(["id", "parameters", "inputs", "outputs"].contains) else {
            throw .malformed(
                "the request has an unknown member; it may have id, parameters, inputs, outputs")
        }
        if let given = members["id"] {
            guard let text = given.stringValue, text.utf8.count <= 256 else {
                throw .malformed("\"id\" must be a text of at most 256 bytes")
            }
            id = text
        }
        if let wanted = members["outputs"] { outputs = try Self.outputs(wanted) }
        guard let inputs = members["inputs"]?.arrayValue, !inputs.isEmpty else {
            throw .malformed("\"inputs\" must be an array of tensors")
        }
        rows = try Self.rows(inputs, rules)
    }

    private static func outputs(_ value: JSONValue) throws(RequestRefusal) -> [InferOutput] {
        guard let items = value.arrayValue, items.count <= InferOutput.allCases.count else {
            throw .malformed("\"outputs\" must be an array of tensors by name")
        }
        var outputs: [InferOutput] = []
        for (index, item) in items.enumerated() {
            guard let output = item["name"]?.stringValue.flatMap(InferOutput.init),
                !outputs.contains(output)
            else {
                throw .malformed(
                    "output \(index) is unknown or repeated; the outputs are \(InferOutput.allCases.map(\.rawValue).joined(separator: ", "))"
                )
            }
            outputs.append(output)
        }
        return outputs
    }

    private static func rows(_ inputs: [JSONValue], _ rules: RowRules) throws(RequestRefusal)
        -> [RequestRow]
    {
        var columns: [Int: [JSONValue]] = [:]
        var count: Int?
        for (index, input) in inputs.enumerated() {
            guard let name = input["name"]?.stringValue,
                let feature = rules.featureIndex(named: name), columns[feature] == nil
            else {
                throw .malformed(
                    "input \(index) has no name, an unknown name or a repeated one; GET the model lists its inputs"
                )
            }
            let data = try column(input, index)
            guard count == nil || count == data.count else {
                throw .malformed("input \(index) has another number of rows than the first")
            }
            count = data.count
            columns[feature] = data
        }
        guard let count, count <= ServingLimits.rows else {
            throw .malformed("a request has at most \(ServingLimits.rows) rows")
        }
        var builder = RowBuilder(rules)
        var rows: [RequestRow] = []
        for row in 0..<count {
            builder.reset()
            for (feature, data) in columns.sorted(by: { $0.key < $1.key }) {
                set(&builder, data[row], feature)
            }
            let isComplete = builder.complete()
            let violations = builder.violations.map {
                RowViolation(feature: $0.name, rule: $0.rule.code, message: $0.description)
            }
            rows.append(isComplete ? .valid(builder.values) : .refused(violations))
        }
        return rows
    }

    private static let datatypes: Set<String> = [
        "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16",
        "FP32", "FP64", "BYTES",
    ]

    /// The values of one tensor of shape [n] or [n, 1], nested or flat.
    private static func column(_ input: JSONValue, _ index: Int) throws(RequestRefusal)
        -> [JSONValue]
    {
        guard let members = input.objectValue,
            members.keys.allSatisfy(["name", "shape", "datatype", "parameters", "data"].contains)
        else {
            throw .malformed(
                "input \(index) has an unknown member; a tensor has name, shape, datatype, parameters, data"
            )
        }
        guard let datatype = members["datatype"]?.stringValue, datatypes.contains(datatype) else {
            throw .malformed("input \(index) has an unknown datatype")
        }
        guard let shape = members["shape"]?.arrayValue,
            shape.count == 1 || (shape.count == 2 && shape[1] == 1), let count = shape[0].intValue,
            count > 0
        else {
            throw .malformed("input \(index) must have shape [n] or [n, 1] with n of at least 1")
        }
        guard let data = members["data"]?.arrayValue else {
            throw .malformed("input \(index) has no data array")
        }
        var flat: [JSONValue] = []
        for value in data {
            if let nested = value.arrayValue {
                guard nested.count == 1, let only = nested.first else {
                    throw .malformed("input \(index) has data of another shape than it says")
                }
                flat.append(only)
            } else {
                flat.append(value)
            }
        }
        guard flat.count == count else {
            throw .malformed("input \(index) has data of another shape than it says")
        }
        guard flat.allSatisfy({ fits($0, datatype) }) else {
            throw .malformed("input \(index) has data of another type than it says")
        }
        return flat
    }

    private static func fits(_ value: JSONValue, _ datatype: String) -> Bool {
        switch value {
        case .null: true
        case .string: datatype == "BYTES"
        case .bool: datatype == "BOOL"
        case .integer: datatype != "BYTES" && datatype != "BOOL"
        case .number: datatype.hasPrefix("FP")
        default: false
        }
    }

    private static func set(_ builder: inout RowBuilder, _ value: JSONValue, _ feature: Int) {
        switch value {
        case .integer(let number): builder.set(number: Double(number), at: feature)
        case .number(let number): builder.set(number: number, at: feature)
        case .string(let text): builder.set(.text(text), at: feature)
        case .bool(let flag): builder.set(bool: flag, at: feature)
        default: builder.setMissing(at: feature)
        }
    }

    func answer(_ answers: [RowAnswer], _ model: DeployedModel) -> JSONValue {
        let scored = answers.compactMap { answer in
            if case .scored(let row) = answer { row } else { nil }
        }
        var body: [String: JSONValue] = [
            "model_name": .string(model.package.name),
            "model_version": .string(String(model.package.version)),
            "parameters": [
                "digest": .string(model.digestHex), "threshold": .number(model.package.threshold),
            ],
            "outputs": .array(outputs.map { tensor($0, scored, model) }),
        ]
        if let id { body["id"] = .string(id) }
        return .object(body)
    }

    private func tensor(_ output: InferOutput, _ rows: [ScoredRow], _ model: DeployedModel)
        -> JSONValue
    {
        let classes = model.package.manifest.classes
        let data: [JSONValue] =
            switch output {
            case .probability: rows.map { .number($0.record.probability) }
            case .score: rows.map { .number($0.record.score) }
            case .class: rows.map { .string(classes[$0.record.positive ? 1 : 0]) }
            case .predictionID: rows.map { .string($0.record.id.description) }
            case .contributions:
                rows.flatMap { ($0.explanation?.contributions ?? []).map { .number($0) } }
            case .base: rows.map { .number($0.explanation?.base ?? 0) }
            }
        var shape: [JSONValue] = [.integer(Int64(rows.count))]
        if output == .contributions {
            shape.append(.integer(Int64(model.package.schema.features.count)))
        }
        return [
            "name": .string(output.rawValue), "datatype": .string(output.datatype),
            "shape": .array(shape), "data": .array(data),
        ]
    }
}
