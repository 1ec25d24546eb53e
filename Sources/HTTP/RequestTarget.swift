/// Reads a request target in origin form (RFC 9112 §3.2.1).
///
/// Paths are decoded once, here, so that no handler ever sees a way out of its directory: an
/// encoded slash, a backslash, a control character, an empty segment before another, `.` and `..`
/// as segments, broken percent-encoding and text that is no UTF-8 are refused.
enum RequestTarget {
    /// The decoded path of a target.
    static func path(of target: String) throws(HTTPRefusal) -> String {
        let bytes = target.utf8
        guard bytes.first == UInt8(ascii: "/") else {
            throw HTTPRefusal(400, "the request target must be a path")
        }
        let end = bytes.firstIndex(of: UInt8(ascii: "?")) ?? bytes.endIndex
        try checkEncoding(bytes[end...])
        let raw = bytes[..<end]
        var decoded: [UInt8] = []
        var previous: UInt8 = 0
        var mayHaveDots = false
        for byte in raw {
            if byte == UInt8(ascii: "\\") {
                throw HTTPRefusal(400, "the request path has a backslash")
            }
            if byte == UInt8(ascii: "/"), previous == byte {
                throw HTTPRefusal(400, "the request path has an empty segment")
            }
            if byte == UInt8(ascii: "%")
                || (byte == UInt8(ascii: ".") && previous == UInt8(ascii: "/"))
            {
                mayHaveDots = true
            }
            previous = byte
        }
        guard mayHaveDots else { return end == bytes.endIndex ? target : String(target[..<end]) }
        decoded = try decode(raw)
        for segment in decoded.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        where segment == [UInt8(ascii: ".")] || segment == [UInt8(ascii: "."), UInt8(ascii: ".")] {
            throw HTTPRefusal(400, "the request path has a \".\" or \"..\" segment")
        }
        guard let path = String(validating: decoded, as: UTF8.self) else {
            throw HTTPRefusal(400, "the request path is not UTF-8")
        }
        return path
    }

    /// The pairs of a query, decoded: `+` is a space, a name without `=` has an empty value.
    static func query(of target: String) -> [(String, String)] {
        guard let mark = target.utf8.firstIndex(of: UInt8(ascii: "?")) else { return [] }
        return target.utf8[target.utf8.index(after: mark)...].split(separator: UInt8(ascii: "&"))
            .map { pair in
                let parts = pair.split(
                    separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
                return (decodeForm(parts[0]), parts.count > 1 ? decodeForm(parts[1]) : "")
            }
    }

    /// Percent-encodes a path segment or a query part for a target.
    static func encode(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var encoded: [UInt8] = []
        for byte in text.utf8 {
            if CharacterClass.isLetter(byte) || CharacterClass.isDigit(byte)
                || "-._~".utf8.contains(byte)
            {
                encoded.append(byte)
            } else {
                encoded += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: encoded, as: UTF8.self)
    }

    private static func decode(_ raw: Substring.UTF8View) throws(HTTPRefusal) -> [UInt8] {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(raw.count)
        var position = raw.startIndex
        while position < raw.endIndex {
            let byte = raw[position]
            position = raw.index(after: position)
            guard byte == UInt8(ascii: "%") else {
                decoded.append(byte)
                continue
            }
            guard let value = hexPair(raw, &position) else { throw brokenEncoding }
            guard value >= 0x20, value != 0x7f, value != UInt8(ascii: "/"),
                value != UInt8(ascii: "\\")
            else {
                throw HTTPRefusal(
                    400, "the request path has an encoded slash, backslash or control character")
            }
            decoded.append(value)
        }
        return decoded
    }

    private static var brokenEncoding: HTTPRefusal {
        HTTPRefusal(400, "the request target has a \"%\" without two hexadecimal digits")
    }

    private static func checkEncoding(_ raw: Substring.UTF8View) throws(HTTPRefusal) {
        var position = raw.startIndex
        while position < raw.endIndex {
            let byte = raw[position]
            position = raw.index(after: position)
            if byte == UInt8(ascii: "%"), hexPair(raw, &position) == nil { throw brokenEncoding }
        }
    }

    private static func decodeForm(_ raw: Substring.UTF8View) -> String {
        String(decoding: percentDecoded(raw, plusIsSpace: true), as: UTF8.self)
    }

    /// Decodes `%XX`; a `%` without two digits stays as it is.
    static func percentDecoded(_ raw: Substring.UTF8View, plusIsSpace: Bool = false) -> [UInt8] {
        var decoded: [UInt8] = []
        var position = raw.startIndex
        while position < raw.endIndex {
            let byte = raw[position]
            position = raw.index(after: position)
            if byte == UInt8(ascii: "%"), let value = hexPair(raw, &position) {
                decoded.append(value)
            } else {
                decoded.append(plusIsSpace && byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
            }
        }
        return decoded
    }

    /// Reads two digits and moves behind them; nil leaves the position.
    private static func hexPair(
        _ raw: Substring.UTF8View, _ position: inout Substring.UTF8View.Index
    ) -> UInt8? {
        guard position < raw.endIndex, let high = CharacterClass.hexValue(raw[position]) else {
            return nil
        }
        let second = raw.index(after: position)
        guard second < raw.endIndex, let low = CharacterClass.hexValue(raw[second]) else {
            return nil
        }
        position = raw.index(after: second)
        return high << 4 | low
    }
}
