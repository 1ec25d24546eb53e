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

    /// What runs between commits, on the thread.
    struct Pauses: Sendable {
        /// Called after a batch was told of and while nothing waits; gives the seconds after which it wants to be called again.
        var idle: @Sendable () -> Double?
        /// Is given the telling of a batch, to run it; so that who is told can gather what follows from it.
        var deliver: @Sendable (_ tell: () -> Void) -> Void
    }

    private let batchItemsMax: Int
    private let queueBatchesMax: Int
    private let lock = Lock()
    private var queue: [Batch] = []
    private var isClosed = false
    private var thread: WorkerThread?
    private let commit: ([Item]) -> Outcome
    private let gatheringSeconds: Double
    private let pauses: Pauses?
    /// Items at which the waiting thread is woken.
    private var wakeAt = 1
    /// Items of the last batch and those that had come when it was done.
    private var expected = 1

    /// No batch waits for more items than these: sharing a sync saves little then.
    static var gatheredItemsMax: Int { 8 }
    /// Times of gathering without an item after which the thread sleeps until one comes.
    private static var quietTimesMax: Int { 4 }

    /// - Parameters:
    ///   - batchItemsMax: items in one commit at most.
    ///   - queueBatchesMax: batches that may wait; more are refused as `overloaded`.
    ///   - gathering: how long a batch waits for as many items as are expected from what came before.
    ///   - commit: called on the thread; gives one receipt for each item or an error for all.
    init(
        batchItemsMax: Int, queueBatchesMax: Int, gathering: Duration = .zero, pauses: Pauses? = nil,
        commit: @escaping @Sendable ([Item]) -> Outcome
    ) {
        gatheringSeconds = Double(gathering.components.attoseconds) * 1e-18
        self.pauses = pauses
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
        }
        let batch = queue[queue.count - 1]
        batch.items.append(item)
        if queue.count == 1, batch.items.count == wakeAt { lock.signal() }
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
            guard !batch.completions.isEmpty else { continue }
            func tell() {
                for (position, completion) in batch.completions { completion(outcome.map { $0[position] }) }
            }
            if let pauses { pauses.deliver(tell) } else { tell() }
        }
    }

    private func take() -> Batch? {
        let pause = pauses?.idle()
        lock.lock()
        defer { lock.unlock() }
        if gatheringSeconds > 0 { gather(expected + (queue.first?.items.count ?? 0)) }
        if queue.isEmpty { waitForFirst(pause) }
        expected = queue.first?.items.count ?? 1
        return queue.isEmpty ? nil : queue.removeFirst()
    }

    private func waitForFirst(_ pause: Double?) {
        var pause = pause
        while queue.isEmpty && !isClosed {
            guard let seconds = pause else {
                lock.wait()
                continue
            }
            guard !lock.wait(seconds: seconds) else { continue }
            lock.unlock()
            pause = pauses?.idle()
            lock.lock()
        }
    }

    /// Waits a moment for more items of the first batch. While items keep coming the thread is woken once for a batch, not
    /// for its first item.
    private func gather(_ wanted: Int) {
        wakeAt = min(wanted, batchItemsMax, Self.gatheredItemsMax)
        defer { wakeAt = 1 }
        var quietTimes = 0
        while !isClosed, quietTimes < Self.quietTimesMax, (queue.first?.items.count ?? 0) < wakeAt {
            if lock.wait(seconds: gatheringSeconds) { continue }
            if !queue.isEmpty { return }
            quietTimes += 1
        }
    }
}
