// What is to be said of a model that was trained elsewhere, beside its numbers: JSON5, `protocol/model-package.md` §10.
//
//     {
//         consilium: "import/1", name: "sepsis", version: 1,
//         schema: { features: […], label: {…} },
//         inputs: [                                    // the model's inputs, in the model's own order
//             { feature: "age", centre: 54.4, scale: 9.0, mean: 0 },
//             { feature: "cp", category: 4, mean: 0.47 },
//             { feature: "chol", missing: true, mean: 0.05 },
//         ],
//         classes: ["well", "sepsis"], threshold: 0.3,
//         origin: { by: "ICU research group", description: "…" },
//     }

import Codec
import Cryptography
import Tabular

/// The description of an imported model.
package struct ImportDocument {
    var name: String
    var version: Int
    var study: String
    var schema: Schema
    var preprocessor: Preprocessor
    /// For each column of the version, which input of the model it is.
    var order: [Int]
    /// Mean of each column over the training rows, as the model sees it.
    var background: [Float]
    var thresholds: PackageManifest.Thresholds
    var calibration: PackageManifest.Calibration?
    var classes: [String]
    var metrics: [String: Double]
    var by: String
    var origin: String
    /// For safetensors: names of weight and bias of each layer.
    var layers: [(weight: String, bias: String?)]
    var isTransposed: Bool
    /// SHA-256 of the canonical document.
    var digest: Digest

}

extension ImportDocument {
    /// Bytes of a description.
    package static let bytesMax = 1 << 20
    private static let metricsMax = 64

    /// - Throws: `ImportError.description` with the path of what is wrong.
    package init(parsing bytes: [UInt8]) throws(ImportError) {
        do {
            guard bytes.count <= Self.bytesMax else { throw ImportError.description("the description has more than \(Self.bytesMax) bytes") }
            self = try Self.read(try JSONValue.parse(bytes, dialect: .json5))
        } catch let error as ImportError {
            throw error
        } catch {
            throw .description("\(error)")
        }
    }

    private static func read(_ value: JSONValue) throws -> ImportDocument {
        var fields = try JSONFields(value, path: "")
        guard try fields.string("consilium", maxBytes: 16) == "import/1" else {
            throw FieldError(path: "consilium", problem: "must be \"import/1\"")
        }
        let name = try fields.string("name", maxBytes: 64)
        guard PackageFile.isAllowed(name) else { throw FieldError(path: "name", problem: "must be 1 to 64 of a-z 0-9 . _ -") }
        let schema = try Schema(json: fields.value("schema") ?? .null)
        let (preprocessor, order, background) = try InputList(try fields.array("inputs", maxCount: TabularLimits.featuresMax), schema).columns(
            clip: try fields.optionalNumber("clip", in: 1...1e6) ?? 1e6)
        var origin = try fields.fields("origin")
        let layers = try (fields.optionalArray("layers", maxCount: 16) ?? []).map { layer -> (String, String?) in
            var layer = try JSONFields(layer, path: "layers")
            let names = (try layer.string("weight", maxBytes: 256), try layer.optionalString("bias", maxBytes: 256))
            try layer.finish()
            return names
        }
        var metrics: [String: Double] = [:]
        if var given = try fields.optionalFields("metrics") {
            guard given.names.count <= metricsMax else { throw FieldError(path: "metrics", problem: "has more than \(metricsMax) members") }
            for metric in given.names.sorted() { metrics[metric] = try given.number(metric, in: -1e12...1e12) }
        }
        var calibration: PackageManifest.Calibration?
        if var given = try fields.optionalFields("calibration") {
            calibration = .init(slope: try given.number("slope", in: 0...1000), intercept: try given.number("intercept", in: -1000...1000))
            try given.finish()
        }
        let band = try fields.optionalArray("abstain", maxCount: 2)?.compactMap(\.doubleValue)
        if let band, band.count != 2 || !(0...1).contains(band[0]) || !(band[0]...1).contains(band[1]) {
            throw FieldError(path: "abstain", problem: "must be two probabilities, the lower one first")
        }
        let document = ImportDocument(
            name: name, version: try fields.integer("version", in: 1...PackageManifest.versionMax),
            study: try fields.optionalString("study", maxBytes: 64) ?? name, schema: schema, preprocessor: preprocessor, order: order,
            background: background,
            thresholds: .init(decision: try fields.optionalNumber("threshold", in: 0...1) ?? 0.5, abstain: band.map { $0[0]...$0[1] }),
            calibration: calibration, classes: fields.has("classes") ? try fields.strings("classes", maxCount: 2) : ["negative", "positive"],
            metrics: metrics, by: try origin.string("by", maxBytes: 256),
            origin: try origin.optionalString("description", maxBytes: 2048) ?? "", layers: layers,
            isTransposed: try fields.bool("transposed", default: false), digest: SHA256.hash(value.canonicalBytes()))
        try origin.finish()
        try fields.finish()
        guard document.classes.count == 2, document.classes[0] != document.classes[1] else {
            throw FieldError(path: "classes", problem: "must be two different words, the negative one first")
        }
        return document
    }
}

/// The model's inputs as they are described.
private struct InputList {
    private struct Input {
        var place: Int
        var feature: Int
        var source: Preprocessor.Source
        var name: String
        var centre: Double
        var scale: Double
        var mean: Double
    }

    private var inputs: [Input] = []
    private let schema: Schema
    private static let magnitude = TabularLimits.rangeMagnitudeMax

    init(_ list: [JSONValue], _ schema: Schema) throws {
        self.schema = schema
        for (place, item) in list.enumerated() { inputs.append(try input(place, item)) }
    }

    private func input(_ place: Int, _ item: JSONValue) throws -> Input {
        let path = "inputs[\(place)]"
        var fields = try JSONFields(item, path: path)
        let name = try fields.string("feature", maxBytes: TabularLimits.nameBytesMax)
        guard let index = schema.features.firstIndex(where: { $0.name == name }) else {
            throw FieldError(path: path + ".feature", problem: "is not a feature of the schema")
        }
        let feature = schema.features[index]
        let centre = try fields.optionalNumber("centre", in: -Self.magnitude...Self.magnitude) ?? 0
        let scale = try fields.optionalNumber("scale", in: 1e-30...Self.magnitude) ?? 1
        let mean = try fields.number("mean", in: -1e6...1e6)
        let source: Preprocessor.Source
        var column = name
        if let category = fields.value("category") {
            guard case .categorical(let categories, _) = feature.kind, let code = category.stringValue ?? category.intValue.map(String.init),
                let place = categories.firstIndex(of: code)
            else { throw FieldError(path: path + ".category", problem: "is no category of the feature") }
            column += "=\(code)"
            source = .category(place, whenMissing: try fields.optionalNumber("whenMissing", in: 0...1) ?? 0)
        } else if try fields.bool("missing", default: false) {
            column += " missing"
            source = .missing
        } else {
            if case .categorical = feature.kind {
                throw FieldError(path: path, problem: "is of a categorical feature: name the category, or missing: true")
            }
            source = .value(imputed: try fields.optionalNumber("imputed", in: -Self.magnitude...Self.magnitude) ?? centre)
        }
        try fields.finish()
        return Input(place: place, feature: index, source: source, name: column, centre: centre, scale: scale, mean: mean)
    }

    /// The inputs in the schema's order, which columns have; each model input has exactly one column.
    func columns(clip: Double) throws -> (Preprocessor, order: [Int], background: [Float]) {
        guard !inputs.isEmpty else { throw FieldError(path: "inputs", problem: "is empty") }
        let sorted = inputs.sorted { ($0.feature, $0.place) < ($1.feature, $1.place) }
        for input in inputs {
            guard case .numeric(_, let range, _) = schema.features[input.feature].kind, case .value = input.source else { continue }
            guard [range.lowerBound, range.upperBound].allSatisfy({ abs(($0 - input.centre) / input.scale) <= clip }) else {
                throw FieldError(
                    path: "inputs[\(input.place)]",
                    problem: "reaches values beyond ±\(clip) within the feature's range, which would be cut off; give centre and scale, or a larger clip")
            }
        }
        let document: JSONValue = [
            "clip": .number(clip), "features": .array(schema.features.map { .string($0.name) }),
            "columns": .array(
                sorted.map { input in
                    var object: [String: JSONValue] = [
                        "name": .string(input.name), "feature": .string(schema.features[input.feature].name),
                        "centre": .number(input.centre), "scale": .number(input.scale),
                    ]
                    switch input.source {
                    case .value(let imputed): (object["source"], object["imputed"]) = ("value", .number(imputed))
                    case .category(let category, let whenMissing):
                        (object["source"], object["category"], object["whenMissing"]) = (
                            "category", .integer(Int64(category)), .number(whenMissing)
                        )
                    case .missing: object["source"] = "missing"
                    }
                    return .object(object)
                }),
        ]
        let preprocessor = try Preprocessor(json: document, path: "inputs, in the schema's order")
        try preprocessor.check(schema)
        return (preprocessor, sorted.map(\.place), sorted.map { Float($0.mean) })
    }
}
