// Verifier keys of c2sp.org/signed-note: <name>+<key ID, 8 hex digits>+<base64(type || public key)>,
// key ID = the first four bytes of SHA-256(name || 0x0A || type || public key).
import Codec
import Cryptography

/// The name of a log or witness: not empty, no Unicode space, no control character, no plus sign.
package struct KeyName: Hashable, Sendable, CustomStringConvertible {
    /// Longest name that is accepted, in bytes.
    package static let bytesMax = 255
    package let text: String

    /// nil when the name breaks the rules.
    package init?(_ text: String) {
        let isGood = text.unicodeScalars.allSatisfy {
            $0 != "+" && !$0.properties.isWhitespace && $0.value >= 0x20
        }
        guard isGood, !text.isEmpty, text.utf8.count <= Self.bytesMax else { return nil }
        self.text = text
    }

    /// Names are compared byte by byte, not by Unicode equivalence.
    package static func == (left: KeyName, right: KeyName) -> Bool {
        left.text.utf8.elementsEqual(right.text.utf8)
    }
    package func hash(into hasher: inout Hasher) { for byte in text.utf8 { hasher.combine(byte) } }
    package var description: String { text }
}

/// A public key that signs notes, with its name: a log's (type 01) or a witness's (type 04).
package struct VerifierKey: Hashable, Sendable {
    /// The signature algorithm, as the byte that note keys begin with.
    package enum Kind: UInt8, Sendable {
        /// Ed25519 over the note's text: the log itself.
        case log = 0x01
        /// Ed25519 over a time and the note's text: cosignature/v1 of a witness.
        case witness = 0x04
    }

    package let name: KeyName
    package let kind: Kind
    package let publicKey: VerifyingKey
    /// First four bytes of SHA-256(name || 0x0A || type || public key), big-endian.
    package let keyID: UInt32

    package init(name: KeyName, kind: Kind, publicKey: VerifyingKey) {
        self.name = name
        self.kind = kind
        self.publicKey = publicKey
        let message = Array(name.text.utf8) + [0x0A, kind.rawValue] + publicKey.bytes
        keyID = SHA256.hash(message).bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// Parses the text form, without anything around it.
    package init(_ text: String) throws(NoteError) {
        let parts = text.split(separator: "+", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3 else { throw .malformed("a verifier key is NAME+ID+KEY") }
        guard let name = KeyName(String(parts[0])) else {
            throw .malformed("the name of the verifier key")
        }
        guard let blob = Base64.decode(String(parts[2])), blob.count == 33 else {
            throw .malformed("the verifier key is not base64 of 33 bytes")
        }
        guard let kind = Kind(rawValue: blob[0]) else {
            throw .malformed("only Ed25519 keys of type 01 (log) and 04 (witness) are taken")
        }
        guard let publicKey = VerifyingKey(bytes: Array(blob.dropFirst())) else {
            throw .malformed("the verifier key is not an Ed25519 key")
        }
        self.init(name: name, kind: kind, publicKey: publicKey)
        guard self.text == text else {
            throw .malformed("the ID of the verifier key does not belong to it")
        }
    }

    /// The text form (vkey).
    package var text: String {
        "\(name)+\(Hex.encode(keyIDBytes))+\(Base64.encode([kind.rawValue] + publicKey.bytes))"
    }

    var keyIDBytes: [UInt8] {
        [
            UInt8(truncatingIfNeeded: keyID >> 24), UInt8(truncatingIfNeeded: keyID >> 16),
            UInt8(truncatingIfNeeded: keyID >> 8), UInt8(truncatingIfNeeded: keyID),
        ]
    }
}
