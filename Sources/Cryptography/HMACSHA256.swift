import CShims

/// HMAC with SHA-256 (RFC 2104). Keys of any length. Cost: about 0.5 µs for short messages.
package enum HMACSHA256 {
    /// The tag of bytes under a key that is no secret of this process.
    package static func authenticate(_ bytes: [UInt8], key: [UInt8]) -> Digest {
        // Safe: counts belong to their arrays.
        Digest(unsafe consilium_hmac_sha256_digest(key, key.count, bytes, bytes.count))
    }

    /// The tag of bytes under a secret key.
    package static func authenticate(_ bytes: [UInt8], key: borrowing SecretBytes) -> Digest {
        // Safe: counts belong to their pointers.
        unsafe key.withPointer { Digest(unsafe consilium_hmac_sha256_digest($0, key.count, bytes, bytes.count)) }
    }

    /// Whether `tag` is right for `bytes`, in constant time; a tag of another length is wrong.
    package static func isValid(_ tag: [UInt8], for bytes: [UInt8], key: borrowing SecretBytes)
        -> Bool
    {
        constantTimeEqual(authenticate(bytes, key: key).bytes, tag)
    }
}
