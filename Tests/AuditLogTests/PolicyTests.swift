import Storage
import Telemetry
import Testing

@testable import AuditLog

/// A log directory held against a policy: whose key, which witnesses, how much they vouch for.
@Suite struct PolicyTests {
    private let directory = TemporaryDirectory()

    private func policy(_ witnesses: [NoteSigner], threshold: Int, log: VerifierKey = Fixture.logSigner.verifierKey) -> TrustPolicy {
        TrustPolicy(log: log, witnesses: witnesses.map(\.verifierKey), threshold: threshold)
    }

    /// A log of 310 entries; one and two cosigned its head at 300.
    private func cosignedLog() throws -> String {
        let log = try Fixture.open(directory.path)
        try Fixture.fill(log, 300)
        let note = try SignedNote(log.checkpoint)
        let lines = [1, 2].map { Fixture.witness($0).cosign(note.text, timeSeconds: 1_790_000_000) }
        let body = Array(note.adding(lines).bytes.dropFirst(note.bytes.count))
        _ = try log.add(cosignatures: body, of: [1, 2].map { Fixture.witness($0).verifierKey }, to: note.bytes)
        try Fixture.fill(log, 10)
        log.close()
        return directory.path + "/log"
    }

    @Test func theQuorumVouchesForTheHeadThatItCosigned() throws {
        let path = try cosignedLog()
        let report = try AuditVerifier.verify(directory: path, policy: policy([1, 2, 3].map(Fixture.witness), threshold: 2))
        #expect(report.log.size == 310)
        #expect(report.cosigned.size == 300)
        #expect(report.cosigners == ["witness.example/site-1", "witness.example/site-2"])
        let reader = try LogReader(DirectorySource(path))
        let note = try SignedNote(try #require(try AuditVerifier.cosignedHead(ofLog: path)))
        let trusted = policy([1, 2].map(Fixture.witness), threshold: 2)
        for index: UInt64 in [0, 17, 255, 256, 299] {
            let receipt = try reader.receipt(index, checkpoint: note)
            #expect(try TlogProof(receipt.bytes).verify(entry: reader.entry(index), policy: trusted).size == 300)
        }
        #expect(throws: AuditFinding.self) { try reader.receipt(300, checkpoint: note) }
        #expect(throws: AuditFinding.self) { try reader.receipt(310) }
    }

    @Test func tooFewWitnessesOrAnotherKeyAreRefused() throws {
        let path = try cosignedLog()
        #expect(throws: AuditFinding.head(file: "checkpoint", .noQuorum)) {
            try AuditVerifier.verify(directory: path, policy: policy([1, 3, 4].map(Fixture.witness), threshold: 2))
        }
        #expect(throws: AuditFinding.otherKey) {
            let other = NoteSigner(name: KeyName(Fixture.origin)!, kind: .log, key: Fixture.key(9))
            return try AuditVerifier.verify(directory: path, policy: policy([], threshold: 0, log: other.verifierKey))
        }
        // Without the state beside it, a copy shows the log's own head only.
        try DurableFile.remove(StateDirectory(ofLog: path).cosigned)
        #expect(throws: AuditFinding.head(file: "checkpoint", .noQuorum)) {
            try AuditVerifier.verify(directory: path, policy: policy([1, 2].map(Fixture.witness), threshold: 1))
        }
        #expect(try AuditVerifier.verify(directory: path, policy: policy([], threshold: 0)).cosigned.size == 310)
    }

    @Test func aHeadOfAnotherHistoryIsFound() throws {
        let path = try cosignedLog()
        let forged = Checkpoint(origin: Fixture.origin, size: 300, root: MerkleTree.leafHash([1]))
        let note = forged.signed(by: Fixture.logSigner)
        let cosigned = note.adding([Fixture.witness(1).cosign(note.text, timeSeconds: 1_790_000_000)])
        try DurableFile.writeAtomically(cosigned.bytes, to: StateDirectory(ofLog: path).cosigned)
        #expect(throws: AuditFinding.self) {
            try AuditVerifier.verify(directory: path, policy: policy([Fixture.witness(1)], threshold: 1))
        }
    }
}
