// M7 in, M8 out, as soon as t survivors have signed.

import Cryptography

extension ServerSession {
    mutating func takeConfirmation(_ message: [UInt8], _ site: UInt32) throws(AggregationRefusal) {
        let confirmation = try SurvivorConfirmation(message: message)
        guard confirmation.site == site else { throw AggregationRefusal(.signatureInvalid) }
        // A late signature is no fault: enough others came first.
        guard survivors == nil || step == .consistency || step == .aborted else { return }
        try require(.consistency)
        guard try !isRepeat(confirmations[site], confirmation) else { return }
        guard let transcript, isSurvivor(site) else { throw AggregationRefusal(.tooLate) }
        guard transcript.isValid(confirmation.signature, by: try key(of: site)) else {
            throw AggregationRefusal(.signatureInvalid)
        }
        confirmations[site] = confirmation
    }

    func isSurvivor(_ site: UInt32) -> Bool {
        guard let roster, let survivors, let ordinal = roster.ordinal(of: site) else {
            return false
        }
        return survivors.contains(ordinal)
    }

    mutating func endConsistency() -> [ServerAction] {
        guard let roster, let survivors, let threshold else { return [] }
        guard confirmations.count >= threshold else {
            return abort(AggregationRefusal(.tooFewSites))
        }
        let chosen = confirmations.values.sorted { $0.site < $1.site }.prefix(threshold)
        let message = SurvivorConfirmation.evidence(Array(chosen))
        return roster.sites(survivors).filter { !gone.contains($0) }.map {
            .send(to: $0, message: message)
        }
            + [enter(.unmasking, deadlineMilliseconds: descriptor.deadlines.unmasking)]
    }
}
