// M2 → M3: check the cohort, share b and g among it. M4: take the others' shares in, agree on pair masks.

import Cryptography

extension ClientSession {
    struct Shared: Sendable {
        let secrets: RoundSecrets
        let roster: Roster
        let threshold: Int
        /// Extract(ctx, X25519(channel keys)) by ordinal; zeros for this site itself.
        let channels: SecretTable
        /// This site's own share of its own secrets, one row.
        let ownShare: SecretTable
    }

    mutating func shareKeys(_ message: [UInt8], _ state: Advertised) throws(AggregationRefusal)
        -> [ClientAction]
    {
        guard let descriptor else { throw AggregationRefusal(.unexpectedMessage) }
        let cohort = descriptor.cohort
        let whole = try Roster(message: message, context: context, sitesMax: cohort.rosterMax)
        guard let place = whole.ordinal(of: siteIndex), whole.advertisements[place] == state.own
        else {
            throw AggregationRefusal(.rosterWithoutSelf)
        }
        let roster = whole.graph(of: siteIndex, groupSize: cohort.groupSize, context: context)
        guard let ownOrdinal = roster.ordinal(of: siteIndex) else {
            throw AggregationRefusal(.rosterWithoutSelf)
        }
        try policy.checkCohort(whole.sites, sharingWith: roster.sites, cohort)
        try whole.checkMembers(
            manifest: manifest, now: now, context: context, ledgerHeads: history.ledgerHeads)

        let keys = PairwiseKeys(context: context, roster: roster)
        let channels = try SecretTable(count: roster.count, width: 32) {
            (ordinal, output, offset) throws(AggregationRefusal) in
            guard ordinal != ownOrdinal else { return }
            let peer = roster.advertisements[ordinal]
            output.store(
                try keys.agreed(state.secrets.channelKey, with: peer.channelKey, site: peer.site),
                at: offset)
        }
        let threshold = cohort.threshold.threshold(sites: roster.count)
        let shares = try dealtShares(of: state.secrets, count: roster.count, threshold: threshold)
        let boxes = roster.advertisements.indices.filter { $0 != ownOrdinal }.map { ordinal in
            let peer = roster.advertisements[ordinal]
            let key = keys.channelKey(channels.row(ordinal), from: state.own, to: peer)
            return EncryptedShares.Box(
                peer: peer.site,
                sealed: AESGCM256.seal(
                    shares.row(ordinal), key: key, nonce: ShareBox.nonce,
                    additionalData: keys.channelData(from: siteIndex, to: peer.site)))
        }
        let ownShare = try SecretTable(count: 1, width: ShareBox.plaintextBytes) {
            (_, output, offset) in
            output.store(shares.row(ownOrdinal), at: offset)
        }
        step = .shared(
            Shared(
                secrets: state.secrets, roster: roster, threshold: threshold, channels: channels,
                ownShare: ownShare))
        let heads = Dictionary(
            whole.advertisements.map { ($0.site, $0.ledgerHead) },
            uniquingKeysWith: { first, _ in first })
        let sent = EncryptedShares(
            from: siteIndex, boxes: boxes, context: context, roster: roster, identity: identity)
        return [latch(.ledgerHeads(heads)), .send(sent.message)]
    }

    /// The share of b ‖ the share of g for every holder, by ordinal.
    private func dealtShares(
        of secrets: RoundSecrets, count: Int, threshold: Int
    ) throws(AggregationRefusal) -> SecretTable {
        let selfSeed = SecretSharing.Polynomials(
            secret: secrets.selfSeed, threshold: threshold, random: random)
        let maskSeed = SecretSharing.Polynomials(
            secret: secrets.maskSeed, threshold: threshold, random: random)
        return try SecretTable(count: count, width: ShareBox.plaintextBytes) {
            (ordinal, output, offset) in
            selfSeed.writeShare(of: UInt32(ordinal + 1), to: &output, at: offset)
            maskSeed.writeShare(
                of: UInt32(ordinal + 1), to: &output, at: offset + SecretSharing.shareBytes)
        }
    }

    mutating func acceptShares(_ message: [UInt8], _ state: Shared) throws(AggregationRefusal)
        -> [ClientAction]
    {
        guard let descriptor else { throw AggregationRefusal(.unexpectedMessage) }
        let roster = state.roster
        let delivery = try Delivery(message: message, roster: roster)
        guard let ownOrdinal = roster.ordinal(of: siteIndex), delivery.sharers.contains(ownOrdinal)
        else {
            throw AggregationRefusal(.sharersWithoutSelf)
        }
        guard
            delivery.sharers.count
                >= max(state.threshold, policy.minimumCohort, descriptor.cohort.graphMinimum)
        else {
            throw AggregationRefusal(.sharersTooFew)
        }
        guard
            delivery.boxes.map(\.peer) == roster.sites(delivery.sharers).filter({ $0 != siteIndex })
        else {
            throw AggregationRefusal(.deliveryIncomplete)
        }
        let keys = PairwiseKeys(context: context, roster: roster)
        let held = try heldShares(delivery, state, keys, ownOrdinal: ownOrdinal)
        let masks = try maskExpansion(delivery.sharers, state, keys, ownOrdinal: ownOrdinal)
        let delivered = Delivered(
            roster: roster, threshold: state.threshold, sharers: delivery.sharers,
            sharersHash: Delivery.hash(delivery.sharers, context: context, roster: roster),
            held: held, masks: masks)
        step = .delivered(delivered)
        return input == nil ? [] : try maskInput(delivered)
    }

    /// Opens every box; by ordinal, zeros for sites that did not share.
    private func heldShares(
        _ delivery: Delivery, _ state: Shared, _ keys: PairwiseKeys, ownOrdinal: Int
    ) throws(AggregationRefusal) -> SecretTable {
        let roster = state.roster
        let boxes = Dictionary(
            delivery.boxes.map { ($0.peer, $0.sealed) }, uniquingKeysWith: { first, _ in first })
        let own = roster.advertisements[ownOrdinal]
        return try SecretTable(count: roster.count, width: ShareBox.plaintextBytes) {
            (ordinal, output, offset) throws(AggregationRefusal) in
            guard ordinal != ownOrdinal else {
                output.store(state.ownShare.row(0), at: offset)
                return
            }
            let peer = roster.advertisements[ordinal]
            guard let sealed = boxes[peer.site] else { return }
            let share = try ClientSession.open(
                sealed, key: keys.channelKey(state.channels.row(ordinal), from: peer, to: own),
                additionalData: keys.channelData(from: peer.site, to: siteIndex), site: peer.site)
            let isInField = share.withBytes { bytes in
                (0..<2 * SecretSharing.limbCount).allSatisfy {
                    loadWord(bytes, $0) < FieldElement.prime
                }
            }
            guard isInField else { throw AggregationRefusal(.shareOutOfRange, site: peer.site) }
            output.store(share, at: offset)
        }
    }

    private static func open(
        _ sealed: [UInt8], key: borrowing SecretBytes, additionalData: [UInt8], site: UInt32
    ) throws(AggregationRefusal) -> SecretBytes {
        do {
            return try AESGCM256.openSecret(
                sealed, key: key, nonce: ShareBox.nonce, additionalData: additionalData)
        } catch {
            throw AggregationRefusal(.shareNotAuthentic, site: site)
        }
    }

    /// The self mask, added; pair masks added towards higher sites and subtracted towards lower ones.
    private func maskExpansion(
        _ sharers: SiteSet, _ state: Shared, _ keys: PairwiseKeys, ownOrdinal: Int
    ) throws(AggregationRefusal) -> MaskExpansion {
        let peers = sharers.ordinals.filter { $0 != ownOrdinal }
        let own = state.roster.advertisements[ownOrdinal]
        let seeds = try SecretTable(count: peers.count + 1, width: 32) {
            (row, output, offset) throws(AggregationRefusal) in
            guard row > 0 else {
                output.store(keys.selfSeed(state.secrets.selfSeed, site: siteIndex), at: offset)
                return
            }
            let peer = state.roster.advertisements[peers[row - 1]]
            let agreed = try keys.agreed(state.secrets.maskKey, with: peer.maskKey, site: peer.site)
            output.store(keys.pairSeed(agreed, own, peer), at: offset)
        }
        return MaskExpansion(seeds: seeds, isAdded: [true] + peers.map { ownOrdinal < $0 })
    }
}
