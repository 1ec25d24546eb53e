import Cryptography

/// Salted commitments: HMAC-SHA256(salt, bytes). With its salt anyone can check one; without it nobody can tell what it
/// was of, not even by trying all values. Erasing salt and payload erases the person and leaves every proof valid.
package enum Commitment {
    /// Bytes of a salt; one random salt for each commitment.
    package static let saltBytes = 32

    /// A new salt.
    package static func salt(_ random: any RandomSource) -> [UInt8] { random.bytes(saltBytes) }

    /// The commitment to a payload. The salt must have 32 bytes.
    package static func make(_ payload: [UInt8], salt: [UInt8]) -> Digest {
        precondition(salt.count == saltBytes, "a salt has 32 bytes")
        return HMACSHA256.authenticate(payload, key: salt)
    }

    /// Whether a commitment is to this payload under this salt. Constant time in the value.
    package static func verify(_ commitment: Digest, payload: [UInt8], salt: [UInt8]) -> Bool {
        salt.count == saltBytes
            && constantTimeEqual(make(payload, salt: salt).bytes, commitment.bytes)
    }
}
