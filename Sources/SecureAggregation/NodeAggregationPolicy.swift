// A site's own rules for taking part in a sum. They stand in a local file; the coordinator may propose
// stricter values and cannot relax any. `protocol/secure-aggregation.md` §7.

import Cryptography

/// A policy value below its hard floor or above its ceiling.
package struct AggregationPolicyError: Error, Equatable, CustomStringConvertible {
    package let field: String
    package let rule: String

    package var description: String { "aggregation policy: \(field) must be \(rule)" }
}

/// The rules. Set fields, then ``validated()``.
package struct NodeAggregationPolicy: Equatable, Sendable {
    /// n_min: sites in the roster, among the sharers and among the survivors. Floor 3.
    package var minimumCohort = 5
    /// c: sites assumed to collude with the coordinator; nil means max(1, ⌈n/3⌉ − 1). Floor 1.
    package var assumedColluders: Int?
    /// Lower bound on ``assumedColluders``, where a plan assumes more than the policy does.
    package var minimumColluders = 1
    /// Sites left in the sum besides the assumed colluders. Floor 2, needed for three or four sites.
    package var minimumHonest = 3
    /// Sites (manifest indices) this site trusts not to collude.
    package var trustedSites: Set<UInt32> = []
    /// How many of them must be in the roster and among the survivors; 0 turns the rule off.
    package var trustedQuorum = 0
    /// Largest share of the last published total weight that this site's weight may be. Ceiling 0.9.
    package var maximumWeightShare = 0.5
    /// Masked vectors per (task, model), all within one round, each with fresh keys.
    package var attemptsMax = 2
    /// Architecture hashes this site takes part for; others are refused.
    package var allowedArchitectures: Set<Digest> = []
    /// Configuration hashes (consented plans, work orders) this site takes part for; others are refused.
    package var allowedConfigurations: Set<Digest> = []
    /// Privacy modes this site takes part in. Add ``PrivacyMode/none`` to opt in to exact sums.
    package var allowedPrivacyModes: Set<PrivacyMode> = [
        .recordLocal, .recordDistributed, .siteDistributed,
    ]
    package var minimumNoiseMultiplier = 0.3
    package var maximumSamplingRate = 1.0
    package var maximumDelta = 1e-5
    /// Largest clipping bound B of a tensor and clipping norm C.
    package var maximumClip = 1e9
    package var maximumElements = AggregationLimits.elementsMax
    package var fractionBits = -31...31
    /// Accept a model that builds on a result this node never saw, as after missing a round. A node that fetches
    /// missed results does not need it.
    package var acceptsUnknownPreviousResult = false
    /// Experimental: take part in rounds whose sites share within groups, §6.3. The coordinator then learns the sum of
    /// every group, so the rules about cohort, colluders, honest and trusted sites hold for this site's own group, and at least
    /// the default number of colluders is assumed in it.
    package var acceptsExperimentalGroups = false
    /// The smallest group size; tests alone set it lower.
    var minimumGroupSize = AggregationLimits.groupSitesMin
    /// Sites (manifest indices) that the coordinator's log names for the round; a roster with another is refused.
    /// Nil where no log is held against the round.
    package var loggedSites: Set<UInt32>?

    package init() {}

    static let minimumCohortFloor = AggregationLimits.sitesMin
    static let minimumHonestFloor = 2
    static let assumedColludersFloor = 1
    static let weightShareCeiling = 0.9

    /// The same policy, if no field is beyond its hard limit.
    package func validated() throws(AggregationPolicyError) -> NodeAggregationPolicy {
        guard minimumCohort >= Self.minimumCohortFloor else {
            throw AggregationPolicyError(
                field: "minimumCohort", rule: "at least \(Self.minimumCohortFloor)")
        }
        guard (assumedColluders ?? Self.assumedColludersFloor) >= Self.assumedColludersFloor else {
            throw AggregationPolicyError(
                field: "assumedColluders", rule: "at least \(Self.assumedColludersFloor)")
        }
        guard minimumHonest >= Self.minimumHonestFloor else {
            throw AggregationPolicyError(
                field: "minimumHonest", rule: "at least \(Self.minimumHonestFloor)")
        }
        guard maximumWeightShare > 0, maximumWeightShare <= Self.weightShareCeiling else {
            throw AggregationPolicyError(
                field: "maximumWeightShare", rule: "above 0 and at most \(Self.weightShareCeiling)")
        }
        guard (0...trustedSites.count).contains(trustedQuorum) else {
            throw AggregationPolicyError(
                field: "trustedQuorum", rule: "between 0 and the number of trusted sites")
        }
        guard attemptsMax >= 1 else {
            throw AggregationPolicyError(field: "attemptsMax", rule: "at least 1")
        }
        return self
    }

    /// c_policy for a cohort of n.
    package func colluders(sites n: Int) -> Int {
        max(minimumColluders, assumedColluders ?? Self.defaultColluders(sites: n))
    }

    /// c_policy for a graph of n. In a group never less than the default: chance and the coordinator decide who is
    /// in it.
    func colluders(sites n: Int, _ cohort: CohortTerms) -> Int {
        let assumed = colluders(sites: n)
        return cohort.groupSize == nil ? assumed : max(assumed, Self.defaultColluders(sites: n))
    }

    /// Colluding sites assumed among n where nothing else is said: just under a third, max(1, ⌈n/3⌉ − 1).
    package static func defaultColluders(sites n: Int) -> Int { max(1, (n + 2) / 3 - 1) }

    func hasTrustedQuorum(_ sites: [UInt32]) -> Bool {
        trustedQuorum == 0 || sites.count { trustedSites.contains($0) } >= trustedQuorum
    }
}
