// JSON text → `JSONValue`. Strict RFC 8259, or JSON5 for documents that people write: comments, trailing
// commas, unquoted keys, single quotes, hexadecimal numbers, a sign or a bare point, line continuations.
// Both refuse duplicate keys, NaN and infinities, invalid UTF-8, lone surrogates, and anything beyond the
// limits. Not taken over from JSON5: unquoted keys outside ASCII, and escapes of letters that need none.

/// What may be written.
package enum JSONDialect: Sendable {
    /// RFC 8259.
    case strict
    /// JSON5, without NaN and infinities.
    case json5
}

extension JSONValue {
    /// Parses a document. Cost: linear in the text.
    ///
    /// - Throws: `JSONError` with the place of the first problem.
    package static func parse(
        _ bytes: [UInt8], dialect: JSONDialect, limits: JSONLimits = .default
    ) throws(JSONError) -> JSONValue {
        try checkText(bytes, bytesMax: limits.bytesMax)
        var parser = JSONParser(bytes: bytes, isJSON5: dialect == .json5, limits: limits)
        return try parser.document()
    }
}

struct JSONParser {
    let bytes: [UInt8]
    let isJSON5: Bool
    let limits: JSONLimits
    var position = 0
    private var values = 0

    init(bytes: [UInt8], isJSON5: Bool, limits: JSONLimits) {
        self.bytes = bytes
        self.isJSON5 = isJSON5
        self.limits = limits
    }

    mutating func document() throws(JSONError) -> JSONValue {
        try skipSpace()
        let value = try value(depth: 0)
        try skipSpace()
        guard position == bytes.count else {
            throw failure("something follows the end of the document")
        }
        return value
    }

    func failure(_ problem: String) -> JSONError { JSONError(bytes, at: position, problem) }

    var current: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func value(depth: Int) throws(JSONError) -> JSONValue {
        values += 1
        guard values <= limits.valuesMax else {
            throw failure("more than \(limits.valuesMax) values")
        }
        guard let byte = current else { throw failure("the text ends too early") }
        switch byte {
        case 0x7b: return try object(depth: depth + 1)
        case 0x5b: return try array(depth: depth + 1)
        case 0x22: return .string(try string(0x22))
        case 0x27 where isJSON5: return .string(try string(0x27))
        case 0x74: return try word("true", .bool(true))
        case 0x66: return try word("false", .bool(false))
        case 0x6e: return try word("null", .null)
        case 0x2d, 0x30...0x39: return try number()
        case 0x2b where isJSON5, 0x2e where isJSON5: return try number()
        case 0x49, 0x4e:
            throw failure("NaN and infinities are not allowed; leave the value out or use null")
        default: throw failure("a value is expected here")
        }
    }

    private mutating func word(_ text: String, _ value: JSONValue) throws(JSONError) -> JSONValue {
        guard bytes[position...].starts(with: text.utf8) else {
            throw failure("a value is expected here")
        }
        position += text.utf8.count
        return value
    }

    private mutating func object(depth: Int) throws(JSONError) -> JSONValue {
        var members: [String: JSONValue] = [:]
        guard try open(0x7d, depth: depth) else { return .object(members) }
        repeat {
            let start = position
            let key = try key()
            try skipSpace()
            guard current == 0x3a else { throw failure("a colon is expected after the key") }
            position += 1
            try skipSpace()
            let value = try value(depth: depth)
            guard members.updateValue(value, forKey: key) == nil else {
                position = start
                throw failure("this key stands twice in its object; remove one")
            }
        } while try another(0x7d)
        return .object(members)
    }

    private mutating func array(depth: Int) throws(JSONError) -> JSONValue {
        var elements: [JSONValue] = []
        guard try open(0x5d, depth: depth) else { return .array(elements) }
        repeat { elements.append(try value(depth: depth)) } while try another(0x5d)
        return .array(elements)
    }

    /// After an opening byte: whether there is a first element.
    private mutating func open(_ close: UInt8, depth: Int) throws(JSONError) -> Bool {
        guard depth <= limits.depthMax else {
            throw failure("nesting is deeper than \(limits.depthMax)")
        }
        position += 1
        try skipSpace()
        guard current == close else { return true }
        position += 1
        return false
    }

    /// After an element: whether another one follows.
    private mutating func another(_ close: UInt8) throws(JSONError) -> Bool {
        try skipSpace()
        let hasComma = current == 0x2c
        if hasComma {
            position += 1
            try skipSpace()
        }
        if current == close {
            guard isJSON5 || !hasComma else {
                throw failure("a comma stands before the closing bracket; remove it")
            }
            position += 1
            return false
        }
        guard hasComma else {
            throw failure(
                current == nil
                    ? "the text ends too early" : "a comma or the closing bracket is expected")
        }
        return true
    }

    private mutating func number() throws(JSONError) -> JSONValue {
        let start = position
        if isJSON5, let value = try hexadecimalNumber() { return value }
        // A copy, as the span borrows this parser.
        var end = position
        let decimal: DecimalNumber
        do { decimal = try DecimalNumber(bytes.span, at: &end, isJSON5: isJSON5) } catch {
            throw JSONError(bytes, at: end, error.text)
        }
        position = end
        if let byte = current, isNameByte(byte) {
            throw failure("a number is followed by something else")
        }
        if let value = decimal.integer { return .integer(value) }
        let value = decimal.double ?? longDouble(bytes[start..<position])
        guard value.isFinite else {
            position = start
            throw failure("a number is too large")
        }
        return .number(value)
    }

    /// A number such as `-0x1F`; nil, with nothing read, when it is a decimal one.
    private mutating func hexadecimalNumber() throws(JSONError) -> JSONValue? {
        let hasSign = current == 0x2d || current == 0x2b
        let start = position + (hasSign ? 1 : 0)
        guard start + 1 < bytes.count, bytes[start] == 0x30, bytes[start + 1] | 0x20 == 0x78 else {
            return nil
        }
        let isNegative = current == 0x2d
        position = start + 2
        var value: Int64 = 0
        let digits = position
        while let byte = current, let digit = Hex.value(byte) {
            guard value >> 59 == 0 else { throw failure("a hexadecimal number is too large") }
            value = value << 4 | Int64(digit)
            position += 1
        }
        guard position > digits else { throw failure("hexadecimal digits are expected") }
        if let byte = current, isNameByte(byte) {
            throw failure("a number is followed by something else")
        }
        if isNegative, value == 0 { return .number(-0.0) }
        return .integer(isNegative ? -value : value)
    }
}
