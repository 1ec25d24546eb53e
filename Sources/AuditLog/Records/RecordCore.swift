import Cryptography
import Storage
import Telemetry

/// Segments and index of a records store. `commit` runs on one thread, the rest on any.
final class RecordCore: @unchecked Sendable {
    // Unchecked: `writing` belongs to the commit thread; the rest is guarded.

    let index: Locked<RecordIndex>
    /// Stretches that were found damaged at opening.
    let damagedCount: Int
    private let directory: String
    private let directoryLock: DirectoryLock
    private let segments: Locked<[Int: RecordSegment]>
    /// One erasure at a time.
    private let erasing = Lock()
    private var writing: (number: Int, file: AppendFile)?
    private var lastNumber: Int
    private var failed: AuditLogError?

    init(directory: String) throws(AuditLogError) {
        self.directory = directory
        directoryLock = try storage { () throws(StorageError) in
            try DurableFile.createDirectory(directory)
            return try DirectoryLock(directory)
        }
        var index = RecordIndex()
        var segments: [Int: RecordSegment] = [:]
        var damagedCount = 0
        let names = try storage { () throws(StorageError) in try DurableFile.list(directory) }
        lastNumber = 0
        for name in names {
            guard name.hasPrefix(Self.prefix), let number = Int(name.dropFirst(Self.prefix.count))
            else { continue }
            let path = directory + "/" + name
            let segment = try storage { () throws(StorageError) in try RecordSegment(path) }
            let (good, all, damaged) = try segment.scan(number) {
                location, body throws(AuditLogError) in
                guard let record = try? Record(encoded: body) else {
                    throw .corrupt(
                        file: path,
                        problem: "record at byte \(location.offset) is not one of this version")
                }
                index.add(record, at: location)
            }
            if good < all {
                try storage { () throws(StorageError) in try AppendFile(path).truncate(to: good) }
            }
            damagedCount += damaged
            segments[number] = segment
            lastNumber = max(lastNumber, number)
        }
        self.index = Locked(index)
        self.segments = Locked(segments)
        self.damagedCount = damagedCount
    }

    /// Appends records, one write and one sync for all.
    func commit(_ records: [Record]) -> Result<[RecordLocation], AuditLogError> {
        if let failed { return .failure(failed) }
        do throws(AuditLogError) {
            return .success(try append(records))
        } catch {
            return .failure(error)
        }
    }

    func record(at location: RecordLocation) throws(AuditLogError) -> Record? {
        guard let segment = segments.withLock({ $0[location.segment] }),
            let body = try segment.body(at: location)
        else { return nil }
        guard let record = try? Record(encoded: body) else {
            throw .corrupt(
                file: segment.path,
                problem: "record at byte \(location.offset) is not one of this version")
        }
        return record
    }

    func erase(subject: String) throws(AuditLogError) -> Int {
        try erasing.withLock { () throws(AuditLogError) in
            let key = RecordIndex.key(subject)
            let locations = index.withLock { $0.bySubject[key] ?? [] }
            try erase(locations)
            return locations.count
        }
    }

    func erase(ids: [String]) throws(AuditLogError) -> Int {
        try erasing.withLock { () throws(AuditLogError) in
            let locations = index.withLock { index in Set(ids).compactMap { index.byID[$0] } }
            try erase(locations)
            return locations.count
        }
    }

    private func erase(_ locations: [RecordLocation]) throws(AuditLogError) {
        guard !locations.isEmpty else { return }
        let bySegment = Dictionary(grouping: locations, by: \.segment)
        for number in bySegment.keys.sorted() {
            guard let segment = segments.withLock({ $0[number] }) else { continue }
            try segment.erase(bySegment[number] ?? [])
        }
        index.withLock { $0.remove(locations) }
    }

    private func append(_ records: [Record]) throws(AuditLogError) -> [RecordLocation] {
        let (number, file) = try currentSegment()
        var bytes: [UInt8] = []
        var locations: [RecordLocation] = []
        for record in records {
            let body = try record.encoded()
            locations.append(
                RecordLocation(
                    segment: number, offset: file.size + bytes.count, bodyBytes: body.count))
            bytes += RecordSegment.frame(body)
        }
        let start = file.size
        do throws(StorageError) {
            try file.append(bytes)
            try file.sync()
        } catch {
            abandon(number, cutTo: start, error)
            throw .storage(error)
        }
        index.withLock { index in
            for (record, location) in zip(records, locations) { index.add(record, at: location) }
        }
        return locations
    }

    private func currentSegment() throws(AuditLogError) -> (Int, AppendFile) {
        if let writing, writing.file.size < RecordStore.segmentBytesMax { return writing }
        lastNumber += 1
        let number = lastNumber
        let path = path(number)
        let (file, segment) = try storage { () throws(StorageError) in
            (try AppendFile(path), try RecordSegment(path))
        }
        segments.withLock { $0[number] = segment }
        writing = (number, file)
        return (number, file)
    }

    /// After a failed write the tail is cut off, since it may hold a part of a person's data that no index knows, and the
    /// next commit begins a new segment. After a failed sync nothing more is taken.
    private func abandon(_ number: Int, cutTo size: Int, _ error: StorageError) {
        writing = nil
        if error.operation == "sync" { failed = .poisoned(cause: error.description) }
        do throws(StorageError) {
            try AppendFile(path(number)).truncate(to: size)
        } catch {
            failed = .poisoned(cause: error.description)
        }
    }

    private static let prefix = "records-"

    private func path(_ number: Int) -> String {
        let digits = String(number)
        return
            "\(directory)/\(Self.prefix)\(String(repeating: "0", count: max(0, 10 - digits.count)))\(digits)"
    }
}
