// What a document consists of between its values: white space, comments, keys, strings.

extension JSONParser {
    mutating func skipSpace() throws(JSONError) {
        while let byte = current {
            switch byte {
            case 0x20, 0x09, 0x0a, 0x0d: position += 1
            case 0x0b where isJSON5, 0x0c where isJSON5: position += 1
            case 0x2f where isJSON5: try skipComment()
            case 0xc2 where isJSON5, 0xe2 where isJSON5, 0xef where isJSON5:
                guard let count = wideSpaces.first(where: bytes[position...].starts(with:))?.count
                else { return }
                position += count
            default: return
            }
        }
    }

    private mutating func skipComment() throws(JSONError) {
        let start = position
        let kind = position + 1 < bytes.count ? bytes[position + 1] : 0
        if kind == 0x2f {
            while let byte = current, byte != 0x0a, byte != 0x0d { position += 1 }
            return
        }
        guard kind == 0x2a else { throw failure("a value or a comment is expected here") }
        position += 2
        while position + 1 < bytes.count, bytes[position] != 0x2a || bytes[position + 1] != 0x2f {
            position += 1
        }
        guard position + 1 < bytes.count else {
            position = start
            throw failure("a comment is not closed")
        }
        position += 2
    }

    mutating func key() throws(JSONError) -> String {
        if current == 0x22 { return try string(0x22) }
        guard isJSON5 else { throw failure("a key in double quotes is expected") }
        if current == 0x27 { return try string(0x27) }
        let start = position
        while let byte = current, isNameByte(byte) { position += 1 }
        guard position > start, !(0x30...0x39 ~= bytes[start]) else {
            position = start
            throw failure("a key is expected here")
        }
        guard position - start <= limits.stringBytesMax else { throw tooLong() }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    /// Letters, digits, underscore and dollar sign.
    func isNameByte(_ byte: UInt8) -> Bool {
        0x61...0x7a ~= byte | 0x20 || 0x30...0x39 ~= byte || byte == 0x5f || byte == 0x24
    }

    mutating func string(_ quote: UInt8) throws(JSONError) -> String {
        position += 1
        let start = position
        // Most strings have no escape and are taken in one go; the document was found to be UTF-8.
        while let byte = current, byte != quote, byte != 0x5c, byte >= 0x20 { position += 1 }
        guard position - start <= limits.stringBytesMax else { throw tooLong() }
        if current == quote {
            position += 1
            return String(decoding: bytes[start..<position - 1], as: UTF8.self)
        }
        var collected = Array(bytes[start..<position])
        while let byte = current, byte != quote {
            if byte == 0x5c {
                var end = position + 1
                do {
                    if let scalar = try readEscape(bytes.span, at: &end, isJSON5: isJSON5) {
                        collected.append(scalar)
                    }
                } catch { throw JSONError(bytes, at: end, error.text) }
                position = end
            } else if byte < 0x20 {
                throw failure("a control character stands in a text; write it as an escape")
            } else {
                collected.append(byte)
                position += 1
            }
            guard collected.count <= limits.stringBytesMax else { throw tooLong() }
        }
        guard current == quote else { throw failure("a text is not closed") }
        position += 1
        return String(decoding: collected, as: UTF8.self)
    }

    private func tooLong() -> JSONError {
        failure("a text is longer than \(limits.stringBytesMax) bytes")
    }
}

/// JSON5's white space outside ASCII: no-break space, byte order mark, line and paragraph separators,
/// thin spaces of the general punctuation block.
private let wideSpaces: [[UInt8]] =
    [
        [0xc2, 0xa0], [0xef, 0xbb, 0xbf], [0xe2, 0x80, 0xa8], [0xe2, 0x80, 0xa9],
        [0xe2, 0x80, 0xaf], [0xe2, 0x81, 0x9f],
    ]
    + (0x80...0x8a).map { [0xe2, 0x80, $0] }
