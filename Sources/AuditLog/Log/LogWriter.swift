import Cryptography
import Storage
import Telemetry

/// What readers of this process see of a log: everything that is durable.
struct PublishedLog: Sendable {
    var edge: TreeEdge
    /// The signed checkpoint; nil until somebody asks for it.
    var note: [UInt8]?
}

/// The one who writes: entries into the pending segment, then tiles, bundle and checkpoint. Runs on the thread that commits;
/// others read `published`.
final class LogWriter: @unchecked Sendable {
    // Unchecked: everything that changes is touched by the thread that commits only, one at a time, but `published` and `failed`.

    let files: LogFiles
    let state: StateDirectory
    let signer: NoteSigner
    let published: Locked<PublishedLog>
    /// Why the log takes nothing more, when that is so.
    let failed = Locked<AuditLogError?>(nil)

    private let clock: any Clock
    private let directoryLock: DirectoryLock
    private let flusher: LogFlusher
    /// How long the files may stay behind what is durable.
    private let pace: CommitPace
    private var publicationDelay: Duration { pace.publicationDelay }
    private var edge: TreeEdge
    /// The signed head of `edge`, once it is signed.
    private var note: [UInt8]?
    private var lastMilliseconds: Int64
    /// nil after a failed write: the next commit begins a new one.
    private var segment: PendingSegment?
    private var segmentNumber: Int
    /// Where entries go that have records there.
    private let journal = Locked<RecordStore?>(nil)
    /// Bytes of entries behind records since the segment was begun.
    private var journalBytes = 0
    /// Full files that are durable in the pending segments only.
    private var unsynced: [String] = []
    /// Segments before the present one that were not yet given to the flusher.
    private var oldSegments: [String] = []
    /// Full files that are not written yet.
    private var unwritten: [(path: TilePath, bytes: [UInt8])] = []
    /// Full files that the checkpoint in the directory does not cover yet.
    private var unpublished: [TilePath] = []
    private var publishedPartials: [TilePath]
    /// The size that the files show, and the one at the last look whether they must follow.
    private var (publishedSize, sizeSeen): (UInt64, UInt64) = (0, 0)
    /// Whether the files show everything; when they must, if not; and whether that has failed.
    private var publication = (isComplete: true, next: ContinuousClock.now, hasFailed: false)

    /// Takes over a log that is durable and published as it stands.
    init(
        files: LogFiles, state: StateDirectory, signer: NoteSigner, clock: any Clock,
        directoryLock: DirectoryLock, pace: CommitPace,
        edge: TreeEdge, note: [UInt8], lastMilliseconds: Int64, segment: PendingSegment,
        segmentNumber: Int
    ) {
        self.pace = pace
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
        publishedSize = edge.size
        published = Locked(PublishedLog(edge: edge, note: note))
        flusher = LogFlusher(files: files, state: state)
    }

    /// Makes entries durable and visible to this process. One write and one sync for all of them; the files of the log are
    /// brought up to date before it returns when the log has no publication delay, else by ``publishWhenDue()``.
    /// - Parameter records: those that go before the entries into the journal's store, in the same write.
    func commit(_ items: [EncodedEntry], records: [EncodedRecord] = []) -> Result<[UInt64], AuditLogError> {
        if let failure { return .failure(failure) }
        do {
            // Left over from a commit that could not write everything: a full disk that may have room again.
            if publication.hasFailed { try publish() }
            if segment == nil { try beginSegment() }
            let first = edge.size
            let isAtOnce = publicationDelay == .zero
            try makeDurable(items, records, isSigned: isAtOnce)
            if isAtOnce {
                try publish()
            } else {
                publication.isComplete = false
                // Readers of this process take full files from the disk, so they are there before anybody asks for them.
                try writeFullFiles()
                show()
            }
            // What was asked for is done; if there is no room for a new segment the next commit says so.
            if let size = segment?.size, size + journalBytes > pace.segmentBytes { try? beginSegment() }
            return .success((0..<UInt64(items.count)).map { first + $0 })
        } catch {
            return .failure(error)
        }
    }

    /// Brings the files up to date when their time has come. Called after answers have gone out and while nothing waits.
    /// - Returns: seconds until then; nil when they show everything.
    func publishWhenDue() -> Double? {
        guard !publication.isComplete, !publication.hasFailed, failure == nil else { return nil }
        let now = ContinuousClock.now
        let seen = sizeSeen
        sizeSeen = edge.size
        guard now >= publication.next else { return seconds(now.duration(to: publication.next)) }
        // While many come, the files wait: writing them costs several times what makes an entry durable.
        let isBusy = edge.size != seen && edge.size - publishedSize > Self.fewEntries
        let latest = publication.next + publicationDelay - Self.shortDelay
        if isBusy, now < latest { return seconds(min(Self.shortDelay, now.duration(to: latest))) }
        // Everything is durable; what cannot be written now is tried again with the next entry.
        try? publish()
        return nil
    }

    /// The files follow after this when few entries came, or none for as long.
    private static var shortDelay: Duration { .milliseconds(10) }
    private static var fewEntries: UInt64 { 64 }

    private func seconds(_ duration: Duration) -> Double {
        Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
    }

    /// Why nothing more is taken, when that is so.
    var failure: AuditLogError? { failed.withLock { $0 } ?? flusher.failure }

    /// Ends the log: what is durable in segments only is made durable in its files.
    func close() {
        if !publication.isComplete, failure == nil { try? publish() }
        flusher.close()
    }

    /// The signed head of what readers see.
    var checkpoint: [UInt8] {
        published.withLock { log in
            if let note = log.note { return note }
            let note = sign(log.edge)
            log.note = note
            return note
        }
    }

    /// Entries that have a record in this store are written behind it from now on.
    func keepEntries(behind store: RecordStore) { journal.withLock { $0 = store } }

    /// Whether a store's records are written together with their entries.
    func isJournal(_ store: RecordStore) -> Bool { journal.withLock { $0 === store } }

    private func makeDurable(_ items: [EncodedEntry], _ records: [EncodedRecord], isSigned: Bool) throws(AuditLogError) {
        var next = edge
        var filled: [(path: TilePath, bytes: [UInt8])] = []
        let now = max(lastMilliseconds, clock.now().milliseconds, 0)
        var frame = PendingFrame(first: edge.size, entries: [], note: [])
        for item in items {
            let bytes = item.bytes(seq: next.size, milliseconds: now)
            frame.entries.append(bytes)
            next.append(bytes) { filled.append(($0, $1)) }
        }
        if isSigned { frame.note = sign(next) }
        try write(frame, records)
        edge = next
        note = isSigned ? frame.note : nil
        lastMilliseconds = now
        unsynced += filled.map(\.path.text)
        unwritten += filled
    }

    /// Makes a frame durable, and before it records.
    private func write(_ frame: PendingFrame, _ records: [EncodedRecord]) throws(AuditLogError) {
        if !records.isEmpty, let store = journal.withLock({ $0 }) {
            let bytes = EntryJournal.wrapped(frame)
            do throws(AuditLogError) { try store.commit(records, entries: bytes) } catch {
                // What may lie there half written would come back as entries.
                if let failure = store.failure, failure != .closed { failed.withLock { $0 = failure } }
                throw error
            }
            journalBytes += bytes.count
        } else {
            guard let segment else { preconditionFailure("a segment was begun") }
            do throws(StorageError) { try segment.append(frame) } catch {
                self.segment = nil
                oldSegments.append(segment.path)
                throw stop(error)
            }
        }
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
        try writeFullFiles()
        publication = (false, ContinuousClock.now + min(publicationDelay, Self.shortDelay), true)
        for (path, bytes) in edge.partialFiles where !publishedPartials.contains(path) {
            try files.write(bytes, to: path.text)
        }
        try files.replace(AuditVerifier.headFile, with: signedNote())
        let partials = edge.partialPaths
        for path in publishedPartials where !partials.contains(path) { files.removePartial(path) }
        for path in unpublished { files.removePartialDirectory(of: path) }
        publishedPartials = partials
        unpublished = []
        publication.isComplete = true
        publication.hasFailed = false
        publishedSize = edge.size
        show()
    }

    private func writeFullFiles() throws(AuditLogError) {
        guard !unwritten.isEmpty else { return }
        publication.hasFailed = true
        for (path, bytes) in unwritten { try files.write(bytes, to: path.text) }
        unpublished += unwritten.map(\.path)
        unwritten = []
        publication.hasFailed = false
    }

    /// Lets readers of this process see everything; the files follow.
    private func show() {
        let visible = PublishedLog(edge: edge, note: note)
        published.withLock { $0 = visible }
    }

    /// The signed head of all durable entries.
    private func signedNote() -> [UInt8] {
        let signed = note ?? sign(edge)
        note = signed
        return signed
    }

    /// Begins a new segment and lets the flusher make the old ones superfluous.
    private func beginSegment() throws(AuditLogError) {
        let path = state.segment(segmentNumber + 1)
        let note = signedNote()
        let new: PendingSegment
        do {
            new = try PendingSegment(
                path: path, preamble: PendingFrame(preambleOf: edge, note: note))
        } catch {
            throw stop(error)
        }
        segmentNumber += 1
        journalBytes = 0
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
