import Cryptography
import Testing

@testable import AuditLog

/// Every tree up to a size, every proof of it, every proof with one bit flipped.
/// `CONSILIUM_LONG=1` goes to 300 leaves with 16 bits of each hash, `CONSILIUM_LONG=all` with every bit; the short form to
/// 64 leaves with two bits.
@Suite struct MerkleEnumerationTests {
    private static let isLong = environment("CONSILIUM_LONG") != nil
    private static let flippedBits = environment("CONSILIUM_LONG") == "all" ? 256 : isLong ? 16 : 2
    private static let sizeMax = isLong ? 300 : 64

    private let leaves = (0..<sizeMax).map { MerkleTree.leafHash(Array("entry \($0)".utf8)) }

    @Test func acceptsEveryInclusionProofAndNoFlippedOne() {
        let tree = MemoryTree(leafHashes: leaves)
        var accepted = 0
        var falselyRejected = 0
        for size in 1...Self.sizeMax {
            let root = tree.root(size)
            for index in 0..<size {
                let proof = tree.inclusion(index, size)
                let isGood = MerkleProof.includes(
                    leafHash: leaves[index], index: UInt64(index), size: UInt64(size), proof: proof,
                    root: root)
                if !isGood { falselyRejected += 1 }
                for flipped in flips(proof, salt: size ^ index)
                where MerkleProof.includes(
                    leafHash: leaves[index], index: UInt64(index), size: UInt64(size),
                    proof: flipped, root: root)
                { accepted += 1 }
            }
        }
        #expect(falselyRejected == 0)
        #expect(accepted == 0)
    }

    @Test func acceptsEveryConsistencyProofAndNoFlippedOne() {
        let tree = MemoryTree(leafHashes: leaves)
        let roots = (0...Self.sizeMax).map { tree.root($0) }
        var accepted = 0
        var falselyRejected = 0
        for size2 in 1...Self.sizeMax {
            for size1 in 1...size2 {
                let proof = tree.consistency(size1, size2)
                func holds(_ proof: [Digest]) -> Bool {
                    MerkleProof.isConsistent(
                        size1: UInt64(size1), root1: roots[size1], size2: UInt64(size2),
                        root2: roots[size2], proof: proof)
                }
                if !holds(proof) { falselyRejected += 1 }
                for flipped in flips(proof, salt: size1 ^ size2) where holds(flipped) {
                    accepted += 1
                }
            }
        }
        #expect(falselyRejected == 0)
        #expect(accepted == 0)
    }

    @Test func agreesWithTheRecursiveReference() {
        var random = TestRandom(1)
        var differences = 0
        for _ in 0..<(Self.isLong ? 10_000 : 300) {
            let entries = (0..<Int.random(in: 0...80, using: &random)).map { _ in
                (0..<Int.random(in: 0...20, using: &random)).map { _ in
                    UInt8.random(in: 0...255, using: &random)
                }
            }
            var frontier = MerkleFrontier()
            for entry in entries { frontier.append(MerkleTree.leafHash(entry)) }
            if frontier.root != ReferenceTree.root(entries[...]) { differences += 1 }
        }
        #expect(differences == 0)
    }

    /// The proof with single bits changed, a hash dropped, one repeated, and the first two swapped.
    private func flips(_ proof: [Digest], salt: Int) -> [[Digest]] {
        var spoilt: [[Digest]] = [proof + [MerkleTree.emptyRoot]]
        for position in proof.indices {
            for number in 0..<Self.flippedBits {
                let bit = (salt + number * (256 / Self.flippedBits)) % 256
                var bytes = proof[position].bytes
                bytes[bit / 8] ^= 1 << UInt8(bit % 8)
                var changed = proof
                changed[position] = Digest(bytes: bytes) ?? changed[position]
                spoilt.append(changed)
            }
        }
        if !proof.isEmpty { spoilt.append(Array(proof.dropLast())) }
        if proof.count > 1, proof[0] != proof[1] {
            var swapped = proof
            swapped.swapAt(0, 1)
            spoilt.append(swapped)
        }
        return spoilt
    }
}
