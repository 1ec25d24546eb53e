import CShims

/// Bytes that must not leak: one owner, page-locked where the system allows, wiped when dropped,
/// printed as nothing.
///
/// Small secrets live in OpenSSL's secure heap (locked pages between guard pages, left out of core
/// dumps); when that is full or the system refuses to lock memory they live on the plain heap,
/// still wiped on release, and are counted in ``SecretMemory/statistics``. Creating one never
/// fails. Cost: about 0.2 µs.
@safe package struct SecretBytes: ~Copyable, @unchecked Sendable {
    /// Uniquely owned and never written after `init`, which is why the type may be `Sendable`.
    private let storage: UnsafeMutableRawBufferPointer

    /// Length in bytes.
    package var count: Int { unsafe storage.count }

    /// - Parameters:
    ///   - count: length in bytes, not negative.
    ///   - initialize: writes the secret into zeroed memory.
    package init(count: Int, initializedBy initialize: (inout MutableRawSpan) -> Void) {
        self.init(zeroed: count)
        withMutableBytes(initialize)
    }

    /// A secret of zeros, to be filled by this module before anyone sees it.
    init(zeroed count: Int) {
        precondition(count >= 0, "a secret has no negative length")
        // Safe: the shim returns `count` writable bytes or aborts.
        let start = unsafe consilium_secret_allocate(count)
        unsafe storage = UnsafeMutableRawBufferPointer(start: start, count: count)
        unsafe storage.initializeMemory(as: UInt8.self, repeating: 0)
    }

    /// Takes over memory that a shim allocated with `consilium_secret_allocate(count)`.
    @unsafe init(adopting start: UnsafeMutablePointer<UInt8>, count: Int) {
        unsafe storage = UnsafeMutableRawBufferPointer(start: start, count: count)
    }

    /// Copies bytes that are already in ordinary memory; the caller's array is not wiped.
    package init(copying bytes: [UInt8]) {
        self.init(zeroed: bytes.count)
        unsafe storage.copyBytes(from: bytes)
    }

    /// Copies bytes that are already in ordinary memory.
    package init(copying bytes: RawSpan) {
        self.init(zeroed: bytes.byteCount)
        unsafe bytes.withUnsafeBytes { source in unsafe storage.copyMemory(from: source) }
    }

    /// `count` bytes from OpenSSL's generator for private values.
    package static func random(_ count: Int) -> SecretBytes {
        SystemRandom.shared.secret(count)
    }

    deinit {
        // Safe: allocated by the matching shim with this count, freed once.
        unsafe consilium_secret_free(storage.baseAddress, storage.count)
    }

    /// Reads the secret in place. Do not copy it to ordinary memory.
    package borrowing func withBytes<Result: ~Copyable, Failure: Error>(
        _ body: (RawSpan) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(unsafe UnsafeRawBufferPointer(storage).bytes)
    }

    /// For this module's own constructors only: a secret does not change once others can see it.
    borrowing func withMutableBytes<Result, Failure: Error>(
        _ body: (inout MutableRawSpan) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        var bytes = unsafe storage.mutableBytes
        return try body(&bytes)
    }

    /// The secret as a C pointer that must not outlive `body`.
    borrowing func withPointer<Result, Failure: Error>(
        _ body: (UnsafeMutablePointer<UInt8>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        // Safe: the shim never returns null and the memory is bytes.
        try unsafe body(storage.baseAddress!.assumingMemoryBound(to: UInt8.self))
    }

    /// An ordinary, unprotected copy, for the few secrets that must cross the wire (shares to be
    /// revealed) or be shown once to an operator. The copy is not wiped.
    package borrowing func exposedCopy() -> [UInt8] {
        unsafe [UInt8](storage)
    }

    /// A second secret with the same content.
    package borrowing func clone() -> SecretBytes {
        withBytes { SecretBytes(copying: $0) }
    }

    /// Compares in time that depends on the lengths only.
    package static func == (left: borrowing SecretBytes, right: borrowing SecretBytes) -> Bool {
        left.withBytes { left in right.withBytes { right in constantTimeEqual(left, right) } }
    }

    /// See `==`.
    package static func != (left: borrowing SecretBytes, right: borrowing SecretBytes) -> Bool {
        !(left == right)
    }
}

/// How the process keeps its secrets.
package enum SecretMemory {
    /// Figures for a start-up log line.
    package struct Statistics: Equatable, Sendable {
        /// Bytes of the locked arena in use, and its size (0 when there is none).
        package var usedBytes, arenaBytes: Int
        /// Whether the system locked the arena's pages.
        package var isLocked: Bool
        /// Secrets that had to live on the plain heap since the process started.
        package var fallbackCount: UInt64
    }

    /// The figures of this moment.
    package static var statistics: Statistics {
        let now = consilium_secret_memory_statistics()
        return Statistics(
            usedBytes: now.used_bytes, arenaBytes: now.arena_bytes,
            isLocked: now.is_locked == 1, fallbackCount: now.fallback_count)
    }
}
