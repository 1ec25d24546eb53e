// The tree of RFC 6962 section 2.1 (the same in RFC 9162):
//   leaf hash   SHA-256(0x00 || entry)
//   node hash   SHA-256(0x01 || left || right)
//   empty tree  SHA-256("")
// A tree of n leaves is split at the largest power of two below n.
import Cryptography

/// The hashes of an RFC 6962 Merkle tree.
package enum MerkleTree {
    /// The root of a tree without leaves.
    package static let emptyRoot = SHA256.hash([])

    /// The hash of one log entry. One SHA-256 over the entry's bytes.
    package static func leafHash(_ entry: [UInt8]) -> Digest {
        leafHash(entry[...])
    }

    /// The hash of one log entry that lies inside a larger buffer (an entry bundle).
    package static func leafHash(_ entry: ArraySlice<UInt8>) -> Digest {
        var message: [UInt8] = []
        message.reserveCapacity(entry.count + 1)
        message.append(0)
        message.append(contentsOf: entry)
        return SHA256.hash(message)
    }

    /// The hash of an inner node over its two children.
    package static func nodeHash(_ left: Digest, _ right: Digest) -> Digest {
        var message: [UInt8] = []
        message.reserveCapacity(1 + 2 * Digest.byteCount)
        message.append(1)
        left.append(to: &message)
        right.append(to: &message)
        return SHA256.hash(message)
    }

    /// The root over a power-of-two count of neighbouring node hashes, as they lie in a tile.
    static func root(ofComplete hashes: ArraySlice<UInt8>) -> Digest {
        var row = digests(hashes)
        precondition(
            row.count > 0 && row.count & (row.count - 1) == 0,
            "a complete subtree has a power of two of leaves")
        while row.count > 1 {
            row = stride(from: 0, to: row.count, by: 2).map { nodeHash(row[$0], row[$0 + 1]) }
        }
        return row[0]
    }

    /// The root over any number of leaf hashes, concatenated. One hash a leaf, in one call for each level: pairing the
    /// neighbours of a level, with an odd last one passed on, is the RFC's splitting read from below.
    static func root(ofLeaves leaves: ArraySlice<UInt8>) -> Digest {
        guard !leaves.isEmpty else { return emptyRoot }
        var row = leaves
        while row.count > Digest.byteCount {
            let paired = row.count & ~(2 * Digest.byteCount - 1)
            let above = SHA256.hash(prefix: [1], rows: row.prefix(paired), stride: 2 * Digest.byteCount)
            row = paired == row.count ? above[...] : (above + row.dropFirst(paired))[...]
        }
        return digest(in: row, at: row.startIndex)
    }

    /// The proof that a leaf is in the tree of leaf hashes, concatenated.
    static func proof(_ index: Int, ofLeaves leaves: ArraySlice<UInt8>) -> [Digest] {
        MerkleProof.inclusion(index: UInt64(index), size: UInt64(leaves.count / Digest.byteCount)) { height, number in
            let start = leaves.startIndex + Int(number) << height * Digest.byteCount
            return root(ofComplete: leaves[start..<start + Digest.byteCount << height])
        }
    }

    /// The concatenated hashes of a tile, one by one.
    static func digests(_ hashes: ArraySlice<UInt8>) -> [Digest] {
        precondition(hashes.count % Digest.byteCount == 0, "a tile holds whole hashes")
        return stride(from: hashes.startIndex, to: hashes.endIndex, by: Digest.byteCount).map {
            digest(in: hashes, at: $0)
        }
    }

    private static func digest(in bytes: ArraySlice<UInt8>, at offset: Int) -> Digest {
        guard let digest = Digest(bytes: Array(bytes[offset..<offset + Digest.byteCount])) else {
            preconditionFailure("32 bytes are always a digest")
        }
        return digest
    }
}
