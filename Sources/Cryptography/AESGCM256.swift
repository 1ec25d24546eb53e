import CShims

/// AES-256-GCM (NIST SP 800-38D) with 12-byte nonces and 16-byte tags, sealed as ciphertext ‖ tag.
///
/// A (key, nonce) pair must seal once; callers use single-use keys or random nonces with few
/// messages per key.
package enum AESGCM256 {
    /// Sizes of the key, the nonce and the tag.
    package static let keyBytes = 32
    package static let nonceBytes = 12
    package static let tagBytes = 16

    /// - Returns: ciphertext ‖ tag, `plaintext.count + 16` bytes.
    package static func seal(
        _ plaintext: [UInt8], key: borrowing SecretBytes, nonce: [UInt8], additionalData: [UInt8]
    ) -> [UInt8] {
        // Safe: every byte of a byte array is initialised.
        unsafe seal(plaintext.span.bytes, key: key, nonce: nonce, additionalData: additionalData)
    }

    /// - Returns: ciphertext ‖ tag, `plaintext.count + 16` bytes.
    package static func seal(
        _ plaintext: borrowing SecretBytes, key: borrowing SecretBytes, nonce: [UInt8],
        additionalData: [UInt8]
    ) -> [UInt8] {
        unsafe key.withPointer { key in
            plaintext.withBytes { plaintext in
                unsafe seal(
                    plaintext, keyPointer: key, nonce: nonce, additionalData: additionalData)
            }
        }
    }

    /// - Throws: `.authenticationFailed` for every kind of bad input from a peer, too short
    ///   included.
    package static func open(
        _ sealed: [UInt8], key: borrowing SecretBytes, nonce: [UInt8], additionalData: [UInt8]
    ) throws(CryptographyError) -> [UInt8] {
        checkLengths(key: key.count, nonce: nonce.count)
        guard sealed.count >= tagBytes else { throw .authenticationFailed }
        var plaintext = [UInt8](repeating: 0, count: sealed.count - tagBytes)
        let isAuthentic = unsafe key.withPointer { key in
            unsafe open(sealed, key, nonce, additionalData, into: &plaintext)
        }
        guard isAuthentic else { throw .authenticationFailed }
        return plaintext
    }

    /// ``open(_:key:nonce:additionalData:)`` for a plaintext that is itself a secret.
    package static func openSecret(
        _ sealed: [UInt8], key: borrowing SecretBytes, nonce: [UInt8], additionalData: [UInt8]
    ) throws(CryptographyError) -> SecretBytes {
        checkLengths(key: key.count, nonce: nonce.count)
        guard sealed.count >= tagBytes else { throw .authenticationFailed }
        let plaintext = SecretBytes(zeroed: sealed.count - tagBytes)
        let isAuthentic = unsafe key.withPointer { key in
            unsafe plaintext.withPointer {
                unsafe open(sealed, key, nonce, additionalData, into: $0)
            }
        }
        guard isAuthentic else { throw .authenticationFailed }
        return plaintext
    }

    private static func seal(
        _ plaintext: RawSpan, key: borrowing SecretBytes, nonce: [UInt8], additionalData: [UInt8]
    ) -> [UInt8] {
        checkLengths(key: key.count, nonce: nonce.count)
        return unsafe key.withPointer {
            unsafe seal(plaintext, keyPointer: $0, nonce: nonce, additionalData: additionalData)
        }
    }

    private static func seal(
        _ plaintext: RawSpan, keyPointer: UnsafeMutablePointer<UInt8>, nonce: [UInt8],
        additionalData: [UInt8]
    ) -> [UInt8] {
        ErrorQueue.clear()
        var sealed = [UInt8](repeating: 0, count: plaintext.byteCount + tagBytes)
        let isSealed = unsafe plaintext.withUnsafeBytes { plaintext in
            // Safe: lengths were checked, counts belong to their pointers, the output has room for
            // the tag.
            unsafe consilium_gcm_seal(
                keyPointer, nonce, additionalData, additionalData.count,
                plaintext.bindMemory(to: UInt8.self).baseAddress, plaintext.count, &sealed)
        }
        precondition(isSealed == 1, "AES-256-GCM failed: \(ErrorQueue.drain())")
        return sealed
    }

    private static func open(
        _ sealed: [UInt8], _ key: UnsafeMutablePointer<UInt8>, _ nonce: [UInt8],
        _ additionalData: [UInt8],
        into plaintext: UnsafeMutablePointer<UInt8>
    ) -> Bool {
        ErrorQueue.clear()
        // Safe: lengths were checked by the callers, whose output holds `sealed.count - tagBytes`
        // bytes.
        let result = unsafe consilium_gcm_open(
            key, nonce, additionalData, additionalData.count, sealed, sealed.count, plaintext)
        ErrorQueue.clear()
        return result == 1
    }

    /// Keys and nonces are made by this program, never by a peer.
    private static func checkLengths(key: Int, nonce: Int) {
        precondition(key == keyBytes, "an AES-256 key has 32 bytes")
        precondition(nonce == nonceBytes, "a GCM nonce has 12 bytes")
    }
}
