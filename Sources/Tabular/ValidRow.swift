import Codec

/// The features of one row after validation, in schema order. Only validation makes one.
///
/// `values[f]` is the number of a numeric feature, the index of a category, 0 or 1 of a binary one,
/// or NaN when missing.
package struct ValidRow: Sendable, Equatable {
    package let values: [Double]

    init(values: [Double]) { self.values = values }

    /// Feature `index` as what it means.
    package func value(_ index: Int, in schema: Schema) -> FeatureValue {
        let value = values[index]
        if value.isNaN { return .missing }
        guard schema.features[index].codes != nil else { return .number(value) }
        return .category(Int(value))
    }

    /// Equal when every feature is; missing equals missing.
    package static func == (left: ValidRow, right: ValidRow) -> Bool {
        left.values.count == right.values.count
            && zip(left.values, right.values).allSatisfy { $0 == $1 || ($0.isNaN && $1.isNaN) }
    }
}

/// One validated value.
package enum FeatureValue: Equatable, Sendable {
    case number(Double)
    /// An index into the feature's `codes`.
    case category(Int)
    case missing
}

/// One value as a request or a feedback document states it.
package enum FieldInput: Equatable, Sendable {
    case number(Double)
    case text(String)
    case bool(Bool)
    case missing
}

extension FieldInput {
    /// A JSON value as an input: null is missing; arrays and objects are no input.
    package init?(_ json: JSONValue) {
        switch json {
        case .null: self = .missing
        case .bool(let value): self = .bool(value)
        case .integer(let value): self = .number(Double(value))
        case .number(let value): self = .number(value)
        case .string(let value): self = .text(value)
        case .array, .object: return nil
        }
    }
}
