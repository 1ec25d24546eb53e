// The thread that makes predictions and outcomes durable before they are answered.
//
// Requests hand over their records and entries and return at once. The thread takes everything that waits, writes all
// records with one sync, then gives the entries to the audit log, which groups its own syncs; the last entry's completion
// answers the request. Under load a sync is shared by all requests that arrived during the one before it.

import AuditLog
import Telemetry
import Transport

/// How the service writes to the audit log. The completion may run on any thread.
package struct LogWriter: Sendable {
    package typealias Completion = @Sendable (_ failure: String?) -> Void
    let append: @Sendable (LogEntry, @escaping Completion) -> Void

    /// - Parameter append: makes an entry durable, then calls the completion: nil, or why it is not.
    package init(append: @escaping @Sendable (LogEntry, @escaping Completion) -> Void) {
        self.append = append
    }

    /// Entries go to an audit log of this process.
    package init(_ log: AuditLog) {
        self.init { entry, completion in
            do {
                try log.append(entry) { result in
                    if case .failure(let error) = result { completion("\(error)") } else { completion(nil) }
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

final class Journal: Sendable {
    typealias Completion = @Sendable (ServingError?) -> Void

    /// What one prediction request leaves behind.
    struct Batch: Sendable {
        var decisions: [DecisionRecord]
        var entries: [LogEntry]
        var completion: Completion
    }

    private enum Job: Sendable {
        case batch(Batch)
        case work(@Sendable (DecisionStore) -> Void)
    }

    private struct Queue {
        var jobs: [Job] = []
        var rows = 0
        /// Batches that were handed over and not answered yet.
        var open = 0
        var isStopping = false
        var isEnded = false
    }

    private let log: LogWriter
    private let wakeup = Condition()
    private let queue = Locked(Queue())

    /// Starts the thread, which owns the store from now on.
    init(store: sending DecisionStore, log: LogWriter) {
        self.log = log
        let handover = Locked<DecisionStore?>(store)
        let thread = Thread.start(name: "journal") { [self] in
            guard let store = handover.withLock({ $0 }) else { return }
            run(store)
        }
        Thread.detach(thread)
    }

    /// Hands a request's records over. The completion runs once, on another thread, when all is durable or has failed.
    /// - Throws: `ServingError.overloaded` or `.stopped`; the completion then never runs.
    func submit(_ batch: Batch) throws(ServingError) {
        try enqueue(.batch(batch), rows: batch.decisions.count)
    }

    /// Runs `body` with the store on the journal's thread, in order with the batches.
    func work(_ body: @escaping @Sendable (DecisionStore) -> Void) throws(ServingError) {
        try enqueue(.work(body), rows: 0)
    }

    /// Runs `body` with the store and waits. Not on the journal's own thread.
    func wait<Value: Sendable>(
        _ body: @escaping @Sendable (DecisionStore) throws(ServingError) -> Value
    ) throws(ServingError) -> Value {
        let done = Condition()
        let result = Locked<Result<Value, ServingError>?>(nil)
        try work { store in
            let outcome = Result { () throws(ServingError) -> Value in try body(store) }
            done.withLock {
                result.withLock { $0 = outcome }
                done.broadcast()
            }
        }
        done.lock()
        defer { done.unlock() }
        while true {
            if let outcome = result.withLock({ $0 }) { return try outcome.get() }
            done.wait()
        }
    }

    /// Finishes what was handed over, then ends the thread. Later submissions are refused.
    func stop() {
        wakeup.lock()
        queue.withLock { $0.isStopping = true }
        wakeup.broadcast()
        while !queue.withLock({ $0.isEnded && $0.open == 0 }) { _ = wakeup.wait(seconds: 0.05) }
        wakeup.unlock()
    }

    private func enqueue(_ job: Job, rows: Int) throws(ServingError) {
        let wasEmpty = try queue.withLock { (queue: inout Queue) throws(ServingError) -> Bool in
            guard !queue.isStopping else { throw .stopped }
            guard queue.open < ServingLimits.pendingRequests, queue.rows + rows <= ServingLimits.pendingRows else { throw .overloaded }
            queue.open += 1
            queue.rows += rows
            queue.jobs.append(job)
            return queue.jobs.count == 1
        }
        if wasEmpty { wakeup.withLock { wakeup.signal() } }
    }

    private func answered(rows: Int) {
        queue.withLock { queue in
            queue.open -= 1
            queue.rows -= rows
        }
    }

    private func run(_ store: DecisionStore) {
        while let jobs = nextJobs() {
            var batches: [Batch] = []
            for job in jobs {
                switch job {
                case .batch(let batch): batches.append(batch)
                case .work(let body):
                    write(&batches, store)
                    body(store)
                    answered(rows: 0)
                }
            }
            write(&batches, store)
        }
        wakeup.withLock {
            queue.withLock { $0.isEnded = true }
            wakeup.broadcast()
        }
    }

    /// Everything that waits; nil after `stop` when nothing does.
    private func nextJobs() -> [Job]? {
        wakeup.lock()
        defer { wakeup.unlock() }
        while true {
            let (jobs, isStopping) = queue.withLock { queue in
                defer { queue.jobs = [] }
                return (queue.jobs, queue.isStopping)
            }
            if !jobs.isEmpty { return jobs }
            if isStopping { return nil }
            wakeup.wait()
        }
    }

    private func write(_ batches: inout [Batch], _ store: DecisionStore) {
        guard !batches.isEmpty else { return }
        defer { batches = [] }
        do {
            try store.write(batches.flatMap(\.decisions), [])
        } catch {
            for batch in batches { finish(batch, error) }
            return
        }
        for batch in batches { log(batch) }
    }

    private func log(_ batch: Batch) {
        let open = Locked<(count: Int, failure: String?)>((batch.entries.count, nil))
        guard !batch.entries.isEmpty else { return finish(batch, nil) }
        for entry in batch.entries {
            log.append(entry) { [self] failure in
                let isLast = open.withLock { open in
                    open.count -= 1
                    if let failure { open.failure = failure }
                    return open.count == 0
                }
                guard isLast else { return }
                finish(batch, open.withLock { $0.failure }.map { .logUnavailable(problem: $0) })
            }
        }
    }

    private func finish(_ batch: Batch, _ error: ServingError?) {
        answered(rows: batch.decisions.count)
        batch.completion(error)
    }
}
