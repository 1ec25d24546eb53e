// Recovery. What was acknowledged is in the pending segments or in full bundles that were synced before their segment was
// removed; what was signed is in the head, in the segments and in the checkpoint. So:
//   1. read the segments; a torn tail is what no sync had finished, and is left out
//   2. read the full bundles before them, then the segments' entries, building the tree anew
//   3. hold the tree against every head that was signed: none may be larger, none may have another root
//   4. write again what a crash may have torn, make all of it durable, begin a new segment, remove the old ones
// Until the last step nothing is removed, so a crash during recovery is recovered from as well.
import Cryptography
import Storage

extension LogOpening {
    func recover() throws(AuditLogError) -> AuditLog {
        guard DurableFile.exists(state.head) else {
            throw .notALog(directory: files.directory, missing: state.head)
        }
        let headPath = state.head
        let headNote = try storage { () throws(StorageError) in
            try DurableFile.read(headPath, maxBytes: SignedNote.bytesMax)
        }
        let head: Checkpoint
        do {
            head = try Checkpoint(headNote, signedBy: signer.verifierKey)
        } catch .unverified {
            throw .otherKey(directory: files.directory)
        } catch {
            throw .corrupt(file: headPath, problem: "\(error)")
        }
        try checkKeyFile()
        let published = try publishedHead()
        let numbers = try segments()
        let pending = try PendingEntries(segments: numbers.map(state.segment), journal: try journal())
        var heads = [head] + [published].compactMap { $0 }
        if let note = pending.lastNote { heads.append(try pendingHead(note)) }
        var rebuild = LogRebuild(files: files, heads: heads)
        try rebuild.run(pending: pending, publishedSize: max(published?.size ?? 0, head.size))
        return try open(rebuild, oldSegments: numbers.map(state.segment))
    }

    func adopt() throws(AuditLogError) -> AuditLog {
        guard !DurableFile.exists(state.head) else { throw .exists(directory: files.directory) }
        guard let published = try publishedHead() else {
            throw .notALog(directory: files.directory, missing: AuditVerifier.headFile)
        }
        try checkKeyFile()
        var rebuild = LogRebuild(files: files, heads: [published])
        try rebuild.run(pending: PendingEntries(), publishedSize: published.size)
        return try open(rebuild, oldSegments: try segments().map(state.segment))
    }

    private func open(_ rebuild: LogRebuild, oldSegments: [String]) throws(AuditLogError)
        -> AuditLog
    {
        let edge = rebuild.edge
        let note = sign(edge)
        for (path, bytes) in rebuild.mended + edge.partialFiles {
            try files.write(bytes, to: path.text)
        }
        try files.replace(AuditVerifier.keyFile, with: keyFileBytes)
        try files.replace(AuditVerifier.headFile, with: note)
        let log = try finish(
            edge, note: note, fresh: rebuild.mended.map(\.path.text), oldSegments: oldSegments,
            lastMilliseconds: rebuild.lastMilliseconds)
        for layout in TileLayout.levels(size: edge.size) {
            files.removePartials(
                of: TilePath(.hashes(level: layout.level), index: layout.full),
                keeping: layout.partialWidth)
            if layout.level == 0 {
                files.removePartials(
                    of: TilePath(.entries, index: layout.full), keeping: layout.partialWidth)
            }
        }
        for path in rebuild.filled { files.removePartials(of: path, keeping: TilePath.widthMax) }
        return log
    }

    /// Where entries stand behind their records. When that directory is gone, what only it held is told as missing.
    private func journal() throws(AuditLogError) -> EntryJournal? {
        let path = state.journal
        guard DurableFile.exists(path) else { return nil }
        let bytes = try storage { () throws(StorageError) in try DurableFile.read(path, maxBytes: 4096) }
        guard bytes.last == 0x0A, bytes.count > 1 else { throw .corrupt(file: path, problem: "does not name a directory") }
        let name = String(decoding: bytes.dropLast(), as: UTF8.self)
        return EntryJournal(directory: name.hasPrefix("/") ? name : state.path + "/" + name)
    }

    private func checkKeyFile() throws(AuditLogError) {
        guard let bytes = try files.read(AuditVerifier.keyFile), !bytes.isEmpty else { return }
        guard bytes == keyFileBytes else { throw .otherKey(directory: files.directory) }
    }

    /// The checkpoint that readers saw last; nil when a crash tore it, in which case the segments hold a later one.
    private func publishedHead() throws(AuditLogError) -> Checkpoint? {
        guard let bytes = try files.read(AuditVerifier.headFile) else { return nil }
        return try? Checkpoint(bytes, signedBy: signer.verifierKey)
    }

    private func pendingHead(_ note: [UInt8]) throws(AuditLogError) -> Checkpoint {
        do {
            return try Checkpoint(note, signedBy: signer.verifierKey)
        } catch {
            throw .corrupt(
                file: state.path, problem: "a pending segment holds a head of another key")
        }
    }
}

/// The entries of all pending segments, joined.
struct PendingEntries {
    /// Stretches of entries that follow one another, in order. One, unless a journal is gone.
    private(set) var runs: [(first: UInt64, entries: [[UInt8]])] = []
    /// The latest signed checkpoint among them.
    private(set) var lastNote: [UInt8]?
    private let mayHaveGaps: Bool

    /// No segments.
    init() { mayHaveGaps = false }

    /// Reads segments in ascending order. Each begins with entries that the one before ended with.
    /// - Parameter journal: holds frames of the same log.
    init(segments: [String], journal: EntryJournal? = nil) throws(AuditLogError) {
        mayHaveGaps = journal != nil
        var frames: [(frame: PendingFrame, path: String)] = []
        for path in segments {
            let bytes = try storage { () throws(StorageError) in
                try DurableFile.read(
                    path, maxBytes: CommitPace.immediate.segmentBytes + 2 * PendingFrame.bundleBytesMax)
            }
            frames += PendingContents(bytes).frames.map { ($0, path) }
        }
        if let journal, let base = frames.first?.frame.first {
            frames += try journal.frames(from: base)
            // Every frame was durable before the next one was written, to whichever file.
            frames.sort { ($0.frame.first, $0.frame.entries.count) < ($1.frame.first, $1.frame.entries.count) }
        }
        for (frame, path) in frames { try join(frame, of: path) }
    }

    /// The number behind the last entry; 0 without any.
    var end: UInt64 { runs.last.map { $0.first + UInt64($0.entries.count) } ?? 0 }

    private mutating func join(_ frame: PendingFrame, of path: String) throws(AuditLogError) {
        if runs.isEmpty || (mayHaveGaps && frame.first > end) { runs.append((frame.first, [])) }
        let place = runs.count - 1
        guard frame.first >= runs[place].first, frame.first <= end else {
            throw .corrupt(
                file: path,
                problem:
                    "entries \(end) to \(frame.first) are missing between two pending segments")
        }
        let known = Int(end - frame.first)
        for (offset, entry) in frame.entries.enumerated() {
            if offset >= known {
                runs[place].entries.append(entry)
            } else if runs[place].entries[Int(frame.first - runs[place].first) + offset] != entry {
                throw .corrupt(
                    file: path,
                    problem: "two pending segments differ in entry \(frame.first + UInt64(offset))")
            }
        }
        // The first frame of a segment is always signed.
        if !frame.note.isEmpty || lastNote == nil { lastNote = frame.note }
    }
}
