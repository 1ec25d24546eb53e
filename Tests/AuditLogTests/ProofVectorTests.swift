import Codec
import Cryptography
import Storage
import Testing

@testable import AuditLog

@Suite struct ProofVectorTests {
    @Test func acceptsGoodProofFilesAndNoBadOnes() throws {
        guard let file = try Vectors.json("tlog/proofs.json") else { return }
        let policy = TrustPolicy(
            log: try VerifierKey(try file.text("log_vkey")),
            witnesses: [try VerifierKey(try file.text("witness_vkey"))],
            threshold: 1)
        for vector in try file.list("cases") {
            let id = try vector.text("id")
            let entry = try vector.hex("leaf_data_hex")
            let bytes = try vector.base64("proof_b64")
            guard try vector.text("expect") == "ok" else {
                #expect(throws: NoteError.self, "\(id)") {
                    try TlogProof(bytes).verify(entry: entry, policy: policy)
                }
                continue
            }
            let proof = try TlogProof(bytes)
            try proof.verify(entry: entry, policy: policy)
            #expect(proof.bytes == bytes, "\(id)")
        }
    }

    @Test func makesTheKnownAnswerFile() throws {
        guard let file = try Vectors.json("tlog/proofs.json"), let directory = Vectors.directory
        else { return }
        let log = NoteSigner(
            name: try VerifierKey(try file.text("log_vkey")).name, kind: .log,
            key: try SigningKey(seed: SecretBytes(copying: try file.hex("log_seed_hex"))))
        let witness = NoteSigner(
            name: try VerifierKey(try file.text("witness_vkey")).name, kind: .witness,
            key: try SigningKey(seed: SecretBytes(copying: try file.hex("witness_seed_hex"))))
        let leaves = try file.list("tree_leaves_hex").map { try $0.asHex() }
        let tree = MemoryTree(leafHashes: leaves.map { MerkleTree.leafHash($0) })
        let head = Checkpoint(
            origin: log.verifierKey.name.text, size: UInt64(leaves.count),
            root: tree.root(leaves.count))
        let note = head.signed(by: log).adding([
            witness.cosign(head.text, timeSeconds: try file.uint64("time"))
        ])
        #expect(try SHA256.hash(note.bytes) == file.digest("note_sha256"))
        let proof = TlogProof(index: 5, hashes: tree.inclusion(5, leaves.count), checkpoint: note)
        #expect(try SHA256.hash(proof.bytes) == file.digest("file_sha256"))
        #expect(
            try proof.bytes
                == DurableFile.read("\(directory)/tlog/kat.tlog-proof", maxBytes: 1 << 16))
    }

    @Test func readsAPolicyFile() throws {
        let log = Fixture.vkey
        let keys = (0..<5).map { Fixture.witness(UInt8($0)).verifierKey }
        let text = """
            # two groups
            log \(log) https://log.example/
            witness X1 \(keys[0].text)
            witness X2 \(keys[1].text)\t
            witness X3 \(keys[2].text)

            group X 2 X1 X2 X3
            witness Y1 \(keys[3].text)
            witness Y2 \(keys[4].text)
            group Y any Y1 Y2
            group both all X Y
            quorum both

            """
        let policy = try TrustPolicy(Array(text.utf8))
        #expect(policy.witnesses.count == 5)
        #expect(policy.quorum.isMet(by: [keys[0], keys[2], keys[4]]))
        #expect(!policy.quorum.isMet(by: [keys[0], keys[3], keys[4]]))
        #expect(!policy.quorum.isMet(by: [keys[0], keys[1], keys[2]]))
    }

    @Test(arguments: [
        "", "quorum other\n", "quorum none\nquorum none\n", "log x\nquorum none\n",
        "group none any none\nquorum none\n",
        "sink a b\nquorum none\n", "quorum none\u{1}\n", "group g 0\nquorum none\n",
    ])
    func refusesABrokenPolicy(_ text: String) {
        #expect(throws: NoteError.self) { try TrustPolicy(Array(text.utf8)) }
    }
}
