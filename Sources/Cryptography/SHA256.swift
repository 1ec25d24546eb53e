import CShims

/// SHA-256 (FIPS 180-4). Cost: about 0.1 µs a call plus the block rate of the processor (1.4 GB/s
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

    /// The hashes, 32 bytes each, of `prefix` followed by one row each.
    /// - Precondition: `rows` is whole rows of `stride` bytes.
    package static func hash(prefix: [UInt8], rows: ArraySlice<UInt8>, stride: Int) -> [UInt8] {
        precondition(stride > 0 && rows.count % stride == 0, "whole rows only")
        let count = rows.count / stride
        return unsafe [UInt8](unsafeUninitializedCapacity: count * Digest.byteCount) { digests, filled in
            // Safe: counts belong to their pointers; there is room for the 32 bytes of each row.
            unsafe rows.withUnsafeBufferPointer {
                unsafe consilium_sha256_rows(prefix, prefix.count, $0.baseAddress, stride, 0, count, digests.baseAddress)
            }
            filled = count * Digest.byteCount
        }
    }

    /// Hashes `prefix` followed by one row each, without its first `skip` bytes; rows and hashes, 32 bytes each, lie in one buffer.
    /// - Parameters:
    ///   - rowsAt: where the first of `count` rows of `stride` bytes begins.
    ///   - digestsAt: where the first hash goes. The hashes do not reach into the rows.
    package static func hash(
        prefix: [UInt8], rowsAt: Int, stride: Int, skip: Int, count: Int, into digestsAt: Int, of buffer: inout MutableRawSpan
    ) {
        let (rowsEnd, digestsEnd) = (rowsAt + count * stride, digestsAt + count * Digest.byteCount)
        precondition(
            count >= 0 && rowsAt >= 0 && digestsAt >= 0 && (0...stride).contains(skip) && max(rowsEnd, digestsEnd) <= buffer.byteCount
                && (digestsEnd <= rowsAt || rowsEnd <= digestsAt), "rows and hashes lie in the buffer, beside each other")
        guard count > 0 else { return }
        unsafe buffer.withUnsafeMutableBytes { bytes in
            // Safe: both ranges were checked, and a buffer with a hash in it has an address.
            unsafe consilium_sha256_rows(
                prefix, prefix.count, bytes.baseAddress! + rowsAt, stride, skip, count, bytes.baseAddress! + digestsAt)
        }
    }

    /// The hash of the concatenation. Parts have no boundaries in it: prefix lengths where that
    /// matters.
    package static func hash(parts: [UInt8]...) -> Digest {
        var whole: [UInt8] = []
        whole.reserveCapacity(parts.reduce(0) { $0 + $1.count })
        for part in parts { whole += part }
        return hash(whole)
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
