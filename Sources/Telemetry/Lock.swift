// One lock type for the whole program: a pthread mutex, which the thread sanitizer understands.

import Glibc

/// A mutex and the condition that goes with it; a final class because a pthread mutex must not move.
@safe package final class Lock: @unchecked Sendable {
    // Unchecked: the two pthread objects are made for use from many threads.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    /// An open lock.
    package init() {
        unsafe mutex = .allocate(capacity: 1)
        unsafe condition = .allocate(capacity: 1)
        // Error checking: locking twice and unlocking what another thread holds stop the program at once.
        var kind = pthread_mutexattr_t()
        unsafe pthread_mutexattr_init(&kind)
        unsafe pthread_mutexattr_settype(&kind, Int32(PTHREAD_MUTEX_ERRORCHECK))
        unsafe pthread_mutex_init(mutex, &kind)
        unsafe pthread_mutexattr_destroy(&kind)
        // Timed waits use the monotonic clock, which a change of the date does not touch.
        var attributes = pthread_condattr_t()
        unsafe pthread_condattr_init(&attributes)
        unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        unsafe pthread_cond_init(condition, &attributes)
        unsafe pthread_condattr_destroy(&attributes)
    }

    deinit {
        unsafe pthread_cond_destroy(condition)
        unsafe pthread_mutex_destroy(mutex)
        unsafe condition.deallocate()
        unsafe mutex.deallocate()
    }

    /// Runs `body` alone.
    package func withLock<Result: ~Copyable, Failure: Error>(_ body: () throws(Failure) -> Result)
        throws(Failure) -> Result
    {
        lock()
        defer { unlock() }
        return try body()
    }

    /// Takes the lock.
    package func lock() {
        let code = unsafe pthread_mutex_lock(mutex)
        precondition(code == 0, "a thread takes a lock that it holds already")
    }

    /// Gives it back.
    package func unlock() {
        let code = unsafe pthread_mutex_unlock(mutex)
        precondition(code == 0, "a thread gives back a lock that it does not hold")
    }

    /// Waits, with the lock held, for `signal` or `broadcast`; may return early.
    package func wait() {
        let code = unsafe pthread_cond_wait(condition, mutex)
        precondition(code == 0, "a thread waits on a lock that it does not hold")
    }

    /// As `wait`, at most so many seconds; false when the time is over.
    package func wait(seconds: Double) -> Bool {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        let nanoseconds = Int64(time.tv_nsec) + Int64(min(max(seconds, 0), 1e7) * 1e9)
        time.tv_sec += Int(nanoseconds / 1_000_000_000)
        time.tv_nsec = Int(nanoseconds % 1_000_000_000)
        let code = unsafe pthread_cond_timedwait(condition, mutex, &time)
        precondition(
            code == 0 || code == ETIMEDOUT, "a thread waits on a lock that it does not hold")
        return code == 0
    }

    /// Wakes one waiter.
    package func signal() { unsafe pthread_cond_signal(condition) }

    /// Wakes all waiters.
    package func broadcast() { unsafe pthread_cond_broadcast(condition) }
}

/// A lock for waiting on; the same thing under the name that its user thinks of.
package typealias Condition = Lock

/// A value that is only reached under its lock.
package final class Locked<Value>: @unchecked Sendable {
    // Unchecked: `value` is touched inside `withLock` only.
    private let lock = Lock()
    private var value: Value

    /// Guards a value.
    package init(_ value: Value) { self.value = value }

    /// Runs `body` alone with the value.
    package func withLock<Result, Failure: Error>(_ body: (inout Value) throws(Failure) -> Result)
        throws(Failure) -> Result
    {
        lock.lock()
        defer { lock.unlock() }
        return try body(&value)
    }
}
