// Canaries and shadows: begun by a person or by the plan, and ended by either.

import Codec
import Cryptography
import Study
import Telemetry

extension Deployments {
    /// Lets a version score what the live one scores, never shown.
    package func beginShadow(_ digest: Digest, by actor: Actor) throws(ServingError) {
        try changes.withLock { () throws(ServingError) in
            try check(.shadowed(digest), by: actor)
            let model = try beside(try load(digest))
            try change(.shadowed(digest), by: actor)
            let lane = ShadowLane(model, since: clock.now())
            swap { table in
                table.remove(digest)
                table.shadows[model.package.name] = lane
            }
        }
    }

    /// Lets a version answer a share of the requests.
    /// - Parameter terms: steps and guardrails; nil takes the plan's. A plan's own cannot be replaced.
    package func beginCanary(_ digest: Digest, terms: CanaryPlan?, by actor: Actor) throws(ServingError) {
        try changes.withLock { () throws(ServingError) in
            guard let version = current.versions[digest] else { throw .unknownVersion }
            guard terms == nil || version.rules.rollout.canary == nil else {
                throw .deployment(problem: "the version's plan says how its canary goes; send no terms")
            }
            let event = DeploymentState.Event.canaried(digest, version.rules.rollout.canary ?? terms ?? CanaryPlan())
            try check(event, by: actor)
            let model = try beside(try loaded(digest))
            try change(event, by: actor)
            try putCanary(model)
        }
    }

    /// Carries out what a trial came to, if the canary is still what it was.
    func settle(_ verdict: CanaryTrial.Verdict, _ lane: CanaryLane) throws(ServingError) {
        let (digest, node) = (lane.model.package.digest, Actor.node(site))
        try changes.withLock { () throws(ServingError) in
            guard let version = current.versions[digest], let standing = version.canary, live.canaries[version.model] === lane else { return }
            switch verdict {
            case .goOn: return
            case .advance:
                try change(.advanced(digest, step: standing.step + 1, report: lane.report()), by: node)
                try putCanary(lane.model, trial: lane.trial.withLock { $0 })
            case .promote:
                try change(.madeLive(digest, report: lane.report()), by: node)
                swap { $0.putLive(lane.model) }
            case .stop(let reason):
                try change(.rolledBack(model: version.model, report: lane.report(reason)), by: node)
                swap { $0.remove(digest) }
            case .end(let reason):
                try change(.unstaged(digest, report: lane.report(reason)), by: node)
                swap { $0.remove(digest) }
            }
        }
    }

    private func putCanary(_ model: DeployedModel, trial: CanaryTrial? = nil) throws(ServingError) {
        guard let standing = current.versions[model.package.digest]?.canary else { return }
        var trial = trial
        trial?.proceed(to: standing)
        let lane = CanaryLane(model, standing, trial: trial)
        swap { table in
            table.remove(model.package.digest)
            table.canaries[model.package.name] = lane
        }
    }

    /// A version that answers what was read for the live one: the features are the same.
    private func beside(_ model: DeployedModel) throws(ServingError) -> DeployedModel {
        guard let live = live.models[model.package.name], live.package.schema.features == model.package.schema.features else {
            throw .deployment(problem: "its features are not those of the live version, so it cannot score the same rows; use standby and promote")
        }
        return model
    }

    /// Loads canaries and shadows again at a start.
    func restoreLanes(_ model: String, _ folded: DeploymentState) throws(ServingError) {
        if let version = folded.version(of: model, in: .canary), let standing = version.canary {
            let lane = CanaryLane(try beside(try load(version.digest)), standing)
            swap { $0.canaries[model] = lane }
        }
        if let version = folded.version(of: model, in: .shadow) {
            let lane = ShadowLane(try beside(try load(version.digest)), since: clock.now())
            swap { $0.shadows[model] = lane }
        }
    }

    /// Changes the table; shadows that are in it no more end.
    func swap(_ edit: (inout LiveTable) -> Void) {
        let ended = table.withLock { table in
            let before = table.shadows.values
            edit(&table)
            let after = table.shadows.values
            return before.filter { old in !after.contains { $0 === old } }
        }
        for shadow in ended { shadow.stop() }
    }

    /// What was seen of a version in its role, for the log.
    func report(on digest: Digest, reason: String? = nil) -> JSONValue? {
        let table = live
        if let lane = table.canaries.values.first(where: { $0.model.package.digest == digest }) {
            return lane.trial.withLock { $0.report(reason: reason) }
        }
        return table.shadows.values.first { $0.model.package.digest == digest }?.report
    }

    /// What is seen of shadows and canaries, as metrics.
    func setMetrics(_ metrics: Telemetry.Metrics) {
        let table = live
        for (name, lane) in table.shadows {
            let (summary, dropped) = lane.figures
            set(metrics, "shadow", name, summary)
            metrics.set("consilium_shadow_dropped_rows", [("model", name)], to: Double(dropped), help: "Rows that a shadow had no time for.")
        }
        for (name, lane) in table.canaries { set(metrics, "canary", name, lane.trial.withLock { $0.differences }) }
    }

    private func set(_ metrics: Telemetry.Metrics, _ role: String, _ model: String, _ summary: DifferenceSummary) {
        let labels = [("model", model), ("role", role)]
        metrics.set("consilium_trial_rows", labels, to: Double(summary.rows), help: "Rows that a version on trial scored beside the live one.")
        metrics.set("consilium_trial_errors", labels, to: Double(summary.errors), help: "Rows on which it gave no usable score.")
        metrics.set("consilium_trial_flips", labels, to: Double(summary.flips), help: "Rows on which it decides otherwise.")
        var total = 0
        for (bound, count) in zip(DifferenceSummary.bounds, summary.counts) {
            total += count
            metrics.set(
                "consilium_trial_difference_rows", labels + [("le", "\(bound)")], to: Double(total),
                help: "Rows on which its probability is within so much of the live version's.")
        }
    }

    /// `GET /v1/rollout`: what is seen of the versions beside the live ones, now.
    func lanesJSON() -> JSONValue {
        let (table, state) = (live, current)
        func number(_ value: Double) -> JSONValue { value.isFinite ? .number(value) : .null }
        func head(_ model: DeployedModel) -> [String: JSONValue] {
            ["digest": .string(model.digestHex), "version": .integer(Int64(model.package.version))]
        }
        return [
            "stopped": .bool(table.stop != nil),
            "models": .array(
                state.models.map { name in
                    let canary = table.canaries[name].map { lane in
                        JSONValue.object(
                            head(lane.model).merging(lane.trial.withLock { $0.members(number) }) { $1 }
                                .merging(["begun": .string(lane.begun.iso8601)]) { $1 })
                    }
                    let shadow = table.shadows[name].map { lane in
                        JSONValue.object(
                            head(lane.model).merging(lane.members(number)) { $1 }.merging(["since": .string(lane.since.iso8601)]) { $1 })
                    }
                    return [
                        "name": .string(name), "live": table.models[name].map { .object(head($0)) } ?? .null, "canary": canary ?? .null,
                        "shadow": shadow ?? .null, "standby": table.standbys[name].map { .object(head($0)) } ?? .null,
                    ]
                }),
        ]
    }
}
