// M6 → M7: check who remains, promise this one list and no other, sign it.

import Cryptography

extension ClientSession {
    struct Confirmed: Sendable {
        let roster: Roster
        let threshold: Int
        let sharers: SiteSet
        let survivors: SiteSet
        let transcript: ConfirmedTranscript
        let held: SecretTable
    }

    mutating func confirmSurvivors(_ message: [UInt8], _ state: Masked) throws(AggregationRefusal)
        -> [ClientAction]
    {
        guard let descriptor else { throw AggregationRefusal(.unexpectedMessage) }
        let roster = state.roster
        let survivors = try SurvivorList.survivors(message, roster: roster)
        guard survivors.isSubset(of: state.sharers) else {
            throw AggregationRefusal(.survivorsNotSharers)
        }
        guard let ownOrdinal = roster.ordinal(of: siteIndex), survivors.contains(ownOrdinal) else {
            throw AggregationRefusal(.survivorsWithoutSelf)
        }
        let sites = roster.sites(survivors)
        try policy.checkSurvivors(sites, rosterCount: roster.count, descriptor: descriptor)
        let hash = SurvivorList.hash(
            survivors, context: context, roster: roster, sharers: state.sharersHash)
        try checkLatches(hash, sites, descriptor)

        let transcript = ConfirmedTranscript(
            context: context, roster: roster.hash, sharers: state.sharersHash, survivors: hash)
        step = .confirmed(
            Confirmed(
                roster: roster, threshold: state.threshold, sharers: state.sharers,
                survivors: survivors,
                transcript: transcript, held: state.held))
        let confirmation = SurvivorConfirmation(
            site: siteIndex, signature: transcript.sign(with: identity))
        let record = LatchRecord.signedSurvivors(
            task: descriptor.task, context: context, survivors: hash)
        return [latch(record), .send(confirmation.message)]
    }

    /// One list per context; and a retry of a round whose shares were already revealed must have the same
    /// survivors unless fresh noise makes the two sums incomparable.
    private func checkLatches(
        _ hash: Digest, _ sites: [UInt32], _ descriptor: RoundDescriptor
    ) throws(AggregationRefusal) {
        guard let past = history.task(descriptor.task) else { return }
        if past.context == context, let signed = past.signedSurvivors, signed != hash {
            throw AggregationRefusal(.survivorsConflict)
        }
        let redrawsNoise = descriptor.privacy.mode != .none && descriptor.privacy.mode != .central
        if past.unmaskedRound == descriptor.round, !redrawsNoise,
            past.unmaskedSurvivorSet != SurvivorList.setDigest(sites)
        {
            throw AggregationRefusal(.survivorsDifferOnRetry)
        }
    }

    /// The list came before this site's vector was sent.
    func missedSurvivors(_ message: [UInt8], _ state: Delivered) throws(AggregationRefusal)
        -> [ClientAction]
    {
        let survivors = try SurvivorList.survivors(message, roster: state.roster)
        let isListed = state.roster.ordinal(of: siteIndex).map(survivors.contains) ?? false
        throw AggregationRefusal(isListed ? .unexpectedMessage : .survivorsWithoutSelf)
    }
}
