// A log of this process: a directory in the layout of c2sp.org/tlog-tiles that is a complete, signed log whenever an
// append has been acknowledged. `protocol/audit-log.md` tells formats and the order of writing.
import Cryptography
import Storage
import Telemetry

/// How a log groups commits, and when its files follow what is durable.
package struct CommitPace: Sendable {
    /// How long the files (tiles, bundle, checkpoint) may stay behind while many entries come; it is 10 ms when few do, or none any more.
    package var publicationDelay: Duration
    /// How long a commit waits for as many entries as came the last time. Callers who wait for their answers before they ask
    /// again come together then, and share a sync.
    package var gathering: Duration
    /// Pending entries beyond which the files of the log are made durable and their segment is left.
    package var segmentBytes = 16 << 20

    /// Each commit at once, and the files show every entry before it is acknowledged.
    package static let immediate = CommitPace(publicationDelay: .zero, gathering: .zero)
    /// For a node that answers thousands of requests a second.
    package static let serving = CommitPace(publicationDelay: .milliseconds(100), gathering: .microseconds(500))
}

/// An append-only, signed log on disk. Safe to use from many threads.
///
/// An entry is acknowledged when `fdatasync` has returned for it and the files of the log show it. All entries that arrive
/// while a sync is under way share the next one.
package final class AuditLog: Sendable {
    /// Entries in one commit at most.
    package static let batchEntriesMax = 1024
    /// Commits that may wait; beyond that appends are refused as `overloaded`.
    package static let queueBatchesMax = 64

    let writer: LogWriter
    private let commits: GroupCommit<PendingEntry, Result<UInt64, AuditLogError>>
    let minimum: Locked<UInt64>
    private let delivery = Locked<Delivery?>(nil)
    /// Who prunes once a day, when that was asked for (`keep`).
    let keeper = Locked<RetentionKeeper?>(nil)

    /// Runs the completions of one commit, which it is given.
    private struct Delivery: Sendable {
        // In a struct: a closure that goes through a generic lock is wrapped anew each time.
        var run: @Sendable (_ tell: () -> Void) -> Void
        /// Whether the calling thread commits what waits before it sleeps.
        var commits: @Sendable () -> Bool

        static func run(_ delivery: Locked<Delivery?>, _ tell: () -> Void) {
            if let delivery = delivery.withLock({ $0 }) { delivery.run(tell) } else { tell() }
        }
    }

    init(writer: LogWriter, minimum: UInt64, gathering: Duration = .zero) {
        self.writer = writer
        self.minimum = Locked(minimum)
        commits = GroupCommit(
            batchItemsMax: Self.batchEntriesMax, queueBatchesMax: Self.queueBatchesMax,
            gathering: gathering,
            pauses: .init(idle: { writer.publishWhenDue() }, deliver: { [delivery] in Delivery.run(delivery, $0) })
        ) { .success(PendingEntry.commit($0, writer)) }
    }

    deinit { close() }

    /// Appends an entry and waits until it is durable.
    /// - Returns: its number.
    /// - Throws: `AuditLogError`; the operation the entry belongs to must then be refused.
    @discardableResult
    package func append(_ entry: LogEntry) throws(AuditLogError) -> UInt64 {
        try commits.submit(PendingEntry(entry: try encode(entry))).get()
    }

    /// Appends an entry and calls back when it is durable, on the log's own thread and in the order of the entries.
    /// The callback must not block, nor append and wait.
    /// - Parameter record: is made durable in its store first, on the same thread: one sync for all records that arrive
    ///   together, one for their entries. When it cannot be, its entry is refused too.
    /// - Throws: `AuditLogError` at once when the entry is not acceptable or the queue is full; then there is no call.
    package func append(
        _ entry: LogEntry, storing record: (store: RecordStore, record: Record)? = nil,
        completion: @escaping @Sendable (Result<UInt64, AuditLogError>) -> Void
    ) throws(AuditLogError) {
        var pending = PendingEntry(entry: try encode(entry))
        if let record { pending.record = (record.store, try EncodedRecord(record.record)) }
        let isAwaited = delivery.withLock({ $0 })?.commits() ?? false
        try commits.submit(pending, isAwaited: isAwaited) { result in completion(result.flatMap { $0 }) }
    }

    /// Entries with a record in this store become durable together with it from now on: one write and one sync for both
    /// (`protocol/audit-log.md` §4). Which store that is stands beside the log, for recovery.
    package func keepEntries(behind store: RecordStore) throws(AuditLogError) {
        let state = writer.state
        let above = DurableFile.parent(of: state.path) + "/"
        let name = store.directory.hasPrefix(above) ? "../" + store.directory.dropFirst(above.count) : store.directory
        try storage { () throws(StorageError) in try DurableFile.writeAtomically(Array((name + "\n").utf8), to: state.journal) }
        writer.keepEntries(behind: store)
    }

    /// From now on the completions of a commit are run by `delivery`, together: a server that answers from them wakes its
    /// loop once for all.
    /// - Parameter commits: whether the calling thread is one that will call ``commitWaiting()`` before it sleeps; what it
    ///   appends wakes nobody.
    package func deliver(
        through delivery: @escaping @Sendable (_ tell: () -> Void) -> Void, commits: @escaping @Sendable () -> Bool = { false }
    ) {
        self.delivery.withLock { $0 = Delivery(run: delivery, commits: commits) }
    }

    /// Commits on this thread what waits, unless the log's own is at it or the disk is slow.
    /// - Returns: whether something was committed; its completions have run then.
    package func commitWaiting() -> Bool { commits.commitWaiting() }

    /// Commits what waits and ends the log's threads. Appends are refused from here on. Not from a callback of the log.
    package func close() {
        keeper.withLock { $0.take() }?.end()
        commits.close()
        writer.close()
    }

    /// The key that checks this log.
    package var verifierKey: VerifierKey { writer.signer.verifierKey }

    /// The log's name.
    package var origin: String { verifierKey.name.text }

    /// The log's directory.
    package var directory: String { writer.files.directory }

    /// Why the log takes no more entries; nil while it does.
    package var failure: AuditLogError? { writer.failure }

    /// What the commit thread takes: an entry, and the record that must be durable before it.
    private struct PendingEntry: Sendable {
        var entry: EncodedEntry
        var record: (store: RecordStore, record: EncodedRecord)?

        /// Commits records, then the entries of those that could be.
        static func commit(_ items: [PendingEntry], _ writer: LogWriter) -> [Result<UInt64, AuditLogError>] {
            var failures: [ObjectIdentifier: AuditLogError] = [:]
            let records = items.compactMap(\.record)
            var journalled: [EncodedRecord] = []
            for (key, group) in Dictionary(grouping: records, by: { ObjectIdentifier($0.store) }) {
                if writer.isJournal(group[0].store) {
                    journalled = group.map(\.record)
                    continue
                }
                do throws(AuditLogError) { try group[0].store.commit(group.map(\.record)) } catch { failures[key] = error }
            }
            func failure(_ item: PendingEntry) -> AuditLogError? { item.record.flatMap { failures[ObjectIdentifier($0.store)] } }
            let kept = failures.isEmpty ? items : items.filter { failure($0) == nil }
            let outcome = kept.isEmpty ? .success([]) : writer.commit(kept.map(\.entry), records: journalled)
            var place = 0
            return items.map { item in
                if let failure = failure(item) { return .failure(failure) }
                defer { place += 1 }
                return outcome.map { $0[place] }
            }
        }
    }

    private func encode(_ entry: LogEntry) throws(AuditLogError) -> EncodedEntry {
        do {
            return try EncodedEntry(entry)
        } catch {
            throw .entry(error)
        }
    }
}
