// The field types that messages share, beside those of `Codec`. `protocol/federation.md` §3.

import Codec
import Cryptography
import Study

extension ByteReader {
    /// 32 bytes.
    mutating func digest() throws -> Digest {
        guard let digest = Digest(bytes: try raw(Digest.byteCount)) else {
            throw MessageError.malformed("digest")
        }
        return digest
    }

    /// One byte, 0 or 1.
    mutating func flag() throws -> Bool {
        switch try u8() {
        case 0: false
        case 1: true
        default: throw MessageError.malformed("flag")
        }
    }

    /// A length-prefixed name of this system: safe in a path, a URL and a log line.
    mutating func name() throws -> String {
        let name = try text(maxBytes: 64)
        guard isName(name) else { throw MessageError.malformed("name") }
        return name
    }

    /// A length-prefixed stable code such as `policy.cohort`: it goes into logs as it is.
    mutating func code(emptyAllowed: Bool) throws -> String {
        let code = try text(maxBytes: MessageLimits.codeBytesMax)
        guard code.utf8.allSatisfy(isCodeByte), emptyAllowed || !code.isEmpty else {
            throw MessageError.malformed("code")
        }
        return code
    }
}

extension ByteWriter {
    /// A code, with everything that is none left out and cut to its limit.
    mutating func code(_ code: String) {
        lengthPrefixed(Array(code.utf8.filter(isCodeByte).prefix(MessageLimits.codeBytesMax)))
    }

    /// A sentence for people, cut to its limit between characters.
    mutating func sentence(_ sentence: String) {
        var kept = Substring(sentence)
        while kept.utf8.count > MessageLimits.sentenceBytesMax { kept = kept.dropLast() }
        text(String(kept))
    }
}

/// Sizes of the fields that people and logs read.
package enum MessageLimits {
    /// Bytes of a stable code.
    package static let codeBytesMax = 64
    /// Bytes of a sentence.
    package static let sentenceBytesMax = 512
}

private func isCodeByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
    case UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"): true
    default: false
    }
}
