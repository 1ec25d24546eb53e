import CShims

/// An X25519 private key (RFC 7748). Cost: about 50 µs to agree.
package final class AgreementKey: Sendable {
    /// Length of private keys, public keys and shared secrets.
    package static let keyBytes = 32

    /// 32 bytes.
    package let publicKey: [UInt8]
    private let handle: PrivateKeyHandle

    /// - Parameter raw: 32 bytes of any value; RFC 7748 clamps them.
    /// - Throws: `.wrongLength`.
    package init(raw: borrowing SecretBytes) throws(CryptographyError) {
        guard raw.count == Self.keyBytes else {
            throw .wrongLength(what: "X25519 private key", expected: Self.keyBytes, got: raw.count)
        }
        ErrorQueue.clear()
        // Safe: 32 bytes, copied by OpenSSL.
        guard
            let handle = unsafe PrivateKeyHandle(
                owning: raw.withPointer { unsafe consilium_x25519_private($0) })
        else {
            throw .library(operation: "load an X25519 key", reason: ErrorQueue.drain())
        }
        self.handle = handle
        publicKey = handle.rawPublicKey()
    }

    /// A new key.
    package static func generate(random: any RandomSource) -> AgreementKey {
        let raw = random.secret(keyBytes)
        do {
            return try AgreementKey(raw: raw)
        } catch {
            preconditionFailure("any 32 bytes are an X25519 key: \(error)")
        }
    }

    /// The raw shared secret; feed it to ``HKDF`` with both public keys in the context, never use
    /// it as a key.
    /// - Throws: `.wrongLength`; `.agreementRefused` for small-order points, whose result would be
    ///   all zeros.
    package func agree(with peerPublicKey: [UInt8]) throws(CryptographyError) -> SecretBytes {
        guard peerPublicKey.count == Self.keyBytes else {
            throw .wrongLength(
                what: "X25519 public key", expected: Self.keyBytes, got: peerPublicKey.count)
        }
        ErrorQueue.clear()
        let shared = SecretBytes(zeroed: Self.keyBytes)
        let result = unsafe shared.withPointer { output in
            // Safe: the peer's key has 32 bytes, and so has the output.
            unsafe consilium_x25519_agree(handle.pointer, peerPublicKey, output)
        }
        ErrorQueue.clear()
        guard result == 1 else { throw .agreementRefused }
        return shared
    }
}
