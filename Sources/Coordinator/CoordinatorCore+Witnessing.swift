// Who vouches for whose log: every site cosigns the coordinator's, the coordinator and other sites cosign a site's.
// What sites say to one another about heads of logs passes through here as bytes. `protocol/federation.md` §6.

import AuditLog
import Codec
import Cryptography
import Messages
import Telemetry

extension CoordinatorCore {
    /// The shell has made a `round.start` entry durable: its head goes to the round's sites to be cosigned.
    ///
    /// - Parameter index: of the entry in the log.
    package mutating func roundLogged(number: UInt64, index: UInt64, at now: Timestamp) throws -> [CoordinatorAction] {
        guard let study = runs.keys.sorted().first(where: { runs[$0]?.openRoundNumber == number }), var run = runs[study] else { return [] }
        let actions = try settle(run.roundLogged(index: index, log: log, sizes: witnessedSizes, at: now), at: now)
        runs[study] = run.isOver ? nil : run
        return actions
    }

    /// A site asks the coordinator, or another site, to cosign its log.
    func relay(_ request: [UInt8], to witness: String, from site: Federation.Site) throws -> [CoordinatorAction] {
        guard (try? AddCheckpoint(request))?.origin == LogKeys.origin(federation: federation.name, party: site.name) else {
            throw CoordinatorError.refused(code: "witness.origin", "a site asks for cosignatures under its own log only")
        }
        if witness == WitnessAnswer.coordinator { return [.cosign(site: site.name, request: request)] }
        guard let other = federation.sites[witness], other.revoked == nil, other.name != site.name else {
            throw CoordinatorError.refused(code: "witness.unknown", "there is no such other member to witness the log")
        }
        return [.send(to: other.name, .witness(request: request))]
    }

    /// A site answers as a witness: to this coordinator, or to another site.
    mutating func take(_ answer: WitnessAnswer, from site: Federation.Site, at now: Timestamp) throws -> [CoordinatorAction] {
        guard answer.witness == site.name, let party = LogKeys.party(origin: answer.origin, federation: federation.name) else {
            throw CoordinatorError.refused(code: "witness.name", "a witness answers in its own name, about a log of this federation")
        }
        guard party == WitnessAnswer.coordinator else {
            guard let other = federation.sites[party], other.revoked == nil else { return [] }
            return [.send(to: other.name, .witnessed(answer))]
        }
        if let size = answer.size {
            // Whoever kept a later head of ours, with our signature, knows that this log is an old copy.
            if size > log.size {
                do { try log.confirm(witnessed: answer.latest) } catch .note { return [] }
            }
            witnessedSizes[site.name] = min(size, log.size)
        }
        var actions: [CoordinatorAction] = []
        for study in runs.keys.sorted() {
            guard var run = runs[study] else { continue }
            actions += try settle(run.witnessAnswered(answer, by: site, log: log, sizes: &witnessedSizes, at: now), at: now)
            runs[study] = run.isOver ? nil : run
        }
        return actions
    }

    /// Two heads of one log that cannot be reconciled: an alarm, and every study waits until an operator has looked.
    mutating func take(forkEvidence bytes: [UInt8], from site: String, at now: Timestamp) throws -> [CoordinatorAction] {
        guard let evidence = try? ForkEvidence(bytes), evidence.isProof, isKnown(evidence.key) else {
            throw CoordinatorError.refused(code: "fork.evidence", "the evidence does not show two histories of a log of this federation")
        }
        return try detectedFork(evidence, reportedBy: site, at: now)
    }

    /// The same for evidence that this coordinator found as a witness.
    package mutating func detectedFork(_ evidence: ForkEvidence, reportedBy reporter: String, at now: Timestamp) throws -> [CoordinatorAction] {
        let bytes = evidence.bytes
        let digest = SHA256.hash(bytes)
        guard !federation.forks.contains(digest) else { return [] }
        var actions: [CoordinatorAction] = [
            .store(bytes),
            .log(
                .coordinator(
                    .forkDetected, ["origin": .string(evidence.key.name.text), "evidence": .string(digest.hex), "reporter": .string(reporter)])),
        ]
        for study in Set(federation.plans.values.map(\.plan.study)).sorted() where federation.currentPlan(of: study) != nil {
            if var run = runs[study] {
                actions += run.fail("paused: two histories of one log were signed", at: now)
                runs[study] = nil
            }
            actions.append(.log(.coordinator(.studyPaused, ["study": .string(study), "evidence": .string(digest.hex)])))
        }
        return try settle(actions, at: now)
    }

    /// Lets a study go on after an operator has looked at the evidence.
    package mutating func resume(study: String, by actor: String, at now: Timestamp) throws -> [CoordinatorAction] {
        guard federation.pausedStudies.contains(study) else {
            throw CoordinatorError.refused(code: "study.not-paused", "the study is not paused")
        }
        return try settle([.log(.operated(.studyResumed, by: actor, ["study": .string(study)]))], at: now)
    }

    private func isKnown(_ key: VerifierKey) -> Bool {
        guard key.kind == .log, let party = LogKeys.party(origin: key.name.text, federation: federation.name) else { return false }
        return key.publicKey == (party == WitnessAnswer.coordinator ? signingKey.publicKey : federation.sites[party]?.key)
    }
}
