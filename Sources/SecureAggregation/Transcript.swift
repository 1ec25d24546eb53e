// Hashes, key derivations and signatures of the protocol, each with a label of its own so that no
// value can be taken for another. `protocol/secure-aggregation.md` §2.
//
//     P = "consilium/secagg/v1/"        lp(x) = u32 length ‖ x
//     H(label; f1 … fr)      = SHA-256( lp(P ‖ label) ‖ lp(f1) ‖ … ‖ lp(fr) )
//     Extract(salt, ikm)     = HMAC-SHA-256(salt, ikm)
//     Expand(prk, label; f…) = HKDF-Expand, 32 bytes, info = lp(P ‖ label) ‖ lp(f1) ‖ …
//     Sig(label; f…)         = Ed25519 over the 32 bytes H("sig/" ‖ label; f…)

import Codec
import Cryptography

/// What a hash or derived key is for.
enum Label: String {
    case context = "ctx"
    case roster
    case selfSeedCommitment = "b-commit"
    case maskKey = "mask-x25519"
    case pair
    case selfMask = "self"
    case segment = "seg"
    case channel = "chan"
    case channelData = "chan-aad"
    case graph
    case sharers = "u2"
    case survivors = "u3"
    case segments = "root"
    case result
    case manifest
    case survivorSet = "u3-set"
}

/// What a signature says.
enum SignatureLabel: String {
    case round, advert, shares, masked, result, abort, manifest
    case consistency = "consist"
    case unmasking = "unmask"
}

enum Transcript {
    static let prefix = "consilium/secagg/v1/"

    static func hash(_ label: Label, _ fields: [UInt8]...) -> Digest {
        SHA256.hash(framed(label.rawValue, fields))
    }

    /// HKDF-Extract with the round's context as salt.
    static func extract(_ context: Digest, _ secret: borrowing SecretBytes) -> SecretBytes {
        HKDF.extract(salt: context.bytes, secret: secret)
    }

    /// HKDF-Expand to 32 bytes.
    static func expand(_ key: borrowing SecretBytes, _ label: Label, _ fields: [UInt8]...)
        -> SecretBytes
    {
        HKDF.expand(key, info: framed(label.rawValue, fields), count: 32)
    }

    /// The `info` of ``expand(_:_:_:)``, for callers that expand many keys with the same fields.
    static func information(_ label: Label, _ fields: [UInt8]...) -> [UInt8] {
        framed(label.rawValue, fields)
    }

    static func sign(_ label: SignatureLabel, _ fields: [UInt8]..., with key: SigningKey) -> [UInt8]
    {
        key.sign(SHA256.hash(framed("sig/" + label.rawValue, fields)).bytes)
    }

    static func isValid(
        _ signature: [UInt8], _ label: SignatureLabel, _ fields: [UInt8]..., by key: VerifyingKey
    ) -> Bool {
        key.isValid(signature, for: SHA256.hash(framed("sig/" + label.rawValue, fields)).bytes)
    }

    private static func framed(_ label: String, _ fields: [[UInt8]]) -> [UInt8] {
        var writer = ByteWriter(reserving: 32 + fields.reduce(0) { $0 + $1.count + 4 })
        writer.text(prefix + label)
        for field in fields { writer.lengthPrefixed(field) }
        return writer.bytes
    }
}

extension UInt32 {
    /// Four bytes, most significant first: how numbers enter hashes.
    var bigEndianBytes: [UInt8] {
        [
            UInt8(truncatingIfNeeded: self >> 24), UInt8(truncatingIfNeeded: self >> 16),
            UInt8(truncatingIfNeeded: self >> 8), UInt8(truncatingIfNeeded: self),
        ]
    }
}
