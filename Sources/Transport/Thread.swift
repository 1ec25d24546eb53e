import CShims
import Glibc

/// The few pthread calls that Transport needs. All unsafe thread calls are in this file.
package enum Thread {
    static var current: pthread_t { pthread_self() }

    /// Runs `body` on a new thread. The result must be joined with ``join(_:)`` or detached with
    /// ``detach(_:)``.
    package static func start(name: String, _ body: @escaping @Sendable () -> Void) -> pthread_t {
        var thread = pthread_t()
        let start = unsafe Unmanaged.passRetained(Start(name: name, body: body))
        // Safe: the new thread takes over the one reference that `start` holds.
        let result = unsafe pthread_create(
            &thread, nil,
            { argument in
                let start = unsafe Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
                unsafe consilium_name_thread(start.name)
                start.body()
                return nil
            }, start.toOpaque())
        precondition(result == 0, "the system has room for one more thread")
        return thread
    }

    /// Waits until the thread has ended.
    package static func join(_ thread: pthread_t) { pthread_join(thread, nil) }

    /// Nobody will wait for the thread.
    package static func detach(_ thread: pthread_t) { pthread_detach(thread) }

    private final class Start: Sendable {
        let name: String
        let body: @Sendable () -> Void
        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }
}

/// Signals that this process must not die of.
enum IgnoredSignals {
    /// Touch it once: a write to a closed socket is an error from then on, not SIGPIPE.
    static let pipe: Void = consilium_ignore_sigpipe()
}
