// Verification of inclusion and consistency proofs, the iterative form of RFC 9162 sections 2.1.3.2 and 2.1.4.2.
// Hashes arrive from strangers: wrong lengths are refused like wrong values.
import Cryptography

/// Checks of Merkle proofs. Pure, constant memory, at most 64 hashes each.
package enum MerkleProof {
    /// Hashes a proof can have at most: the height of a tree of 2^64 leaves.
    package static let hashesMax = 64

    /// Whether `proof` shows that the leaf with `leafHash` is number `index` of the tree of `size` leaves with `root`.
    package static func includes(
        leafHash: [UInt8], index: UInt64, size: UInt64, proof: [[UInt8]], root: [UInt8]
    ) -> Bool {
        guard let leaf = Digest(bytes: leafHash), let hashes = digests(proof) else { return false }
        return rootOfInclusion(leaf, index: index, size: size, proof: hashes)?.bytes == root
    }

    /// The same for hashes that were already parsed.
    package static func includes(
        leafHash: Digest, index: UInt64, size: UInt64, proof: [Digest], root: Digest
    ) -> Bool {
        rootOfInclusion(leafHash, index: index, size: size, proof: proof) == root
    }

    /// Whether `proof` shows that the tree of `size1` leaves is the beginning of the tree of `size2`.
    /// Size 0 proves nothing and is refused; equal sizes need equal roots and an empty proof.
    package static func isConsistent(
        size1: UInt64, root1: [UInt8], size2: UInt64, root2: [UInt8], proof: [[UInt8]]
    ) -> Bool {
        guard size1 > 0, size1 <= size2 else { return false }
        if size1 == size2 { return proof.isEmpty && root1 == root2 }
        guard let first = Digest(bytes: root1), let second = Digest(bytes: root2),
            let hashes = digests(proof)
        else { return false }
        return walkConsistency(size1, first, size2, second, hashes)
    }

    /// The same for hashes that were already parsed.
    package static func isConsistent(
        size1: UInt64, root1: Digest, size2: UInt64, root2: Digest, proof: [Digest]
    ) -> Bool {
        guard size1 > 0, size1 <= size2 else { return false }
        if size1 == size2 { return proof.isEmpty && root1 == root2 }
        return walkConsistency(size1, root1, size2, root2, proof)
    }

    private static func digests(_ hashes: [[UInt8]]) -> [Digest]? {
        guard hashes.count <= hashesMax else { return nil }
        let parsed = hashes.compactMap { Digest(bytes: $0) }
        return parsed.count == hashes.count ? parsed : nil
    }

    private static func rootOfInclusion(
        _ leaf: Digest, index: UInt64, size: UInt64, proof: [Digest]
    ) -> Digest? {
        guard index < size else { return nil }
        var node = index
        var last = size - 1
        var hash = leaf
        for sibling in proof {
            guard last != 0 else { return nil }
            if node & 1 == 1 || node == last {
                hash = MerkleTree.nodeHash(sibling, hash)
                while node & 1 == 0 && node != 0 {
                    node >>= 1
                    last >>= 1
                }
            } else {
                hash = MerkleTree.nodeHash(hash, sibling)
            }
            node >>= 1
            last >>= 1
        }
        return last == 0 ? hash : nil
    }

    private static func walkConsistency(
        _ size1: UInt64, _ root1: Digest, _ size2: UInt64, _ root2: Digest, _ proof: [Digest]
    ) -> Bool {
        var path = proof[...]
        var node = size1 - 1
        var last = size2 - 1
        while node & 1 == 1 {
            node >>= 1
            last >>= 1
        }
        let isPowerOfTwo = size1 & (size1 - 1) == 0
        guard let seed = isPowerOfTwo ? root1 : path.popFirst(), !path.isEmpty || !isPowerOfTwo
        else { return false }
        var first = seed
        var second = seed
        for sibling in path {
            guard last != 0 else { return false }
            if node & 1 == 1 || node == last {
                first = MerkleTree.nodeHash(sibling, first)
                second = MerkleTree.nodeHash(sibling, second)
                while node & 1 == 0 && node != 0 {
                    node >>= 1
                    last >>= 1
                }
            } else {
                second = MerkleTree.nodeHash(second, sibling)
            }
            node >>= 1
            last >>= 1
        }
        return last == 0 && first == root1 && second == root2
    }
}
