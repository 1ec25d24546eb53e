// What may follow what, and what it changes. `check` decides; `apply` takes what the log holds.

import Codec
import Cryptography
import Study
import Telemetry

extension DeploymentState {
    /// Whether an event fits this state and its actor may cause it; what `apply` relies on.
    /// - Throws: `ServingError` with what is in the way.
    package func check(_ event: Event, by actor: Actor, at time: Timestamp) throws(ServingError) {
        if let roles = actor.roles {
            guard !event.roles.isDisjoint(with: roles) else { throw .role(event: event.name) }
        } else {
            guard event.isForNode else { throw .role(event: event.name) }
        }
        try fits(event, at: time)
        if case .approved(let digest, _, _, _) = event, let version = versions[digest] {
            try checkApprover(actor, version, at: time)
        }
        if case .rulesConfirmed = event { try checkConfirmer(actor) }
    }

    /// Whether an event fits, whoever causes it.
    func fits(_ event: Event, at time: Timestamp) throws(ServingError) {
        if let digest = event.digest, let sources = event.sources {
            guard let version = versions[digest] else { throw .unknownVersion }
            guard sources.contains(version.status) else {
                throw .transition(event: event.name, status: version.status)
            }
            if event.usesVersion { try checkClearance(version, at: time) }
        }
        switch event {
        case .installed(let digest, let model, _, _, let intercept):
            guard intercept.isFinite else { throw .deployment(problem: "the site's intercept is not a finite number") }
            guard versions[digest] != nil || versions.count < ServingLimits.versions else {
                throw .deployment(problem: "\(ServingLimits.versions) versions are installed already")
            }
            guard models.contains(model) || models.count < ServingLimits.models else {
                throw .deployment(problem: "\(ServingLimits.models) models are installed already")
            }
        case .configured(let digest, let settings):
            guard settings.intercept.isFinite else { throw .deployment(problem: "the site's intercept is not a finite number") }
            guard let version = versions[digest] else { throw .unknownVersion }
            let isInUse = [.shadow, .canary, .standby, .live].contains(version.status)
            guard version.rules.rollout.approvals == 0 || !isInUse else {
                throw .approval(problem: "the version is in use as it was approved; another configuration needs another approval")
            }
        case .approved(let digest, let configuration, let evidence, let expires):
            guard let version = versions[digest] else { throw .unknownVersion }
            try checkApproval(version, configuration, evidence, expires, at: time)
        case .overridden(let digest, _):
            guard versions[digest]?.rules.allowsOverride == true else {
                throw .gates(problem: "this site's policy lets nobody override a missed bound; see gateOverride in policy.json5")
            }
        case .shadowed(let digest): try checkRole(.shadow, digest, needsLive: true)
        case .canaried(let digest, _): try checkRole(.canary, digest, needsLive: true)
        case .stoodBy(let digest): try checkRole(.standby, digest, needsLive: false)
        case .advanced(let digest, let step, _):
            guard let canary = versions[digest]?.canary, step == canary.step + 1, step < canary.plan.steps.count else {
                throw .deployment(problem: "the canary has no such next step")
            }
        case .rolledBack(let model, _):
            guard models.contains(model) else { throw .unknownModel }
            guard canaryToEnd(model) != nil || rollbackTarget(model) != nil else { throw .nothingToRollBack }
        case .rulesConfirmed(let digest): try checkConfirmation(digest)
        case .stopped: guard stop == nil else { throw .deployment(problem: "predictions are stopped already") }
        case .started: guard stop != nil else { throw .deployment(problem: "predictions are not stopped") }
        case .evaluated, .restaged, .unstaged, .madeLive, .suspended, .retired, .rulesProposed: return
        }
    }

    /// One version at a time is shadow, canary and standby of a model, and only beside a live one.
    private func checkRole(_ role: Status, _ digest: Digest, needsLive: Bool) throws(ServingError) {
        guard let model = versions[digest]?.model else { throw .unknownVersion }
        if let other = version(of: model, in: role) {
            throw .deployment(problem: "version \(other.version) is \(role.rawValue) already; end that first")
        }
        guard !needsLive || live(model) != nil else {
            throw .deployment(problem: "no version of this model is live, so there is nothing to hold a \(role.rawValue) against")
        }
    }

    /// What a version's rules ask for before it is put to use.
    func checkClearance(_ version: Version, at time: Timestamp) throws(ServingError) {
        if version.rules.needsEvaluation, version.override == nil {
            guard let evaluation = version.evaluation else {
                throw .gates(problem: "the version has not been held against this site's own rows yet; evaluate it first")
            }
            guard evaluation.passed else {
                throw .gates(problem: "the version misses bounds on this site's own rows: \(evaluation.refusal)")
            }
        }
        // A canary was begun on approvals that held; its steps may take longer than they do.
        let (needed, standing) = (version.rules.rollout.approvals, version.standingApprovals(at: version.canary?.begun ?? time).count)
        guard standing >= needed else {
            let expired = version.approvals.contains { $0.expires <= time } ? " (approvals that expired or are for other hashes do not count)" : ""
            throw .approval(problem: "the version needs \(needed) approvals and has \(standing)\(expired)")
        }
    }

    private func checkApproval(
        _ version: Version, _ configuration: Digest, _ evidence: Digest, _ expires: Timestamp, at time: Timestamp
    ) throws(ServingError) {
        guard version.status != .candidate || !version.rules.needsEvaluation else {
            throw .gates(problem: "there is no evidence to approve yet; evaluate the version first")
        }
        guard configuration == version.configuration, evidence == version.evidence else {
            throw .approval(problem: "configuration or evidence are not those that were named; look at the version again")
        }
        guard expires > time, expires <= time.adding(seconds: 3600 * Double(version.rules.rollout.approvalHours)) else {
            throw .approval(problem: "an approval holds for at most \(version.rules.rollout.approvalHours) hours from now")
        }
    }

    private func checkApprover(_ actor: Actor, _ version: Version, at time: Timestamp) throws(ServingError) {
        guard version.submitters.isDisjoint(with: [actor.name, actor.person]) else {
            throw .approval(problem: "whoever brought the version here or configured it does not approve it")
        }
        guard !version.standingApprovals(at: time).contains(where: { $0.person == actor.person || $0.by == actor.name }) else {
            throw .approval(problem: "this person has approved the version already; another one is needed")
        }
    }

    /// Takes an event that fits; one that does not changes nothing.
    package mutating func apply(_ event: Event, by actor: Actor, at time: Timestamp) {
        guard (try? fits(event, at: time)) != nil else { return }
        switch event {
        case .installed(let digest, let model, let number, let rules, let intercept):
            guard versions[digest] == nil else { return }
            versions[digest] = Version(
                digest: digest, model: model, version: number, installed: time, staged: time, status: .candidate,
                submitters: [actor.name, actor.person], rules: rules, settings: SiteSettings(intercept: intercept))
        case .configured(let digest, let settings):
            versions[digest]?.settings = settings
            versions[digest]?.submitters.formUnion([actor.name, actor.person])
            settle(digest, at: time)
        case .evaluated(let digest, let evaluation):
            versions[digest]?.evaluation = evaluation
            versions[digest]?.override = nil
            settle(digest, at: time)
        case .overridden(let digest, let reason):
            versions[digest]?.override = Override(by: actor.name, reason: reason, time: time)
            versions[digest]?.status = .evaluated
        case .approved(let digest, let configuration, let evidence, let expires):
            versions[digest]?.approvals.append(
                Approval(
                    by: actor.name, person: actor.person, package: digest, configuration: configuration, evidence: evidence, time: time,
                    expires: expires))
            settle(digest, at: time)
        case .restaged(let digest): restage(digest, actor, time)
        case .shadowed(let digest): versions[digest]?.status = .shadow
        case .canaried(let digest, let plan):
            versions[digest]?.status = .canary
            versions[digest]?.canary = CanaryStanding(plan: plan, step: 0, since: time, begun: time)
        case .advanced(let digest, let step, let report):
            versions[digest]?.canary?.step = step
            versions[digest]?.canary?.since = time
            versions[digest]?.canary?.report = report
        case .stoodBy(let digest): versions[digest]?.status = .standby
        case .unstaged(let digest, _): leaveRole(digest, at: time)
        case .madeLive(let digest, _):
            guard let model = versions[digest]?.model else { return }
            if stacks[model]?.last != digest { stacks[model, default: []].append(digest) }
            if let count = stacks[model]?.count, count > Self.stackMax { stacks[model]?.removeFirst(count - Self.stackMax) }
            turn(model, to: digest, by: actor, at: time, isRollback: false)
        case .rolledBack(let model, let report): rollBack(model, report, by: actor, at: time)
        case .suspended(let digest, let reason):
            leaveService(digest, .suspended, at: time)
            versions[digest]?.reason = reason
        case .retired(let digest): leaveService(digest, .retired, at: time)
        case .rulesProposed(let rules): propose(rules, by: actor, at: time)
        case .rulesConfirmed: confirm(by: actor, at: time)
        case .stopped(let reason): stop = Stop(by: actor.name, reason: reason, time: time)
        case .started: stop = nil
        }
    }

    /// The status of a version that is in no role, by what is known of it.
    private func idleStatus(_ version: Version, at time: Timestamp) -> Status {
        if let evaluation = version.evaluation, !evaluation.passed, version.override == nil, version.rules.needsEvaluation {
            return .refused
        }
        if version.standingApprovals(at: time).count >= max(1, version.rules.rollout.approvals) { return .approved }
        return version.evaluation == nil ? .candidate : .evaluated
    }

    mutating func settle(_ digest: Digest, at time: Timestamp) {
        guard let version = versions[digest], [.candidate, .evaluated, .refused, .approved].contains(version.status) else { return }
        let status = idleStatus(version, at: time)
        versions[digest]?.status = status
    }

    private mutating func leaveRole(_ digest: Digest, at time: Timestamp) {
        guard var version = versions[digest] else { return }
        version.canary = nil
        version.status = idleStatus(version, at: time)
        versions[digest] = version
    }

    private mutating func restage(_ digest: Digest, _ actor: Actor, _ time: Timestamp) {
        guard var version = versions[digest] else { return }
        (version.status, version.staged) = (.candidate, time)
        (version.evaluation, version.override, version.approvals, version.reason) = (nil, nil, [], nil)
        version.submitters.formUnion([actor.name, actor.person])
        versions[digest] = version
    }

    private mutating func leaveService(_ digest: Digest, _ status: Status, at time: Timestamp) {
        guard let version = versions[digest] else { return }
        if version.status == .live { endPeriod(version.model, at: time) }
        versions[digest]?.canary = nil
        versions[digest]?.status = status
    }

    private mutating func rollBack(_ model: String, _ report: JSONValue?, by actor: Actor, at time: Timestamp) {
        if let canary = canaryToEnd(model) {
            leaveService(canary.digest, .suspended, at: time)
            versions[canary.digest]?.wasRolledBack = true
            versions[canary.digest]?.reason = report?["reason"]?.stringValue ?? "rolled back by \(actor.name)"
            return
        }
        guard let target = rollbackTarget(model) else { return }
        if let live = live(model) { versions[live.digest]?.wasRolledBack = true }
        while stacks[model]?.last != target { stacks[model]?.removeLast() }
        turn(model, to: target, by: actor, at: time, isRollback: true)
    }

    private mutating func turn(_ model: String, to digest: Digest, by actor: Actor, at time: Timestamp, isRollback: Bool) {
        for (other, version) in versions where version.model == model && other != digest {
            switch version.status {
            case .live: versions[other]?.status = .superseded
            // It was held against a version that answers no more.
            case .canary, .shadow: leaveRole(other, at: time)
            default: continue
            }
        }
        guard var version = versions[digest] else { return }
        (version.status, version.liveSince, version.canary, version.wasRolledBack) = (.live, time, nil, false)
        versions[digest] = version
        endPeriod(model, at: time)
        history[model, default: []].append(
            Period(
                digest: digest, since: time, by: actor.name, approvals: version.standingApprovals(at: time), evidence: version.evidence,
                configuration: version.configuration, isRollback: isRollback))
    }

    private mutating func endPeriod(_ model: String, at time: Timestamp) {
        guard let last = history[model]?.indices.last, history[model]?[last].until == nil else {
            return
        }
        history[model]?[last].until = time
    }
}
