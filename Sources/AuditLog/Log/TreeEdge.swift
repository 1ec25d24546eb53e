import Cryptography

/// The right edge of a log: what its partial tiles and its partial bundle hold, and the root.
struct TreeEdge: Sendable {
    private(set) var frontier = MerkleFrontier()
    /// Hashes of the partial tile at each level, concatenated.
    private(set) var levels: [[UInt8]] = []
    /// The entries of the partial bundle. One by one, so that an edge that readers hold is not copied byte by byte with
    /// the next entry.
    private var entries: [[UInt8]] = []

    /// The partial entry bundle. Cost: a copy of its entries.
    var bundle: [UInt8] {
        var bundle: [UInt8] = []
        bundle.reserveCapacity(entries.reduce(0) { $0 + $1.count + 2 })
        for entry in entries { EntryBundle.append(entry, to: &bundle) }
        return bundle
    }

    var size: UInt64 { frontier.size }
    var root: Digest { frontier.root }
    /// Number of the first entry of the partial bundle.
    var bundleStart: UInt64 { size & ~255 }

    /// Appends an entry. `filled` is given every bundle and tile that becomes full.
    mutating func append(_ entry: [UInt8], filled: (TilePath, [UInt8]) -> Void) {
        entries.append(entry)
        append(leaf: MerkleTree.leafHash(entry), filled: filled)
        if size & 255 == 0 {
            filled(TilePath(.entries, index: size / 256 - 1), bundle)
            entries = []
        }
    }

    /// Appends a leaf whose entry is already in a full bundle.
    mutating func append(leaf: Digest, filled: (TilePath, [UInt8]) -> Void) {
        var rows = levels
        levels = []
        frontier.append(leaf) { height, root in
            guard height % 8 == 0 else { return }
            let level = height / 8
            if rows.count == level { rows.append([]) }
            root.append(to: &rows[level])
        }
        for level in rows.indices where rows[level].count == TilePath.widthMax * Digest.byteCount {
            let hashes = size >> UInt64(8 * level)
            filled(TilePath(.hashes(level: level), index: hashes / 256 - 1), rows[level])
            rows[level] = []
        }
        levels = rows
    }

    /// The partial files of this size, without the empty ones.
    var partialFiles: [(path: TilePath, bytes: [UInt8])] {
        var files: [(path: TilePath, bytes: [UInt8])] = []
        for layout in TileLayout.levels(size: size) where layout.partialWidth > 0 {
            files.append(
                (
                    TilePath(
                        .hashes(level: layout.level), index: layout.full, width: layout.partialWidth
                    ), levels[layout.level]
                ))
            if layout.level == 0 {
                files.append(
                    (TilePath(.entries, index: layout.full, width: layout.partialWidth), bundle))
            }
        }
        return files
    }

    /// Paths of the partial files only.
    var partialPaths: [TilePath] {
        TileLayout.levels(size: size).filter { $0.partialWidth > 0 }.flatMap {
            layout -> [TilePath] in
            let tile = TilePath(
                .hashes(level: layout.level), index: layout.full, width: layout.partialWidth)
            return layout.level == 0
                ? [tile, TilePath(.entries, index: layout.full, width: layout.partialWidth)]
                : [tile]
        }
    }
}
