import Cryptography
import Storage

/// A file of the log as an HTTP answer: `GET /audit/<path>`.
package struct LogFile: Equatable, Sendable {
    package let bytes: [UInt8]
    package let contentType: String
    /// Whether the file can be cached for ever.
    package let isImmutable: Bool
}

extension AuditLog {
    /// Acknowledged entries.
    package var size: UInt64 { writer.published.withLock { $0.edge.size } }

    /// The head of all acknowledged entries.
    package var head: Checkpoint {
        writer.published.withLock {
            Checkpoint(origin: origin, size: $0.edge.size, root: $0.edge.root)
        }
    }

    /// The head as a signed note, the bytes of the file `checkpoint`.
    package var checkpoint: [UInt8] { writer.checkpoint }

    /// The bytes of one entry. Reads one bundle.
    package func bytes(at index: UInt64) throws(AuditLogError) -> [UInt8] {
        guard let entry = try bytes(in: index..<index + 1).first else {
            throw .outOfRange(index: index, size: size)
        }
        return entry
    }

    /// One entry, parsed.
    package func entry(at index: UInt64) throws(AuditLogError) -> StoredEntry {
        try Self.parse(try bytes(at: index))
    }

    /// The bytes of several entries, in order. Reads each bundle once.
    package func bytes(in range: Range<UInt64>) throws(AuditLogError) -> [[UInt8]] {
        let below = minimumIndex
        guard range.isEmpty || range.lowerBound >= below else { throw .pruned(below: below) }
        return try stored(in: range)
    }

    /// The same for this process itself, entries past their retention included.
    func stored(in range: Range<UInt64>) throws(AuditLogError) -> [[UInt8]] {
        let edge = writer.published.withLock { $0.edge }
        guard range.upperBound <= edge.size else {
            throw .outOfRange(index: range.upperBound - 1, size: edge.size)
        }
        var entries: [[UInt8]] = []
        var index = range.lowerBound
        while index < range.upperBound {
            let start = index & ~255
            let end = min(start + 256, range.upperBound)
            let bundle = try self.bundle(start / 256, edge: edge)
            for entry in bundle[Int(index - start)..<Int(end - start)] {
                entries.append(Array(entry))
            }
            index = end
        }
        return entries
    }

    /// Calls `body` with every entry from `start` on, in order: state is a fold over the log. Bundle by bundle, so memory
    /// does not grow with the log. Entries past their retention are among them: they are not given out, but what they
    /// did to the state holds.
    /// - Throws: `AuditLogError`, or what `body` throws.
    package func forEach(from start: UInt64 = 0, _ body: (StoredEntry) throws -> Void) throws {
        let end = size
        var index = start
        while index < end {
            let next = min((index & ~255) + 256, end)
            for entry in try stored(in: index..<next) { try body(try Self.parse(entry)) }
            index = next
        }
    }

    /// The proof that entry `index` is in the tree of the first `size` entries (all of them by default).
    package func inclusionProof(_ index: UInt64, size: UInt64? = nil) throws(AuditLogError)
        -> [Digest]
    {
        let edge = writer.published.withLock { $0.edge }
        let size = size ?? edge.size
        guard size <= edge.size, index < size else {
            throw .outOfRange(index: index, size: min(size, edge.size))
        }
        return try MerkleProof.inclusion(index: index, size: size) {
            height, number throws(AuditLogError) in
            try node(height, number, edge)
        }
    }

    /// The proof that the tree of the first `size1` entries is the beginning of that of the first `size2`.
    package func consistencyProof(_ size1: UInt64, _ size2: UInt64) throws(AuditLogError)
        -> [Digest]
    {
        let edge = writer.published.withLock { $0.edge }
        guard size2 <= edge.size else { throw .outOfRange(index: size2, size: edge.size) }
        guard size1 > 0, size1 <= size2 else { throw .outOfRange(index: size1, size: size2) }
        return try MerkleProof.consistency(size1: size1, size2: size2) {
            height, number throws(AuditLogError) in
            try node(height, number, edge)
        }
    }

    /// The root over the first `size` entries.
    package func root(at size: UInt64) throws(AuditLogError) -> Digest {
        let edge = writer.published.withLock { $0.edge }
        guard size <= edge.size else { throw .outOfRange(index: size, size: edge.size) }
        return try MerkleProof.root(0, size) { height, number throws(AuditLogError) in
            try node(height, number, edge)
        }
    }

    /// A file of the log by its path below the log's URL: `checkpoint`, `vkey`, `minimum`, `cosigned` (nil while there is
    /// none), a tile or a bundle. Any other path is nil, so nothing outside the log can be named. Partial tiles of
    /// earlier sizes are cut from the current one.
    package func file(_ path: String) throws(AuditLogError) -> LogFile? {
        let text: [UInt8]? =
            switch path {
            case AuditVerifier.headFile: checkpoint
            case AuditVerifier.keyFile: Array((verifierKey.text + "\n").utf8)
            case AuditVerifier.minimumFile: Array("\(minimumIndex)\n".utf8)
            case AuditVerifier.cosignedFile: cosignedCheckpoint?.bytes
            default: nil
            }
        if let text {
            return LogFile(
                bytes: text, contentType: "text/plain; charset=utf-8", isImmutable: false)
        }
        guard let tile = TilePath(path), let bytes = try tileBytes(tile) else { return nil }
        return LogFile(bytes: bytes, contentType: "application/octet-stream", isImmutable: true)
    }

    private func tileBytes(_ tile: TilePath) throws(AuditLogError) -> [UInt8]? {
        let edge = writer.published.withLock { $0.edge }
        let level = if case .hashes(let level) = tile.kind { level } else { 0 }
        let layouts = TileLayout.levels(size: edge.size)
        guard level < layouts.count, tile.width <= layouts[level].width(of: tile.index) else {
            return nil
        }
        if tile.kind == .entries && tile.index < UInt64.max / 512
            && (tile.index + 1) * 256 <= minimumIndex
        {
            return nil
        }
        let isEdge = tile.index == layouts[level].full
        switch tile.kind {
        case .hashes:
            let bytes = isEdge ? edge.levels[level] : try fullFile(tile.full)
            return Array(bytes.prefix(tile.width * Digest.byteCount))
        case .entries:
            let bytes = isEdge ? edge.bundle : try fullFile(tile.full)
            return EntryBundle.prefix(bytes, count: tile.width)
        }
    }

    private func fullFile(_ path: TilePath) throws(AuditLogError) -> [UInt8] {
        guard let bytes = try writer.files.read(path.text) else {
            throw .corrupt(file: path.text, problem: "is missing")
        }
        return bytes
    }

    private func bundle(_ index: UInt64, edge: TreeEdge) throws(AuditLogError) -> [ArraySlice<
        UInt8
    >] {
        let isEdge = index == edge.bundleStart / 256
        let path = TilePath(.entries, index: index)
        let bytes = isEdge ? edge.bundle : try fullFile(path)
        let count = isEdge ? Int(edge.size & 255) : 256
        guard let entries = EntryBundle.entries(bytes), entries.count == count else {
            throw .corrupt(file: path.text, problem: "is not \(count) entries")
        }
        return entries
    }

    /// The root of a complete subtree, from the tile that holds it or its leaves.
    private func node(_ height: Int, _ index: UInt64, _ edge: TreeEdge) throws(AuditLogError)
        -> Digest
    {
        let level = height / 8
        let first = index << UInt64(height % 8)
        let tile = TilePath(.hashes(level: level), index: first / 256)
        let isEdge = tile.index == edge.size >> UInt64(8 * level) / 256
        let bytes = isEdge ? edge.levels[level] : try fullFile(tile)
        let start = Int(first % 256) * Digest.byteCount
        let end = start + (1 << (height % 8)) * Digest.byteCount
        guard bytes.count >= end else { throw .corrupt(file: tile.text, problem: "is too short") }
        return MerkleTree.root(ofComplete: bytes[start..<end])
    }

    private static func parse(_ bytes: [UInt8]) throws(AuditLogError) -> StoredEntry {
        do {
            return try StoredEntry(bytes)
        } catch {
            throw .entry(error)
        }
    }
}
