import Cryptography

/// A note with at least one good signature of a key we know and no bad one: only verification makes it.
package struct OpenedNote: Equatable, Sendable {
    /// A known key that signed, and when if it is a witness.
    package struct Signer: Equatable, Sendable {
        package let key: VerifierKey
        /// Seconds since 1970, of a cosignature only.
        package let timeSeconds: UInt64?
    }

    package let note: SignedNote
    /// In the order of the signature lines, each key once.
    package let signers: [Signer]

    /// The signed text with its final newline.
    package var text: [UInt8] { note.text }

    /// Opens a note with the keys we know. Signatures of unknown keys are ignored, a wrong one of a known key refuses
    /// the whole note. One Ed25519 verification a known line.
    package init(_ note: SignedNote, known: [VerifierKey]) throws(NoteError) {
        var signers: [Signer] = []
        for signature in note.signatures {
            let keys = known.filter { $0.keyID == signature.keyID && $0.name == signature.name }
            guard let key = keys.first else { continue }
            guard keys.count == 1 else { throw .ambiguousKey(keyName: key.name.text) }
            let signer = try Self.verify(signature, of: key, text: note.text)
            if !signers.contains(where: { $0.key == key }) { signers.append(signer) }
        }
        guard !signers.isEmpty else { throw .unverified }
        self.note = note
        self.signers = signers
    }

    /// Parses and opens.
    package init(_ bytes: [UInt8], known: [VerifierKey]) throws(NoteError) {
        try self.init(SignedNote(bytes), known: known)
    }

    /// Whether this key signed.
    package func isSigned(by key: VerifierKey) -> Bool { signers.contains { $0.key == key } }

    private static func verify(
        _ signature: SignedNote.Signature, of key: VerifierKey, text: [UInt8]
    ) throws(NoteError) -> Signer {
        switch key.kind {
        case .log:
            guard signature.blob.count == 64, key.publicKey.isValid(signature.blob, for: text)
            else {
                throw .invalidSignature(keyName: key.name.text)
            }
            return Signer(key: key, timeSeconds: nil)
        case .witness:
            guard let cosignature = Cosignature(blob: signature.blob),
                cosignature.isValid(for: text, key: key.publicKey)
            else { throw .invalidSignature(keyName: key.name.text) }
            return Signer(key: key, timeSeconds: cosignature.timeSeconds)
        }
    }
}
