// What people and the node do with an installed version. Each is one entry of the log, durable before it takes effect.

import Codec
import Cryptography
import Study
import Tabular
import Telemetry

extension Deployments {
    /// Scores a version on this site's own labelled rows and notes the result.
    /// - Throws: `ServingError.unknownVersion`, or `.deployment` when the rows do not fit.
    package func evaluate(_ digest: Digest, on rows: Table, actor: String) throws(ServingError)
        -> [String: Double]
    {
        let metrics = try load(digest).evaluate(rows)
        try note(Evaluation(metrics: metrics, time: clock.now()), of: digest, by: .node(actor))
        return metrics
    }

    /// Notes what a version reached on this site's own rows, held against its plan.
    package func note(_ evaluation: Evaluation, of digest: Digest, by actor: Actor) throws(ServingError) {
        try changes.withLock { () throws(ServingError) in try change(.evaluated(digest, evaluation), by: actor) }
    }

    /// A version that was out of service is a candidate again.
    package func restage(_ digest: Digest, by actor: Actor) throws(ServingError) {
        try changes.withLock { () throws(ServingError) in
            _ = try load(digest)
            try change(.restaged(digest), by: actor)
        }
    }

    /// A person's yes to the version with these hashes.
    package func approve(_ digest: Digest, configuration: Digest, evidence: Digest, by actor: Actor) throws(ServingError) {
        try changes.withLock { () throws(ServingError) in
            guard let version = current.versions[digest] else { throw .unknownVersion }
            let expires = clock.now().adding(seconds: 3600 * Double(version.rules.rollout.approvalHours))
            try change(.approved(digest, configuration: configuration, evidence: evidence, expires: expires), by: actor)
        }
        guard current.versions[digest]?.status == .approved else { return }
        beginIfAutomatic(digest)
    }

    /// Puts a version to use whose plan asks no person for it, when nothing is in its way. What happened so far stands,
    /// whatever becomes of this step.
    package func beginIfAutomatic(_ digest: Digest) {
        let state = current
        guard let version = state.versions[digest], version.rules.isAutomatic, [.evaluated, .approved].contains(version.status),
            (try? state.checkClearance(version, at: clock.now())) != nil
        else { return }
        do {
            if version.rules.rollout.canary != nil, state.live(version.model) != nil {
                try beginCanary(digest, terms: nil, by: .node(site))
            } else {
                try makeLive(digest, by: .node(site))
            }
        } catch {
            logger.error("deployment.not-begun", [("digest", .name(digest.hex)), ("problem", .name("\(error)"))])
        }
    }

    /// An overseer lets a version through that missed a bound, where the site's policy allows it.
    package func override(_ digest: Digest, reason: String, by actor: Actor) throws(ServingError) {
        try changes.withLock { () throws(ServingError) in try change(.overridden(digest, reason: reason), by: actor) }
    }

    /// Loads a version so that it can go live at once.
    package func standBy(_ digest: Digest, by actor: Actor) throws(ServingError) {
        try changes.withLock { () throws(ServingError) in
            let loaded = try load(digest)
            try change(.stoodBy(digest), by: actor)
            swap { table in
                table.remove(digest)
                table.standbys[loaded.package.name] = loaded
            }
        }
    }

    /// Lets a version answer from the next request on. For one that is live already this only loads it again, which heals
    /// a node whose copy was damaged and fetched anew.
    /// - Throws: `ServingError.unknownVersion`, `.deployment` when its package is damaged, `.logUnavailable`.
    package func makeLive(_ digest: Digest, by actor: Actor, report: JSONValue? = nil) throws(ServingError) {
        try changes.withLock { () throws(ServingError) in
            let loaded = try loaded(digest)
            if current.versions[digest]?.status != .live {
                try change(.madeLive(digest, report: report), by: actor)
            }
            swap { $0.putLive(loaded) }
        }
    }

    /// A version that is loaded already, else loaded. One that is live is loaded anew: its copy may be damaged.
    func loaded(_ digest: Digest) throws(ServingError) -> DeployedModel {
        let table = live
        if let ready = (table.standbys.values + table.canaries.values.map(\.model)).first(where: { $0.package.digest == digest }) {
            return ready
        }
        return try load(digest)
    }

    /// The same by the node itself.
    package func makeLive(_ digest: Digest, actor: String) throws(ServingError) { try makeLive(digest, by: .node(actor)) }

    /// Brings the version back that was live before.
    /// - Parameter model: may be nil when the node has one model.
    /// - Returns: the digest that is live now.
    /// - Throws: `ServingError.unknownModel`, `.nothingToRollBack`, `.deployment` when its package is damaged.
    @discardableResult
    package func rollback(_ model: String?, by actor: Actor, report: JSONValue? = nil) throws(ServingError) -> Digest {
        try changes.withLock { () throws(ServingError) -> Digest in
            let state = current
            guard let name = model ?? (state.models.count == 1 ? state.models.first : nil) else { throw .unknownModel }
            let event = DeploymentState.Event.rolledBack(model: name, report: report)
            try check(event, by: actor)
            if let canary = state.canaryToEnd(name), let live = state.live(name) {
                try change(.rolledBack(model: name, report: report ?? self.report(on: canary.digest)), by: actor)
                swap { $0.remove(canary.digest) }
                return live.digest
            }
            guard let target = state.rollbackTarget(name) else { throw .nothingToRollBack }
            let loaded = try loaded(target)
            try change(event, by: actor)
            swap { $0.putLive(loaded) }
            return target
        }
    }

    /// The same by the node itself.
    @discardableResult
    package func rollback(_ model: String?, actor: String) throws(ServingError) -> Digest {
        try rollback(model, by: .node(actor))
    }

    /// Takes a version out because something is wrong with it.
    package func suspend(_ digest: Digest, reason: String, by actor: Actor) throws(ServingError) {
        try takeOut(.suspended(digest, reason: reason), digest, by: actor)
    }

    /// Takes a version out of service.
    package func retire(_ digest: Digest, by actor: Actor) throws(ServingError) {
        try takeOut(.retired(digest), digest, by: actor)
    }

    /// Takes a model out of service: nothing answers for it until a version is made live.
    /// - Throws: `ServingError.unknownModel`, `.deployment` when it is out of service already, `.logUnavailable`.
    package func retire(_ model: String, by actor: Actor) throws(ServingError) {
        let state = current
        guard state.models.contains(model) else { throw .unknownModel }
        guard let digest = state.live(model)?.digest else { throw .deployment(problem: "no version of this model is live") }
        try retire(digest, by: actor)
    }

    /// Ends a shadow, canary or standby; what was seen of it goes into the log.
    package func unstage(_ digest: Digest, by actor: Actor, reason: String? = nil) throws(ServingError) {
        try takeOut(.unstaged(digest, report: report(on: digest, reason: reason)), digest, by: actor)
    }

    private func takeOut(_ event: DeploymentState.Event, _ digest: Digest, by actor: Actor) throws(ServingError) {
        try changes.withLock { () throws(ServingError) in
            try change(event, by: actor)
            swap { $0.remove(digest) }
        }
    }

    /// Refuses every prediction from now on. The refusal holds at once, even while the log cannot be written, and it is
    /// durable when this returns.
    package func stop(reason: String, by actor: Actor) throws(ServingError) {
        try changes.withLock { () throws(ServingError) in
            try check(.stopped(reason: reason), by: actor)
            let now = clock.now()
            table.withLock { $0.stop = DeploymentState.Stop(by: actor.name, reason: reason, time: now) }
            try change(.stopped(reason: reason), by: actor)
        }
    }

    /// Lifts a stop.
    package func start(reason: String, by actor: Actor) throws(ServingError) {
        try changes.withLock { () throws(ServingError) in
            if current.stop == nil, live.stop != nil {
                // The stop never became durable; there is nothing in the log to lift.
                try check(.stopped(reason: reason), by: actor)
            } else {
                try change(.started(reason: reason), by: actor)
            }
            table.withLock { $0.stop = nil }
        }
    }
}
