// A version as an ONNX model (ir_version 8, opset 13), preprocessing included. `protocol/model-package.md` §8.
//
//   features [N, F] double ─ Gather ─┬─ IsNaN ────────────────┐
//                                    ├─ Equal(code) ─ Cast ───┤
//                                    └────────────────────────┴─ Where ─ Sub ─ Div ─ Clip ─ Cast float ─ (Gemm Relu)* Gemm
//   score [N, 1] float    log-odds, with a site's own intercept when it is exported for that site
//   probability [N, 1]    Sigmoid(score)
//   class [N, 1] int64    1 when the probability reaches the threshold
//
// A feature is one number: the value of a numeric one; of a categorical or binary one the code, when all its codes are
// numbers, else the index of the code. NaN is missing. The graph does not refuse what the schema refuses.

import Codec
import Models
import Tabular

/// A version as a model file that onnxruntime runs.
package enum ONNXExport {
    private static let irVersion = 8
    private static let opset = 13

    /// The bytes of the model file. Same package and intercept, same bytes.
    /// - Parameter siteIntercept: a site's own intercept, for the version as that site serves it; it says something of the
    ///   site's rows. Nil leaves it out.
    package static func model(_ package: VerifiedPackage, siteIntercept: Double? = nil) -> [UInt8] {
        var model = ProtobufWriter()
        model.integer(1, irVersion)
        model.text(2, "consilium")
        model.data(7, ONNXGraph(package, siteIntercept: siteIntercept).bytes)
        model.message(8) { opsets in
            opsets.text(1, "")
            opsets.integer(2, opset)
        }
        var properties = [
            ("consilium.digest", package.digest.hex),
            ("consilium.features", String(decoding: features(package.schema).canonicalBytes(), as: UTF8.self)),
            ("consilium.classes", String(decoding: JSONValue.array(package.manifest.classes.map { .string($0) }).canonicalBytes(), as: UTF8.self)),
            ("consilium.version", String(package.version)),
        ]
        if let siteIntercept { properties.append(("consilium.site_intercept", Float(siteIntercept).description)) }
        for (key, value) in properties {
            model.message(14) { entry in
                entry.text(1, key)
                entry.text(2, value)
            }
        }
        return model.bytes
    }

    /// How each column of `features` is made: `number`, `code` (the code as a number) or `index` (its place in `codes`).
    private static func features(_ schema: Schema) -> JSONValue {
        .array(
            schema.features.map { feature in
                guard let codes = feature.codes else {
                    return ["name": .string(feature.name), "input": "number"]
                }
                return [
                    "name": .string(feature.name),
                    "input": numbers(codes) == nil ? "index" : "code",
                    "codes": .array(codes.map { .string($0) }),
                ]
            })
    }

    /// The codes as numbers, when all are.
    static func numbers(_ codes: [String]) -> [Double]? {
        let numbers = codes.compactMap { DecimalText.parse($0) }
        return numbers.count == codes.count ? numbers : nil
    }
}

/// Element types of TensorProto.
private enum ONNXType: Int {
    case float = 1
    case int64 = 7
    case bool = 9
    case double = 11
}

/// The graph while it is written.
private struct ONNXGraph {
    private var nodes: [[UInt8]] = []
    private var constants: [[UInt8]] = []
    private let package: VerifiedPackage
    private let siteIntercept: Double?

    init(_ package: VerifiedPackage, siteIntercept: Double?) {
        (self.package, self.siteIntercept) = (package, siteIntercept)
        preprocess()
        network()
    }

    var bytes: [UInt8] {
        var graph = ProtobufWriter()
        for node in nodes { graph.data(1, node) }
        graph.text(2, package.name)
        for constant in constants { graph.data(5, constant) }
        graph.data(11, Self.value("features", .double, package.schema.features.count))
        graph.data(12, Self.value("probability", .float, 1))
        graph.data(12, Self.value("score", .float, 1))
        graph.data(12, Self.value("class", .int64, 1))
        return graph.bytes
    }

    // MARK: preprocessing

    private mutating func preprocess() {
        let columns = package.preprocessor.columns
        let schema = package.schema
        var codes: [Double] = []
        var fills: [Double] = []
        var isCategory: [Bool] = []
        var isMissing: [Bool] = []
        for column in columns {
            let feature = schema.features[column.feature]
            let numbers = feature.codes.flatMap(ONNXExport.numbers)
            switch column.source {
            case .value(let imputed):
                // A binary feature whose codes are other numbers than 0 and 1 is compared with its second one.
                isCategory.append(feature.codes != nil)
                codes.append(numbers?[1] ?? 1)
                fills.append(imputed)
            case .category(let category, let whenMissing):
                isCategory.append(true)
                codes.append(numbers?[category] ?? Double(category))
                fills.append(whenMissing)
            case .missing:
                isCategory.append(false)
                codes.append(0)
                fills.append(1)
            }
            isMissing.append(column.source == .missing)
        }
        constant("column_feature", columns.map(\.feature))
        constant("column_code", codes)
        constant("column_fill", fills)
        constant("column_is_category", isCategory)
        constant("column_is_missing_flag", isMissing)
        constant("column_centre", columns.map(\.centre))
        constant("column_scale", columns.map(\.scale))
        constant("zero", 0)
        constant("clip_low", -package.preprocessor.clip)
        constant("clip_high", package.preprocessor.clip)
        node("Gather", ["features", "column_feature"], "given", [("axis", 1)])
        node("IsNaN", ["given"], "absent")
        node("Equal", ["given", "column_code"], "equal")
        node("Cast", ["equal"], "indicator", [("to", ONNXType.double.rawValue)])
        node("Where", ["column_is_missing_flag", "zero", "given"], "value")
        node("Where", ["column_is_category", "indicator", "value"], "present")
        node("Where", ["absent", "column_fill", "present"], "raw")
        node("Sub", ["raw", "column_centre"], "centred")
        node("Div", ["centred", "column_scale"], "scaled")
        node("Clip", ["scaled", "clip_low", "clip_high"], "clipped")
        node("Cast", ["clipped", ], "layer_0", [("to", ONNXType.float.rawValue)])
    }

    // MARK: the model

    private mutating func network() {
        let tensors = package.parameters.tensors
        let layers = tensors.count / 2
        for layer in 0..<layers {
            var (weight, bias) = (tensors[2 * layer], tensors[2 * layer + 1])
            let isLast = layer == layers - 1
            if isLast, bias.values.count == 2 { (weight, bias) = (Self.difference(weight), Self.difference(bias)) }
            constant(weight)
            constant(bias)
            let output = isLast ? "log_odds" : "sum_\(layer)"
            node("Gemm", ["layer_\(layer)", weight.name, bias.name], output, [("transB", 1)])
            if !isLast { node("Relu", [output], "layer_\(layer + 1)") }
        }
        if let siteIntercept {
            constant(Tensor(name: "site_intercept", shape: [], values: [Float(siteIntercept)]))
            node("Add", ["log_odds", "site_intercept"], "score")
        } else {
            node("Identity", ["log_odds"], "score")
        }
        node("Sigmoid", ["score"], "probability")
        constant(Tensor(name: "threshold", shape: [], values: [Float(package.threshold)]))
        node("GreaterOrEqual", ["probability", "threshold"], "reached")
        node("Cast", ["reached"], "class", [("to", ONNXType.int64.rawValue)])
    }

    /// Two classes as one log-odds: the second row less the first.
    private static func difference(_ tensor: Tensor) -> Tensor {
        let half = tensor.values.count / 2
        return Tensor(
            name: tensor.name, shape: [1] + tensor.shape.dropFirst(), values: (0..<half).map { tensor.values[half + $0] - tensor.values[$0] })
    }

    // MARK: pieces

    private mutating func node(_ operation: String, _ inputs: [String], _ output: String, _ attributes: [(String, Int)] = []) {
        var node = ProtobufWriter()
        for input in inputs { node.text(1, input) }
        node.text(2, output)
        node.text(3, output)
        node.text(4, operation)
        for (name, value) in attributes {
            node.message(5) { attribute in
                attribute.text(1, name)
                attribute.integer(3, value)
                attribute.integer(20, 2)
            }
        }
        nodes.append(node.bytes)
    }

    private mutating func constant(_ name: String, _ values: [Double]) {
        constant(name, .double, [values.count], values.flatMap { Self.littleEndian($0.bitPattern, 8) })
    }

    private mutating func constant(_ name: String, _ value: Double) {
        constant(name, .double, [], Self.littleEndian(value.bitPattern, 8))
    }

    private mutating func constant(_ name: String, _ values: [Int]) {
        constant(name, .int64, [values.count], values.flatMap { Self.littleEndian(UInt64($0), 8) })
    }

    private mutating func constant(_ name: String, _ values: [Bool]) {
        constant(name, .bool, [values.count], values.map { $0 ? 1 : 0 })
    }

    private mutating func constant(_ tensor: Tensor) {
        constant(tensor.name, .float, tensor.shape, tensor.values.flatMap { Self.littleEndian(UInt64($0.bitPattern), 4) })
    }

    private mutating func constant(_ name: String, _ type: ONNXType, _ shape: [Int], _ data: [UInt8]) {
        var tensor = ProtobufWriter()
        for size in shape { tensor.integer(1, size) }
        tensor.integer(2, type.rawValue)
        tensor.text(8, name)
        tensor.data(9, data)
        constants.append(tensor.bytes)
    }

    /// A value of shape [N, width].
    private static func value(_ name: String, _ type: ONNXType, _ width: Int) -> [UInt8] {
        var value = ProtobufWriter()
        value.text(1, name)
        value.message(2) { types in
            types.message(1) { tensor in
                tensor.integer(1, type.rawValue)
                tensor.message(2) { shape in
                    shape.message(1) { $0.text(2, "N") }
                    shape.message(1) { $0.integer(1, width) }
                }
            }
        }
        return value.bytes
    }

    private static func littleEndian(_ bits: UInt64, _ width: Int) -> [UInt8] {
        (0..<width).map { UInt8(truncatingIfNeeded: bits >> (8 * UInt64($0))) }
    }
}
