import CShims

/// HMAC with SHA-256 (RFC 2104). Keys of any length. Cost: about 0.5 µs for short messages.
package enum HMACSHA256 {
    /// The tag of bytes under a key that is no secret of this process.
    package static func authenticate(_ bytes: [UInt8], key: [UInt8]) -> Digest {
        var tag = [UInt8](repeating: 0, count: Digest.byteCount)
        // Safe: counts belong to their arrays; the tag has the 32 bytes the shim writes.
        unsafe consilium_hmac_sha256(key, key.count, bytes, bytes.count, &tag)
        return Digest(bytes: tag)!  // 32 bytes by construction
    }

    /// The tag of bytes under a secret key.
    package static func authenticate(_ bytes: [UInt8], key: borrowing SecretBytes) -> Digest {
        var tag = [UInt8](repeating: 0, count: Digest.byteCount)
        unsafe key.withPointer { pointer in
            // Safe: counts belong to their pointers; the tag has the 32 bytes the shim writes.
            unsafe consilium_hmac_sha256(pointer, key.count, bytes, bytes.count, &tag)
        }
        return Digest(bytes: tag)!  // 32 bytes by construction
    }

    /// Whether `tag` is right for `bytes`, in constant time; a tag of another length is wrong.
    package static func isValid(_ tag: [UInt8], for bytes: [UInt8], key: borrowing SecretBytes)
        -> Bool
    {
        constantTimeEqual(authenticate(bytes, key: key).bytes, tag)
    }
}
