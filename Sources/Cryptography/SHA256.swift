import CShims

/// SHA-256 (FIPS 180-4). Cost: about 0.2 µs a call plus the block rate of the processor (1.4 GB/s
/// with SHA-NI).
package enum SHA256 {
    package static func hash(_ bytes: [UInt8]) -> Digest {
        // Safe: pointer and count come from one array.
        Digest(unsafe consilium_sha256(bytes, bytes.count))
    }

    package static func hash(_ bytes: RawSpan) -> Digest {
        unsafe bytes.withUnsafeBytes { buffer in
            // Safe: pointer and count come from one buffer.
            Digest(
                unsafe consilium_sha256(buffer.bindMemory(to: UInt8.self).baseAddress, buffer.count)
            )
        }
    }

    /// The hash of the concatenation. Parts have no boundaries in it: prefix lengths where that
    /// matters.
    package static func hash(parts: [UInt8]...) -> Digest { hash(parts: parts) }

    /// The hash of the concatenation. Parts have no boundaries in it: prefix lengths where that
    /// matters.
    package static func hash(parts: [[UInt8]]) -> Digest {
        var hasher = Hasher()
        for part in parts { hasher.update(part) }
        return hasher.finish()
    }

    /// A hash fed in pieces.
    @safe package struct Hasher: ~Copyable, @unchecked Sendable {
        /// Owned; `EVP_MD_CTX` has no thread affinity, so it may move between threads with its
        /// owner.
        private let context: OpaquePointer

        package init() {
            // Safe: the shim aborts instead of returning null.
            unsafe context = consilium_sha256_new()
        }

        deinit { unsafe consilium_sha256_free(context) }

        /// Hashes more bytes.
        package mutating func update(_ bytes: [UInt8]) {
            // Safe: pointer and count come from one array.
            unsafe consilium_sha256_update(context, bytes, bytes.count)
        }

        /// Hashes more bytes, which are not copied.
        package mutating func update(_ bytes: RawSpan) {
            unsafe bytes.withUnsafeBytes { buffer in
                // Safe: pointer and count come from one buffer.
                unsafe consilium_sha256_update(context, buffer.baseAddress, buffer.count)
            }
        }

        /// The digest of everything fed so far. Feeding may go on afterwards.
        package borrowing func finish() -> Digest {
            Digest(unsafe consilium_sha256_current(context))
        }
    }
}
