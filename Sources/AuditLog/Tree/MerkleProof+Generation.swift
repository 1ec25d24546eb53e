// Generation of proofs, RFC 6962 sections 2.1.1 and 2.1.2, over any store that knows the hashes of complete subtrees.
import Cryptography

extension MerkleProof {
    /// Looks up the hash of the complete subtree of 2^height leaves with number `index` in its row.
    package typealias NodeLookup<Failure: Error> = (_ height: Int, _ index: UInt64) throws(Failure)
        -> Digest

    /// The inclusion proof of leaf `index` in the tree of the first `size` leaves, from the leaf upwards.
    /// Needs `index < size`. About log2(size) look-ups, twice that at a ragged right edge.
    package static func inclusion<Failure: Error>(
        index: UInt64, size: UInt64, node: NodeLookup<Failure>
    ) throws(Failure) -> [Digest] {
        precondition(index < size, "an inclusion proof is for an entry of the tree")
        return try path(index, 0, size, node)
    }

    /// The consistency proof from the first `size1` leaves to the first `size2`, `0 < size1 <= size2`.
    package static func consistency<Failure: Error>(
        size1: UInt64, size2: UInt64, node: NodeLookup<Failure>
    ) throws(Failure) -> [Digest] {
        precondition(
            size1 > 0 && size1 <= size2,
            "a consistency proof starts at a tree with leaves and grows")
        return size1 == size2 ? [] : try subproof(size1, 0, size2, true, node)
    }

    /// The root of the leaves `low..<high`, where the range is one that the RFC's splitting rule makes.
    package static func root<Failure: Error>(
        _ low: UInt64, _ high: UInt64, node: NodeLookup<Failure>
    ) throws(Failure) -> Digest {
        let count = high - low
        if count == 0 { return MerkleTree.emptyRoot }
        if count & (count - 1) == 0 {
            let height = count.trailingZeroBitCount
            return try node(height, low >> UInt64(height))
        }
        let middle = low + split(count)
        return MerkleTree.nodeHash(
            try root(low, middle, node: node), try root(middle, high, node: node))
    }

    private static func path<Failure: Error>(
        _ index: UInt64, _ low: UInt64, _ high: UInt64, _ node: NodeLookup<Failure>
    ) throws(Failure) -> [Digest] {
        guard high - low > 1 else { return [] }
        let middle = low + split(high - low)
        if index < middle {
            return try path(index, low, middle, node) + [try root(middle, high, node: node)]
        }
        return try path(index, middle, high, node) + [try root(low, middle, node: node)]
    }

    private static func subproof<Failure: Error>(
        _ size: UInt64, _ low: UInt64, _ high: UInt64, _ isWhole: Bool, _ node: NodeLookup<Failure>
    ) throws(Failure) -> [Digest] {
        if size == high {
            return isWhole ? [] : [try root(low, high, node: node)]
        }
        let middle = low + split(high - low)
        if size <= middle {
            return try subproof(size, low, middle, isWhole, node) + [
                try root(middle, high, node: node)
            ]
        }
        return try subproof(size, middle, high, false, node) + [try root(low, middle, node: node)]
    }

    /// The largest power of two below `count`, `count > 1`.
    private static func split(_ count: UInt64) -> UInt64 {
        1 << UInt64(63 - (count - 1).leadingZeroBitCount)
    }
}
