// The offline check of a whole log, from nothing but its files and a key:
// signature of the head; every bundle present, well framed, nothing left over; every entry canonical, numbered by its
// place, not earlier than the one before; every tile exactly the hashes of the entries; the root the signed one.
// Bundles are read by all cores, one hash of each is kept, so memory grows by 32 bytes per 256 entries.
// A log over HTTP may hold back entries that are past their retention; then the leaf hashes in the tiles stand for them,
// and an entry `log.pruned` must be among those that are given out.
import Codec
import Cryptography
import Telemetry

package enum AuditVerifier {
    /// What the leaves are.
    package enum Leaves: Sendable {
        /// Events in this product's canonical form.
        case events
        /// Anything; another product's log.
        case opaque
    }

    /// Told how many entries of how many were checked, from any thread, one call at a time.
    package typealias ProgressReport = @Sendable (_ done: UInt64, _ total: UInt64) -> Void

    /// Checks the log in a directory.
    /// - Parameters:
    ///   - verifierKey: the key you trust; nil takes the one in the log's own `vkey` file, which proves only that the
    ///     log agrees with itself.
    ///   - witnesses: keys whose cosignatures are checked and reported.
    ///   - threads: how many read at the same time.
    /// - Throws: the first finding, in the order of entries.
    package static func verify(
        directory: String, verifierKey: String? = nil, witnesses: [VerifierKey] = [],
        leaves: Leaves = .events,
        threads: Int = 2, progress: ProgressReport? = nil
    ) throws(AuditFinding) -> AuditReport {
        try verify(
            DirectorySource(directory), verifierKey: verifierKey, witnesses: witnesses,
            leaves: leaves,
            threads: threads, progress: progress)
    }

    /// Checks a log from any source.
    package static func verify(
        _ source: some TileSource, verifierKey: String? = nil, witnesses: [VerifierKey] = [],
        leaves: Leaves = .events,
        threads: Int = 2, progress: ProgressReport? = nil
    ) throws(AuditFinding) -> AuditReport {
        let key = try key(source, expected: verifierKey)
        let opened = try openHead(source, key: key, witnesses: witnesses)
        let head = opened.head
        let first = try minimum(source, size: head.size)
        let scan = BundleScan(
            source: source, entries: first..<head.size, leaves: leaves, progress: progress)
        let bundles = try scan.run(threads: threads)
        let root = try upperLevels(bundles, size: head.size, source: source)
        guard root == head.root else { throw .rootMismatch }
        guard first == 0 || leaves == .opaque || bundles.counts[EntryType.logPruned.rawValue] != nil
        else {
            throw .file(minimumFile, problem: "holds back entries, but no entry of the log says that they were pruned")
        }
        return AuditReport(
            origin: head.origin, size: head.size, root: head.root, verifierKey: key.text,
            cosigners: opened.cosigners, firstIndex: first,
            counts: bundles.counts, firstTime: bundles.firstTime, lastTime: bundles.lastTime)
    }

    static let keyFile = "vkey"
    static let headFile = "checkpoint"
    /// Index of the first entry that is given out, in decimal and a newline; over HTTP only.
    static let minimumFile = "minimum"
    /// The latest head with its witnesses' cosignatures; over HTTP, in a directory beside the log.
    static let cosignedFile = "cosigned"

    private static func minimum(_ source: some TileSource, size: UInt64) throws(AuditFinding) -> UInt64 {
        guard let bytes = try read(source, minimumFile) else { return 0 }
        guard bytes.last == 0x0A, let value = DecimalNumber.parse(bytes.dropLast()), value <= size,
            value % UInt64(TilePath.widthMax) == 0
        else { throw .file(minimumFile, problem: "is not a multiple of 256 within the log") }
        return value
    }

    static func key(_ source: some TileSource, expected: String?) throws(AuditFinding)
        -> VerifierKey
    {
        let file = try read(source, keyFile)
        let own = file.map { String(decoding: $0, as: UTF8.self) }
        do {
            if let expected {
                guard own == nil || own == expected + "\n" else { throw AuditFinding.otherKey }
                return try VerifierKey(expected)
            }
            guard let own else { throw AuditFinding.missing(file: keyFile) }
            guard own.hasSuffix("\n") else {
                throw AuditFinding.file(keyFile, problem: "does not end with a newline")
            }
            return try VerifierKey(String(own.dropLast()))
        } catch let error as NoteError {
            throw .head(file: keyFile, error)
        } catch let finding as AuditFinding {
            throw finding
        } catch {
            preconditionFailure("no other error can be thrown")
        }
    }

    private static func openHead(
        _ source: some TileSource, key: VerifierKey, witnesses: [VerifierKey]
    ) throws(AuditFinding) -> (head: Checkpoint, cosigners: [String]) {
        guard let bytes = try read(source, headFile) else { throw .missing(file: headFile) }
        do throws(NoteError) {
            let note = try OpenedNote(bytes, known: [key] + witnesses)
            guard note.isSigned(by: key) else { throw NoteError.unverified }
            let head = try Checkpoint(text: note.text, origin: key.name.text)
            return (
                head, note.signers.filter { $0.key.kind == .witness }.map(\.key.name.text).sorted()
            )
        } catch {
            throw .head(file: headFile, error)
        }
    }

    /// Checks levels 1 and up against what the bundles gave, and returns the root.
    private static func upperLevels(
        _ bundles: BundleScan.Outcome, size: UInt64, source: some TileSource
    ) throws(AuditFinding) -> Digest {
        var rows: [[Digest]] = [bundles.lastLeaves, bundles.roots]
        for layout in TileLayout.levels(size: size).dropFirst() {
            let row = rows[layout.level]
            var parents: [Digest] = []
            for start in stride(from: 0, to: row.count, by: TilePath.widthMax) {
                let hashes = row[start..<min(start + TilePath.widthMax, row.count)].flatMap(\.bytes)
                let width = hashes.count / Digest.byteCount
                let path = TilePath(
                    .hashes(level: layout.level), index: UInt64(start / TilePath.widthMax),
                    width: width)
                try checkTile(path, hashes: hashes, source: source) { _ in
                    "is not the hash of the tile below it"
                }
                if width == TilePath.widthMax {
                    parents.append(MerkleTree.root(ofComplete: hashes[...]))
                }
            }
            rows.append(parents)
        }
        return MerkleProof.root(0, size) { height, index in
            let level = height / 8
            let first = Int(index << UInt64(height % 8)) - (level == 0 ? Int(size & ~255) : 0)
            return MerkleTree.root(
                ofComplete: rows[level][first..<first + (1 << (height % 8))].flatMap(\.bytes)[...])
        }
    }

    /// How often a file that is being replaced is looked for.
    private static let looksMax = 256

    /// Reads a partial file, or the full or wider one that may have taken its place, cut to the width.
    static func readWidth(
        _ path: TilePath, source: some TileSource, cut: ([UInt8]) -> [UInt8]
    ) throws(AuditFinding) -> (bytes: [UInt8], file: String) {
        if let bytes = try read(source, path.text) { return (bytes, path.text) }
        guard !path.isFull else { throw .missing(file: path.text) }
        // A log that is being written removes a file only when the next wider one is complete, so the narrowest of the
        // wider ones is complete; it may be gone again before we read it, so look a few times.
        for _ in 0..<Self.looksMax {
            let wider = source.partialWidths(of: path).first { $0 > path.width }
            guard let wider, wider < TilePath.widthMax else { break }
            let file = TilePath(path.kind, index: path.index, width: wider).text
            if let bytes = try read(source, file) { return (cut(bytes), file) }
        }
        if let bytes = try read(source, path.full.text) { return (cut(bytes), path.full.text) }
        throw .missing(file: path.text)
    }

    /// Compares a tile with the hashes it must hold.
    static func checkTile(
        _ path: TilePath, hashes: [UInt8], source: some TileSource, problem: (Int) -> String
    ) throws(AuditFinding) {
        let (bytes, file) = try readWidth(path, source: source) { Array($0.prefix(hashes.count)) }
        guard bytes != hashes else { return }
        guard bytes.count == hashes.count else {
            throw .file(file, problem: "has \(bytes.count) bytes, must have \(hashes.count)")
        }
        let first =
            (zip(bytes, hashes).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? 0)
            / Digest.byteCount
        throw .file(file, problem: "hash \(first) \(problem(first))")
    }

    static func read(_ source: some TileSource, _ path: String) throws(AuditFinding) -> [UInt8]? {
        do {
            return try source.read(path)
        } catch {
            throw .unreadable(error)
        }
    }
}
