import Cryptography

/// Proofs out of the tiles of somebody else's log.
package struct SourceTree<Source: TileSource>: Sendable {
    private let source: Source
    private let size: UInt64

    /// - Parameter size: of the checkpoint whose tiles are read.
    package init(source: Source, size: UInt64) {
        self.source = source
        self.size = size
    }

    /// The root of the first `size` entries.
    package func root(at size: UInt64) throws(AuditFinding) -> Digest {
        try MerkleProof.root(0, size) { height, index throws(AuditFinding) in
            try node(height, index)
        }
    }

    /// The proof that the tree of `size2` continues that of `size1`.
    package func consistency(_ size1: UInt64, _ size2: UInt64) throws(AuditFinding) -> [Digest] {
        try MerkleProof.consistency(size1: size1, size2: size2) {
            height, index throws(AuditFinding) in
            try node(height, index)
        }
    }

    /// The proof that entry `index` is in the tree of `size`.
    package func inclusion(_ index: UInt64, _ size: UInt64) throws(AuditFinding) -> [Digest] {
        try MerkleProof.inclusion(index: index, size: size) { height, number throws(AuditFinding) in
            try node(height, number)
        }
    }

    private func node(_ height: Int, _ index: UInt64) throws(AuditFinding) -> Digest {
        let level = height / 8
        let first = index << UInt64(height % 8)
        let layout = TileLayout.levels(size: size)[level]
        let path = TilePath(
            .hashes(level: level), index: first / 256, width: layout.width(of: first / 256))
        let (bytes, file) = try AuditVerifier.readWidth(path, source: source) { $0 }
        let start = Int(first % 256) * Digest.byteCount
        let end = start + (1 << (height % 8)) * Digest.byteCount
        guard bytes.count >= end, bytes.count % Digest.byteCount == 0 else {
            throw .file(file, problem: "is too short")
        }
        return MerkleTree.root(ofComplete: bytes[start..<end])
    }
}
