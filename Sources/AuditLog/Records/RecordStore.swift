// `records/`: payloads and salts that can be erased, in append-only segments with an index in memory. Puts that arrive
// together share one sync, as in the log.
import Cryptography
import Storage
import Telemetry

/// Erasable payloads of predictions, decisions and outcomes. Safe to use from many threads.
package final class RecordStore: Sendable {
    /// Records in one commit at most.
    package static let batchRecordsMax = 1024
    /// Commits that may wait.
    package static let queueBatchesMax = 64
    /// A segment larger than this is closed and a new one begun.
    package static let segmentBytesMax = 64 << 20

    private let core: RecordCore
    private let commits: GroupCommit<Record, RecordLocation>

    /// Opens a store, made when it is not there. Reads all records once to build the index.
    /// - Throws: `storage`; `corrupt` never for a torn end, which is cut.
    package init(directory: String) throws(AuditLogError) {
        let core = try RecordCore(directory: directory)
        self.core = core
        commits = GroupCommit(
            batchItemsMax: Self.batchRecordsMax, queueBatchesMax: Self.queueBatchesMax
        ) {
            core.commit($0)
        }
    }

    deinit { close() }

    /// Stores a record and waits until it is durable. A record with the id of an older one takes its place in `get`.
    package func put(_ record: Record) throws(AuditLogError) {
        _ = try record.encoded()
        _ = try commits.submit(record)
    }

    /// Stores a record and calls back on the store's thread when it is durable. The callback must not block.
    package func put(
        _ record: Record, completion: @escaping @Sendable (Result<Void, AuditLogError>) -> Void
    ) throws(AuditLogError) {
        _ = try record.encoded()
        try commits.submit(record) { completion($0.map { _ in }) }
    }

    /// The latest record with an id; nil when there is none or it was erased.
    package func get(_ id: String) throws(AuditLogError) -> Record? {
        guard let location = core.index.withLock({ $0.byID[id] }) else { return nil }
        return try core.record(at: location)
    }

    /// All records about a subject, in the order they were put.
    package func records(of subject: String) throws(AuditLogError) -> [Record] {
        let key = RecordIndex.key(subject)
        var records: [Record] = []
        for location in core.index.withLock({ $0.bySubject[key] ?? [] }) {
            if let record = try core.record(at: location) { records.append(record) }
        }
        return records
    }

    /// Erases everything about a subject, durably: afterwards none of its bytes is in the store's files.
    /// - Returns: how many records. The caller logs that (`records.erased`), without the subject.
    @discardableResult
    package func erase(subject: String) throws(AuditLogError) -> Int {
        try core.erase(subject: subject)
    }

    /// Erases records by their ids; ids that are not there are passed over.
    /// - Returns: how many records. Two syncs for each segment they are in.
    @discardableResult
    package func erase(ids: [String]) throws(AuditLogError) -> Int { try core.erase(ids: ids) }

    /// Whether a record with an id is stored.
    package func contains(id: String) -> Bool { core.index.withLock { $0.byID[id] != nil } }

    /// Damaged stretches found at opening, other than a torn end; log them.
    package var damagedCount: Int { core.damagedCount }

    /// Live records.
    package var count: Int { core.index.withLock { $0.live.count } }

    /// Calls `body` with every live record, in the order they were put.
    package func forEach(_ body: (Record) throws -> Void) throws {
        let locations = core.index.withLock { $0.live }
            .sorted { ($0.segment, $0.offset) < ($1.segment, $1.offset) }
        for location in locations {
            if let record = try core.record(at: location) { try body(record) }
        }
    }

    /// Commits what waits and ends the store's thread.
    package func close() { commits.close() }
}

/// Where records lie. Subjects are held as hashes, so that an erased one is not in memory either.
struct RecordIndex: Sendable {
    var byID: [String: RecordLocation] = [:]
    var bySubject: [Digest: [RecordLocation]] = [:]
    var live: Set<RecordLocation> = []

    static func key(_ subject: String) -> Digest { SHA256.hash(Array(subject.utf8)) }

    mutating func add(_ record: Record, at location: RecordLocation) {
        byID[record.id] = location
        live.insert(location)
        if let subject = record.subject {
            bySubject[Self.key(subject), default: []].append(location)
        }
    }

    mutating func remove(_ locations: [RecordLocation]) {
        let gone = Set(locations)
        live.subtract(gone)
        byID = byID.filter { !gone.contains($0.value) }
        bySubject = bySubject.compactMapValues { kept in
            let rest = kept.filter { !gone.contains($0) }
            return rest.isEmpty ? nil : rest
        }
    }
}
