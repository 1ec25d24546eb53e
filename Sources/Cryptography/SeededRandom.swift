import Glibc

/// A reproducible stream for simulations and tests: AES-256-CTR keyed by SHA-256 of the seed. Never
/// for production keys.
///
/// The stream is one sequence shared by all callers, so draws of several threads interleave by
/// timing: give each party its own ``child(_:)``, which depends on the seed and the label only, not
/// on what was drawn before.
package final class SeededRandom: RandomSource, @unchecked Sendable {
    private let key: SecretBytes
    /// Touched under `lock` only, which is why the type may be `Sendable`.
    private let stream: AESCTR256
    private let lock = StreamLock()

    /// - Parameter seed: any length; 32 random bytes for full strength.
    package convenience init(seed: [UInt8]) {
        self.init(key: SHA256.hash(parts: Array("consilium/seeded-random/v1/seed".utf8), seed))
    }

    package convenience init(seed: UInt64) {
        self.init(seed: (0..<8).map { UInt8(truncatingIfNeeded: seed >> UInt64(56 - 8 * $0)) })
    }

    private init(key: Digest) {
        self.key = SecretBytes(copying: key.bytes)
        stream = AESCTR256(key: self.key, initialVector: [UInt8](repeating: 0, count: 16))
    }

    /// An independent stream for one party or purpose. Same seed and label, same stream.
    package func child(_ label: String) -> SeededRandom {
        SeededRandom(
            key: HMACSHA256.authenticate(
                Array("consilium/seeded-random/v1/child/\(label)".utf8), key: key))
    }

    package func bytes(_ count: Int) -> [UInt8] {
        lock.lock()
        defer { lock.unlock() }
        return stream.keystream(count)
    }

    package func secret(_ count: Int) -> SecretBytes {
        SecretBytes(count: count) { span in
            lock.lock()
            defer { lock.unlock() }
            stream.keystream(into: &span)
        }
    }
}

/// A `pthread` mutex, which thread sanitizer understands; modules of this floor do not import each
/// other's locks.
@safe private final class StreamLock: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>

    init() {
        unsafe mutex = .allocate(capacity: 1)
        // Safe: freshly allocated, initialised once before use and destroyed in deinit.
        unsafe mutex.initialize(to: pthread_mutex_t())
        unsafe pthread_mutex_init(mutex, nil)
    }

    deinit {
        unsafe pthread_mutex_destroy(mutex)
        unsafe mutex.deallocate()
    }

    func lock() { unsafe _ = pthread_mutex_lock(mutex) }
    func unlock() { unsafe _ = pthread_mutex_unlock(mutex) }
}
