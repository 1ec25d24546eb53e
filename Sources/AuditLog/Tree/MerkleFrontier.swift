import Cryptography

/// The right edge of a growing tree: one hash for every set bit of the size, enough to append and to know the root.
package struct MerkleFrontier: Equatable, Sendable {
    /// Leaves appended so far.
    package private(set) var size: UInt64 = 0
    /// Roots of the complete subtrees, the largest first.
    private var subtrees: [Digest] = []

    package init() {}

    /// Appends a leaf hash. `completed` is told every subtree that becomes complete with it, the leaf first:
    /// (height, root of its 2^height leaves). One node hash a leaf on average.
    package mutating func append(
        _ leaf: Digest, completed: (_ height: Int, _ root: Digest) -> Void = { _, _ in }
    ) {
        var hash = leaf
        var height = 0
        completed(0, hash)
        var rest = size
        while rest & 1 == 1, let left = subtrees.popLast() {
            hash = MerkleTree.nodeHash(left, hash)
            height += 1
            rest >>= 1
            completed(height, hash)
        }
        subtrees.append(hash)
        size += 1
    }

    /// The root of the leaves so far. One hash for every set bit of the size but one.
    package var root: Digest {
        guard var hash = subtrees.last else { return MerkleTree.emptyRoot }
        for left in subtrees.dropLast().reversed() { hash = MerkleTree.nodeHash(left, hash) }
        return hash
    }
}
