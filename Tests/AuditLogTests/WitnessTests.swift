import Cryptography
import Storage
import Telemetry
import Testing

@testable import AuditLog

@Suite struct WitnessTests {
    private let directory = TemporaryDirectory()

    private func witness(_ name: String = "w", forks: Locked<[String]> = Locked([])) throws
        -> Witness
    {
        try Witness(
            directory: directory.path + "/" + name, name: "witness.example/\(name)",
            signer: Fixture.key(50),
            logs: [Fixture.logSigner.verifierKey], clock: ManualClock(),
            onFork: { _, path in forks.withLock { $0.append(path) } })
    }

    private func signed(_ tree: MemoryTree, _ size: Int, by signer: NoteSigner = Fixture.logSigner)
        -> SignedNote
    {
        Checkpoint(origin: signer.verifierKey.name.text, size: UInt64(size), root: tree.root(size))
            .signed(by: signer)
    }

    private let tree = MemoryTree(
        leafHashes: (0..<300).map { MerkleTree.leafHash(Array("a \($0)".utf8)) })
    private let other = MemoryTree(
        leafHashes: (0..<300).map { MerkleTree.leafHash(Array("\($0 < 5 ? "a" : "b") \($0)".utf8)) }
    )

    private func request(_ old: Int, _ new: Int, _ tree: MemoryTree) -> AddCheckpoint {
        AddCheckpoint(
            oldSize: UInt64(old), proof: old == 0 || old > new ? [] : tree.consistency(old, new),
            checkpoint: signed(tree, new))
    }

    @Test func cosignsGrowthOnly() throws {
        let witness = try witness()
        for (old, new) in [(0, 5), (5, 5), (5, 6), (6, 256), (256, 300)] {
            let request = request(old, new, tree)
            let reply = witness.addCheckpoint(request.bytes)
            #expect(reply.status == 200, "\(old) to \(new)")
            let lines = try SignedNote.Signature.parse(lines: reply.body)
            let cosigned = request.checkpoint.adding(lines)
            let policy = TrustPolicy(
                log: Fixture.logSigner.verifierKey, witnesses: [witness.verifierKey], threshold: 1)
            #expect(try policy.checkpoint(cosigned).size == UInt64(new))
        }
    }

    @Test func answersWithTheExactCodes() throws {
        let witness = try witness()
        let stranger = NoteSigner(
            name: KeyName("stranger.example")!, kind: .log, key: Fixture.key(60))
        let impostor = NoteSigner(name: KeyName(Fixture.origin)!, kind: .log, key: Fixture.key(61))
        #expect(witness.addCheckpoint(Array("nonsense".utf8)).status == 400)
        #expect(
            witness.addCheckpoint(Array("old 01\n\n".utf8) + signed(tree, 5).bytes).status == 400)
        #expect(
            witness.addCheckpoint(
                AddCheckpoint(oldSize: 0, proof: [], checkpoint: signed(tree, 5, by: stranger)))
                == .unknownOrigin)
        #expect(
            witness.addCheckpoint(
                AddCheckpoint(oldSize: 0, proof: [], checkpoint: signed(tree, 5, by: impostor)))
                == .notSigned)
        #expect(
            witness.addCheckpoint(AddCheckpoint(oldSize: 6, proof: [], checkpoint: signed(tree, 5)))
                .status == 400)
        #expect(
            witness.addCheckpoint(
                AddCheckpoint(oldSize: 0, proof: [tree.root(1)], checkpoint: signed(tree, 5)))
                == .inconsistent)
        #expect(witness.addCheckpoint(request(3, 5, tree)) == .otherSize(0))
        #expect(witness.addCheckpoint(request(0, 5, tree)).status == 200)
        let conflict = witness.addCheckpoint(request(4, 9, tree))
        #expect(conflict == .otherSize(5))
        #expect(conflict.contentType == "text/x.tlog.size")
        #expect(conflict.body == Array("5\n".utf8))
        #expect(witness.addCheckpoint(request(0, 9, tree)) == .otherSize(5))
        #expect(
            witness.addCheckpoint(AddCheckpoint(oldSize: 5, proof: [], checkpoint: signed(tree, 9)))
                == .inconsistent)
        #expect(
            witness.addCheckpoint(
                AddCheckpoint(
                    oldSize: 5, proof: tree.consistency(4, 9), checkpoint: signed(tree, 9)))
                == .inconsistent)
        let manyLines = Array(
            ("old 5\n"
                + String(repeating: "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n", count: 64)
                + "\n").utf8)
        #expect(witness.addCheckpoint(manyLines + signed(tree, 9).bytes).status == 400)
    }

    @Test func remembersAcrossRestarts() throws {
        _ = try witness().addCheckpoint(request(0, 100, tree))
        let again = try witness()
        #expect(again.latest(origin: Fixture.origin) != nil)
        #expect(again.addCheckpoint(request(0, 50, tree)) == .otherSize(100))
        #expect(again.addCheckpoint(request(100, 120, tree)).status == 200)
    }

    @Test func keepsEvidenceOfASplitView() throws {
        let forks = Locked<[String]>([])
        let witness = try witness(forks: forks)
        #expect(witness.addCheckpoint(request(0, 20, tree)).status == 200)
        #expect(witness.addCheckpoint(request(20, 20, other)) == .inconsistent)
        let path = try #require(forks.withLock { $0.first })
        let evidence = try ForkEvidence(DurableFile.read(path, maxBytes: 1 << 20))
        #expect(evidence.isProof)
        // The same head twice is no evidence.
        #expect(
            !ForkEvidence(key: evidence.key, first: evidence.first, second: evidence.first).isProof)
        // A longer fork cannot get a cosignature, and its own tiles prove it.
        #expect(witness.addCheckpoint(request(20, 30, other)) == .inconsistent)
        let longer = ForkEvidence(
            key: evidence.key, first: evidence.first, second: signed(other, 30),
            rootAtFirst: other.root(20), proof: other.consistency(20, 30))
        #expect(longer.isProof)
        #expect(try ForkEvidence(longer.bytes) == longer)
        let honest = ForkEvidence(
            key: evidence.key, first: evidence.first, second: signed(tree, 30),
            rootAtFirst: tree.root(20), proof: tree.consistency(20, 30))
        #expect(!honest.isProof)
    }

    /// Sizes N and N + K race: whatever the order, the witness never goes back.
    @Test func neverRegressesUnderRaces() throws {
        let witness = try witness()
        _ = witness.addCheckpoint(request(0, 1, tree))
        let rounds = environment("CONSILIUM_LONG") != nil ? 200 : 20
        for round in 1...rounds {
            let base = 1 + (round - 1) * 299 / rounds
            let near = min(300, base + 1)
            let far = min(300, 1 + round * 299 / rounds)
            let replies = Locked<[Int]>([])
            let threads = [near, far, near, far].map { size in
                let request = request(base, size, tree)
                return WorkerThread {
                    replies.withLock { $0.append(witness.addCheckpoint(request).status) }
                }
            }
            for thread in threads { thread.join() }
            #expect(replies.withLock { $0 }.allSatisfy { $0 == 200 || $0 == 409 })
            let size = try #require(
                witness.latest(origin: Fixture.origin).map { try Checkpoint(text: $0.text).size })
            #expect(size >= UInt64(base))
            if size != UInt64(far) { _ = witness.addCheckpoint(request(Int(size), far, tree)) }
        }
    }

    @Test func aLogGathersCosignaturesForItsReceipts() throws {
        let log = try Fixture.open(directory.path)
        try Fixture.fill(log, 300)
        let witnesses = try [witness("one"), witness("two")]
        var note = log.checkpoint
        for witness in witnesses {
            let reply = witness.addCheckpoint(try log.addCheckpoint(from: 0, checkpoint: note))
            note = try log.add(cosignatures: reply.body, of: [witness.verifierKey], to: note).bytes
        }
        try Fixture.fill(log, 10)
        let policy = TrustPolicy(
            log: log.verifierKey, witnesses: witnesses.map(\.verifierKey), threshold: 2)
        let receipt = try log.receipt(17, checkpoint: try #require(log.cosignedCheckpoint).bytes)
        #expect(
            try TlogProof(receipt.bytes).verify(entry: log.bytes(at: 17), policy: policy).size
                == 300)
        #expect(throws: NoteError.noQuorum) {
            try log.receipt(17).verify(entry: log.bytes(at: 17), policy: policy)
        }
        // The next request starts where the witness is.
        #expect(witnesses[0].addCheckpoint(try log.addCheckpoint(from: 300)).status == 200)
    }

    @Test func comparesAKeptHeadWithALaterLog() throws {
        let log = try Fixture.open(directory.path)
        try Fixture.fill(log, 290)
        let kept = try SignedNote(log.checkpoint)
        try Fixture.fill(log, 600)
        let source = DirectorySource(log.directory)
        let key = log.verifierKey
        #expect(
            try ForkEvidence.compare(
                kept: kept, current: SignedNote(log.checkpoint), key: key, source: source) == nil)
        let forged = Checkpoint(origin: Fixture.origin, size: 290, root: tree.root(290)).signed(
            by: Fixture.logSigner)
        let evidence = try ForkEvidence.compare(
            kept: forged, current: SignedNote(log.checkpoint), key: key, source: source)
        #expect(evidence?.isProof == true)
    }
}
