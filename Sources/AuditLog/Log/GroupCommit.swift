import Telemetry

/// A thread that takes whatever was submitted meanwhile and commits it at one go. Who submits either waits for the commit
/// of its batch or is called back after it.
final class GroupCommit<Item: Sendable, Receipt: Sendable>: @unchecked Sendable {
    // Unchecked: `queue`, `isClosed` and `thread` are touched under `lock`, a batch under its own lock once it is taken.
    typealias Outcome = Result<[Receipt], AuditLogError>
    typealias Completion = @Sendable (Result<Receipt, AuditLogError>) -> Void

    private final class Batch {
        var items: [Item] = []
        var completions: [(position: Int, Completion)] = []
        let done = Lock()
        var outcome: Outcome?
    }

    private let batchItemsMax: Int
    private let queueBatchesMax: Int
    private let lock = Lock()
    private var queue: [Batch] = []
    private var isClosed = false
    private var thread: WorkerThread?
    private let commit: ([Item]) -> Outcome

    /// - Parameters:
    ///   - batchItemsMax: items in one commit at most.
    ///   - queueBatchesMax: batches that may wait; more are refused as `overloaded`.
    ///   - commit: called on the thread; gives one receipt for each item or an error for all.
    init(
        batchItemsMax: Int, queueBatchesMax: Int, commit: @escaping @Sendable ([Item]) -> Outcome
    ) {
        self.batchItemsMax = batchItemsMax
        self.queueBatchesMax = queueBatchesMax
        self.commit = commit
        thread = WorkerThread { [self] in run() }
    }

    /// Waits until the item is committed.
    func submit(_ item: Item) throws(AuditLogError) -> Receipt {
        let (batch, position) = try enqueue(item, completion: nil)
        batch.done.lock()
        while batch.outcome == nil { batch.done.wait() }
        let outcome = batch.outcome
        batch.done.unlock()
        guard let outcome else { preconditionFailure("the loop ends with an outcome") }
        return try outcome.get()[position]
    }

    /// Returns at once; `completion` is called on the commit thread, in order of submission, and must not block.
    func submit(_ item: Item, completion: @escaping Completion) throws(AuditLogError) {
        _ = try enqueue(item, completion: completion)
    }

    /// Commits what waits, then ends the thread. Later submissions are refused.
    func close() {
        lock.lock()
        isClosed = true
        let thread = thread
        self.thread = nil
        lock.signal()
        lock.unlock()
        thread?.join()
    }

    private func enqueue(_ item: Item, completion: Completion?) throws(AuditLogError) -> (
        Batch, Int
    ) {
        lock.lock()
        defer { lock.unlock() }
        guard !isClosed else { throw .closed }
        if queue.isEmpty || queue[queue.count - 1].items.count >= batchItemsMax {
            guard queue.count < queueBatchesMax else { throw .overloaded }
            queue.append(Batch())
            lock.signal()
        }
        let batch = queue[queue.count - 1]
        batch.items.append(item)
        let position = batch.items.count - 1
        if let completion { batch.completions.append((position, completion)) }
        return (batch, position)
    }

    private func run() {
        while let batch = take() {
            let outcome = commit(batch.items)
            batch.done.lock()
            batch.outcome = outcome
            batch.done.broadcast()
            batch.done.unlock()
            for (position, completion) in batch.completions {
                completion(outcome.map { $0[position] })
            }
        }
    }

    private func take() -> Batch? {
        lock.lock()
        defer { lock.unlock() }
        while queue.isEmpty && !isClosed { lock.wait() }
        return queue.isEmpty ? nil : queue.removeFirst()
    }
}
