// Groups of a round with more sites than one complete graph should have. Experimental.
// `protocol/secure-aggregation.md` §6.3.
//
//     order  = shuffle of the ordinals of U1 with seed H("graph"; ctx, ρ)
//     groups = consecutive blocks of g; what is left over joins the last block: g … 2g − 1 sites each
//
// The partition follows from the descriptor and the roster alone, so every site computes it for itself.

import Cryptography

/// One group and its place in the round. Copies share their arrays.
struct RosterGroup: Equatable, Sendable {
    /// From 0, in the order of the shuffle.
    let number: UInt32
    /// All groups: ordinals in the whole roster, ascending within a group.
    let partition: [[Int]]
    /// Manifest indices of the whole roster, ascending.
    let roundSites: [UInt32]

    var members: [Int] { partition[Int(number)] }

    /// - Parameters:
    ///   - seed: H("graph"; ctx, ρ).
    ///   - size: g, at least 1.
    /// - Returns: the groups of so many ordinals; one group when there are fewer than 2g.
    static func partition(seed: Digest, count: Int, size: Int) -> [[Int]] {
        let order = GroupPermutation.order(seed: seed, count: count)
        let groups = max(1, count / size)
        return (0..<groups).map { group in
            let end = group == groups - 1 ? count : (group + 1) * size
            return order[group * size..<end].sorted()
        }
    }
}

extension Roster {
    /// All groups of this whole roster.
    func groups(size: Int, context: Digest) -> [Roster] {
        let partition = RosterGroup.partition(
            seed: Transcript.hash(.graph, context.bytes, hash.bytes), count: count, size: size)
        let sites = sites
        return partition.indices.map { number in
            Roster(
                self,
                group: RosterGroup(
                    number: UInt32(number), partition: partition, roundSites: sites))
        }
    }

    /// The sites that `site` of this whole roster shares with: its group, or all when there are no groups.
    func graph(of site: UInt32, groupSize: Int?, context: Digest) -> Roster {
        guard let groupSize, let ordinal = ordinal(of: site) else { return self }
        let partition = RosterGroup.partition(
            seed: Transcript.hash(.graph, context.bytes, hash.bytes), count: count, size: groupSize)
        guard let number = partition.firstIndex(where: { $0.contains(ordinal) }) else {
            preconditionFailure("every ordinal is in one group")
        }
        return Roster(
            self,
            group: RosterGroup(number: UInt32(number), partition: partition, roundSites: sites))
    }

    /// Manifest indices of all sites that advertised, whatever group this is.
    var roundSites: [UInt32] { group?.roundSites ?? sites }

    /// Whether a published survivor list can belong to a round in which this graph's survivors were `own`: equal to it
    /// or, in groups, equal to it on this group, at least n_min sites, and of each other group nobody or at least
    /// its threshold.
    func isResult(_ survivors: SiteSet, over own: SiteSet, _ cohort: CohortTerms) -> Bool {
        guard let group else { return survivors == own }
        guard survivors.count >= cohort.minimum else { return false }
        let inOwn = group.members.indices.filter { survivors.contains(group.members[$0]) }
        guard inOwn == own.ordinals else { return false }
        return group.partition.allSatisfy { members in
            let present = members.count { survivors.contains($0) }
            return present == 0
                || present >= max(
                    cohort.threshold.threshold(sites: members.count), cohort.graphMinimum)
        }
    }

    /// What the result of the round is bound to: `own`, the transcript of this graph; in groups one transcript for all
    /// of them, without h2 and with h3 = H("u3"; ctx, ρ, zeros, bitmap over the whole roster).
    func resultTranscript(_ own: ConfirmedTranscript, _ survivors: SiteSet) -> ConfirmedTranscript {
        group == nil ? own : .ofAllGroups(survivors, context: own.context, roster: hash)
    }
}

extension ConfirmedTranscript {
    /// The transcript that a result over several groups is signed for.
    static func ofAllGroups(_ survivors: SiteSet, context: Digest, roster: Digest)
        -> ConfirmedTranscript
    {
        ConfirmedTranscript(
            context: context, roster: roster, sharers: .zero,
            survivors: Transcript.hash(
                .survivors, context.bytes, roster.bytes, Digest.zero.bytes, survivors.bytes))
    }
}
