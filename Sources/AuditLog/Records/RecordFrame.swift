// A record as bytes in a segment. `protocol/audit-log.md` §7.
//
//   frame  = "CLR2" | state u8 | rows u32 | row bytes u32 | head bytes u32 | digest 32 | head | leaves | rows
//   digest = SHA-256(rows u32 | row bytes u32 | head bytes u32 | head | leaves)
//   head   = id high u64 | id low u64 | kind | has subject u8 | [subject | salt 32] | shared
//   row    = state u8 | salt 32 | payload
//
// States: 1 live, 0 erased. Of an erased row salt and payload are zeros, of an erased frame all from the digest on.
// Frames of earlier versions, one row each, are read and erased:
//
//   frame  = "CLR1" | state u8 | body bytes u32 | SHA-256 of body | body
//   body   = id | kind | has subject u8 | subject | salt | payload          each but the flag with its length before it

import Codec
import Cryptography

/// Encoding and decoding of frames.
enum RecordFrame {
    static let magic = Array("CLR2".utf8)
    static let oldMagic = Array("CLR1".utf8)
    /// Of entries of the log that stand behind their records (`EntryJournal`).
    static let entriesMagic = Array("CLJ1".utf8)
    /// Bytes before the head.
    static let headerBytes = 4 + 1 + 12 + Digest.byteCount
    static let oldHeaderBytes = 4 + 1 + 4 + Digest.byteCount
    static let entriesHeaderBytes = 4 + 1 + 4
    /// Largest frame behind its header.
    static let bodyBytesMax = 64 << 20

    /// What the first bytes of a frame say.
    struct Header: Equatable {
        var isOld: Bool
        /// It is no record.
        var holdsEntries = false
        var isLive: Bool
        var rows: Int
        var rowBytes: Int
        /// Of an old frame, and of entries: the body.
        var headBytes: Int

        /// Where the digest is, and the first byte that erasing blanks.
        var digestStart: Int { holdsEntries ? RecordFrame.entriesHeaderBytes : (isOld ? RecordFrame.oldHeaderBytes : RecordFrame.headerBytes) - Digest.byteCount }
        var bodyStart: Int { holdsEntries ? digestStart : digestStart + Digest.byteCount }
        var rowsStart: Int { bodyStart + headBytes + rows * Digest.byteCount }
        var frameBytes: Int { isOld ? bodyStart + headBytes : rowsStart + rows * rowBytes }

        /// - Returns: nil for bytes that do not begin a frame.
        init?(_ bytes: ArraySlice<UInt8>) {
            let start = bytes.startIndex
            guard bytes.count >= RecordFrame.oldHeaderBytes, bytes[start + 4] <= 1 else { return nil }
            func number(_ offset: Int) -> Int {
                bytes[start + offset..<start + offset + 4].reduce(0) { $0 << 8 | Int($1) }
            }
            isLive = bytes[start + 4] == 1
            if bytes.starts(with: RecordFrame.oldMagic) || bytes.starts(with: RecordFrame.entriesMagic) {
                (isOld, rows, rowBytes, headBytes) = (true, 1, 0, number(5))
                holdsEntries = bytes.starts(with: RecordFrame.entriesMagic)
            } else if bytes.count >= RecordFrame.headerBytes, bytes.starts(with: RecordFrame.magic) {
                (isOld, rows, rowBytes, headBytes) = (false, number(5), number(9), number(13))
                guard (1...Record.rowsMax).contains(rows),
                    (Record.payloadStart...Record.payloadStart + Record.payloadBytesMax).contains(rowBytes)
                else { return nil }
            } else {
                return nil
            }
            guard headBytes <= RecordFrame.bodyBytesMax, frameBytes <= RecordFrame.bodyBytesMax else { return nil }
        }
    }

    /// What is stored of a record.
    /// - Throws: `entry` for a record beyond its limits.
    static func encoded(_ record: Record) throws(AuditLogError) -> [UInt8] {
        guard (1...Record.textBytesMax).contains(record.kind.utf8.count),
            (1...Record.textBytesMax).contains(record.subject?.text.utf8.count ?? 1),
            record.subject?.salt.count ?? Commitment.saltBytes == Commitment.saltBytes,
            record.shared.count <= Record.sharedBytesMax, record.count <= Record.rowsMax,
            record.payloadBytes <= Record.payloadBytesMax, record.frame.count <= bodyBytesMax
        else {
            throw .entry(.field("record", problem: "a kind, subject, row or size beyond its limit"))
        }
        return record.frame
    }

    static func head(id: RecordID, kind: String, subject: Record.Subject?, shared: [UInt8]) -> [UInt8] {
        var writer = ByteWriter(reserving: 64 + shared.count)
        writer.u64(id.high)
        writer.u64(id.low)
        writer.text(kind)
        writer.u8(subject == nil ? 0 : 1)
        if let subject {
            writer.text(subject.text)
            writer.raw(subject.salt)
        }
        writer.raw(shared)
        return writer.bytes
    }

    /// A live frame, and where its commitments begin. All bytes are written in their place: a request may have a thousand rows.
    static func encoded(
        head: [UInt8], salts: [UInt8], payloadBytes: Int, write: Record.PayloadWriter
    ) -> (frame: [UInt8], leavesStart: Int) {
        let rows = salts.count / Commitment.saltBytes
        let stride = Record.payloadStart + payloadBytes
        let leavesStart = headerBytes + head.count
        let rowsStart = leavesStart + rows * Digest.byteCount
        var frame: [UInt8] = []
        frame.reserveCapacity(rowsStart + rows * stride)
        frame += magic
        frame.append(Record.live)
        let numbers = numbers(rows: rows, rowBytes: stride, headBytes: head.count)
        frame += numbers
        frame.append(contentsOf: repeatElement(0, count: Digest.byteCount))
        frame += head
        frame.append(contentsOf: repeatElement(0, count: rows * (Digest.byteCount + stride)))
        var span = frame.mutableSpan
        // Safe: any bytes make [UInt8].
        var bytes = unsafe span.mutableBytes
        let words = Commitment.saltBytes / 8
        let randomness = unsafe salts.span.bytes
        for row in 0..<rows {
            let start = rowsStart + row * stride
            bytes.storeBytes(of: Record.live, toByteOffset: start, as: UInt8.self)
            for word in 0..<words {
                // Safe: any bytes make a UInt64, and the place is checked.
                let value = unsafe randomness.unsafeLoadUnaligned(fromByteOffset: (row * words + word) * 8, as: UInt64.self)
                bytes.storeBytes(of: value, toByteOffset: start + Record.saltStart + word * 8, as: UInt64.self)
            }
            write(row, &bytes, start + Record.payloadStart)
        }
        SHA256.hash(
            prefix: Record.leafPrefix, rowsAt: rowsStart, stride: stride, skip: Record.saltStart, count: rows,
            into: leavesStart, of: &bytes)
        SHA256.hash(
            prefix: numbers, rowsAt: headerBytes, stride: rowsStart - headerBytes, skip: 0, count: 1,
            into: headerBytes - Digest.byteCount, of: &bytes)
        return (frame, leavesStart)
    }

    private static func numbers(rows: Int, rowBytes: Int, headBytes: Int) -> [UInt8] {
        var writer = ByteWriter(reserving: 12)
        writer.u32(UInt32(rows))
        writer.u32(UInt32(rowBytes))
        writer.u32(UInt32(headBytes))
        return writer.bytes
    }

    /// The name in a live frame of which at least the head is there; nil for bytes that have none.
    static func id(_ header: Header, _ frame: ArraySlice<UInt8>) -> RecordID? {
        let start = frame.startIndex + header.bodyStart
        guard !header.holdsEntries, frame.count >= header.bodyStart + min(header.headBytes, 40) else { return nil }
        var reader = ByteReader(Array(frame[start..<start + min(header.headBytes, 40)]))
        if header.isOld { return (try? reader.text(maxBytes: 36)).flatMap { RecordID($0) } }
        guard let high = try? reader.u64(), let low = try? reader.u64() else { return nil }
        return RecordID(high: high, low: low)
    }

    /// The record of a live, whole frame; nil when its digest is wrong or it is not one of this version. Rows are as they
    /// are stored: see ``Record/isWhole(_:)``.
    static func record(_ header: Header, _ frame: ArraySlice<UInt8>) -> Record? {
        guard header.isLive, frame.count == header.frameBytes else { return nil }
        func part(_ start: Int, _ count: Int) -> [UInt8] {
            Array(frame[frame.startIndex + start..<frame.startIndex + start + count])
        }
        let digest = part(header.digestStart, Digest.byteCount)
        let head = part(header.bodyStart, header.headBytes)
        if header.isOld {
            return SHA256.hash(head).bytes == digest ? try? oldRecord(head) : nil
        }
        let numbers = numbers(rows: header.rows, rowBytes: header.rowBytes, headBytes: header.headBytes)
        let covered = part(header.bodyStart, header.rowsStart - header.bodyStart)
        guard SHA256.hash(parts: numbers, covered).bytes == digest else { return nil }
        return try? record(head, header, Array(frame))
    }

    private static func record(_ head: [UInt8], _ header: Header, _ frame: [UInt8]) throws(CodecError) -> Record {
        var reader = ByteReader(head)
        let id = RecordID(high: try reader.u64(), low: try reader.u64())
        let kind = try reader.text(maxBytes: Record.textBytesMax)
        var subject: Record.Subject?
        if try reader.u8() == 1 {
            subject = Record.Subject(
                text: try reader.text(maxBytes: Record.textBytesMax), salt: try reader.raw(Commitment.saltBytes))
        }
        return Record(
            id: id, kind: kind, subject: subject, shared: try reader.raw(reader.remaining),
            payloadBytes: header.rowBytes - Record.payloadStart, count: header.rows, frame: frame,
            leavesStart: header.bodyStart + header.headBytes)
    }

    private static func oldRecord(_ body: [UInt8]) throws(CodecError) -> Record? {
        var reader = ByteReader(body)
        guard let id = RecordID(try reader.text(maxBytes: Record.textBytesMax)) else { return nil }
        let kind = try reader.text(maxBytes: Record.textBytesMax)
        let hasSubject = try reader.u8() == 1
        let text = try reader.text(maxBytes: Record.textBytesMax)
        let salt = try reader.lengthPrefixed(maxBytes: Commitment.saltBytes)
        let payload = try reader.lengthPrefixed(maxBytes: Record.payloadBytesMax)
        try reader.finish()
        guard salt.count == Commitment.saltBytes else { return nil }
        return Record(
            id: id, kind: kind, subject: hasSubject ? Record.Subject(text: text, salt: salt) : nil,
            salts: salt, payloads: payload)
    }
}
