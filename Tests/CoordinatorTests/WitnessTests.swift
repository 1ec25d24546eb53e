// The members' list, who cosigns what, and logs with two histories, at the coordinator.
// `protocol/secure-aggregation.md` §7, `protocol/federation.md` §4 and §6.

import AuditLog
import Codec
import Cryptography
import Messages
import SecureAggregation
import Study
import Telemetry
import Testing

@testable import Coordinator

@Suite struct CoordinatorMembersTests {
    @Test func aListIsInForceWhenMoreThanTwoThirdsHaveSigned() throws {
        let coordinator = try TestCoordinator()
        try coordinator.admit(["a", "b"])
        #expect(coordinator.refusal { try coordinator.signMembers() } == "manifest.members")
        try coordinator.admit(["c", "d"])
        let proposed = try coordinator.core.proposeManifest(by: "operator", at: coordinator.clock.now())
        coordinator.take(proposed.actions)
        #expect(coordinator.refusal { _ = try coordinator.core.proposeManifest(by: "o", at: coordinator.clock.now()) } == "manifest.unchanged")
        func sign(_ site: String, as other: String? = nil, under manifest: Manifest) throws {
            guard let key = coordinator.keys[other ?? site] else { return }
            try coordinator.report(.manifestSignature(manifest: manifest.hash, signature: SignedManifest.signature(under: manifest, with: key)), from: site)
        }
        let manifest = proposed.manifest
        #expect(coordinator.refusal { try sign("a", as: "b", under: manifest) } == "manifest.signature")
        let other = try Manifest(federation: "test", sequence: 9, members: manifest.members)
        #expect(coordinator.refusal { try sign("a", under: other) } == "manifest.unknown")
        try sign("a", under: manifest)
        try sign("a", under: manifest)
        try sign("b", under: manifest)
        #expect(coordinator.core.federation.manifest == nil && coordinator.count(.manifestSigned) == 2)
        try sign("d", under: manifest)
        #expect(coordinator.core.federation.manifest?.proposal == manifest && coordinator.count(.manifestAdopted) == 1)
        // The last one still counts: a later list may need it.
        try sign("c", under: manifest)
        #expect(coordinator.core.federation.manifest?.signatures.count == 4)
        #expect(try coordinator.replayed().manifest == coordinator.core.federation.manifest)
    }

    @Test func whoIsNotInTheListIsInNoRun() throws {
        let coordinator = try TestCoordinator()
        let plan = try TestCoordinator.plan()
        try coordinator.admit(["a", "b", "c"])
        try coordinator.publish(plan)
        try coordinator.agree(plan, sites: ["a", "b", "c"])
        #expect(coordinator.refusal { _ = try coordinator.core.startRun(study: plan.study, by: "o", at: coordinator.clock.now()) } == "run.manifest")
        try coordinator.signMembers()
        try coordinator.admit(["d"])
        try coordinator.agree(plan, sites: ["d"])
        let run = try coordinator.startRun()
        #expect(coordinator.core.federation.runs[run]?.sites == ["a", "b", "c"])
    }
}

@Suite struct CoordinatorWitnessTests {
    private func ready() throws -> (TestCoordinator, Plan) {
        let (coordinator, plan) = try TestCoordinator.ready()
        try coordinator.signMembers()
        return (coordinator, plan)
    }

    private func opened(_ coordinator: TestCoordinator) -> [(site: String, start: [UInt8])] {
        coordinator.sent.compactMap { site, instruction in if case .roundOpen(_, let start, _, _) = instruction { (site, start) } else { nil } }
    }

    @Test func aRoundOpensWithAQuorumAndNotBefore() throws {
        let (coordinator, _) = try ready()
        coordinator.asleep = ["a", "b"]
        try coordinator.startRun()
        #expect(opened(coordinator).isEmpty, "two of four are no quorum")
        coordinator.clock.set(try #require(coordinator.core.nextDeadline))
        coordinator.asleep = ["a"]
        coordinator.take(try coordinator.core.tick(at: coordinator.clock.now()))
        #expect(coordinator.entries.contains { $0.entry.details["code"] == "witness-quorum" })
        // Those who did not cosign are not asked again until they are heard from; the rest is still enough.
        let openings = opened(coordinator)
        #expect(openings.count == 4, "three of four have cosigned: all four are asked to take part")
        let start = try RoundStart(encoded: try #require(openings.first).start)
        #expect(start.proof.checkpoint.signatures.count == 4, "the log and three witnesses")
    }

    @Test func cosignaturesOfOthersCountForNothing() throws {
        let (coordinator, _) = try ready()
        coordinator.asleep = ["a", "b", "c", "d"]
        try coordinator.startRun()
        let note = try SignedNote(coordinator.log.checkpoint)
        for (site, signer) in [("a", "b"), ("b", "c"), ("c", "a"), ("d", "b")] {
            guard let key = coordinator.keys[signer], let name = LogKeys.witness(federation: "test", party: site, key: key.publicKey)?.name else { return }
            let line = NoteSigner(name: name, kind: .witness, key: key).cosign(note.text, timeSeconds: 1)
            let answer = WitnessAnswer(origin: coordinator.log.origin, witness: site, status: 200, body: Array(line.line.utf8), latest: [])
            try coordinator.report(.witnessAnswer(answer), from: site)
            #expect(coordinator.refusal { try coordinator.report(.witnessAnswer(answer), from: "a") } == (site == "a" ? nil : "witness.name"))
        }
        #expect(opened(coordinator).isEmpty)
    }

    @Test func requestsGoToTheWitnessTheyNameAndOnlyForTheSendersOwnLog() throws {
        let (coordinator, _) = try ready()
        guard let key = coordinator.keys["a"], let logKey = LogKeys.log(federation: "test", party: "a", key: key.publicKey) else { return }
        let log = MemoryLog(origin: logKey.name, signer: key)
        try log.append([LogEntry(.logOpened, actor: "a", role: "node")], at: coordinator.clock.now())
        let request = try log.addCheckpoint(from: 0).bytes
        coordinator.asleep = ["b"]
        let actions = try coordinator.core.handle(.witnessRequest(witness: "b", request: request), from: "a", at: coordinator.clock.now())
        #expect(actions.contains { if case .send("b", .witness(request)) = $0 { true } else { false } })
        let own = try coordinator.core.handle(.witnessRequest(witness: "coordinator", request: request), from: "a", at: coordinator.clock.now())
        #expect(own.contains { if case .cosign("a", request) = $0 { true } else { false } })
        for (witness, sender, code) in [("b", "c", "witness.origin"), ("a", "a", "witness.unknown"), ("nobody", "a", "witness.unknown")] {
            #expect(coordinator.refusal { try coordinator.report(.witnessRequest(witness: witness, request: request), from: sender) } == code)
        }
        let answer = WitnessAnswer(origin: log.origin, witness: "b", status: 409, body: Array("0\n".utf8), latest: [])
        let back = try coordinator.core.handle(.witnessAnswer(answer), from: "b", at: coordinator.clock.now())
        #expect(back.contains { if case .send("a", .witnessed(answer)) = $0 { true } else { false } })
    }

    @Test func aWitnessThatHasALaterHeadStopsTheCoordinator() throws {
        let (coordinator, _) = try ready()
        let later = MemoryLog(origin: coordinator.log.verifierKey.name, signer: coordinator.core.signingKey)
        let entries = (0..<coordinator.log.size + 5).map { _ in LogEntry(.logOpened, actor: "coordinator", role: "coordinator") }
        try later.append(entries, at: coordinator.clock.now())
        let latest = later.checkpoint
        let answer = WitnessAnswer(
            origin: coordinator.log.origin, witness: "a", status: 409, body: Array("\(later.size)\n".utf8), latest: latest)
        #expect(throws: AuditLogError.self) { try coordinator.core.handle(.witnessAnswer(answer), from: "a", at: coordinator.clock.now()) }
        // A claim without the log's own signature stops nobody.
        var claim = answer
        claim.latest = try SignedNote(text: SignedNote(latest).text, signatures: []).bytes + Array("\u{2014} x AAAAAAA=\n".utf8)
        #expect(throws: Never.self) { try coordinator.core.handle(.witnessAnswer(claim), from: "a", at: coordinator.clock.now()) }
    }

    @Test func evidenceOfAForkPausesEveryStudyUntilAnOperatorHasLooked() throws {
        let (coordinator, plan) = try ready()
        let run = try coordinator.startRun()
        guard let key = coordinator.keys["d"], let logKey = LogKeys.log(federation: "test", party: "d", key: key.publicKey) else { return }
        func head(_ name: String, _ signer: SigningKey) throws -> SignedNote {
            let log = MemoryLog(origin: logKey.name, signer: signer)
            try log.append([LogEntry(.logOpened, actor: name, role: "node")], at: coordinator.clock.now())
            return try SignedNote(log.checkpoint)
        }
        let evidence = ForkEvidence(key: logKey, first: try head("one", key), second: try head("two", key))
        let stranger = SigningKey.generate(random: SeededRandom(seed: 4))
        let strangers = LogKeys.log(federation: "test", party: "d", key: stranger.publicKey) ?? logKey
        for bytes in [[], evidence.bytes.dropLast(3), ForkEvidence(key: logKey, first: evidence.first, second: evidence.first).bytes,
            ForkEvidence(key: strangers, first: try head("one", stranger), second: try head("two", stranger)).bytes] as [[UInt8]]
        {
            #expect(coordinator.refusal { try coordinator.report(.forkEvidence(Array(bytes)), from: "a") } == "fork.evidence")
        }
        #expect(coordinator.core.federation.pausedStudies.isEmpty)
        try coordinator.report(.forkEvidence(evidence.bytes), from: "a")
        try coordinator.report(.forkEvidence(evidence.bytes), from: "b")
        #expect(coordinator.count(.forkDetected) == 1 && coordinator.count(.studyPaused) == 1)
        #expect(coordinator.core.federation.runs[run]?.status == .failed)
        #expect(coordinator.refusal { try coordinator.startRun() } == "study.paused")
        #expect(try coordinator.replayed().pausedStudies == [plan.study])
        coordinator.take(try coordinator.core.resume(study: plan.study, by: "operator", at: coordinator.clock.now()))
        #expect(coordinator.refusal { try coordinator.startRun() } == nil)
        #expect(coordinator.refusal { _ = try coordinator.core.resume(study: plan.study, by: "o", at: coordinator.clock.now()) } == "study.not-paused")
    }
}
