// Entries behind their records. The entry of a prediction and the record it commits to become durable by one write and one sync:
// the frame of the pending segment (`PendingSegment.swift`) stands behind the records in their segment instead, wrapped as
//
//   entries = "CLJ1" | 1 | frame bytes u32 | frame, its digest as that of the first frame of a segment
//
// Nothing in it is personal. It stays where it is after the files of the log have made it superfluous; recovery looks only at
// frames that reach beyond the first pending segment. Which directory of records that is stands in the state directory.

import Codec
import Storage

/// The frames of entries in a directory of record segments.
struct EntryJournal {
    let directory: String

    /// The frames with entries from `base` on, in order of writing. Reads segments from the newest back to the first whose
    /// frames begin before.
    func frames(from base: UInt64) throws(AuditLogError) -> [(frame: PendingFrame, path: String)] {
        let directory = directory
        guard DurableFile.exists(directory) else { return [] }
        let names = try storage { () throws(StorageError) in try DurableFile.list(directory) }
        let numbers = names.compactMap { name in RecordWriter.number(name).map { ($0, directory + "/" + name) } }
        var found: [(frame: PendingFrame, path: String)] = []
        for (age, (_, path)) in numbers.sorted(by: { $0.0 > $1.0 }).enumerated() {
            let bytes = try storage { () throws(StorageError) in try DurableFile.read(path, maxBytes: Self.segmentBytesMax) }
            let frames = Self.frames(bytes)
            found = frames.filter { $0.end > base }.map { ($0.from(base), path) } + found
            // The newest may have none yet, the one before none that is whole.
            if let first = frames.first, first.first <= base { break }
            if frames.isEmpty, age > 1 { break }
        }
        return found
    }

    /// A segment is closed when it is full, but its last group of records is written whole.
    private static let segmentBytesMax = 1 << 30

    /// Whole frames of entries among the frames of a record segment; what cannot be read is passed over.
    static func frames(_ bytes: [UInt8]) -> [PendingFrame] {
        var found: [PendingFrame] = []
        var place = 0
        while place < bytes.count {
            if let header = RecordFrame.Header(bytes[place...]), header.frameBytes <= bytes.count - place {
                if header.holdsEntries, let frame = entries(header, bytes[place..<place + header.frameBytes]) { found.append(frame) }
                place += header.frameBytes
            } else {
                place = bytes[(place + 1)...].firstIndex(of: RecordFrame.magic[0]) ?? bytes.count
            }
        }
        return found
    }

    /// The frame in a wrapped one; nil when it is not whole.
    static func entries(_ header: RecordFrame.Header, _ bytes: ArraySlice<UInt8>) -> PendingFrame? {
        let contents = PendingContents(Array(bytes.dropFirst(header.bodyStart)))
        return contents.tornBytes == 0 && contents.frames.count == 1 ? contents.frames[0] : nil
    }

    /// A frame as it stands behind records.
    static func wrapped(_ frame: PendingFrame) -> [UInt8] {
        let (bytes, _) = frame.encoded(after: PendingFrame.noDigest)
        var writer = ByteWriter(reserving: RecordFrame.entriesHeaderBytes + bytes.count)
        writer.raw(RecordFrame.entriesMagic)
        writer.u8(1)
        writer.u32(UInt32(bytes.count))
        writer.raw(bytes)
        return writer.bytes
    }
}

extension PendingFrame {
    /// The number behind its last entry.
    fileprivate var end: UInt64 { first + UInt64(entries.count) }

    /// The frame without the entries before a number.
    fileprivate func from(_ base: UInt64) -> PendingFrame {
        guard first < base else { return self }
        return PendingFrame(first: base, entries: Array(entries.dropFirst(Int(base - first))), note: note)
    }
}
