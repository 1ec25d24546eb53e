// The audit log as the service sees it: a closure, so that a test can stand in for a full disk.

import AuditLog
import Telemetry

/// How the service writes to the audit log. The completion may run on any thread.
package struct LogWriter: Sendable {
    /// Told nil when the entry is durable, or why it is not; no input value in it.
    package typealias Completion = @Sendable (_ failure: String?) -> Void
    /// Makes an entry durable, then calls the completion.
    package let append: @Sendable (LogEntry, @escaping Completion) -> Void

    /// - Parameter append: makes an entry durable, then calls the completion: nil, or why it is not.
    package init(append: @escaping @Sendable (LogEntry, @escaping Completion) -> Void) {
        self.append = append
    }

    /// Entries go to an audit log of this process.
    package init(_ log: AuditLog) {
        self.init { entry, completion in
            do {
                try log.append(entry) { result in
                    if case .failure(let error) = result {
                        completion("\(error)")
                    } else {
                        completion(nil)
                    }
                }
            } catch {
                completion("\(error)")
            }
        }
    }

    /// Waits for one entry. Not on a thread that runs completions.
    func appendAndWait(_ entry: LogEntry) throws(ServingError) {
        let done = Condition()
        let result = Locked<(isDone: Bool, failure: String?)>((false, nil))
        append(entry) { failure in
            done.withLock {
                result.withLock { $0 = (true, failure) }
                done.broadcast()
            }
        }
        done.lock()
        while !result.withLock({ $0.isDone }) { done.wait() }
        done.unlock()
        if let failure = result.withLock({ $0.failure }) { throw .logUnavailable(problem: failure) }
    }
}
