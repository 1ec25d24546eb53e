/// A JSON document as a value. Objects have no order: every output sorts its keys.
package enum JSONValue: Equatable, Sendable {
    case null
    case bool(Bool)
    /// A whole number written without point or exponent that fits.
    case integer(Int64)
    /// Any other number; always finite.
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])
}

extension JSONValue {
    /// The member of an object; nil for other kinds.
    package subscript(key: String) -> JSONValue? { objectValue?[key] }
    /// The text of a string.
    package var stringValue: String? { if case .string(let text) = self { text } else { nil } }
    /// A whole number, also when it was written as `3.0`.
    package var intValue: Int? {
        switch self {
        case .integer(let value): Int(value)
        case .number(let value): Int(exactly: value)
        default: nil
        }
    }
    /// Any number.
    package var doubleValue: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }
    /// A truth value.
    package var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }
    /// The elements of an array.
    package var arrayValue: [JSONValue]? {
        if case .array(let values) = self { values } else { nil }
    }
    /// The members of an object.
    package var objectValue: [String: JSONValue]? {
        if case .object(let members) = self { members } else { nil }
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral,
    ExpressibleByNilLiteral
{
    /// A string.
    package init(stringLiteral value: String) { self = .string(value) }
    /// An integer.
    package init(integerLiteral value: Int64) { self = .integer(value) }
    /// A number.
    package init(floatLiteral value: Double) { self = .number(value) }
    /// A truth value.
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    /// An array.
    package init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    /// An object; a key may stand in a literal once.
    package init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object(Dictionary(uniqueKeysWithValues: elements))
    }
    /// Null.
    package init(nilLiteral: ()) { self = .null }
}
