import CShims

/// A SHA-256 digest: 32 bytes, compared and ordered as the byte string it is.
package struct Digest: Hashable, Comparable, Sendable {
    /// 32.
    package static let byteCount = 32

    /// The bytes as big-endian words: ordering the words orders the bytes.
    private let word0, word1, word2, word3: UInt64

    /// - Returns: nil unless there are exactly 32 bytes.
    package init?(bytes: [UInt8]) {
        guard bytes.count == Digest.byteCount else { return nil }
        func word(_ index: Int) -> UInt64 {
            bytes[8 * index..<8 * index + 8].reduce(0) { $0 << 8 | UInt64($1) }
        }
        (word0, word1, word2, word3) = (word(0), word(1), word(2), word(3))
    }

    /// - Returns: nil unless the text is exactly 64 hexadecimal digits of either case.
    package init?(hex: String) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Digest.byteCount)
        var high: UInt8?
        for character in hex.utf8 {
            guard let digit = Digest.value(ofHexDigit: character) else { return nil }
            if let first = high {
                bytes.append(first << 4 | digit)
                high = nil
            } else {
                high = digit
            }
            guard bytes.count <= Digest.byteCount else { return nil }
        }
        guard high == nil else { return nil }
        self.init(bytes: bytes)
    }

    init(_ words: consilium_digest) {
        (word0, word1, word2, word3) = (words.word0, words.word1, words.word2, words.word3)
    }

    /// The 32 bytes.
    package var bytes: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Digest.byteCount)
        for (index, word) in [word0, word1, word2, word3].enumerated() {
            for byte in 0..<8 {
                bytes[8 * index + byte] = UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * byte))
            }
        }
        return bytes
    }

    /// 64 lower case hexadecimal digits.
    package var hex: String { lowerHex(bytes) }

    package static func < (left: Digest, right: Digest) -> Bool {
        (left.word0, left.word1, left.word2, left.word3) < (
            right.word0, right.word1, right.word2, right.word3
        )
    }

    private static func value(ofHexDigit character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): character - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

extension Digest: CustomStringConvertible {
    package var description: String { hex }
}

/// Lower case hexadecimal, for names and log lines (not for secrets: the time depends on nothing,
/// but the text stays).
func lowerHex(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    text.reserveCapacity(2 * bytes.count)
    for byte in bytes {
        text.append(digits[Int(byte >> 4)])
        text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
}
