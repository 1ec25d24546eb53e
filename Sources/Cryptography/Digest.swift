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
            var word: UInt64 = 0
            for place in 8 * index..<8 * index + 8 { word = word << 8 | UInt64(bytes[place]) }
            return word
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
        unsafe [UInt8](unsafeUninitializedCapacity: Digest.byteCount) { buffer, count in
            // Safe: four words are the 32 bytes of the capacity.
            let words = UnsafeMutableRawBufferPointer(buffer)
            unsafe words.storeBytes(of: word0.bigEndian, toByteOffset: 0, as: UInt64.self)
            unsafe words.storeBytes(of: word1.bigEndian, toByteOffset: 8, as: UInt64.self)
            unsafe words.storeBytes(of: word2.bigEndian, toByteOffset: 16, as: UInt64.self)
            unsafe words.storeBytes(of: word3.bigEndian, toByteOffset: 24, as: UInt64.self)
            count = Digest.byteCount
        }
    }

    /// 64 lower case hexadecimal digits.
    package var hex: String { lowerHex(bytes) }

    /// Appends the 32 bytes.
    package func append(to bytes: inout [UInt8]) {
        forEachWord { word in
            for place in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * place))) }
        }
    }

    /// Appends the 64 digits of ``hex`` as ASCII.
    package func appendHex(to text: inout [UInt8]) {
        forEachWord { word in
            for place in 0..<16 {
                let digit = UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * place)) & 15
                text.append(digit < 10 ? 0x30 + digit : 0x57 + digit)
            }
        }
    }

    private func forEachWord(_ body: (UInt64) -> Void) {
        body(word0)
        body(word1)
        body(word2)
        body(word3)
    }

    /// Compares in constant time.
    package func isEqualInConstantTime(to other: Digest) -> Bool {
        (word0 ^ other.word0) | (word1 ^ other.word1) | (word2 ^ other.word2) | (word3 ^ other.word3) == 0
    }

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
    func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }
    return unsafe String(unsafeUninitializedCapacity: 2 * bytes.count) { text in
        // Safe: two digits for each byte, which is the capacity.
        for (index, byte) in bytes.enumerated() {
            unsafe text[2 * index] = digit(byte >> 4)
            unsafe text[2 * index + 1] = digit(byte & 15)
        }
        return 2 * bytes.count
    }
}
