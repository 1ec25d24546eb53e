// A pull scanner for the hot path: the caller asks for what it expects, and nothing is built in between.
//
//     var reader = try JSONReader(body)
//     try reader.enterObject()
//     while let key = try reader.nextKey() {
//         if reader.isEqual(key, "age") { age = try reader.number() } else { try reader.skip() }
//     }
//     try reader.finish()
//
// Strict RFC 8259, with the same refusals as `JSONValue.parse` except one: the caller sees the keys
// and so refuses duplicates itself. Nothing is allocated, unless a text with escapes is compared, or a
// number needs strtod (see `DecimalNumber`).

/// Where a text of the document stands; read it with the reader that made it.
package struct JSONText: Equatable, Sendable {
    /// The bytes between the quotes.
    package let range: Range<Int>
    /// Whether they hold escapes.
    package let hasEscapes: Bool
}

/// Reads one document from bytes, token by token.
package struct JSONReader {
    /// What comes next.
    package enum Kind: Sendable { case object, array, string, number, bool, null }

    /// Open objects and arrays at a time; one bit of `isFirst` each.
    package static let depthMax = 64

    let bytes: [UInt8]
    private(set) var position = 0
    private var depth = 0
    /// Per level, whether no element was read yet.
    private var isFirst: UInt64 = 0

    /// - Parameters:
    ///   - bytes: the whole document.
    ///   - bytesMax: its size limit.
    /// - Throws: `JSONError` when it is too long or not UTF-8.
    package init(_ bytes: [UInt8], bytesMax: Int = JSONLimits.default.bytesMax) throws(JSONError) {
        try checkText(bytes, bytesMax: bytesMax)
        self.bytes = bytes
    }

    /// The kind of the next value, which stays unread.
    package mutating func peek() throws(JSONError) -> Kind {
        switch nextByte() {
        case 0x7b: .object
        case 0x5b: .array
        case 0x22: .string
        case 0x2d, 0x30...0x39: .number
        case 0x74, 0x66: .bool
        case 0x6e: .null
        default: throw failure("a value is expected here")
        }
    }

    /// Goes into an object; `nextKey` reads its members.
    package mutating func enterObject() throws(JSONError) {
        try enter(0x7b, "an object is expected here")
    }

    /// Goes into an array; `nextElement` moves through it.
    package mutating func enterArray() throws(JSONError) {
        try enter(0x5b, "an array is expected here")
    }

    /// The next key of the object, whose value must be read or skipped after it; nil at the end, which is left.
    package mutating func nextKey() throws(JSONError) -> JSONText? {
        guard try more(0x7d) else { return nil }
        guard nextByte() == 0x22 else { throw failure("a key in double quotes is expected") }
        let key = try text()
        guard nextByte() == 0x3a else { throw failure("a colon is expected after the key") }
        position += 1
        return key
    }

    /// Whether another element, which must be read or skipped, follows in the array; at the end it is left.
    package mutating func nextElement() throws(JSONError) -> Bool { try more(0x5d) }

    /// A number.
    ///
    /// - Returns: the nearest double, which is finite.
    package mutating func number() throws(JSONError) -> Double {
        _ = nextByte()
        let start = position
        // A copy, as the span borrows this reader.
        var end = position
        defer { position = end }
        let decimal: DecimalNumber
        do { decimal = try DecimalNumber(bytes.span, at: &end, isJSON5: false) } catch {
            throw JSONError(bytes, at: end, error.text)
        }
        if let value = decimal.double { return value }
        let value = longDouble(bytes[start..<end])
        guard value.isFinite else { throw failure("a number is too large") }
        return value
    }

    /// `true` or `false`.
    package mutating func bool() throws(JSONError) -> Bool {
        let isTrue = nextByte() == 0x74
        try word(
            isTrue ? 0x7472_7565 : 0x6661_6c73, tail: isTrue ? 0 : 0x65,
            "true or false is expected here")
        return isTrue
    }

    /// `null`.
    package mutating func null() throws(JSONError) {
        _ = nextByte()
        try word(0x6e75_6c6c, tail: 0, "null is expected here")
    }

    /// A text.
    package mutating func text() throws(JSONError) -> JSONText {
        guard nextByte() == 0x22 else { throw failure("a text in double quotes is expected here") }
        position += 1
        let start = position
        var hasEscapes = false
        while position < bytes.count {
            let byte = bytes[position]
            if byte == 0x22 {
                position += 1
                return JSONText(range: start..<position - 1, hasEscapes: hasEscapes)
            }
            if byte == 0x5c {
                hasEscapes = true
                var end = position + 1
                do { _ = try readEscape(bytes.span, at: &end, isJSON5: false) } catch {
                    throw JSONError(bytes, at: end, error.text)
                }
                position = end
            } else if byte < 0x20 {
                throw failure("a control character stands in a text; write it as an escape")
            } else {
                position += 1
            }
        }
        throw failure("a text is not closed")
    }

    /// Reads over the next value, whatever it is, and checks it.
    package mutating func skip() throws(JSONError) {
        switch try peek() {
        case .object:
            try enterObject()
            while try nextKey() != nil { try skip() }
        case .array:
            try enterArray()
            while try nextElement() { try skip() }
        case .string: _ = try text()
        case .number: _ = try number()
        case .bool: _ = try bool()
        case .null: try null()
        }
    }

    /// Ends the reading.
    ///
    /// - Throws: `JSONError` when something follows or a container is open.
    package mutating func finish() throws(JSONError) {
        guard nextByte() == 0, position == bytes.count else {
            throw failure("something follows the end of the document")
        }
        guard depth == 0 else { throw failure("the text ends too early") }
    }

    /// Whether a text is this one, byte for byte.
    package func isEqual(_ text: JSONText, _ other: String) -> Bool {
        if text.hasEscapes { return unescaped(text).elementsEqual(other.utf8) }
        guard text.range.count == other.utf8.count else { return false }
        var place = text.range.lowerBound
        for byte in other.utf8 {
            guard bytes[place] == byte else { return false }
            place += 1
        }
        return true
    }

    /// A text of this document as a string.
    package func string(_ text: JSONText) -> String {
        String(decoding: text.hasEscapes ? unescaped(text)[...] : bytes[text.range], as: UTF8.self)
    }

    /// An error at the present place, for what only the caller knows to be wrong.
    package func failure(_ problem: String) -> JSONError { JSONError(bytes, at: position, problem) }
}

extension JSONReader {
    /// The byte after white space, which is skipped; 0 at the end.
    private mutating func nextByte() -> UInt8 {
        while position < bytes.count {
            let byte = bytes[position]
            guard byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 else { return byte }
            position += 1
        }
        return 0
    }

    private mutating func enter(_ open: UInt8, _ problem: String) throws(JSONError) {
        guard nextByte() == open else { throw failure(problem) }
        guard depth < JSONReader.depthMax else {
            throw failure("nesting is deeper than \(JSONReader.depthMax)")
        }
        position += 1
        isFirst |= 1 << UInt64(depth)
        depth += 1
    }

    /// Whether another element follows; leaves the container at its closing byte.
    private mutating func more(_ close: UInt8) throws(JSONError) -> Bool {
        precondition(depth > 0, "no object or array is open")
        let bit: UInt64 = 1 << UInt64(depth - 1)
        let byte = nextByte()
        if byte == close {
            position += 1
            depth -= 1
            isFirst &= ~bit
            return false
        }
        if isFirst & bit != 0 {
            isFirst &= ~bit
            return true
        }
        guard byte == 0x2c else {
            throw failure(
                position == bytes.count
                    ? "the text ends too early" : "a comma or the closing bracket is expected")
        }
        position += 1
        guard nextByte() != close else {
            throw failure("a comma stands before the closing bracket; remove it")
        }
        return true
    }

    /// Reads four letters, as a big-endian number, and one more unless it is 0.
    private mutating func word(_ letters: UInt32, tail: UInt8, _ problem: String) throws(JSONError)
    {
        let count = tail == 0 ? 4 : 5
        guard bytes.count - position >= count else { throw failure(problem) }
        var found: UInt32 = 0
        for index in position..<position + 4 { found = found << 8 | UInt32(bytes[index]) }
        guard found == letters, tail == 0 || bytes[position + 4] == tail else {
            throw failure(problem)
        }
        position += count
    }

    private func unescaped(_ text: JSONText) -> [UInt8] {
        var result: [UInt8] = []
        var index = text.range.lowerBound
        while index < text.range.upperBound {
            let byte = bytes[index]
            index += 1
            guard byte == 0x5c else {
                result.append(byte)
                continue
            }
            // `text()` accepted this escape, so that it cannot fail here.
            if let scalar = try? readEscape(bytes.span, at: &index, isJSON5: false) {
                result.append(scalar)
            }
        }
        return result
    }
}
