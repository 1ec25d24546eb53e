// Who counts as a member, and what must stand in the coordinator's log before a site answers.
// `protocol/secure-aggregation.md` §7, `protocol/federation.md` §4.

import AuditLog
import Codec
import Cryptography
import Messages
import SecureAggregation
import Study
import Testing

@testable import SiteNode

@Suite struct MemberListTests {
    let node: TestNode

    init() throws { node = try TestNode() }

    private var inForce: UInt64? { node.core.state.manifest?.proposal.sequence }
    private func offer(_ manifest: Manifest, signedBy signers: [Int]) throws { try node.hear(.manifest(signed: node.signed(manifest, by: signers).encoded)) }
    private func sign(_ hash: String) throws { node.take(try node.core.signManifest(hash, by: "operator", at: node.clock.now())) }

    @Test func theFirstListNeedsAPersonOfThisSiteWhoeverElseSigned() throws {
        let manifest = try node.makeManifest()
        try offer(manifest, signedBy: [1, 2, 3])
        #expect(inForce == nil && node.core.state.proposal?.proposal == manifest)
        try node.restart()
        #expect(inForce == nil)
        try sign(String(manifest.hash.hex.prefix(12)))
        #expect(inForce == 1 && node.core.state.proposal == nil)
        #expect(node.sent.contains { if case .manifestSignature(manifest.hash, _) = $0 { true } else { false } })
        try node.restart()
        #expect(inForce == 1)
    }

    @Test func theFirstListNeedsMoreThanTwoThirdsOfItsMembers() throws {
        let manifest = try node.makeManifest()
        try offer(manifest, signedBy: [])
        try sign(manifest.hash.hex)
        #expect(inForce == nil)
        // Said again at every connection until it is in force.
        #expect(node.core.standingReports(at: node.clock.now()).count == 1)
        try offer(manifest, signedBy: [0, 1])
        #expect(inForce == nil)
        try offer(manifest, signedBy: [1, 3])
        #expect(inForce == 1, "two others and this site are three of four")
        #expect(node.core.standingReports(at: node.clock.now()).isEmpty)
    }

    @Test func aLaterListNeedsTheMembersOfTheOneInForce() throws {
        try node.pinMembers()
        let stranger = SigningKey.generate(random: node.random)
        let more = try Manifest(
            federation: "test", sequence: 2,
            members: node.makeManifest().members + [.init(index: 9, name: "x", key: stranger.publicKey, validFrom: 0, validTo: .max)])
        var signed = node.signed(more, by: [1, 2])
        signed.sign(with: stranger)
        try node.hear(.manifest(signed: signed.encoded))
        #expect(inForce == 1, "the new member's own signature counts for nothing")
        try offer(more, signedBy: [1, 2, 3])
        #expect(inForce == 2, "three of the four of the list in force, without this site's own people")
        // Back to the old one, signed as well as can be.
        try offer(node.makeManifest(), signedBy: [0, 1, 2, 3])
        #expect(inForce == 2)
    }

    @Test func whatIsSignedIsWhatThePersonSaw() throws {
        let manifest = try node.makeManifest()
        #expect(node.refusal { try sign(manifest.hash.hex) } == "manifest.none")
        try offer(manifest, signedBy: [1, 2, 3])
        #expect(node.refusal { try sign(String(repeating: "0", count: 64)) } == "manifest.other")
        #expect(node.refusal { try sign(String(manifest.hash.hex.prefix(11))) } == "manifest.other", "too short to compare")
        // A list that has this site's place with another key.
        let other = SigningKey.generate(random: node.random)
        var members = manifest.members
        members[0].key = other.publicKey
        let swapped = try Manifest(federation: "test", sequence: 2, members: members)
        try offer(swapped, signedBy: [1, 2, 3])
        #expect(node.refusal { try sign(swapped.hash.hex) } == "manifest.without-self")
        #expect(inForce == nil)
    }

    @Test func listsOfOthersAndGarbageAreRefused() throws {
        for bytes in [[], [1, 2, 3], [UInt8](repeating: 0, count: 300)] as [[UInt8]] { try node.hear(.manifest(signed: bytes)) }
        let foreign = try Manifest(federation: "other", sequence: 1, members: node.makeManifest().members)
        try offer(foreign, signedBy: [0, 1, 2, 3])
        #expect(node.refusals == Array(repeating: "manifest.malformed", count: 4))
        #expect(node.core.state.proposal == nil && node.entries.isEmpty)
    }

    @Test func aBodyOfItsOwnMayGovern() throws {
        let governors = (0..<3).map { _ in SigningKey.generate(random: node.random) }
        var policy = SitePolicy.floors
        policy.governanceKeys = governors.map(\.publicKey)
        policy.governanceThreshold = 2
        try node.restart(policy: policy)
        let manifest = try node.makeManifest()
        try offer(manifest, signedBy: [1, 2, 3])
        #expect(inForce == nil)
        var signed = SignedManifest(proposing: manifest)
        signed.sign(with: governors[0])
        signed.sign(with: governors[2])
        try node.hear(.manifest(signed: signed.encoded))
        #expect(inForce == 1)
    }

    @Test func withoutAListInForceNoRoundIsAnswered() throws {
        let plan = try TestNode.plan()
        try node.agree(plan)
        let work = RoundWork(kind: .statistics, run: "heart-disease-1", planHash: plan.hash, number: 1, step: 0)
        try node.hear(.roundOpen(work: work.canonicalBytes, start: [], opening: [], results: []))
        #expect(node.refusals == ["round.manifest"] && node.aggregationMessages == 0)
    }
}

@Suite struct RoundStartTests {
    private func refused(_ code: String, _ what: Comment, start: (inout TestNode.Start) -> Void) throws {
        let node = try TestNode()
        let plan = try TestNode.plan()
        try node.agree(plan)
        _ = try node.openRound(plan, start: start)
        #expect(node.refusals == [code] && node.aggregationMessages == 0, what)
    }

    @Test func anotherRoundInTheLogThanTheOneTold() throws {
        let digest = SHA256.hash([1]).hex
        for (field, value) in [
            ("model", .string(digest)), ("plan", .string(digest)), ("manifest", .string(digest)), ("context", .string(digest)),
            ("run", "other-1"), ("number", 2), ("kind", "training"), ("step", 1), ("attempt", 2),
        ] as [(String, JSONValue)] {
            try refused("round.log-entry", "\(field)") { $0.details[field] = value }
            try refused("round.log-entry", "no \(field)") { $0.details[field] = nil }
        }
    }

    @Test func aQuorumOfTheRoundsOwnSites() throws {
        // Four sites, one may collude: three must have cosigned.
        try refused("round.log-quorum", "nobody") { $0.cosigners = [] }
        try refused("round.log-quorum", "two of four") { $0.cosigners = [0, 1] }
        try refused("round.log-quorum", "one of three counts twice") { $0.cosigners = [0, 1, 1] }
        try refused("round.log-quorum", "a cosigner that is not of the round") {
            $0.sites = ["a", "b", "c"]
            $0.cosigners = [0, 1, 3]
        }
        let node = try TestNode()
        let plan = try TestNode.plan()
        try node.agree(plan)
        _ = try node.openRound(plan, start: { $0.cosigners = [1, 2, 3] })
        #expect(node.refusals.isEmpty && node.aggregationMessages == 1)
    }

    @Test func sitesThatNoListHas() throws {
        try refused("round.log-sites", "a stranger") { $0.sites.append("stranger") }
        try refused("round.log-sites", "one twice") { $0.sites.append("a") }
        try refused("round.log-sites", "none") { $0.sites = [] }
    }

    @Test func aProofOfSomethingElse() throws {
        try refused("round.log-quorum", "another entry's place") { $0.isProofOfAnother = true }
        let stranger = SigningKey.generate(random: SeededRandom(seed: 77))
        try refused("round.log-quorum", "another log") { $0.logKey = stranger }
    }

    @Test func garbageInPlaceOfTheProof() throws {
        let node = try TestNode()
        let plan = try TestNode.plan()
        try node.agree(plan)
        try node.pinMembers()
        let work = RoundWork(kind: .statistics, run: "heart-disease-1", planHash: plan.hash, number: 1, step: 0)
        for start in [[], [1], [UInt8](repeating: 0xff, count: 4000)] as [[UInt8]] {
            try node.hear(.roundOpen(work: work.canonicalBytes, start: start, opening: [], results: []))
        }
        #expect(node.aggregationMessages == 0 && node.refusals.count == 3)
    }
}

@Suite struct ForkTests {
    @Test func aLogWithTwoHistoriesStopsEverythingUntilAPersonHasLooked() throws {
        let node = try TestNode()
        let plan = try TestNode.plan()
        try node.agree(plan)
        try node.pinMembers()
        guard let key = LogKeys.log(federation: "test", party: "coordinator", key: node.coordinatorKey.publicKey) else { return }
        let heads = try ["one", "two"].map { run -> SignedNote in
            let log = MemoryLog(origin: key.name, signer: node.coordinatorKey)
            try log.append([LogEntry(.runStarted, actor: "coordinator", role: "coordinator", details: ["run": .string(run)])], at: node.clock.now())
            return try SignedNote(log.checkpoint)
        }
        let evidence = ForkEvidence(key: key, first: heads[0], second: heads[1])
        #expect(evidence.isProof)
        node.take(try node.core.detectedFork(evidence, at: node.clock.now()))
        #expect(node.sent.contains(.forkEvidence(evidence.bytes)))
        _ = try node.openRound(plan)
        #expect(node.refusals == ["round.log-fork"])
        // Over a restart too, and the same evidence again is no news.
        try node.restart()
        #expect(try node.core.detectedFork(evidence, at: node.clock.now()).isEmpty)
        _ = try node.openRound(plan, number: 2)
        #expect(node.refusals == ["round.log-fork", "round.log-fork"] && node.aggregationMessages == 0)
        node.take(try node.core.resume(by: "operator", at: node.clock.now()))
        _ = try node.openRound(plan, number: 3)
        #expect(node.aggregationMessages == 1)
        #expect(node.refusal { node.take(try node.core.resume(by: "operator", at: node.clock.now())) } == "node.not-paused")
    }
}
