/// Base64 text (RFC 4648), strict: one text per byte string and one byte string per text.
package enum Base64 {
    /// Standard alphabet, padded.
    package static func encode(_ bytes: [UInt8]) -> String { encode(bytes, standard, padded: true) }
    /// URL alphabet, not padded.
    package static func urlEncode(_ bytes: [UInt8]) -> String { encode(bytes, url, padded: false) }
    /// Nil unless canonical: padded, no white space, unused bits zero.
    package static func decode(_ text: String) -> [UInt8]? {
        var digits = Array(text.utf8)
        guard digits.count % 4 == 0 else { return nil }
        var padding = 0
        while padding < 2, digits.last == 0x3d {
            digits.removeLast()
            padding += 1
        }
        return decode(digits, standard)
    }
    /// Nil unless canonical: URL alphabet, not padded, unused bits zero.
    package static func urlDecode(_ text: String) -> [UInt8]? { decode(Array(text.utf8), url) }

    private static let standard = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let url = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    private static func encode(_ bytes: [UInt8], _ alphabet: [UInt8], padded: Bool) -> String {
        var digits: [UInt8] = []
        digits.reserveCapacity((bytes.count + 2) / 3 * 4)
        var index = 0
        while index < bytes.count {
            let count = min(3, bytes.count - index)
            var group: UInt32 = 0
            for offset in 0..<3 {
                group = group << 8 | (offset < count ? UInt32(bytes[index + offset]) : 0)
            }
            for offset in 0...count {
                digits.append(alphabet[Int(group >> UInt32(18 - 6 * offset)) & 63])
            }
            if padded, count < 3 { digits += [UInt8](repeating: 0x3d, count: 3 - count) }
            index += 3
        }
        return String(decoding: digits, as: UTF8.self)
    }

    private static func decode(_ digits: [UInt8], _ alphabet: [UInt8]) -> [UInt8]? {
        guard digits.count % 4 != 1 else { return nil }
        var values = [UInt8](repeating: 255, count: 256)
        for (value, digit) in alphabet.enumerated() { values[Int(digit)] = UInt8(value) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count * 3 / 4)
        var group: UInt32 = 0
        var bits: UInt32 = 0
        for digit in digits {
            let value = values[Int(digit)]
            guard value < 64 else { return nil }
            group = (group << 6 | UInt32(value)) & 0xff_ffff
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: group >> bits))
            }
        }
        guard group & ((1 << bits) - 1) == 0 else { return nil }
        return bytes
    }
}
