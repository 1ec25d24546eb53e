/// Reads field lines in place (RFC 9112 §5): ranges into the buffer, and what the framing fields
/// said.
///
/// Stricter than the RFC: no folding, no repeated `Content-Length`, no leading zero in it,
/// `Transfer-Encoding` only as one `chunked`.
struct FieldParser: Sendable {
    private(set) var fields: [HTTPHeaders.Field] = []
    private var bytes = 0
    /// Value of `Content-Length`.
    private(set) var contentLength: Int?
    private(set) var isChunked = false
    private(set) var hosts = 0
    private(set) var saysClose = false
    private(set) var saysKeepAlive = false
    private(set) var expectsContinue = false

    /// Takes one line without its CR LF. `line` counts from the start of the message.
    mutating func take(_ line: Range<Int>, of message: Span<UInt8>, limits: HTTPLimits)
        throws(HTTPRefusal)
    {
        bytes += line.count + 2
        guard bytes <= limits.headerBytesMax else {
            throw HTTPRefusal(
                431, "the header fields are larger than \(limits.headerBytesMax) bytes")
        }
        guard fields.count < limits.headerFieldsMax else {
            throw HTTPRefusal(431, "more than \(limits.headerFieldsMax) header fields")
        }
        var colon = line.lowerBound
        while colon < line.upperBound, CharacterClass.isToken(message[colon]) { colon += 1 }
        guard colon < line.upperBound, message[colon] == UInt8(ascii: ":") else {
            throw HTTPRefusal(400, "a header field is not of the form \"name: value\"")
        }
        guard colon > line.lowerBound else { throw HTTPRefusal(400, "a header field has no name") }
        var start = colon + 1
        var end = line.upperBound
        while start < end, CharacterClass.isBlank(message[start]) { start += 1 }
        while end > start, CharacterClass.isBlank(message[end - 1]) { end -= 1 }
        for index in start..<end where !CharacterClass.isFieldValue(message[index]) {
            throw HTTPRefusal(400, "a header field value has a control character")
        }
        if fields.isEmpty { fields.reserveCapacity(Self.usualFields) }
        fields.append(
            HTTPHeaders.Field(
                nameStart: UInt32(line.lowerBound), nameEnd: UInt32(colon),
                valueStart: UInt32(start), valueEnd: UInt32(end)))
        try interpret(
            name: line.lowerBound..<colon, value: message.extracting(start..<end), of: message)
    }

    private static let usualFields = 8

    /// Whether `bytes` more of an unfinished line would be too much.
    func isOverLimit(unfinished: Int, limits: HTTPLimits) -> Bool {
        bytes + unfinished > limits.headerBytesMax
    }

    private mutating func interpret(name: Range<Int>, value: Span<UInt8>, of message: Span<UInt8>)
        throws(HTTPRefusal)
    {
        let name = message.extracting(name)
        switch name.count {
        case 4 where Self.equals(name, "host"):
            hosts += 1
            guard hosts == 1 else { throw HTTPRefusal(400, "more than one Host field") }
            guard Self.isHost(value) else {
                throw HTTPRefusal(
                    400, "the Host field is not a host name or address with an optional port")
            }
        case 6 where Self.equals(name, "expect"):
            guard Self.equals(value, "100-continue") else {
                throw HTTPRefusal(417, "only \"Expect: 100-continue\" can be met")
            }
            expectsContinue = true
        case 10 where Self.equals(name, "connection"):
            readConnectionOptions(value)
        case 14 where Self.equals(name, "content-length"):
            guard contentLength == nil else {
                throw HTTPRefusal(400, "more than one Content-Length field")
            }
            contentLength = try Self.length(value)
        case 17 where Self.equals(name, "transfer-encoding"):
            guard !isChunked else {
                throw HTTPRefusal(400, "more than one Transfer-Encoding field")
            }
            guard !value.isEmpty else {
                throw HTTPRefusal(400, "the Transfer-Encoding field is empty")
            }
            guard Self.equals(value, "chunked") else {
                throw HTTPRefusal(501, "the only Transfer-Encoding is \"chunked\"")
            }
            isChunked = true
        default: break
        }
    }

    private mutating func readConnectionOptions(_ value: Span<UInt8>) {
        var start = 0
        while start <= value.count {
            var end = start
            while end < value.count, value[end] != UInt8(ascii: ",") { end += 1 }
            var first = start
            var last = end
            while first < last, CharacterClass.isBlank(value[first]) { first += 1 }
            while last > first, CharacterClass.isBlank(value[last - 1]) { last -= 1 }
            let option = value.extracting(first..<last)
            if Self.equals(option, "close") { saysClose = true }
            if Self.equals(option, "keep-alive") { saysKeepAlive = true }
            start = end + 1
        }
    }

    /// Decimal digits without sign, blanks or leading zero. Numbers that no limit allows are "too
    /// large", whatever their length.
    private static func length(_ value: Span<UInt8>) throws(HTTPRefusal) -> Int {
        guard !value.isEmpty else { throw HTTPRefusal(400, "the Content-Length field is empty") }
        for index in value.indices where !CharacterClass.isDigit(value[index]) {
            throw HTTPRefusal(400, "the Content-Length field is not a decimal number")
        }
        if value[0] == UInt8(ascii: "0") {
            guard value.count == 1 else {
                throw HTTPRefusal(400, "the Content-Length field has a leading zero")
            }
            return 0
        }
        guard value.count <= 18 else { throw HTTPRefusal(413, "the body is too large") }
        var number = 0
        for index in value.indices { number = number * 10 + Int(value[index] - 0x30) }
        return number
    }

    /// `name`, `address` or `[address]`, with an optional port; no user, no percent sign, no list.
    private static func isHost(_ value: Span<UInt8>) -> Bool {
        var position = 0
        if !value.isEmpty, value[0] == UInt8(ascii: "[") {
            position = 1
            while position < value.count,
                CharacterClass.hexValue(value[position]) != nil
                    || value[position] == UInt8(ascii: ":")
                    || value[position] == UInt8(ascii: ".")
            { position += 1 }
            guard position > 1, position < value.count, value[position] == UInt8(ascii: "]") else {
                return false
            }
            position += 1
        } else {
            while position < value.count, isHostByte(value[position]) { position += 1 }
            guard position > 0 else { return false }
        }
        if position == value.count { return true }
        guard value[position] == UInt8(ascii: ":"), value.count - position <= 6 else {
            return false
        }
        for index in (position + 1)..<value.count where !CharacterClass.isDigit(value[index]) {
            return false
        }
        return true
    }

    private static func isHostByte(_ byte: UInt8) -> Bool {
        CharacterClass.isLetter(byte) || CharacterClass.isDigit(byte) || byte == UInt8(ascii: "-")
            || byte == UInt8(ascii: ".")
            || byte == UInt8(ascii: "_")
    }

    /// Equality without case. `wanted` is lower-case ASCII.
    private static func equals(_ bytes: Span<UInt8>, _ wanted: StaticString) -> Bool {
        guard bytes.count == wanted.utf8CodeUnitCount else { return false }
        // Safe: a static string's bytes live for ever.
        return wanted.withUTF8Buffer { text in
            for index in bytes.indices
            where unsafe CharacterClass.lowered(bytes[index]) != text[index] { return false }
            return true
        }
    }
}
