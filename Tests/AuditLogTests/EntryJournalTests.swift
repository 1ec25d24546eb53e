import Cryptography
import Storage
import Telemetry
import Testing

@testable import AuditLog

/// Entries that become durable behind their records, and what a crash leaves of both.
@Suite struct EntryJournalTests {
    private let directory = TemporaryDirectory()

    private func open(segmentBytes: Int = 16 << 20) throws -> (log: AuditLog, records: RecordStore) {
        var pace = CommitPace.serving
        pace.segmentBytes = segmentBytes
        let log = try AuditLog.openOrCreate(
            directory: directory.path + "/log", origin: Fixture.origin, signer: Fixture.logKey, clock: SystemClock(), pace: pace)
        let records = try RecordStore(directory: directory.path + "/records/predictions")
        try log.keepEntries(behind: records)
        return (log, records)
    }

    private func record(_ number: Int, rows: Int = 1) -> Record {
        Record(
            id: RecordID(high: UInt64(number) << 16, low: 7), kind: "decision", subject: nil,
            salts: (0..<32 * rows).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ number) }, payloads: (0..<40 * rows).map { UInt8(truncatingIfNeeded: $0) })
    }

    /// Appends, some with records and some without, and waits for each.
    private func fill(_ log: AuditLog, _ records: RecordStore, _ numbers: Range<Int>) throws {
        for number in numbers {
            let outcome = Locked<Result<UInt64, AuditLogError>?>(nil)
            let done = Condition()
            try log.append(Fixture.entry(number), storing: number % 3 == 2 ? nil : (records, record(number))) { result in
                done.withLock {
                    outcome.withLock { $0 = result }
                    done.signal()
                }
            }
            done.withLock { while outcome.withLock({ $0 == nil }) { done.wait() } }
            let index = try #require(outcome.withLock { $0 }).get()
            #expect(index == UInt64(number))
        }
    }

    /// The files as a crash would leave them.
    private func files() throws -> [String: [UInt8]] {
        // The log goes on publishing: a file may go while the others are read.
        for _ in 0..<50 { if let files = try? Files.all(directory.path) { return files } }
        return try Files.all(directory.path)
    }

    private func restore(_ files: [String: [UInt8]]) throws {
        for name in ["log", "log.state", "records"] { Files.removeTree(directory.path + "/" + name) }
        for (path, bytes) in files where !path.hasSuffix("/lock") {
            try DurableFile.createDirectory(DurableFile.parent(of: directory.path + "/" + path))
            try DurableFile.writeAtomically(bytes, to: directory.path + "/" + path)
        }
    }

    @Test func nothingAcknowledgedIsLostWhereverTheProcessDies() throws {
        var snapshots: [(size: Int, files: [String: [UInt8]])] = []
        do {
            let (log, records) = try open(segmentBytes: 6_000)
            for step in 0..<30 {
                try fill(log, records, step * 11..<(step + 1) * 11)
                snapshots.append(((step + 1) * 11, try files()))
            }
        }
        for (size, files) in snapshots {
            try restore(files)
            let (log, records) = try open()
            #expect(log.size == UInt64(size))
            #expect(records.count == size - size / 3 && records.damagedCount == 0)
            // It goes on, and over a second start.
            try fill(log, records, size..<size + 5)
            log.close()
            records.close()
            #expect(try AuditVerifier.verify(directory: directory.path + "/log").size == UInt64(size + 5))
        }
    }

    @Test func aTornLastGroupIsLeftOutAndTheRestKept() throws {
        do {
            let (log, records) = try open()
            try fill(log, records, 0..<9)
        }
        let whole = try files()
        let name = try #require(whole.keys.filter { $0.hasPrefix("records/predictions/records-") }.sorted().last)
        let bytes = try #require(whole[name])
        let frames = EntryJournal.frames(bytes)
        #expect(frames.map(\.first) == [0, 1, 3, 4, 6, 7] && frames.allSatisfy { $0.entries.count == 1 })
        let last = try RecordFrame.encoded(record(7)).count + EntryJournal.wrapped(frames[5]).count
        let end = (bytes.lastIndex { $0 != 0 } ?? 0) + 1
        for cut in stride(from: 1, to: last, by: 7) {
            // Number 7 torn; number 8, without a record, was not begun then.
            var files = whole
            files[name] = bytes[..<(end - cut)] + [UInt8](repeating: 0, count: cut % 2 * 600)
            for path in whole.keys where path.hasPrefix("log.state/pending-") {
                let contents = PendingContents(whole[path] ?? [])
                let frame = try #require(contents.frames.last)
                files[path] = Array((whole[path] ?? [])[..<(contents.goodBytes - frame.encoded(after: PendingFrame.noDigest).bytes.count)])
            }
            // What was published a moment later had not been.
            for path in whole.keys where path.hasPrefix("log/tile/") || path == "log/checkpoint" { files[path] = nil }
            try restore(files)
            let (log, records) = try open()
            #expect(log.size == 7, "cut \(cut)")
            #expect(records.count == 5 || cut < EntryJournal.wrapped(frames[5]).count)
            try fill(log, records, 7..<12)
            log.close()
            records.close()
            #expect(try AuditVerifier.verify(directory: directory.path + "/log").size == 12)
        }
    }

    @Test func erasingBesideEntriesLeavesThem() throws {
        do {
            let (log, records) = try open()
            try fill(log, records, 0..<6)
            #expect(try records.erase([record(1).id, record(4).id]) == 2)
            try fill(log, records, 6..<8)
        }
        for _ in 0..<2 {
            let (log, records) = try open()
            #expect(log.size == 8 && records.count == 4 && records.damagedCount == 0)
            #expect(try records.get(record(1).id) == nil && records.get(record(6).id) != nil)
        }
        #expect(try AuditVerifier.verify(directory: directory.path + "/log").size == 8)
    }

    /// Without the directory of records, what the log's files show is kept, and what is missing is said.
    @Test func aMissingDirectoryOfRecordsCostsOnlyWhatNobodySaw() throws {
        do {
            let (log, records) = try open()
            try fill(log, records, 0..<5)
            log.close()
        }
        let published = try files()
        Files.removeTree(directory.path + "/records")
        #expect(try Fixture.open(directory.path).size == 5)
        #expect(try AuditVerifier.verify(directory: directory.path + "/log").size == 5)
        // As if nothing had been published: number 2 and what was before its segment is there, 0 and 1 are not.
        try restore(published.filter { !$0.key.hasPrefix("records/") && !$0.key.hasPrefix("log/tile/") && $0.key != "log/checkpoint" })
        #expect(throws: AuditLogError.self) { try Fixture.open(directory.path) }
    }
}
