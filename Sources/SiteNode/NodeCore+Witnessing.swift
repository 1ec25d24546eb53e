// Whose log this site vouches for, who vouches for its own, and what it does about a log with two histories.
// `protocol/federation.md` §6.

import AuditLog
import Codec
import Cryptography
import Messages
import SecureAggregation
import Telemetry

extension NodeCore {
    /// Other sites that witness a site's log, besides the coordinator.
    package static let peerWitnesses = 2

    /// The key that this site cosigns with: its one signing key.
    package var witnessKey: SigningKey { signingKey }

    /// Keys of the logs that this site cosigns: the coordinator's and every other member's.
    package var witnessedLogs: [VerifierKey] {
        let others = (state.manifest?.proposal.members ?? []).filter { $0.index != siteIndex }
        return [LogKeys.log(federation: federation, party: WitnessAnswer.coordinator, key: coordinatorKey)].compactMap { $0 }
            + others.compactMap { LogKeys.log(federation: federation, party: $0.name, key: $0.key) }
    }

    /// Who cosigns this site's log: the coordinator and the next members in order of index, in a ring.
    package var ownWitnesses: [(party: String, key: VerifierKey)] {
        let members = state.manifest?.proposal.members ?? []
        let ring = members.filter { $0.index > siteIndex } + members.filter { $0.index < siteIndex }
        let parties = [(WitnessAnswer.coordinator, coordinatorKey)] + ring.prefix(NodeCore.peerWitnesses).map { ($0.name, $0.key) }
        return parties.compactMap { party, key in LogKeys.witness(federation: federation, party: party, key: key).map { (party, $0) } }
    }

    /// This site, as a witness, was shown two histories of one log: evidence, alarm, and no more rounds until a person has looked.
    package mutating func detectedFork(_ evidence: ForkEvidence, at now: Timestamp) throws -> [NodeAction] {
        let bytes = evidence.bytes
        let digest = SHA256.hash(bytes)
        guard !state.forks.contains(digest) else { return [] }
        active = nil
        let entry = LogEntry.node(
            .forkDetected, site: site, ["origin": .string(evidence.key.name.text), "evidence": .string(digest.hex)])
        return try settle([.store(bytes), .log(entry), .send(.forkEvidence(bytes))], at: now)
    }

    /// A person has looked at the evidence and lets the site take part again.
    package mutating func resume(by actor: String, at now: Timestamp) throws -> [NodeAction] {
        guard state.isPaused else { throw NodeError.refused(code: "node.not-paused", "this site is not paused") }
        return try settle([.log(.operated(.studyResumed, site: site, by: actor, [:]))], at: now)
    }
}
