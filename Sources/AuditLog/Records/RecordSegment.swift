// A segment file of the records store: frames one after another (`RecordFrame`), and zeros that wait to be written over.
//
// Erasing is in two steps, each made durable: states are set to 0, then what they stand for is filled with zeros. The
// bytes of a person are gone from the file then, and a crash in between is finished at the next opening.
import Cryptography
import Glibc
import Storage

/// A record and where it lies in its segment.
struct StoredRecord {
    var offset: Int
    var header: RecordFrame.Header
    var record: Record
}

/// What to erase in one segment.
struct SegmentErasure {
    /// Whole frames.
    var frames: [(offset: Int, header: RecordFrame.Header)] = []
    /// Rows of frames that have others.
    var rows: [(offset: Int, header: RecordFrame.Header, row: Int)] = []
}

/// Reading and erasing in one segment file, by offset.
@safe final class RecordSegment: @unchecked Sendable {
    // Unchecked: one descriptor, used with positions only.
    let path: String
    private let file: Int32

    init(_ path: String) throws(StorageError) {
        self.path = path
        file = unsafe Glibc.open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC)
        guard file >= 0 else { throw StorageError("open", path, code: errno) }
    }

    deinit { _ = Glibc.close(file) }

    /// The live record with a row of this name, between two offsets at which frames begin.
    func find(_ id: RecordID, in range: Range<Int>) throws(AuditLogError) -> StoredRecord? {
        let bytes = try read(range.lowerBound, range.count)
        var place = 0
        while let header = RecordFrame.Header(bytes[place...]) {
            defer { place += header.frameBytes }
            guard place + header.frameBytes <= bytes.count else { return nil }
            let frame = bytes[place..<place + header.frameBytes]
            guard header.isLive, let first = RecordFrame.id(header, frame), first.low == id.low,
                first.high <= id.high, id.high - first.high < UInt64(header.rows)
            else { continue }
            guard let record = RecordFrame.record(header, frame) else {
                throw .corrupt(file: path, problem: "the record at byte \(range.lowerBound + place) was changed")
            }
            return StoredRecord(offset: range.lowerBound + place, header: header, record: record)
        }
        return nil
    }

    /// Visits all whole live frames before an offset. Finishes erasures that a crash cut off. Bytes that are no whole frame
    /// but lie before one are blanked, and so are rows that are not what their commitment says: nothing could find them
    /// again to erase them.
    /// - Returns: bytes up to the end of the last whole frame, bytes in the file, and how much was blanked.
    func scan(
        upTo end: Int? = nil, visit: (StoredRecord) throws(AuditLogError) -> Void
    ) throws(AuditLogError) -> (good: Int, all: Int, damaged: Int) {
        let path = path
        let all = try storage { () throws(StorageError) in try DurableFile.size(path) }
        let end = min(end ?? all, all)
        var offset = 0
        var damaged = 0
        while offset < end {
            guard let (header, frame) = try frame(at: offset, fileBytes: all) else {
                guard let next = try nextFrame(after: offset, fileBytes: all) else {
                    return (offset, all, damaged)
                }
                try blank(offset, next)
                damaged += 1
                offset = next
                continue
            }
            if let record = frame {
                let (damagedRows, isChanged) = try mend(offset, header, record)
                damaged += damagedRows
                if let record = isChanged ? try self.frame(at: offset, fileBytes: all)?.1 : record {
                    try visit(StoredRecord(offset: offset, header: header, record: record))
                }
            }
            offset += header.frameBytes
        }
        return (offset, all, damaged)
    }

    /// Finishes what was begun with the rows of a frame, and blanks damaged ones.
    /// - Returns: how many of those there were, and whether anything was written.
    private func mend(_ offset: Int, _ header: RecordFrame.Header, _ record: Record) throws(AuditLogError) -> (damaged: Int, isChanged: Bool) {
        guard !header.isOld else { return (0, false) }
        let damaged = (0..<record.count).filter { record.isLive($0) && !record.isWhole($0) }
        let begun = (0..<record.count).filter {
            !record.isLive($0) && !(record.salt($0) + record.payload($0)).allSatisfy { $0 == 0 }
        }
        if !(damaged + begun).isEmpty {
            try erase(SegmentErasure(rows: (damaged + begun).map { (offset, header, $0) }))
        }
        return (damaged.count, !(damaged + begun).isEmpty)
    }

    /// The frame at an offset, whole; without record when it is erased, which is finished first.
    private func frame(at offset: Int, fileBytes: Int) throws(AuditLogError) -> (RecordFrame.Header, Record?)? {
        var bytes = try read(offset, min(Self.guessBytes, fileBytes - offset))
        guard let header = RecordFrame.Header(bytes[...]), offset + header.frameBytes <= fileBytes else { return nil }
        if header.frameBytes > bytes.count { bytes = try read(offset, header.frameBytes) }
        guard bytes.count >= header.frameBytes else { return nil }
        let frame = bytes[..<header.frameBytes]
        if header.holdsEntries { return EntryJournal.entries(header, frame).map { _ in (header, nil) } }
        guard header.isLive else {
            if !frame[header.digestStart...].allSatisfy({ $0 == 0 }) {
                try erase(SegmentErasure(frames: [(offset, header)]))
            }
            return (header, nil)
        }
        return RecordFrame.record(header, frame).map { (header, $0) }
    }

    /// Most frames are smaller: one read for each.
    private static let guessBytes = 4096

    /// Where the next live frame begins, looking byte by byte: only damage brings us here.
    private func nextFrame(after offset: Int, fileBytes: Int) throws(AuditLogError) -> Int? {
        let bytes = try read(offset, fileBytes - offset)
        var start = RecordFrame.oldHeaderBytes
        while start <= bytes.count - RecordFrame.oldHeaderBytes {
            if bytes[start] == RecordFrame.magic[0], RecordFrame.Header(bytes[start...]) != nil,
                let (_, record) = try frame(at: offset + start, fileBytes: fileBytes), record != nil
            {
                return offset + start
            }
            start += 1
        }
        return nil
    }

    /// Erases: first all is marked, then all is filled with zeros.
    func erase(_ erasure: SegmentErasure) throws(AuditLogError) {
        for (offset, _) in erasure.frames { try write([0], at: offset + 4) }
        for (offset, header, row) in erasure.rows { try write([0], at: offset + header.rowsStart + row * header.rowBytes) }
        try sync()
        for (offset, header) in erasure.frames {
            try fill(offset + header.digestStart, header.frameBytes - header.digestStart)
        }
        for (offset, header, row) in erasure.rows {
            try fill(offset + header.rowsStart + row * header.rowBytes + 1, header.rowBytes - 1)
        }
        try sync()
    }

    /// Turns a stretch into an erased frame of the old form, whose header is the shorter one.
    private func blank(_ start: Int, _ end: Int) throws(AuditLogError) {
        let length = end - start - RecordFrame.oldHeaderBytes
        let digits = (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) }
        try write(
            RecordFrame.oldMagic + [0] + digits + [UInt8](repeating: 0, count: Digest.byteCount + length), at: start)
        try sync()
    }

    private func fill(_ offset: Int, _ count: Int) throws(AuditLogError) {
        try write([UInt8](repeating: 0, count: count), at: offset)
    }

    private func read(_ offset: Int, _ count: Int) throws(AuditLogError) -> [UInt8] {
        var failed = false
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, got in
            // Safe: reads into the buffer's own capacity.
            let result = unsafe pread(file, buffer.baseAddress, count, off_t(offset))
            failed = result < 0
            got = max(0, result)
        }
        if failed { throw .storage(StorageError("read", path, code: errno)) }
        return bytes
    }

    private func write(_ bytes: [UInt8], at offset: Int) throws(AuditLogError) {
        var done = 0
        while done < bytes.count {
            // Safe: the rest of the array, with its own count.
            let count = unsafe bytes.withUnsafeBytes {
                unsafe pwrite(file, $0.baseAddress! + done, $0.count - done, off_t(offset + done))
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw .storage(StorageError("write", path, code: errno)) }
            done += count
        }
    }

    private func sync() throws(AuditLogError) {
        guard fdatasync(file) == 0 else { throw .storage(StorageError("sync", path, code: errno)) }
    }
}
