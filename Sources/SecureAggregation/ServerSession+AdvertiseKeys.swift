// M1 in, M2 out.

import Cryptography

extension ServerSession {
    mutating func takeAdvertisement(_ message: [UInt8], _ site: UInt32) throws(AggregationRefusal) {
        let advertisement = try Advertisement(message: message)
        guard advertisement.site == site else { throw AggregationRefusal(.signatureInvalid) }
        guard try !isRepeat(advertisements[site], advertisement) else { return }
        try require(.advertiseKeys)
        guard !gone.contains(site) else { throw AggregationRefusal(.tooLate) }
        guard advertisement.isSigned(by: try key(of: site), context: context) else {
            throw AggregationRefusal(.signatureInvalid)
        }
        guard advertisement.channelKey != advertisement.maskKey,
            !publicKeys.contains(advertisement.channelKey),
            !publicKeys.contains(advertisement.maskKey)
        else { throw AggregationRefusal(.rosterDuplicate) }
        publicKeys.formUnion([advertisement.channelKey, advertisement.maskKey])
        advertisements[site] = advertisement
    }

    /// A ledger that went back: an older copy of the site's directory was restored. The site is told and left out, so that
    /// its peers, who remember the head too, need not refuse the whole round.
    mutating func refuseOldLedger(_ site: UInt32) -> [ServerAction]? {
        guard let known = knownLedgerHeads[site], let head = advertisements[site]?.ledgerHead, !head.follows(known) else { return nil }
        advertisements[site] = nil
        gone.insert(site)
        let refusal = AggregationRefusal(.ledgerHeadRegressed, site: site)
        return [.send(to: site, message: abortMessage(refusal)), .suspect(site, .ledgerHeadRegressed)]
    }

    /// Heads of the privacy ledgers of the sites in the round, by site.
    package var ledgerHeads: [UInt32: LedgerHead] { advertisements.mapValues(\.ledgerHead) }

    mutating func endAdvertiseKeys() -> [ServerAction] {
        let present = advertisements.values.filter { !gone.contains($0.site) }
        let bounds = descriptor.cohort
        guard present.count >= max(bounds.minimum, bounds.groupSize ?? 0, AggregationLimits.sitesMin) else {
            return abort(AggregationRefusal(.tooFewSites))
        }
        guard present.count <= min(bounds.maximum, bounds.rosterMax) else {
            return abort(AggregationRefusal(.rosterTooLarge))
        }
        let roster = Roster(Array(present), context: context)
        let dismissed = dismiss(invited.filter { roster.ordinal(of: $0) == nil })
        self.roster = roster
        let message = roster.message
        return dismissed + roster.sites.map { .send(to: $0, message: message) }
            + [enter(.shareKeys, deadlineMilliseconds: descriptor.deadlines.shareKeys)]
    }
}
