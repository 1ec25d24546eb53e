import CShims

/// The owner of one `EVP_PKEY`. OpenSSL keys are reference counted and safe to use from several
/// threads as long as nobody modifies them, and nothing here does.
@safe final class PrivateKeyHandle: @unchecked Sendable {
    enum Kind: Int32 {
        case ed25519 = 1
        case p256 = 2
    }

    let pointer: OpaquePointer

    /// Takes ownership.
    /// - Parameter pointer: what an OpenSSL constructor returned; nil if it failed.
    init?(owning pointer: OpaquePointer?) {
        guard let pointer = unsafe pointer else { return nil }
        unsafe self.pointer = pointer
    }

    deinit { unsafe consilium_key_free(pointer) }

    /// Nil for kinds this module does not use.
    var kind: Kind? { Kind(rawValue: unsafe consilium_key_kind(pointer)) }

    /// The 32-byte public half of an X25519 or Ed25519 key.
    func rawPublicKey() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Int(CONSILIUM_RAW_KEY_BYTES))
        // Safe: the shim writes 32 bytes or fails.
        let result = unsafe consilium_raw_public(pointer, &bytes)
        precondition(result == 1, "a raw key has a public half")
        return bytes
    }

    /// PKCS#8 PEM text, unencrypted, for ``KeyFile``.
    func pem() throws(CryptographyError) -> SecretBytes {
        ErrorQueue.clear()
        var count = 0
        guard let bytes = unsafe consilium_key_write_pem(pointer, &count) else {
            throw .library(operation: "write a private key", reason: ErrorQueue.drain())
        }
        return unsafe SecretBytes(adopting: bytes, count: count)
    }

    /// Reads an unencrypted PKCS#8 PEM key and holds it to the expected kind.
    convenience init(pem: borrowing SecretBytes, expecting kind: Kind, what: String)
        throws(CryptographyError)
    {
        guard pem.count <= KeyFile.bytesMax else {
            throw .malformed(
                what: what, reason: "a PEM private key is under \(KeyFile.bytesMax) bytes")
        }
        ErrorQueue.clear()
        // Safe: the key is parsed, not kept, by the shim.
        let read = unsafe pem.withPointer { unsafe consilium_key_read_pem($0, pem.count) }
        guard let read = unsafe read else {
            throw .malformed(what: what, reason: ErrorQueue.drain())
        }
        unsafe self.init(existing: read)
        guard self.kind == kind else {
            throw .refused(
                what: what,
                reason: "the key must be of type \(kind == .p256 ? "ECDSA P-256" : "Ed25519")")
        }
    }

    private init(existing pointer: OpaquePointer) {
        unsafe self.pointer = pointer
    }
}
