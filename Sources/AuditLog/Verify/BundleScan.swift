import Cryptography
import Telemetry

/// Reads all entry bundles and their level 0 tiles, several at a time.
final class BundleScan: Sendable {
    /// What the bundles gave.
    struct Outcome {
        /// Roots of the full bundles, in order: level 1 of the tree.
        var roots: [Digest] = []
        /// Leaf hashes of the partial bundle at the end.
        var lastLeaves: [Digest] = []
        var counts: [String: Int] = [:]
        var firstTime: Timestamp?
        var lastTime: Timestamp?
    }

    /// What is kept of one bundle.
    private struct Summary: Sendable {
        var root: Digest?
        var leaves: [Digest] = []
        var firstMilliseconds: Int64 = 0
        var lastMilliseconds: Int64 = 0
    }

    private struct Shared {
        var next = 0
        var doneEntries: UInt64 = 0
        var summaries: [Summary?]
        var counts: [[UInt8]: Int] = [:]
        var finding: (bundle: Int, AuditFinding)?

        mutating func set(_ summary: Summary, _ bundle: Int) {
            while summaries.count <= bundle { summaries.append(nil) }
            summaries[bundle] = summary
        }

        mutating func report(_ new: AuditFinding, _ bundle: Int) {
            if let finding, finding.bundle < bundle { return }
            finding = (bundle, new)
        }
    }

    /// Bundles a thread takes at a time.
    private static let stretch = 16

    private let source: any TileSource
    private let size: UInt64
    /// The first entry that the source gives out; the tiles alone speak for those before it.
    private let first: UInt64
    private let leaves: AuditVerifier.Leaves
    private let progress: AuditVerifier.ProgressReport?
    private let bundleCount: Int
    private let shared: Locked<Shared>

    init(
        source: any TileSource, entries: Range<UInt64>, leaves: AuditVerifier.Leaves,
        progress: AuditVerifier.ProgressReport?
    ) {
        self.source = source
        first = entries.lowerBound
        size = entries.upperBound
        self.leaves = leaves
        self.progress = progress
        bundleCount = Int((size + 255) / 256)
        shared = Locked(Shared(summaries: []))
    }

    func run(threads: Int) throws(AuditFinding) -> Outcome {
        let helpers = (1..<max(1, min(threads, bundleCount / Self.stretch + 1))).map { _ in
            WorkerThread { self.work() }
        }
        work()
        for helper in helpers { helper.join() }
        return try shared.withLock { shared throws(AuditFinding) in try self.join(shared) }
    }

    private func work() {
        while let bundles = take() {
            var counts: [[UInt8]: Int] = [:]
            for bundle in bundles {
                do {
                    let summary = try check(bundle, counts: &counts)
                    shared.withLock { $0.set(summary, bundle) }
                } catch {
                    shared.withLock { $0.report(error, bundle) }
                    break
                }
            }
            let entries =
                min(size, UInt64(bundles.upperBound) * 256) - UInt64(bundles.lowerBound) * 256
            shared.withLock { shared in
                shared.counts.merge(counts, uniquingKeysWith: +)
                shared.doneEntries += entries
                self.progress?(shared.doneEntries, self.size)
            }
        }
    }

    /// The next bundles to check; none behind a finding, since only the first one is reported.
    private func take() -> Range<Int>? {
        shared.withLock { shared in
            guard shared.next < bundleCount, shared.finding == nil else { return nil }
            let start = shared.next
            shared.next = min(start + Self.stretch, bundleCount)
            return start..<shared.next
        }
    }

    private func check(_ bundle: Int, counts: inout [[UInt8]: Int]) throws(AuditFinding) -> Summary
    {
        let first = UInt64(bundle) * 256
        guard first >= self.first else { return try heldBack(bundle) }
        let width = Int(min(256, size - first))
        let path = TilePath(.entries, index: UInt64(bundle), width: width)
        let (bytes, file) = try AuditVerifier.readWidth(path, source: source) {
            EntryBundle.prefix($0, count: width)
        }
        guard let entries = EntryBundle.entries(bytes), entries.count == width else {
            throw .file(file, problem: "is not \(width) entries, each with its length before it")
        }
        var summary = Summary()
        var hashes: [UInt8] = []
        hashes.reserveCapacity(width * Digest.byteCount)
        for (offset, entry) in entries.enumerated() {
            let hash = MerkleTree.leafHash(entry)
            hashes.append(contentsOf: hash.bytes)
            if width < 256 { summary.leaves.append(hash) }
            if leaves == .events {
                try checkEvent(entry, index: first + UInt64(offset), file: file, &summary, &counts)
            }
        }
        try checkLeafTile(bundle, width: width, hashes: hashes, file: file)
        if width == 256 { summary.root = MerkleTree.root(ofComplete: hashes[...]) }
        return summary
    }

    /// A full bundle that is not given out any more: the hashes of its entries are in the tile.
    private func heldBack(_ bundle: Int) throws(AuditFinding) -> Summary {
        let path = TilePath(.hashes(level: 0), index: UInt64(bundle)).text
        guard let hashes = try AuditVerifier.read(source, path) else { throw .missing(file: path) }
        guard hashes.count == TilePath.widthMax * Digest.byteCount else {
            throw .file(path, problem: "has \(hashes.count) bytes, must have \(TilePath.widthMax * Digest.byteCount)")
        }
        var summary = Summary()
        summary.root = MerkleTree.root(ofComplete: hashes[...])
        return summary
    }

    private func checkEvent(
        _ entry: ArraySlice<UInt8>, index: UInt64, file: String, _ summary: inout Summary,
        _ counts: inout [[UInt8]: Int]
    ) throws(AuditFinding) {
        let event: ScannedEntry
        do {
            event = try EntryScanner.scan(entry)
        } catch {
            throw .entry(index, file: file, problem: "\(error)")
        }
        guard event.seq == index else {
            throw .entry(index, file: file, problem: "is numbered \(event.seq)")
        }
        guard event.milliseconds >= summary.lastMilliseconds else {
            throw .entry(index, file: file, problem: "is dated before the entry in front of it")
        }
        if index % 256 == 0 { summary.firstMilliseconds = event.milliseconds }
        summary.lastMilliseconds = event.milliseconds
        counts[Array(event.type), default: 0] += 1
    }

    private func checkLeafTile(_ bundle: Int, width: Int, hashes: [UInt8], file: String)
        throws(AuditFinding)
    {
        let tile = TilePath(.hashes(level: 0), index: UInt64(bundle), width: width)
        try AuditVerifier.checkTile(tile, hashes: hashes, source: source) { offset in
            "is not that of entry \(bundle * 256 + offset) in \(file): one of the two was changed"
        }
    }

    private func join(_ shared: Shared) throws(AuditFinding) -> Outcome {
        if let finding = shared.finding { throw finding.1 }
        var outcome = Outcome()
        var last = Int64.min
        for (bundle, summary) in shared.summaries.enumerated() {
            guard let summary else { preconditionFailure("every bundle was checked") }
            if leaves == .events && summary.firstMilliseconds < last {
                let file = TilePath(.entries, index: UInt64(bundle), width: 256).text
                throw .entry(
                    UInt64(bundle) * 256, file: file,
                    problem: "is dated before the entry in front of it")
            }
            last = summary.lastMilliseconds
            if let root = summary.root { outcome.roots.append(root) }
            outcome.lastLeaves = summary.leaves
        }
        for (type, count) in shared.counts {
            outcome.counts[String(decoding: type, as: UTF8.self)] = count
        }
        if leaves == .events, let read = shared.summaries.dropFirst(Int(first / 256)).first ?? nil {
            outcome.firstTime = Timestamp(milliseconds: read.firstMilliseconds)
            outcome.lastTime = Timestamp(milliseconds: last)
        }
        return outcome
    }
}
