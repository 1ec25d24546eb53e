// Escapes in JSON strings: RFC 8259 §7, and those that JSON5 adds.

/// Reads an escape whose backslash stands before `position`, which is moved behind it or to the culprit.
///
/// - Returns: the character; nil for JSON5's line continuation, which stands for nothing.
func readEscape(_ bytes: Span<UInt8>, at position: inout Int, isJSON5: Bool) throws(JSONProblem)
    -> Unicode.Scalar?
{
    guard position < bytes.count else { throw JSONProblem("a text is not closed") }
    let byte = bytes[position]
    position += 1
    switch byte {
    case 0x22, 0x5c, 0x2f: return Unicode.Scalar(byte)
    case 0x62: return "\u{08}"
    case 0x66: return "\u{0c}"
    case 0x6e: return "\n"
    case 0x72: return "\r"
    case 0x74: return "\t"
    case 0x75: return try readUnicodeEscape(bytes, &position)
    default:
        guard isJSON5 else {
            position -= 1
            throw JSONProblem("an unknown escape in a text; a backslash itself is written twice")
        }
        return try readJSON5Escape(byte, bytes, &position)
    }
}

private func readUnicodeEscape(_ bytes: Span<UInt8>, _ position: inout Int) throws(JSONProblem)
    -> Unicode.Scalar
{
    let alone = "half of a surrogate pair stands alone"
    var value = try readHexadecimal(4, bytes, &position)
    if 0xd800...0xdbff ~= value {
        guard position + 1 < bytes.count, bytes[position] == 0x5c, bytes[position + 1] == 0x75
        else { throw JSONProblem(alone) }
        position += 2
        let low = try readHexadecimal(4, bytes, &position)
        guard 0xdc00...0xdfff ~= low else { throw JSONProblem(alone) }
        value = 0x10000 + (value - 0xd800) << 10 + (low - 0xdc00)
    }
    guard let scalar = Unicode.Scalar(value) else { throw JSONProblem(alone) }
    return scalar
}

private func readJSON5Escape(
    _ byte: UInt8, _ bytes: Span<UInt8>, _ position: inout Int
) throws(JSONProblem) -> Unicode.Scalar? {
    switch byte {
    case 0x27: return "'"
    case 0x76: return "\u{0b}"
    case 0x30 where position == bytes.count || !(0x30...0x39 ~= bytes[position]): return "\u{00}"
    case 0x78: return Unicode.Scalar(UInt8(try readHexadecimal(2, bytes, &position)))
    case 0x0a: return nil
    case 0x0d:
        if position < bytes.count, bytes[position] == 0x0a { position += 1 }
        return nil
    default:
        position -= 1
        throw JSONProblem("an unknown escape in a text; a backslash itself is written twice")
    }
}

private func readHexadecimal(_ count: Int, _ bytes: Span<UInt8>, _ position: inout Int)
    throws(JSONProblem) -> UInt32
{
    var value: UInt32 = 0
    for _ in 0..<count {
        guard position < bytes.count, let digit = Hex.value(bytes[position]) else {
            throw JSONProblem("\(count) hexadecimal digits are expected in the escape")
        }
        value = value << 4 | UInt32(digit)
        position += 1
    }
    return value
}

extension [UInt8] {
    /// Adds the UTF-8 form of a character.
    mutating func append(_ scalar: Unicode.Scalar) {
        append(contentsOf: Array(String(scalar).utf8))
    }
}
