import Codec
import Cryptography
import Testing

@testable import AuditLog

@Suite struct MerkleVectorTests {
    @Test func hashesSingleNodes() throws {
        guard let file = try Vectors.json("merkle/hasher.json") else { return }
        for vector in try file.list("vectors") {
            let want = try vector.digest("hash_hex")
            switch try vector.text("kind") {
            case "empty": #expect(MerkleTree.emptyRoot == want)
            case "leaf": #expect(MerkleTree.leafHash(try vector.hex("data_hex")) == want)
            default:
                // The published node has children of four bytes, which a Digest cannot be.
                let (left, right) = (try vector.hex("left_hex"), try vector.hex("right_hex"))
                #expect(SHA256.hash([1] + left + right) == want)
                if let left = Digest(bytes: left), let right = Digest(bytes: right) {
                    #expect(MerkleTree.nodeHash(left, right) == want)
                }
            }
        }
    }

    @Test func provesTheEightLeafTree() throws {
        guard let file = try Vectors.json("merkle/ct-tree.json") else { return }
        let leaves = try file.list("leaves_hex").map { try $0.asHex() }
        #expect(try leaves.map { MerkleTree.leafHash($0) } == file.digests("leaf_hashes_hex"))
        try check(file, MemoryTree(leafHashes: leaves.map { MerkleTree.leafHash($0) }))
    }

    @Test func provesTheLeafSeries() throws {
        guard let file = try Vectors.json("merkle/leaf-series.json") else { return }
        let hashes = (0..<70_000).map { MerkleTree.leafHash(Array("leaf \($0)".utf8)) }
        try check(file, MemoryTree(leafHashes: hashes))
        var frontier = MerkleFrontier()
        for hash in hashes { frontier.append(hash) }
        let last = try #require(try file.list("roots").last)
        #expect(try frontier.root == last.digest("root_hex"))
    }

    private func check(_ file: JSONValue, _ tree: MemoryTree) throws {
        for vector in try file.list("roots") {
            #expect(try tree.root(vector.int("size")) == vector.digest("root_hex"))
        }
        for vector in try file.list("inclusion") {
            let (index, size) = (try vector.int("index"), try vector.int("size"))
            let proof = try vector.digests("proof_hex")
            #expect(tree.inclusion(index, size) == proof)
            #expect(
                MerkleProof.includes(
                    leafHash: tree.rows[0][index], index: UInt64(index), size: UInt64(size),
                    proof: proof, root: tree.root(size)))
        }
        for vector in try file.list("consistency") {
            let (size1, size2) = (try vector.int("size1"), try vector.int("size2"))
            let proof = try vector.digests("proof_hex")
            #expect(tree.consistency(size1, size2) == proof)
            #expect(
                MerkleProof.isConsistent(
                    size1: UInt64(size1), root1: tree.root(size1), size2: UInt64(size2),
                    root2: tree.root(size2), proof: proof))
        }
    }

    @Test func judgesAllInclusionProbes() throws {
        guard let file = try Vectors.json("merkle/inclusion-probes.json") else { return }
        for probe in try file.list("cases") {
            let accepted = MerkleProof.includes(
                leafHash: try probe.base64("leafHash"), index: try probe.uint64("leafIdx"),
                size: try probe.uint64("treeSize"),
                proof: try proof(probe), root: try probe.base64("root"))
            let isBad = probe["wantErr"] == .bool(true)
            let id = try probe.text("id")
            #expect(accepted != isBad, "\(id)")
        }
    }

    @Test func judgesAllConsistencyProbes() throws {
        guard let file = try Vectors.json("merkle/consistency-probes.json") else { return }
        for probe in try file.list("cases") {
            let accepted = MerkleProof.isConsistent(
                size1: try probe.uint64("size1"), root1: try probe.base64("root1"),
                size2: try probe.uint64("size2"),
                root2: try probe.base64("root2"), proof: try proof(probe))
            let isBad = probe["wantErr"] == .bool(true)
            let id = try probe.text("id")
            #expect(accepted != isBad, "\(id)")
        }
    }

    private func proof(_ probe: JSONValue) throws -> [[UInt8]] {
        try probe.list("proof").map { try $0.asBase64() }
    }
}
