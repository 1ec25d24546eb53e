// The pending segment is where an entry becomes durable; tiles and checkpoint follow from it.
//
//   segment  = frame*
//   frame    = "CLP1" | first seq u64 | entries u32 | bundle length u32 | note length u32 | bundle | note | digest
//   bundle   = entries as in an entry bundle, u16 BE length before each
//   note     = the signed checkpoint over all entries up to the last of this frame; empty where it was not signed at once
//   digest   = SHA-256(digest of the frame before, 32 zero bytes for the first | this frame up to here)
//
// All numbers big-endian. The first frame of a segment repeats the entries of the partial bundle, so that a segment and
// the full bundles before it are the whole log. One write and one fdatasync per frame. Behind the last frame there are
// zeros that wait to be written over.
import Codec
import Cryptography
import Storage

/// One group of entries with the head that was signed over them.
struct PendingFrame: Sendable {
    static let magic = Array("CLP1".utf8)
    static let headerBytes = 4 + 8 + 4 + 4 + 4
    /// Largest bundle in a frame.
    static let bundleBytesMax = 16 << 20

    var first: UInt64
    var entries: [[UInt8]]
    /// The checkpoint as a note.
    var note: [UInt8]

    /// The encoded frame behind the one with `previous` as its digest.
    func encoded(after previous: [UInt8]) -> (bytes: [UInt8], digest: [UInt8]) {
        var bundle: [UInt8] = []
        bundle.reserveCapacity(entries.reduce(0) { $0 + $1.count + 2 })
        for entry in entries { EntryBundle.append(entry, to: &bundle) }
        var writer = ByteWriter(reserving: Self.headerBytes + bundle.count + note.count + 32)
        writer.raw(Self.magic)
        writer.u64(first)
        writer.u32(UInt32(entries.count))
        writer.u32(UInt32(bundle.count))
        writer.u32(UInt32(note.count))
        writer.raw(bundle)
        writer.raw(note)
        let digest = SHA256.hash(parts: previous, writer.bytes).bytes
        writer.raw(digest)
        return (writer.bytes, digest)
    }

    static let noDigest = [UInt8](repeating: 0, count: 32)
}

/// What a segment holds, as far as its frames are whole.
struct PendingContents: Sendable {
    var frames: [PendingFrame] = []
    /// Bytes of whole frames.
    var goodBytes = 0
    /// Bytes behind them that are no whole frame.
    var tornBytes = 0

    /// Reads frames until the bytes end or stop making sense.
    init(_ bytes: [UInt8]) {
        var previous = PendingFrame.noDigest
        while goodBytes < bytes.count {
            guard let (frame, end, digest) = Self.frame(bytes, at: goodBytes, after: previous)
            else {
                tornBytes = bytes.count - goodBytes
                return
            }
            frames.append(frame)
            goodBytes = end
            previous = digest
        }
    }

    private static func frame(
        _ bytes: [UInt8], at start: Int, after previous: [UInt8]
    ) -> (frame: PendingFrame, end: Int, digest: [UInt8])? {
        guard bytes.count - start >= PendingFrame.headerBytes else { return nil }
        var reader = ByteReader(Array(bytes[start..<start + PendingFrame.headerBytes]))
        guard let magic = try? reader.raw(4), magic == PendingFrame.magic,
            let first = try? reader.u64(),
            let count = try? reader.u32(), let bundleBytes = try? reader.u32(),
            let noteBytes = try? reader.u32(),
            bundleBytes <= PendingFrame.bundleBytesMax, noteBytes <= SignedNote.bytesMax
        else { return nil }
        let bundleStart = start + PendingFrame.headerBytes
        let noteStart = bundleStart + Int(bundleBytes)
        let end = noteStart + Int(noteBytes)
        guard bytes.count - end >= 32 else { return nil }
        let digest = SHA256.hash(parts: previous, Array(bytes[start..<end])).bytes
        guard digest.elementsEqual(bytes[end..<end + 32]),
            let entries = EntryBundle.entries(Array(bytes[bundleStart..<noteStart])),
            entries.count == Int(count)
        else { return nil }
        let frame = PendingFrame(
            first: first, entries: entries.map { Array($0) }, note: Array(bytes[noteStart..<end]))
        return (frame, end + 32, digest)
    }
}

/// The segment that is being written.
final class PendingSegment {
    let path: String
    private let file: AppendFile
    private static let zeroAheadBytes = 256 << 10
    private var digest = PendingFrame.noDigest

    /// Makes a new segment that starts with `preamble`, durably.
    init(path: String, preamble: PendingFrame) throws(StorageError) {
        self.path = path
        try DurableFile.remove(path)
        file = try AppendFile(path, zeroAheadBytes: Self.zeroAheadBytes)
        do {
            try append(preamble)
        } catch {
            try? DurableFile.remove(path)
            throw error
        }
    }

    var size: Int { file.size }

    /// Writes a frame and makes it durable.
    func append(_ frame: PendingFrame) throws(StorageError) {
        let (bytes, next) = frame.encoded(after: digest)
        try file.append(bytes)
        try file.sync()
        digest = next
    }
}
