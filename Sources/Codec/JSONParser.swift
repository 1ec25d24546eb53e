// JSON text → `JSONValue`. Strict RFC 8259, or JSON5 for documents that people write: comments, trailing
// commas, unquoted keys, single quotes, hexadecimal numbers, a sign or a bare point. Both refuse
// duplicate keys, NaN and infinities, invalid UTF-8, lone surrogates, and anything beyond the limits.

/// Bounds of a document.
package struct JSONLimits: Sendable {
    /// Size of the text.
    package var bytesMax: Int
    /// Nesting.
    package var depthMax: Int
    /// Values in the whole document.
    package var valuesMax: Int

    /// The default: 16 MiB, 64 levels, 2 million values.
    package static let `default` = JSONLimits()

    /// - Parameters: see the properties.
    package init(bytesMax: Int = 16 << 20, depthMax: Int = 64, valuesMax: Int = 2_000_000) {
        self.bytesMax = bytesMax
        self.depthMax = depthMax
        self.valuesMax = valuesMax
    }
}

/// Where and why a text is not JSON. Holds no part of it.
package struct JSONError: Error, Equatable, CustomStringConvertible {
    /// From 1.
    package let line: Int
    /// From 1, in bytes.
    package let column: Int
    /// What is wrong, as a phrase.
    package let problem: String

    package var description: String { "line \(line), column \(column): \(problem)" }
}

/// What may be written.
package enum JSONDialect: Sendable {
    /// RFC 8259.
    case strict
    /// JSON5, without NaN and infinities.
    case json5
}

extension JSONValue {
    /// Parses a document.
    ///
    /// - Throws: `JSONError` with the place of the first problem.
    /// - Cost: linear in the text.
    package static func parse(
        _ bytes: [UInt8], dialect: JSONDialect, limits: JSONLimits = .default
    ) throws(JSONError) -> JSONValue {
        guard bytes.count <= limits.bytesMax else {
            throw JSONError(line: 1, column: 1, problem: "the text is longer than \(limits.bytesMax) bytes")
        }
        var parser = JSONParser(bytes: bytes, isJSON5: dialect == .json5, limits: limits)
        return try parser.document()
    }
}

private struct JSONParser {
    let bytes: [UInt8]
    let isJSON5: Bool
    let limits: JSONLimits
    var position = 0
    var values = 0

    mutating func document() throws(JSONError) -> JSONValue {
        try skipSpace()
        let value = try value(depth: 0)
        try skipSpace()
        guard position == bytes.count else { throw failure("something follows the end of the document") }
        return value
    }

    func failure(_ problem: String) -> JSONError {
        var (line, column) = (1, 1)
        for byte in bytes[..<min(position, bytes.count)] {
            if byte == 0x0a { (line, column) = (line + 1, 1) } else { column += 1 }
        }
        return JSONError(line: line, column: column, problem: problem)
    }

    var current: UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func skipSpace() throws(JSONError) {
        while let byte = current {
            switch byte {
            case 0x20, 0x09, 0x0a, 0x0d: position += 1
            case 0x0b where isJSON5: position += 1
            case 0x0c where isJSON5: position += 1
            case 0x2f where isJSON5: try skipComment()
            case 0xc2 where isJSON5 && position + 1 < bytes.count && bytes[position + 1] == 0xa0: position += 2
            case 0xef where position == 0 && isJSON5 && bytes.starts(with: [0xef, 0xbb, 0xbf]): position += 3
            default: return
            }
        }
    }

    mutating func skipComment() throws(JSONError) {
        let next = position + 1 < bytes.count ? bytes[position + 1] : 0
        if next == 0x2f {
            while let byte = current, byte != 0x0a { position += 1 }
        } else if next == 0x2a {
            position += 2
            while true {
                guard position + 1 < bytes.count else { throw failure("a comment is not closed") }
                if bytes[position] == 0x2a, bytes[position + 1] == 0x2f { break }
                position += 1
            }
            position += 2
        } else {
            throw failure("a value is expected here")
        }
    }

    mutating func value(depth: Int) throws(JSONError) -> JSONValue {
        guard depth <= limits.depthMax else { throw failure("nesting is deeper than \(limits.depthMax)") }
        values += 1
        guard values <= limits.valuesMax else { throw failure("more than \(limits.valuesMax) values") }
        guard let byte = current else { throw failure("the text ends too early") }
        switch byte {
        case 0x7b: return try object(depth: depth)
        case 0x5b: return try array(depth: depth)
        case 0x22: return .string(try string(0x22))
        case 0x27 where isJSON5: return .string(try string(0x27))
        case 0x74: return try word("true", .bool(true))
        case 0x66: return try word("false", .bool(false))
        case 0x6e: return try word("null", .null)
        case 0x2d, 0x30...0x39: return try number()
        case 0x2b where isJSON5, 0x2e where isJSON5: return try number()
        case 0x49, 0x4e: throw failure("infinities and NaN are not allowed")
        default: throw failure("a value is expected here")
        }
    }

    mutating func word(_ text: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
        let expected = Array("\(text)".utf8)
        guard bytes[position...].starts(with: expected) else { throw failure("a value is expected here") }
        position += expected.count
        if let next = current, isNameByte(next) { throw failure("a value is expected here") }
        return value
    }

    mutating func object(depth: Int) throws(JSONError) -> JSONValue {
        position += 1
        var members: [String: JSONValue] = [:]
        try skipSpace()
        if current == 0x7d {
            position += 1
            return .object(members)
        }
        while true {
            let start = position
            let key = try key()
            try skipSpace()
            guard current == 0x3a else { throw failure("a colon is expected after the key") }
            position += 1
            try skipSpace()
            let value = try value(depth: depth + 1)
            guard members.updateValue(value, forKey: key) == nil else {
                position = start
                throw failure("this key stands twice in its object")
            }
            if try endOfList(0x7d) { return .object(members) }
        }
    }

    mutating func array(depth: Int) throws(JSONError) -> JSONValue {
        position += 1
        var elements: [JSONValue] = []
        try skipSpace()
        if current == 0x5d {
            position += 1
            return .array(elements)
        }
        while true {
            elements.append(try value(depth: depth + 1))
            if try endOfList(0x5d) { return .array(elements) }
        }
    }

    /// After an element: true at the closing byte, false when another element follows.
    mutating func endOfList(_ close: UInt8) throws(JSONError) -> Bool {
        try skipSpace()
        if current == close {
            position += 1
            return true
        }
        guard current == 0x2c else {
            throw failure(current == nil ? "the text ends too early" : "a comma or the closing bracket is expected")
        }
        position += 1
        try skipSpace()
        if current == close {
            guard isJSON5 else { throw failure("a comma before the closing bracket") }
            position += 1
            return true
        }
        return false
    }

    mutating func key() throws(JSONError) -> String {
        if current == 0x22 { return try string(0x22) }
        guard isJSON5 else { throw failure("a key in double quotes is expected") }
        if current == 0x27 { return try string(0x27) }
        let start = position
        while let byte = current, isNameByte(byte) { position += 1 }
        guard position > start, !(0x30...0x39).contains(bytes[start]) else { throw failure("a key is expected here") }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    func isNameByte(_ byte: UInt8) -> Bool {
        (0x61...0x7a).contains(byte) || (0x41...0x5a).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x5f || byte == 0x24
    }
}

// MARK: - Strings

extension JSONParser {
    mutating func string(_ quote: UInt8) throws(JSONError) -> String {
        position += 1
        let start = position
        // Most strings have no escape: find the end and validate in one go.
        while let byte = current, byte != quote, byte != 0x5c, byte >= 0x20 { position += 1 }
        if current == quote {
            let slice = bytes[start..<position]
            guard let text = String(validating: slice, as: UTF8.self) else { throw failure("a text is not valid UTF-8") }
            position += 1
            return text
        }
        var collected = Array(bytes[start..<position])
        while true {
            guard let byte = current else { throw failure("a text is not closed") }
            position += 1
            if byte == quote { break }
            if byte == 0x5c {
                try escape(into: &collected)
            } else if byte < 0x20 {
                position -= 1
                throw failure("a control character stands in a text; write it as an escape")
            } else {
                collected.append(byte)
            }
        }
        guard let text = String(validating: collected, as: UTF8.self) else { throw failure("a text is not valid UTF-8") }
        return text
    }

    mutating func escape(into collected: inout [UInt8]) throws(JSONError) {
        guard let byte = current else { throw failure("a text is not closed") }
        position += 1
        switch byte {
        case 0x22, 0x5c, 0x2f: collected.append(byte)
        case 0x62: collected.append(0x08)
        case 0x66: collected.append(0x0c)
        case 0x6e: collected.append(0x0a)
        case 0x72: collected.append(0x0d)
        case 0x74: collected.append(0x09)
        case 0x75: try unicode(into: &collected)
        case 0x27 where isJSON5: collected.append(byte)
        case 0x76 where isJSON5: collected.append(0x0b)
        case 0x30 where isJSON5 && !(0x30...0x39).contains(current ?? 0): collected.append(0)
        case 0x0a where isJSON5: return
        case 0x0d where isJSON5:
            if current == 0x0a { position += 1 }
        case 0x78 where isJSON5:
            let value = try hexadecimal(2)
            collected += Array(String(UnicodeScalar(UInt8(value))).utf8)
        default: throw failure("an unknown escape in a text")
        }
    }

    mutating func unicode(into collected: inout [UInt8]) throws(JSONError) {
        var value = try hexadecimal(4)
        if (0xd800...0xdbff).contains(value) {
            guard current == 0x5c, position + 1 < bytes.count, bytes[position + 1] == 0x75 else {
                throw failure("half of a surrogate pair stands alone")
            }
            position += 2
            let low = try hexadecimal(4)
            guard (0xdc00...0xdfff).contains(low) else { throw failure("half of a surrogate pair stands alone") }
            value = 0x10000 + (value - 0xd800) << 10 + (low - 0xdc00)
        }
        guard let scalar = UnicodeScalar(value) else { throw failure("half of a surrogate pair stands alone") }
        collected += Array(String(scalar).utf8)
    }

    mutating func hexadecimal(_ count: Int) throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<count {
            guard let byte = current, let digit = Character(UnicodeScalar(byte)).hexDigitValue, byte < 0x80 else {
                throw failure("hexadecimal digits are expected")
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }
}

// MARK: - Numbers

extension JSONParser {
    mutating func number() throws(JSONError) -> JSONValue {
        let start = position
        var isNegative = false
        if current == 0x2d || (isJSON5 && current == 0x2b) {
            isNegative = current == 0x2d
            position += 1
        }
        if isJSON5, current == 0x30, position + 1 < bytes.count, bytes[position + 1] | 0x20 == 0x78 {
            return try hexadecimalNumber(isNegative: isNegative)
        }
        let whole = digits()
        if whole > 1, bytes[position - whole] == 0x30 { throw failure("a number starts with a superfluous zero") }
        var isWhole = true
        var fraction = 0
        if current == 0x2e {
            isWhole = false
            position += 1
            fraction = digits()
            guard fraction > 0 || (isJSON5 && whole > 0) else { throw failure("digits are expected after the point") }
        }
        guard whole > 0 || (isJSON5 && fraction > 0) else { throw failure("a number is expected here") }
        if let byte = current, byte | 0x20 == 0x65 {
            isWhole = false
            position += 1
            if current == 0x2b || current == 0x2d { position += 1 }
            guard digits() > 0 else { throw failure("digits are expected in the exponent") }
        }
        if let byte = current, isNameByte(byte) { throw failure("a number is followed by something else") }
        var text = String(decoding: bytes[start..<position], as: UTF8.self)
        if text.hasPrefix("+") { text.removeFirst() }
        if isWhole, let value = Int64(text), !(value == 0 && isNegative) { return .integer(value) }
        if text.hasSuffix(".") { text.removeLast() }
        if text.hasPrefix(".") { text = "0" + text }
        if text.hasPrefix("-.") { text = "-0" + text.dropFirst() }
        text = text.replacing(".e", with: "e").replacing(".E", with: "e")
        guard let value = Double(text), value.isFinite else { throw failure("a number is too large") }
        return .number(value)
    }

    mutating func hexadecimalNumber(isNegative: Bool) throws(JSONError) -> JSONValue {
        position += 2
        var value: Int64 = 0
        var count = 0
        while let byte = current, let digit = Character(UnicodeScalar(byte)).hexDigitValue, byte < 0x80 {
            count += 1
            guard count <= 15 else { throw failure("a hexadecimal number is too large") }
            value = value << 4 | Int64(digit)
            position += 1
        }
        guard count > 0 else { throw failure("hexadecimal digits are expected") }
        if let byte = current, isNameByte(byte) { throw failure("a number is followed by something else") }
        return .integer(isNegative ? -value : value)
    }

    mutating func digits() -> Int {
        let start = position
        while let byte = current, (0x30...0x39).contains(byte) { position += 1 }
        return position - start
    }
}
