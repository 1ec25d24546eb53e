// An OpenSSF Model Signing bundle: `model.sig` beside the files of a package, which the stock tool checks with
// `model_signing verify key DIR --signature model.sig --public_key key.pem`. `protocol/model-package.md` §9.
//
// A Sigstore bundle v0.3 around a DSSE envelope around an in-toto statement whose resources are the files with their
// SHA-256, in order of name; the statement's subject is the SHA-256 over the raw digests in that order. ECDSA P-256.

import Codec
import Cryptography

/// Signatures that the stock `model_signing` tool checks.
package enum ModelSigning {
    /// The usual name of the signature.
    package static let fileName = "model.sig"
    private static let payloadType = "application/vnd.in-toto+json"

    /// The signature over every file of a directory.
    /// - Parameters:
    ///   - directory: the last component of the directory's path, which the statement names.
    ///   - key: ECDSA P-256.
    package static func bundle(
        _ contents: PackageContents, directory: String, key: CertificateKey
    ) -> [UInt8] {
        let payload = statement(contents, directory).canonicalBytes()
        let signature = key.sign(preAuthenticationEncoding(payload))
        let bundle: JSONValue = [
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": [
                "publicKey": ["hint": .string(SHA256.hash(Array(publicKeyPEM(key).utf8)).hex)],
                "tlogEntries": [],
            ],
            "dsseEnvelope": [
                "payload": .string(Base64.encode(payload)), "payloadType": .string(payloadType),
                "signatures": [["sig": .string(Base64.encode(signature)), "keyid": ""]],
            ],
        ]
        return bundle.canonicalBytes()
    }

    /// The public half for the verifier, SubjectPublicKeyInfo in PEM.
    package static func publicKeyPEM(_ key: CertificateKey) -> String {
        let text = Base64.encode(key.publicKeyDER)
        var lines: [String] = []
        var rest = text[...]
        while !rest.isEmpty {
            lines.append(String(rest.prefix(64)))
            rest = rest.dropFirst(64)
        }
        return "-----BEGIN PUBLIC KEY-----\n" + lines.joined(separator: "\n")
            + "\n-----END PUBLIC KEY-----\n"
    }

    private static func statement(_ contents: PackageContents, _ directory: String) -> JSONValue {
        let names = contents.files.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        let digests = names.map { SHA256.hash(contents.files[$0] ?? []) }
        let root = SHA256.hash(digests.flatMap(\.bytes))
        return [
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [["name": .string(directory), "digest": ["sha256": .string(root.hex)]]],
            "predicateType": "https://model_signing/signature/v1.0",
            "predicate": [
                "serialization": [
                    "method": "files", "hash_type": "sha256", "allow_symlinks": false,
                    "ignore_paths": .array([.string(fileName)]),
                ],
                "resources": .array(
                    zip(names, digests).map { name, digest in
                        [
                            "name": .string(name), "digest": .string(digest.hex),
                            "algorithm": "sha256",
                        ]
                    }),
            ],
        ]
    }

    /// What a DSSE signature covers.
    private static func preAuthenticationEncoding(_ payload: [UInt8]) -> [UInt8] {
        Array("DSSEv1 \(payloadType.utf8.count) \(payloadType) \(payload.count) ".utf8) + payload
    }
}
