// The audit log as the service sees it: closures, so that a test can stand in for a full disk.

import AuditLog
import Telemetry

/// How the service writes to the audit log. The completion may run on any thread.
package struct LogWriter: Sendable {
    /// Told nil when the entry is durable, or why it is not; no input value in it.
    package typealias Completion = @Sendable (_ failure: String?) -> Void
    /// A record that must be durable before its entry.
    package typealias Stored = (store: RecordStore, record: Record)
    /// Looks up the first entry from a time on that holds a text, and a receipt for it.
    package typealias Finder = @Sendable (_ text: [UInt8], Timestamp) throws -> LoggedEntry?

    private let write: @Sendable (LogEntry, Stored?, @escaping Completion) -> Void
    /// nil where there is no log to look into.
    let find: Finder?

    /// - Parameters:
    ///   - find: looks entries up.
    ///   - write: makes a record and an entry durable, then calls the completion: nil, or why they are not.
    package init(
        find: Finder? = nil, write: @escaping @Sendable (LogEntry, Stored?, @escaping Completion) -> Void
    ) {
        (self.find, self.write) = (find, write)
    }

    /// Entries go to an audit log of this process.
    /// - Parameter refused: told of every entry that was not taken.
    package init(_ log: AuditLog, refused: @escaping @Sendable () -> Void = {}) {
        self.init(
            find: { text, time in
                guard let (index, bytes) = try log.find(text, notBefore: time) else { return nil }
                return LoggedEntry(index: index, bytes: bytes, proof: try log.receipt(index).bytes)
            }
        ) { entry, stored, completion in
            @Sendable func end(_ failure: AuditLogError?) {
                if failure != nil { refused() }
                completion(failure.map { "\($0)" })
            }
            do throws(AuditLogError) {
                try log.append(entry, storing: stored) { result in
                    if case .failure(let error) = result { end(error) } else { end(nil) }
                }
            } catch {
                end(error)
            }
        }
    }

    /// Makes an entry durable, and a record before it, then calls the completion.
    func append(_ entry: LogEntry, storing record: Stored? = nil, _ completion: @escaping Completion) {
        write(entry, record, completion)
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

/// An entry as it stands in the log.
package struct LoggedEntry: Sendable {
    package var index: UInt64
    /// The leaf.
    package var bytes: [UInt8]
    /// A receipt, `c2sp.org/tlog-proof@v1`.
    package var proof: [UInt8]

    package init(index: UInt64, bytes: [UInt8], proof: [UInt8]) {
        (self.index, self.bytes, self.proof) = (index, bytes, proof)
    }
}
