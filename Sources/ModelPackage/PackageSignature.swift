// `manifest.sig`: an Ed25519 signature over a domain-separated hash of the manifest. `protocol/model-package.md` §5.
//
// ```
// {"algorithm":"ed25519","format":"consilium-package-signature/1","key":"<key id>","signature":"<base64, 64 bytes>"}
// ```
// signed message = "consilium/model-package/manifest/1\n" ‖ SHA-256(manifest.json)
// key id         = lower-case hex of the first 16 bytes of SHA-256("consilium/package-key/1\n" ‖ public key)

import Codec
import Cryptography

struct PackageSignature: Equatable, Sendable {
    static let format = "consilium-package-signature/1"
    static let algorithm = "ed25519"
    static let domain = Array("consilium/model-package/manifest/1\n".utf8)

    /// Identifies the signing key without being it.
    var keyIdentifier: String
    var signature: [UInt8]

    /// What is signed for a manifest of this digest.
    static func message(_ manifest: Digest) -> [UInt8] { domain + manifest.bytes }

    /// The id under which a signature names its key.
    static func keyIdentifier(_ key: VerifyingKey) -> String {
        let digest = SHA256.hash(Array("consilium/package-key/1\n".utf8) + key.bytes)
        return Hex.encode(Array(digest.bytes.prefix(16)))
    }

    init(signing manifest: Digest, with key: SigningKey) {
        keyIdentifier = Self.keyIdentifier(key.publicKey)
        signature = key.sign(Self.message(manifest))
    }

    var encoded: [UInt8] {
        JSONValue.object([
            "format": .string(Self.format), "algorithm": .string(Self.algorithm),
            "key": .string(keyIdentifier), "signature": .string(Base64.encode(signature)),
        ]).canonicalBytes()
    }

    init(parsing bytes: [UInt8]) throws(PackageError) {
        let file = PackageFile.signature
        guard let value = try? JSONValue.parse(bytes, dialect: .strict),
            case .object(let members) = value
        else {
            throw .malformed(file: file, problem: "it is not a strict JSON object")
        }
        guard members["format"]?.stringValue == Self.format,
            members["algorithm"]?.stringValue == Self.algorithm
        else {
            throw .unknownFormat(file: file)
        }
        guard members.count == 4, let key = members["key"]?.stringValue, key.utf8.count == 32,
            Hex.decode(key) != nil,
            let text = members["signature"]?.stringValue, let signature = Base64.decode(text),
            signature.count == 64,
            value.canonicalBytes() == bytes
        else {
            throw .malformed(
                file: file,
                problem:
                    "it needs exactly format, algorithm, key and a 64-byte signature, in canonical JSON"
            )
        }
        (keyIdentifier, self.signature) = (key, signature)
    }

    /// The one of several keys that the signature names, or the first.
    func key(among keys: [VerifyingKey]) -> VerifyingKey? {
        keys.first { Self.keyIdentifier($0) == keyIdentifier } ?? keys.first
    }

    /// - Throws: `PackageError.wrongKey` when another key is named, `.badSignature` when the signature does not hold.
    func verify(_ manifest: Digest, trustedKey: VerifyingKey) throws(PackageError) {
        let trusted = Self.keyIdentifier(trustedKey)
        guard keyIdentifier == trusted else {
            throw .wrongKey(
                found: String(keyIdentifier.prefix(16)), trusted: String(trusted.prefix(16)))
        }
        guard trustedKey.isValid(signature, for: Self.message(manifest)) else {
            throw .badSignature
        }
    }
}
