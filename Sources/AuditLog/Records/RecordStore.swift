// `records/`: payloads and salts that can be erased, in append-only segments. `protocol/audit-log.md` §7.
import Cryptography
import Storage
import Telemetry

/// Erasable payloads of predictions, decisions and outcomes. Safe to use from many threads.
package final class RecordStore: Sendable {
    /// A segment larger than this is closed and a new one begun.
    package static let segmentBytesMax = 64 << 20

    let directory: String
    private let directoryLock: DirectoryLock
    private let index: Locked<RecordIndex>
    private let segments: Locked<[Int: RecordSegment]>
    private let writer: Locked<RecordWriter>
    /// One erasure at a time.
    private let erasing = Lock()
    /// Damaged stretches and rows found at opening, other than a torn end; log them.
    package let damagedCount: Int

    /// Opens a store, made when it is not there. Reads all records once.
    /// - Throws: `storage`; `corrupt` never for a torn end, which is cut.
    package init(directory: String) throws(AuditLogError) {
        self.directory = directory
        directoryLock = try storage { () throws(StorageError) in
            try DurableFile.createDirectory(directory)
            return try DirectoryLock(directory)
        }
        var index = RecordIndex()
        var segments: [Int: RecordSegment] = [:]
        var damagedCount = 0
        let names = try storage { () throws(StorageError) in try DurableFile.list(directory) }
        for name in names {
            guard let number = RecordWriter.number(name) else { continue }
            let path = directory + "/" + name
            let segment = try storage { () throws(StorageError) in try RecordSegment(path) }
            let (good, all, damaged) = try segment.scan { found throws(AuditLogError) in
                index.add(
                    found.record, segment: number, offset: found.offset,
                    end: found.offset + found.header.frameBytes)
            }
            if good < all {
                try storage { () throws(StorageError) in try AppendFile(path).truncate(to: good) }
            }
            damagedCount += damaged
            segments[number] = segment
        }
        self.damagedCount = damagedCount
        self.index = Locked(index)
        self.segments = Locked(segments)
        writer = Locked(RecordWriter(directory: directory, last: segments.keys.max() ?? 0))
    }

    deinit { close() }

    /// Stores a record and waits until it is durable.
    package func put(_ record: Record) throws(AuditLogError) { try commit([try EncodedRecord(record)]) }

    /// Stores records: one write and one sync for all.
    /// - Parameter entries: what goes behind them (`EntryJournal`).
    func commit(_ records: [EncodedRecord], entries: [UInt8]? = nil) throws(AuditLogError) {
        try writer.withLock { writer throws(AuditLogError) in
            let (number, path) = try writer.segment()
            if segments.withLock({ $0[number] == nil }) {
                let segment = try storage { () throws(StorageError) in try RecordSegment(path) }
                segments.withLock { $0[number] = segment }
            }
            var offset = try writer.append(records.map(\.bytes) + (entries.map { [$0] } ?? []))
            index.withLock { index in
                for record in records {
                    let end = offset + record.bytes.count
                    index.add(record.record, segment: number, offset: offset, end: end)
                    offset = end
                }
            }
        }
    }

    /// The record with a live row of this name; nil when there is none or it was erased.
    package func get(_ id: RecordID) throws(AuditLogError) -> (record: Record, row: Int)? {
        guard let (_, found) = try find(id), let row = found.record.row(of: id), found.record.isLive(row)
        else { return nil }
        guard found.record.isWhole(row) else {
            throw .corrupt(file: directory, problem: "a record is not what its commitment says")
        }
        return (found.record, row)
    }

    /// Whether a live row has this name. Cost: as for `get`.
    package func contains(_ id: RecordID) throws(AuditLogError) -> Bool { try get(id) != nil }

    /// Names of the live rows about a subject, in the order they were put. Reads the whole store.
    package func rows(of subject: String) throws(AuditLogError) -> [RecordID] {
        var found: [RecordID] = []
        try visit { record throws(AuditLogError) in
            guard record.subject?.text == subject else { return }
            found += (0..<record.count).filter(record.isLive).map(record.id.advanced(by:))
        }
        return found
    }

    /// Erases rows, durably: afterwards none of their bytes is in the store's files, and of a record without rows nothing.
    /// Names that are not there are passed over.
    /// - Returns: how many rows. Two syncs for each segment they are in. The caller logs that (`records.erased`).
    @discardableResult
    package func erase(_ ids: [RecordID]) throws(AuditLogError) -> Int {
        try erasing.withLock { () throws(AuditLogError) in
            var count = 0
            for (number, erasure, rows) in try plan(Set(ids)) {
                guard let segment = segments.withLock({ $0[number] }) else { continue }
                let isDone = try writer.withLock { writer throws(AuditLogError) in
                    try writer.whileQuiet(number) { () throws(AuditLogError) in try segment.erase(erasure) }
                }
                if !isDone { try segment.erase(erasure) }
                index.withLock { $0.remove(rows: rows) }
                count += rows
            }
            return count
        }
    }

    /// What to erase where, and how many live rows go.
    private func plan(_ ids: Set<RecordID>) throws(AuditLogError) -> [(segment: Int, SegmentErasure, rows: Int)] {
        var plans: [Int: (erasure: SegmentErasure, rows: Int)] = [:]
        var rest = ids.sorted()[...]
        while let id = rest.popFirst() {
            guard let (number, found) = try find(id) else { continue }
            let record = found.record
            let asked = (0..<record.count).filter { record.isLive($0) && ids.contains(record.id.advanced(by: $0)) }
            while let next = rest.first, record.row(of: next) != nil { rest.removeFirst() }
            guard !asked.isEmpty else { continue }
            var plan = plans[number] ?? (SegmentErasure(), 0)
            plan.rows += asked.count
            if asked.count == (0..<record.count).count(where: record.isLive) {
                plan.erasure.frames.append((found.offset, found.header))
            } else {
                plan.erasure.rows += asked.map { (found.offset, found.header, $0) }
            }
            plans[number] = plan
        }
        return plans.keys.sorted().compactMap { number in plans[number].map { (number, $0.erasure, $0.rows) } }
    }

    private func find(_ id: RecordID) throws(AuditLogError) -> (segment: Int, StoredRecord)? {
        for (number, range) in index.withLock({ $0.places(of: id) }) {
            guard let segment = segments.withLock({ $0[number] }) else { continue }
            if let found = try segment.find(id, in: range) { return (number, found) }
        }
        return nil
    }

    /// Live rows.
    package var count: Int { index.withLock { $0.liveRows } }

    /// Calls `body` with every record that has a live row, in the order they were put.
    package func forEach(_ body: (Record) throws -> Void) throws {
        var problem: (any Error)?
        try visit { record throws(AuditLogError) in
            guard problem == nil else { return }
            do { try body(record) } catch { problem = error }
        }
        if let problem { throw problem }
    }

    private func visit(_ body: (Record) throws(AuditLogError) -> Void) throws(AuditLogError) {
        for (number, end) in index.withLock({ $0.ends }) {
            guard let segment = segments.withLock({ $0[number] }) else { continue }
            _ = try erasing.withLock { () throws(AuditLogError) in
                try segment.scan(upTo: end) { found throws(AuditLogError) in try body(found.record) }
            }
        }
    }

    /// Why nothing more is taken, when that is so.
    var failure: AuditLogError? { writer.withLock { $0.failure } }

    /// Takes no more records.
    package func close() { writer.withLock { $0.close() } }
}

/// A record as it will be stored.
struct EncodedRecord: Sendable {
    let record: Record
    let bytes: [UInt8]

    /// - Throws: `entry` for a record beyond its limits.
    init(_ record: Record) throws(AuditLogError) {
        self.record = record
        bytes = try RecordFrame.encoded(record)
    }
}
