import CShims

/// An Ed25519 private key (RFC 8032). Cost: about 70 µs to sign.
package final class SigningKey: Sendable {
    /// Sizes of a seed and of a signature.
    package static let seedBytes = 32
    package static let signatureBytes = 64

    package let publicKey: VerifyingKey
    private let handle: PrivateKeyHandle

    /// - Parameter seed: the 32-byte private key of RFC 8032.
    /// - Throws: `.wrongLength`.
    package convenience init(seed: borrowing SecretBytes) throws(CryptographyError) {
        guard seed.count == Self.seedBytes else {
            throw .wrongLength(what: "Ed25519 seed", expected: Self.seedBytes, got: seed.count)
        }
        ErrorQueue.clear()
        // Safe: 32 bytes, copied by OpenSSL.
        guard
            let handle = unsafe PrivateKeyHandle(
                owning: seed.withPointer { unsafe consilium_ed25519_private($0) })
        else {
            throw .library(operation: "load an Ed25519 key", reason: ErrorQueue.drain())
        }
        self.init(handle: handle)
    }

    /// - Parameter pem: an unencrypted PKCS#8 key, as ``pem()`` or `openssl genpkey -algorithm
    ///   ed25519` writes it.
    /// - Throws: `.malformed`, or `.refused` for a key of another type.
    package convenience init(pem: borrowing SecretBytes) throws(CryptographyError) {
        self.init(handle: try PrivateKeyHandle(pem: pem, expecting: .ed25519, what: "signing key"))
    }

    /// A new key.
    package static func generate(random: any RandomSource) -> SigningKey {
        let seed = random.secret(seedBytes)
        do {
            return try SigningKey(seed: seed)
        } catch {
            preconditionFailure("any 32 bytes are an Ed25519 seed: \(error)")
        }
    }

    private init(handle: PrivateKeyHandle) {
        self.handle = handle
        guard let key = VerifyingKey(bytes: handle.rawPublicKey()) else {
            preconditionFailure("a clamped scalar times the base point never has small order")
        }
        publicKey = key
    }

    /// A 64-byte signature; the same message always gives the same one.
    package func sign(_ message: [UInt8]) -> [UInt8] {
        ErrorQueue.clear()
        var signature = [UInt8](repeating: 0, count: Self.signatureBytes)
        // Safe: message and count belong together, and the signature has the 64 bytes the shim
        // writes.
        let result = unsafe consilium_ed25519_sign(
            handle.pointer, message, message.count, &signature)
        precondition(result == 1, "Ed25519 signing failed: \(ErrorQueue.drain())")
        return signature
    }

    /// Unencrypted PKCS#8 PEM, for ``KeyFile``.
    /// - Throws: `.library` only.
    package func pem() throws(CryptographyError) -> SecretBytes { try handle.pem() }
}
