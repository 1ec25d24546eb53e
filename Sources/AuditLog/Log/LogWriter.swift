import Cryptography
import Storage
import Telemetry

/// What readers see of a log: everything that is durable and in its files.
struct PublishedLog: Sendable {
    var edge: TreeEdge
    /// The signed checkpoint.
    var note: [UInt8]
}

/// The one who writes: entries into the pending segment, then tiles, bundle and checkpoint. Runs on the commit thread;
/// others read `published`.
final class LogWriter: @unchecked Sendable {
    // Unchecked: everything that changes is touched by the commit thread only, but `published` and `failed`.

    /// A segment larger than this is closed and a new one begun.
    static let segmentBytesMax = 16 << 20

    let files: LogFiles
    let state: StateDirectory
    let signer: NoteSigner
    let published: Locked<PublishedLog>
    /// Why the log takes nothing more, when that is so.
    let failed = Locked<AuditLogError?>(nil)

    private let clock: any Clock
    private let directoryLock: DirectoryLock
    private let flusher: LogFlusher
    private var edge: TreeEdge
    private var note: [UInt8]
    private var lastMilliseconds: Int64
    /// nil after a failed write: the next commit begins a new one.
    private var segment: PendingSegment?
    private var segmentNumber: Int
    /// Full files that are durable in the pending segments only.
    private var unsynced: [String] = []
    /// Segments before the present one that were not yet given to the flusher.
    private var oldSegments: [String] = []
    /// Full files that are not written yet, because the last publication failed or has not begun.
    private var unpublished: [(path: TilePath, bytes: [UInt8])] = []
    private var publishedPartials: [TilePath]
    private var isPublished = true

    /// Takes over a log that is durable and published as it stands.
    init(
        files: LogFiles, state: StateDirectory, signer: NoteSigner, clock: any Clock,
        directoryLock: DirectoryLock,
        edge: TreeEdge, note: [UInt8], lastMilliseconds: Int64, segment: PendingSegment,
        segmentNumber: Int
    ) {
        self.files = files
        self.state = state
        self.signer = signer
        self.clock = clock
        self.directoryLock = directoryLock
        self.edge = edge
        self.note = note
        self.lastMilliseconds = lastMilliseconds
        self.segment = segment
        self.segmentNumber = segmentNumber
        publishedPartials = edge.partialPaths
        published = Locked(PublishedLog(edge: edge, note: note))
        flusher = LogFlusher(files: files, state: state)
    }

    /// Makes entries durable and visible. One write, one sync and one signature for all of them.
    func commit(_ items: [EncodedEntry]) -> Result<[UInt64], AuditLogError> {
        if let failure { return .failure(failure) }
        do {
            // Left over from a commit that could not write everything: a full disk that may have room again.
            if !isPublished { try publish() }
            if segment == nil { try beginSegment() }
            let first = edge.size
            try makeDurable(items)
            try publish()
            // What was asked for is done; if there is no room for a new segment the next commit says so.
            if let size = segment?.size, size > Self.segmentBytesMax { try? beginSegment() }
            return .success((0..<UInt64(items.count)).map { first + $0 })
        } catch {
            return .failure(error)
        }
    }

    /// Why nothing more is taken, when that is so.
    var failure: AuditLogError? { failed.withLock { $0 } ?? flusher.failure }

    /// Ends the log: what is durable in segments only is made durable in its files.
    func close() {
        flusher.close()
    }

    private func makeDurable(_ items: [EncodedEntry]) throws(AuditLogError) {
        guard let segment else { preconditionFailure("a segment was begun") }
        var next = edge
        var filled: [(path: TilePath, bytes: [UInt8])] = []
        let now = max(lastMilliseconds, clock.now().milliseconds, 0)
        var frame = PendingFrame(first: edge.size, entries: [], note: [])
        for item in items {
            let bytes = item.bytes(seq: next.size, milliseconds: now)
            frame.entries.append(bytes)
            next.append(bytes) { filled.append(($0, $1)) }
        }
        frame.note = sign(next)
        do {
            try segment.append(frame)
        } catch {
            self.segment = nil
            oldSegments.append(segment.path)
            throw stop(error)
        }
        edge = next
        note = frame.note
        lastMilliseconds = now
        unsynced += filled.map(\.path.text)
        unpublished += filled
        isPublished = false
    }

    /// A failed sync is final: the kernel may have dropped the pages. A failed write is not: nothing was acknowledged,
    /// and the next commit goes to a new file.
    private func stop(_ error: StorageError) -> AuditLogError {
        if error.operation == "sync" {
            failed.withLock { $0 = .poisoned(cause: error.description) }
        }
        return .storage(error)
    }

    private func sign(_ edge: TreeEdge) -> [UInt8] {
        Checkpoint(origin: signer.verifierKey.name.text, size: edge.size, root: edge.root).signed(
            by: signer
        ).bytes
    }

    /// Writes the files of the present size; the checkpoint last, then the partial files nobody needs any more.
    private func publish() throws(AuditLogError) {
        for (path, bytes) in unpublished { try files.write(bytes, to: path.text) }
        for (path, bytes) in edge.partialFiles where !publishedPartials.contains(path) {
            try files.write(bytes, to: path.text)
        }
        try files.replace(AuditVerifier.headFile, with: note)
        let partials = edge.partialPaths
        for path in publishedPartials where !partials.contains(path) { files.removePartial(path) }
        for (path, _) in unpublished { files.removePartialDirectory(of: path) }
        publishedPartials = partials
        unpublished = []
        isPublished = true
        let visible = PublishedLog(edge: edge, note: note)
        published.withLock { $0 = visible }
    }

    /// Begins a new segment and lets the flusher make the old ones superfluous.
    private func beginSegment() throws(AuditLogError) {
        let path = state.segment(segmentNumber + 1)
        let new: PendingSegment
        do {
            new = try PendingSegment(
                path: path, preamble: PendingFrame(preambleOf: edge, note: note))
        } catch {
            throw stop(error)
        }
        segmentNumber += 1
        if let segment { oldSegments.append(segment.path) }
        segment = new
        if flusher.take(FlushJob(paths: unsynced, head: note, segments: oldSegments)) {
            unsynced = []
            oldSegments = []
        }
    }
}

extension PendingFrame {
    /// The first frame of a segment: the entries of the partial bundle, under the head of the whole log.
    init(preambleOf edge: TreeEdge, note: [UInt8]) {
        let entries = EntryBundle.entries(edge.bundle) ?? []
        self.init(first: edge.bundleStart, entries: entries.map { Array($0) }, note: note)
    }
}
