// M3 in, M4 out.

import Cryptography

extension ServerSession {
    mutating func takeShares(_ message: [UInt8], _ site: UInt32) throws(AggregationRefusal) {
        let sent = try EncryptedShares(message: message)
        guard sent.from == site else { throw AggregationRefusal(.signatureInvalid) }
        try require(.shareKeys)
        guard try !isRepeat(shares[site], sent) else { return }
        guard let roster, roster.ordinal(of: site) != nil, !gone.contains(site) else {
            throw AggregationRefusal(.tooLate)
        }
        guard sent.isSigned(by: try key(of: site), context: context, roster: roster, message: message) else {
            throw AggregationRefusal(.signatureInvalid)
        }
        guard sent.boxes.map(\.peer) == roster.sites.filter({ $0 != site }) else {
            throw AggregationRefusal(.deliveryIncomplete)
        }
        shares[site] = sent
    }

    mutating func endShareKeys() -> [ServerAction] {
        guard let roster, let threshold else { return [] }
        let present = roster.sites.indices.filter {
            shares[roster.sites[$0]] != nil && !gone.contains(roster.sites[$0])
        }
        guard present.count >= max(threshold, descriptor.cohort.graphMinimum) else {
            return abort(AggregationRefusal(.tooFewSites))
        }
        let sharers = SiteSet(present, capacity: roster.count)
        let sites = roster.sites(sharers)
        let dismissed = dismiss(roster.sites.filter { !sites.contains($0) })
        self.sharers = sharers
        collection.open(sharersHash: Delivery.hash(sharers, context: context, roster: roster))
        let senders = roster.ordinals(sharers).compactMap { ordinal, site in
            shares[site].map { (ordinal: ordinal, site: site, boxes: $0.boxes) }
        }
        let deliveries = roster.ordinals(sharers).map { ordinal, site -> ServerAction in
            var boxes: [EncryptedShares.Box] = []
            boxes.reserveCapacity(senders.count)
            for sender in senders where sender.site != site {
                // A sender's boxes skip its own place.
                let place = ordinal < sender.ordinal ? ordinal : ordinal - 1
                boxes.append(EncryptedShares.Box(peer: sender.site, sealed: sender.boxes[place].sealed))
            }
            return .send(to: site, message: Delivery(sharers: sharers, boxes: boxes).message)
        }
        // Delivered: nothing needs the sealed shares any more.
        shares = [:]
        return dismissed + deliveries
            + [enter(.maskedInput, deadlineMilliseconds: descriptor.deadlines.maskedInput)]
    }
}
