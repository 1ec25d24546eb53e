import Cryptography

/// A named key that signs notes: a log's own, or a witness's.
package struct NoteSigner: Sendable {
    package let verifierKey: VerifierKey
    private let key: SigningKey

    package init(name: KeyName, kind: VerifierKey.Kind, key: SigningKey) {
        verifierKey = VerifierKey(name: name, kind: kind, publicKey: key.publicKey)
        self.key = key
    }

    /// A log's signature line over `text`, which ends with a newline. Needs a key of kind `.log`.
    package func sign(_ text: [UInt8]) -> SignedNote.Signature {
        precondition(verifierKey.kind == .log, "a witness key signs with a time")
        return line(key.sign(text))
    }

    /// A witness's cosignature line over the text of a checkpoint. Needs a key of kind `.witness`.
    package func cosign(_ text: [UInt8], timeSeconds: UInt64) -> SignedNote.Signature {
        precondition(verifierKey.kind == .witness, "a log key does not cosign")
        return line(Cosignature(text: text, timeSeconds: timeSeconds, key: key).blob)
    }

    private func line(_ blob: [UInt8]) -> SignedNote.Signature {
        SignedNote.Signature(name: verifierKey.name, keyID: verifierKey.keyID, blob: blob)
    }
}
