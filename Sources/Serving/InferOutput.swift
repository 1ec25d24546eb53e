// Output tensors and what a request asks of them.

import Codec
import HTTP
import Tabular

/// The output tensors of a version.
enum InferOutput: String, CaseIterable {
    case probability, score, `class`
    case predictionID = "prediction_id"
    case abstain
    case contributions, base, residual
    case calibratedProbability = "calibrated_probability"
    case flags, reasons

    /// Whether it is answered when the request names no outputs.
    var isDefault: Bool {
        switch self {
        case .probability, .score, .class, .predictionID: true
        default: false
        }
    }

    /// Whether it needs an explanation of every row.
    var isExplanation: Bool { self == .contributions || self == .base || self == .residual }

    /// Texts of a row's reasons: as many as there can be.
    static let reasonsWidth = DeployedModel.reasonsMax

    var datatype: TensorDatatype {
        switch self {
        case .class, .predictionID, .flags, .reasons: .bytes
        case .abstain: .bool
        default: .float64
        }
    }

    /// Elements of a row.
    func width(_ model: DeployedModel) -> Int {
        switch self {
        case .contributions: model.package.schema.features.count
        case .reasons: Self.reasonsWidth
        default: 1
        }
    }

    /// Names for error messages.
    static let names = allCases.map(\.rawValue).joined(separator: ", ")
}

/// One output that a request wants.
struct WantedOutput {
    var output: InferOutput
    var isBinary: Bool
    /// How many classes, when the request wants texts `value:index:label` in their place.
    var classes: Int?

    /// The datatype as it is answered.
    var datatype: TensorDatatype { classes == nil ? output.datatype : .bytes }
}

/// The outputs of a request while it is read: `binary_data_output` may stand before or after them.
struct OutputWish {
    /// Whether outputs are binary that do not say.
    var binary = false
    private var named: [(output: InferOutput, binary: Bool?, classes: Int?)] = []

    init(binary: Bool = false) { self.binary = binary }

    var outputs: [WantedOutput] {
        let wanted =
            named.isEmpty ? InferOutput.allCases.filter(\.isDefault).map { ($0, nil, nil) } : named
        return wanted.map {
            WantedOutput(output: $0.0, isBinary: $0.1 ?? binary, classes: $0.2)
        }
    }

    mutating func read(_ reader: inout JSONReader) throws {
        guard try reader.peek() == .array else {
            throw RequestRefusal.malformed("\"outputs\" must be an array of tensors by name")
        }
        try reader.enterArray()
        while try reader.nextElement() { try readOne(&reader) }
    }

    private mutating func readOne(_ reader: inout JSONReader) throws {
        let refusal = RequestRefusal.malformed(
            "output \(named.count) is unknown or repeated; the outputs are \(InferOutput.names)")
        guard try reader.peek() == .object else { throw refusal }
        var output: InferOutput?
        var binary: Bool?
        var classes: Int?
        try reader.enterObject()
        while let key = try reader.nextKey() {
            switch reader.string(key) {
            case "name" where try output == nil && reader.peek() == .string:
                output = InferOutput(rawValue: reader.string(try reader.text()))
                guard output != nil else { throw refusal }
            case "parameters":
                try InferRequest.parameters(&reader) { name, value in
                    switch (name, value) {
                    case ("binary_data", .bool(let flag)): binary = flag
                    case ("classification", .number(let number)):
                        classes = InferRequest.whole(number)
                        return classes != nil
                    case ("binary_data", _), ("classification", _): return false
                    default: break
                    }
                    return true
                }
            default: throw refusal
            }
        }
        guard let output, !named.contains(where: { $0.output == output }) else { throw refusal }
        guard classes == nil || output == .probability else {
            throw RequestRefusal.malformed("classification is there for the output probability only")
        }
        named.append((output, binary, classes == 0 ? nil : classes))
    }
}
