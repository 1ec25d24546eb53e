import Cryptography
import Storage

/// Builds the tree of a log anew from its entries and finds tiles that do not fit them. Writes nothing.
struct LogRebuild {
    private let files: LogFiles
    /// Heads that were signed, by size.
    private var heads: [UInt64: Checkpoint] = [:]
    private let largestHead: UInt64
    /// The first bundle whose entries do not fit the tile on disk, to name when the roots do not fit either.
    private var suspect: (file: String, problem: String)?

    private(set) var edge = TreeEdge()
    private(set) var lastMilliseconds: Int64 = 0
    /// Full files to write again: they may not be durable, or are not what they must be.
    private(set) var mended: [(path: TilePath, bytes: [UInt8])] = []
    /// Full files that may have partial forms left beside them.
    private(set) var filled: [TilePath] = []
    private var conflict: UInt64?

    init(files: LogFiles, heads: [Checkpoint]) {
        self.files = files
        largestHead = heads.map(\.size).max() ?? 0
        for head in heads {
            if let other = self.heads[head.size], other.root != head.root { conflict = head.size }
            self.heads[head.size] = head
        }
    }

    /// Reads everything.
    /// - Parameter publishedSize: entries that readers have seen; what the segments lack of them must be in the bundles.
    mutating func run(pending: PendingEntries, publishedSize: UInt64) throws(AuditLogError) {
        if let conflict { throw .forked(size: conflict) }
        try holdAgainstHeads(file: AuditVerifier.headFile)
        if pending.runs.isEmpty { try readBundles(upTo: publishedSize, isFresh: false) }
        for (place, run) in pending.runs.enumerated() {
            // Between two stretches there is what a lost directory of records held too; readers may have seen it.
            try readBundles(upTo: run.first, isFresh: place > 0)
            for entry in run.entries { try take(entry, file: "a pending segment", isFresh: true) }
        }
        if !pending.runs.isEmpty && pending.end < publishedSize {
            try readBundles(upTo: publishedSize, isFresh: true)
        }
        guard edge.size >= largestHead else {
            throw .rolledBack(signed: largestHead, found: edge.size)
        }
    }

    /// Reads entries from the bundles on disk until the tree has `end` of them.
    private mutating func readBundles(upTo end: UInt64, isFresh: Bool) throws(AuditLogError) {
        while edge.size < end {
            let index = edge.size / 256
            let width = Int(min(256, end - index * 256))
            let (bytes, file) = try bundle(index, width: width)
            guard let entries = EntryBundle.entries(bytes), entries.count >= width else {
                throw .corrupt(
                    file: file, problem: "is not \(width) entries, each with its length before it")
            }
            try compareLeaves(entries.prefix(width), index: index, file: file)
            for entry in entries[Int(edge.size - index * 256)..<width] {
                try take(Array(entry), file: file, isFresh: isFresh || width < 256)
            }
        }
    }

    private func bundle(_ index: UInt64, width: Int) throws(AuditLogError) -> (
        bytes: [UInt8], file: String
    ) {
        let path = TilePath(.entries, index: index, width: width)
        if let bytes = try files.read(path.text) { return (bytes, path.text) }
        if let bytes = try files.read(path.full.text) { return (bytes, path.full.text) }
        for wider in DirectorySource(files.directory).partialWidths(of: path) where wider > width {
            let path = TilePath(.entries, index: index, width: wider)
            if let bytes = try files.read(path.text) { return (bytes, path.text) }
        }
        throw .rolledBack(signed: largestHead, found: edge.size)
    }

    /// Notes the first entry that differs from its tile; the tile may be the torn one, the roots decide.
    private mutating func compareLeaves(
        _ entries: ArraySlice<ArraySlice<UInt8>>, index: UInt64, file: String
    ) throws(AuditLogError) {
        guard suspect == nil else { return }
        let tile = TilePath(.hashes(level: 0), index: index, width: entries.count)
        guard let hashes = try files.read(tile.text) else { return }
        for (offset, entry) in entries.enumerated()
        where hashes.count >= (offset + 1) * Digest.byteCount {
            let stored = hashes[offset * Digest.byteCount..<(offset + 1) * Digest.byteCount]
            if !MerkleTree.leafHash(entry).bytes.elementsEqual(stored) {
                suspect = (
                    file,
                    "entry \(index * 256 + UInt64(offset)) is not the one that was hashed into the tree"
                )
                return
            }
        }
    }

    private mutating func take(_ entry: [UInt8], file: String, isFresh: Bool) throws(AuditLogError)
    {
        let scanned: ScannedEntry
        do {
            scanned = try EntryScanner.scan(entry[...])
        } catch {
            throw .corrupt(file: file, problem: "entry \(edge.size): \(error)")
        }
        guard scanned.seq == edge.size else {
            throw .corrupt(file: file, problem: "entry \(edge.size) is numbered \(scanned.seq)")
        }
        lastMilliseconds = max(lastMilliseconds, scanned.milliseconds)
        var full: [(path: TilePath, bytes: [UInt8])] = []
        edge.append(entry) { full.append(($0, $1)) }
        for (path, bytes) in full { try mend(path, bytes, isFresh: isFresh) }
        try holdAgainstHeads(file: file)
    }

    /// Notes a full file that is not what it must be, or that may not be durable.
    private mutating func mend(_ path: TilePath, _ bytes: [UInt8], isFresh: Bool)
        throws(AuditLogError)
    {
        if isFresh { filled.append(path) }
        if !isFresh {
            if path.kind == .entries { return }
            if try files.read(path.text) == bytes { return }
        }
        mended.append((path, bytes))
    }

    private func holdAgainstHeads(file: String) throws(AuditLogError) {
        guard let head = heads[edge.size], head.root != edge.root else { return }
        if let suspect { throw .corrupt(file: suspect.file, problem: suspect.problem) }
        throw .forked(size: head.size)
    }
}
