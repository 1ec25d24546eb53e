import CShims

/// HKDF with SHA-256 (RFC 5869). Cost: under 1 µs a call for short input.
package enum HKDF {
    /// RFC 5869 §2.3: at most 255 blocks.
    package static let outputBytesMax = 255 * Digest.byteCount

    /// RFC 5869 §2.2: a 32-byte pseudorandom key. An empty salt counts as 32 zeros, as the RFC
    /// says.
    package static func extract(salt: [UInt8], secret: borrowing SecretBytes) -> SecretBytes {
        let output = SecretBytes(zeroed: Digest.byteCount)
        unsafe secret.withPointer { input in
            unsafe output.withPointer { output in
                // Safe: counts belong to their pointers; the output has the 32 bytes the shim
                // writes.
                unsafe consilium_hmac_sha256(salt, salt.count, input, secret.count, output)
            }
        }
        return output
    }

    /// RFC 5869 §2.3.
    /// - Parameter count: bytes wanted, 0 to ``outputBytesMax``.
    package static func expand(_ prk: borrowing SecretBytes, info: [UInt8], count: Int = 32)
        -> SecretBytes
    {
        precondition((0...outputBytesMax).contains(count), "HKDF gives at most 8160 bytes")
        let output = SecretBytes(zeroed: count)
        unsafe prk.withPointer { input in
            unsafe output.withPointer { output in
                // Safe: counts belong to their pointers.
                unsafe consilium_hkdf_expand(input, prk.count, info, info.count, output, count)
            }
        }
        return output
    }
}
