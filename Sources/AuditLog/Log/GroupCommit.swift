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
    /// Somebody commits, or does what is due between commits: the thread, or who called ``commitWaiting()``.
    private var isCommitting = false
    /// Until then nobody but the thread commits: the disk is slow, and others have more to do than to wait for it.
    private var slowUntil = ContinuousClock.now
    private let commit: ([Item]) -> Outcome
    private let gatheringSeconds: Double
    private let pauses: Pauses?
    /// The thread waits without an end.
    private var sleepsForGood = false
    /// Items at which the waiting thread is woken.
    private var wakeAt = 1
    /// Items of the last batch and those that had come when it was done.
    private var expected = 1

    /// No batch waits for more items than these: sharing a sync saves little then.
    static var gatheredItemsMax: Int { 8 }
    /// A commit on another thread than ours that takes longer ends that for a while.
    private static var slowCommit: Duration { .milliseconds(5) }
    private static var slowPause: Duration { .seconds(1) }
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

    /// Returns at once; `completion` is called on the thread that commits, in order of submission, and must not block.
    /// - Parameter isAwaited: the caller's thread will call ``commitWaiting()`` soon.
    func submit(_ item: Item, isAwaited: Bool = false, completion: @escaping Completion) throws(AuditLogError) {
        _ = try enqueue(item, isAwaited: isAwaited, completion: completion)
    }

    /// Commits what waits on this thread: when it would only sleep meanwhile, handing over to another and being woken again
    /// costs more than the commit. Leaves it to the thread while that is at it, and for a moment after a slow commit.
    /// - Returns: whether something was committed.
    func commitWaiting() -> Bool {
        lock.lock()
        let start = ContinuousClock.now
        guard !isCommitting, !isClosed, !queue.isEmpty, start >= slowUntil else {
            // The thread looks at the queue before it sleeps; if it sleeps, it was told of nothing that waits.
            if !isCommitting, !queue.isEmpty { lock.signal() }
            lock.unlock()
            return false
        }
        let batch = queue.removeFirst()
        isCommitting = true
        lock.unlock()
        perform(batch)
        lock.lock()
        isCommitting = false
        if ContinuousClock.now - start > Self.slowCommit { slowUntil = ContinuousClock.now + Self.slowPause }
        // What came meanwhile from elsewhere, and what is due between commits.
        if !queue.isEmpty || sleepsForGood { lock.signal() }
        lock.unlock()
        return true
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

    private func enqueue(_ item: Item, isAwaited: Bool = false, completion: Completion?) throws(AuditLogError) -> (
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
        if queue.count == 1, !isAwaited, batch.items.count >= wakeAt { lock.signal() }
        let position = batch.items.count - 1
        if let completion { batch.completions.append((position, completion)) }
        return (batch, position)
    }

    private func run() {
        while let batch = take() {
            perform(batch)
            lock.withLock { isCommitting = false }
        }
    }

    private func perform(_ batch: Batch) {
        let outcome = commit(batch.items)
        batch.done.lock()
        batch.outcome = outcome
        batch.done.broadcast()
        batch.done.unlock()
        guard !batch.completions.isEmpty else { return }
        func tell() {
            for (position, completion) in batch.completions { completion(outcome.map { $0[position] }) }
        }
        if let pauses { pauses.deliver(tell) } else { tell() }
    }

    /// The next batch for the thread, which commits from here on; nil when all is done.
    private func take() -> Batch? {
        lock.lock()
        defer { lock.unlock() }
        while true {
            let pause = idle()
            if gatheringSeconds > 0 { gather(expected + (queue.first?.items.count ?? 0)) }
            if queue.isEmpty, !isClosed { sleep(pause) }
            // Whoever commits tells us when that is over.
            while isCommitting { waitForGood() }
            if !queue.isEmpty {
                expected = queue[0].items.count
                isCommitting = true
                return queue.removeFirst()
            }
            if isClosed { return nil }
        }
    }

    /// Does what is due, alone.
    private func idle() -> Double? {
        guard let pauses, !isCommitting else { return nil }
        isCommitting = true
        lock.unlock()
        let pause = pauses.idle()
        lock.lock()
        isCommitting = false
        return pause
    }

    /// Waits for a first item, or for the time when something is due.
    private func sleep(_ pause: Double?) {
        guard let pause else { return waitForGood() }
        _ = lock.wait(seconds: pause)
    }

    private func waitForGood() {
        sleepsForGood = true
        lock.wait()
        sleepsForGood = false
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
