// Several steps under one name: transformations and models, each over the fields before it; the last one is the model that answers. JSON5,
// `protocol/prediction-api.md` §10. The document is data and bounded; its SHA-256 in canonical form names it.
//
//     {
//         consilium: "pipeline/1", name: "triage",
//         inputs: [{ name: "weight", kind: "numeric", range: [1, 400] }, { name: "height", kind: "numeric", range: [0.3, 2.5] }, …],
//         steps: [
//             { name: "bmi", compute: { divide: ["weight", { multiply: ["height", "height"] }] } },
//             { name: "area", lookup: { field: "postcode", table: { "4001": "town" }, otherwise: "land" } },
//             { name: "risk", model: "cardiac", output: "probability" },
//             { name: "decision", model: "triage-model", inputs: { cardiac_risk: "risk" } },
//         ],
//     }

import Codec
import Cryptography
import Tabular

/// A pipeline as it is written.
struct PipelineDocument: Sendable {
    /// One step; its value is a field of its name for those after it.
    struct Step: Sendable {
        var name: String
        var action: Action
    }

    enum Action: Sendable {
        case compute(PipelineExpression)
        case lookup(field: String, table: [String: FieldInput], otherwise: FieldInput?)
        /// - inputs: fields by the model's features; a feature that is not named takes the field of its own name.
        case model(String, inputs: [String: String], isProbability: Bool)
    }

    var name: String
    /// What a row has to have.
    var schema: Schema
    var steps: [Step]
    /// Canonical form.
    var bytes: [UInt8]
    var digest: Digest { SHA256.hash(bytes) }

    static let stepsMax = 16
    static let tableMax = 1000
    /// Models that it uses, in order, the answering one last.
    var models: [(step: String, model: String)] {
        steps.compactMap { step in if case .model(let name, _, _) = step.action { (step.name, name) } else { nil } }
    }

    /// - Throws: `FieldError`, `TabularError` or `JSONError` with the place of what is wrong.
    init(parsing text: [UInt8], dialect: JSONDialect = .json5) throws {
        let value = try JSONValue.parse(text, dialect: dialect, limits: JSONLimits(bytesMax: ServingLimits.bodyBytes, depthMax: 24))
        var fields = try JSONFields(value, path: "")
        guard try fields.string("consilium", maxBytes: 16) == "pipeline/1" else {
            throw FieldError(path: "consilium", problem: "must be \"pipeline/1\"")
        }
        name = try fields.string("name", maxBytes: 64)
        guard PipelineDocument.isName(name) else { throw FieldError(path: "name", problem: "must be 1 to 64 of a-z 0-9 . _ -") }
        let inputs = fields.value("inputs") ?? .null
        // Only the features of a schema mean something here.
        schema = try Schema(json: ["features": inputs, "label": ["column": "none", "positive": ["greaterThan": 0]]], path: "inputs")
        var known = Set(schema.features.map(\.name))
        steps = []
        for (index, item) in try fields.array("steps", maxCount: Self.stepsMax).enumerated() {
            let path = "steps[\(index)]"
            let step = try Self.step(item, path, known)
            guard Self.isName(step.name), known.insert(step.name).inserted else {
                throw FieldError(path: path + ".name", problem: "must be 1 to 64 of a-z 0-9 . _ - and no other field's name")
            }
            steps.append(step)
        }
        try fields.finish()
        guard case .model(_, _, true)? = steps.last?.action else {
            throw FieldError(path: "steps", problem: "must end with a model, without output: the one that answers")
        }
        bytes = value.canonicalBytes()
    }

    private static func isName(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count) && text.utf8.allSatisfy { byte in
            (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2e || byte == 0x5f || byte == 0x2d
        }
    }

    private static func step(_ value: JSONValue, _ path: String, _ known: Set<String>) throws -> Step {
        var fields = try JSONFields(value, path: path)
        let name = try fields.string("name", maxBytes: 64)
        func check(_ field: String, _ place: String) throws -> String {
            guard known.contains(field) else { throw FieldError(path: path + place, problem: "names no input and no step before it") }
            return field
        }
        let action: Action
        if let expression = fields.value("compute") {
            let parsed = try PipelineExpression(expression, path: path + ".compute")
            for field in parsed.fields { _ = try check(field, ".compute") }
            action = .compute(parsed)
        } else if var lookup = try fields.optionalFields("lookup") {
            let field = try check(try lookup.string("field", maxBytes: 64), ".lookup.field")
            guard let given = lookup.value("table")?.objectValue, (1...tableMax).contains(given.count) else {
                throw FieldError(path: path + ".lookup.table", problem: "must be an object of 1 to \(tableMax) members")
            }
            func entry(_ value: JSONValue) throws -> FieldInput {
                guard let input = FieldInput(value), value != .null else {
                    throw FieldError(path: path + ".lookup", problem: "must hold texts, numbers and bools only")
                }
                return input
            }
            action = .lookup(field: field, table: try given.mapValues(entry), otherwise: try lookup.value("otherwise").map(entry))
            try lookup.finish()
        } else {
            let model = try fields.string("model", maxBytes: 64)
            var inputs: [String: String] = [:]
            if var given = try fields.optionalFields("inputs") {
                for feature in given.names.sorted() { inputs[feature] = try check(try given.string(feature, maxBytes: 64), ".inputs.\(feature)") }
            }
            let output = try fields.optionalString("output", maxBytes: 16) ?? "probability"
            guard output == "probability" || output == "score" else {
                throw FieldError(path: path + ".output", problem: "must be probability or score")
            }
            action = .model(model, inputs: inputs, isProbability: output == "probability")
        }
        try fields.finish()
        return Step(name: name, action: action)
    }
}
