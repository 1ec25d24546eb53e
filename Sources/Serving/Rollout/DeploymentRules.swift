// What a version needs before it is put to use, as its plan and its site have it. The rules stand in the entry that
// installs the version, so the state of every version follows from the log alone.

import Codec
import Cryptography
import Study

/// The rules of one version.
package struct DeploymentRules: Equatable, Sendable {
    /// Approvals and canary; bounds are held by whoever evaluates and stand in the evidence.
    package var rollout: RolloutPlan
    /// Whether the version must have passed on this site's own held-out rows.
    package var needsEvaluation: Bool
    /// Whether the node takes the steps that nobody has to decide.
    package var isAutomatic: Bool
    /// Whether an overseer may let a version through that missed a bound.
    package var allowsOverride: Bool
    /// The plan that the rules come from.
    package var plan: Digest?
    /// The site's own rules that they come from, where there is no plan.
    package var site: Digest?

    /// The rules of a version that came with no plan: no evaluation, no approval, nothing by itself.
    package init(
        rollout: RolloutPlan = RolloutPlan(), needsEvaluation: Bool = false, isAutomatic: Bool = false, allowsOverride: Bool = false,
        plan: Digest? = nil
    ) {
        self.rollout = rollout
        (self.rollout.groupGaps, self.rollout.notWorseThanLive) = ([], [])
        (self.needsEvaluation, self.isAutomatic, self.allowsOverride) = (needsEvaluation, isAutomatic, allowsOverride)
        self.plan = plan
    }

    /// The text that a log entry holds: entries hold no fractions, so the rules stand there as one text.
    var text: String {
        var object: [String: JSONValue] = [
            "rollout": rollout.json, "needsEvaluation": .bool(needsEvaluation), "automatic": .bool(isAutomatic),
            "allowsOverride": .bool(allowsOverride),
        ]
        object["plan"] = plan.map { .string($0.hex) }
        object["site"] = site.map { .string($0.hex) }
        return String(decoding: JSONValue.object(object).canonicalBytes(), as: UTF8.self)
    }

    /// nil for a text that this program did not write.
    init?(text: String) {
        guard let value = try? JSONValue.parse(Array(text.utf8), dialect: .strict),
            var fields = try? JSONFields(value, path: "rules"),
            let rollout = try? fields.optionalFields("rollout").map(RolloutPlan.init),
            let needsEvaluation = try? fields.bool("needsEvaluation"), let isAutomatic = try? fields.bool("automatic"),
            let allowsOverride = try? fields.bool("allowsOverride")
        else { return nil }
        self.init(
            rollout: rollout, needsEvaluation: needsEvaluation, isAutomatic: isAutomatic, allowsOverride: allowsOverride,
            plan: (try? fields.optionalString("plan")).flatMap { $0.flatMap { Digest(hex: $0) } })
        site = (try? fields.optionalString("site")).flatMap { $0.flatMap { Digest(hex: $0) } }
    }

    /// What a site asks of versions without a plan.
    init(_ rules: SiteRules) {
        self.init(rollout: rules.deployment.rollout ?? RolloutPlan(), needsEvaluation: true, allowsOverride: rules.allowsOverride)
        site = rules.digest
    }
}
