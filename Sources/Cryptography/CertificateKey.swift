import CShims

/// An ECDSA P-256 private key for TLS and for the certificate authority. Made by OpenSSL's own
/// generator.
package final class CertificateKey: Sendable {
    /// SubjectPublicKeyInfo, DER.
    package let publicKeyDER: [UInt8]
    let handle: PrivateKeyHandle

    /// A fresh key from the system's randomness (OpenSSL offers no other for this curve).
    package static func generate() -> CertificateKey {
        ErrorQueue.clear()
        // Safe: ownership of the new key goes to the handle.
        guard let handle = unsafe PrivateKeyHandle(owning: consilium_p256_generate()) else {
            preconditionFailure("P-256 is not available: \(ErrorQueue.drain())")
        }
        return CertificateKey(handle: handle)
    }

    /// - Parameter pem: an unencrypted PKCS#8 key, as ``pem()`` or `openssl genpkey` writes it.
    /// - Throws: `.malformed`, or `.refused` for a key of another type.
    package convenience init(pem: borrowing SecretBytes) throws(CryptographyError) {
        self.init(handle: try PrivateKeyHandle(pem: pem, expecting: .p256, what: "certificate key"))
    }

    private init(handle: PrivateKeyHandle) {
        self.handle = handle
        // Safe: the handle outlives the call.
        guard let der = unsafe takeBytes(consilium_key_public_der(handle.pointer)) else {
            preconditionFailure("a P-256 key has a public half")
        }
        publicKeyDER = der
    }

    /// Unencrypted PKCS#8 PEM, for ``KeyFile``.
    /// - Throws: `.library` only.
    package func pem() throws(CryptographyError) -> SecretBytes { try handle.pem() }

    /// An ECDSA signature with SHA-256 over a message, DER; another one at each call.
    package func sign(_ message: [UInt8]) -> [UInt8] {
        ErrorQueue.clear()
        var signature = [UInt8](repeating: 0, count: Int(CONSILIUM_P256_SIGNATURE_BYTES_MAX))
        var count = 0
        // Safe: message and count belong together, and the signature has the room that the shim asks for.
        let result = unsafe consilium_p256_sign(
            handle.pointer, message, message.count, &signature, &count)
        precondition(result == 1, "ECDSA signing failed: \(ErrorQueue.drain())")
        return Array(signature.prefix(count))
    }

    /// Lends the `EVP_PKEY *` to `SSL_CTX_use_PrivateKey` and its like, which take their own
    /// reference.
    @unsafe package func withOpenSSLKey<Result>(_ body: (OpaquePointer) -> Result) -> Result {
        unsafe body(handle.pointer)
    }
}

/// Copies what a shim returned and frees it; nil when the shim failed.
@unsafe func takeBytes(_ bytes: consilium_bytes) -> [UInt8]? {
    guard let start = unsafe bytes.start else { return nil }
    defer { unsafe consilium_bytes_free(bytes) }
    return unsafe [UInt8](UnsafeBufferPointer(start: start, count: bytes.count))
}
