// A segment of the records store:
//   frame = "CLR1" | state u8 | body length u32 BE | SHA-256 of body | body
// State 1 is live. Erasing sets the state to 0, syncs, fills digest and body with zeros, and syncs again, all in place:
// the bytes of a person are gone from the file, and a crash in between is finished at the next opening.
import Cryptography
import Glibc
import Storage

/// Where a frame lies.
struct RecordLocation: Hashable, Sendable {
    var segment: Int
    var offset: Int
    var bodyBytes: Int
}

/// Reading and erasing in one segment file, by offset.
@safe final class RecordSegment: @unchecked Sendable {
    // Unchecked: one descriptor, used with positions only.
    static let magic = Array("CLR1".utf8)
    static let headerBytes = 4 + 1 + 4 + 32
    static let bodyBytesMax = Record.payloadBytesMax + 4 * Record.textBytesMax

    let path: String
    private let file: Int32

    init(_ path: String) throws(StorageError) {
        self.path = path
        file = unsafe Glibc.open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC)
        guard file >= 0 else { throw StorageError("open", path, code: errno) }
    }

    deinit { _ = Glibc.close(file) }

    static func frame(_ body: [UInt8]) -> [UInt8] {
        let length = (0..<4).map { UInt8(truncatingIfNeeded: body.count >> (24 - 8 * $0)) }
        return magic + [1] + length + SHA256.hash(body).bytes + body
    }

    /// The body of a live frame; nil when it was erased.
    func body(at location: RecordLocation) throws(AuditLogError) -> [UInt8]? {
        let frame = try read(location.offset, Self.headerBytes + location.bodyBytes)
        guard frame.count == Self.headerBytes + location.bodyBytes, frame.starts(with: Self.magic)
        else {
            throw .corrupt(file: path, problem: "record at byte \(location.offset) is cut short")
        }
        guard frame[4] == 1 else { return nil }
        let body = Array(frame[Self.headerBytes...])
        guard SHA256.hash(body).bytes.elementsEqual(frame[9..<Self.headerBytes]) else {
            throw .corrupt(file: path, problem: "record at byte \(location.offset) was changed")
        }
        return body
    }

    /// Erases frames: first all are marked, then all are filled with zeros.
    func erase(_ locations: [RecordLocation]) throws(AuditLogError) {
        for location in locations { try write([0], at: location.offset + 4) }
        try sync()
        for location in locations { try fillWithZeros(location) }
        try sync()
    }

    /// Visits all whole frames that are live, with their body. Finishes erasures that a crash cut off. Bytes that are no
    /// whole frame but lie before one are blanked: nothing could find them again to erase them.
    /// - Returns: bytes up to the end of the last whole frame, bytes in the file, and how many stretches were blanked.
    func scan(
        _ number: Int, visit: (RecordLocation, [UInt8]) throws(AuditLogError) -> Void
    ) throws(AuditLogError) -> (good: Int, all: Int, damaged: Int) {
        let path = path
        let all = try storage { () throws(StorageError) in try DurableFile.size(path) }
        var offset = 0
        var damaged = 0
        while offset < all {
            guard let frame = try frame(at: offset, fileBytes: all) else {
                guard let next = try nextFrame(after: offset, fileBytes: all) else {
                    return (offset, all, damaged)
                }
                try blank(offset, next)
                damaged += 1
                offset = next
                continue
            }
            let location = RecordLocation(
                segment: number, offset: offset, bodyBytes: frame.body.count)
            if frame.isLive {
                try visit(location, frame.body)
            } else if !frame.isBlank {
                try erase([location])
            }
            offset += Self.headerBytes + frame.body.count
        }
        return (offset, all, damaged)
    }

    private struct Frame {
        var isLive: Bool
        var isBlank: Bool
        var body: [UInt8]
    }

    /// The frame at an offset: whole and, if live, with the right digest.
    private func frame(at offset: Int, fileBytes: Int) throws(AuditLogError) -> Frame? {
        let header = try read(offset, Self.headerBytes)
        guard header.count == Self.headerBytes, header.starts(with: Self.magic), header[4] <= 1
        else { return nil }
        let length = header[5..<9].reduce(0) { $0 << 8 | Int($1) }
        guard length <= Self.bodyBytesMax, offset + Self.headerBytes + length <= fileBytes else {
            return nil
        }
        let body = try read(offset + Self.headerBytes, length)
        guard body.count == length else { return nil }
        if header[4] == 1 {
            return SHA256.hash(body).bytes.elementsEqual(header[9...])
                ? Frame(isLive: true, isBlank: false, body: body) : nil
        }
        let isBlank = header[9...].allSatisfy { $0 == 0 } && body.allSatisfy { $0 == 0 }
        return Frame(isLive: false, isBlank: isBlank, body: body)
    }

    /// Where the next live frame begins, looking byte by byte: only damage brings us here.
    private func nextFrame(after offset: Int, fileBytes: Int) throws(AuditLogError) -> Int? {
        let bytes = try read(offset, fileBytes - offset)
        for start in stride(from: Self.headerBytes, to: bytes.count - Self.headerBytes + 1, by: 1)
        where bytes[start] == Self.magic[0] && bytes[start...].starts(with: Self.magic) {
            if let frame = try frame(at: offset + start, fileBytes: fileBytes), frame.isLive {
                return offset + start
            }
        }
        return nil
    }

    /// Turns a stretch into an erased frame.
    private func blank(_ start: Int, _ end: Int) throws(AuditLogError) {
        let length = end - start - Self.headerBytes
        let digits = (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) }
        try write(Self.magic + [0] + digits + [UInt8](repeating: 0, count: 32 + length), at: start)
        try sync()
    }

    private func fillWithZeros(_ location: RecordLocation) throws(AuditLogError) {
        try write([UInt8](repeating: 0, count: 32 + location.bodyBytes), at: location.offset + 9)
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
