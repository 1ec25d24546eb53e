// M9 in; with t answers the secrets are put together, the masks removed and the sum checked; M10 out.

import Cryptography

extension ServerSession {
    mutating func takeRevealedShares(_ message: [UInt8], _ site: UInt32) throws(AggregationRefusal)
    {
        let shares = try RevealedShares(message: message)
        guard shares.from == site else { throw AggregationRefusal(.signatureInvalid) }
        // Late shares are no fault and no use: t others came first.
        guard step != .awaitingModel, step != .published else { return }
        try require(.unmasking)
        guard try !isRepeat(revealed[site], shares) else { return }
        guard let roster, let sharers, let survivors, let transcript, isSurvivor(site) else {
            throw AggregationRefusal(.tooLate)
        }
        guard shares.isSigned(by: try key(of: site), transcript: transcript, message: message) else {
            throw AggregationRefusal(.signatureInvalid)
        }
        let expected = roster.ordinals(sharers).map { ordinal, peer in
            (peer, survivors.contains(ordinal) ? ShareKind.selfSeed : .maskSeed)
        }
        guard shares.entries.map(\.site) == expected.map(\.0),
            shares.entries.map(\.kind) == expected.map(\.1)
        else {
            throw AggregationRefusal(.deliveryIncomplete)
        }
        guard shares.entries.allSatisfy({ SecretShare(bytes: $0.share[...]) != nil }) else {
            throw AggregationRefusal(.shareOutOfRange)
        }
        revealed[site] = shares
    }

    mutating func endUnmasking() -> [ServerAction] {
        guard let threshold else { return [] }
        guard revealed.count >= threshold else { return abort(AggregationRefusal(.tooFewSites)) }
        let before = suspects
        let outcome = Result { () throws(AggregationRefusal) in try reconstructSecrets(threshold) }
        let blamed = suspects.subtracting(before).sorted().map {
            ServerAction.suspect($0, .shareCommitmentMismatch)
        }
        switch outcome {
        case .success(let secrets):
            return blamed + removeMasks(with: secrets)
        case .failure(let refusal):
            // More answers may still outvote the wrong ones.
            guard awaited.isEmpty else { return blamed }
            return blamed + (refusal.site.map { [.suspect($0, refusal.code)] } ?? [])
                + abort(refusal)
        }
    }

    /// b of every survivor and g of every dropped sharer, each checked against what the site advertised; by position
    /// among the sharers. Holders whose shares prove wrong become suspects and are left out.
    private mutating func reconstructSecrets(_ threshold: Int) throws(AggregationRefusal)
        -> SecretTable
    {
        while true {
            let holders = revealed.keys.filter { !suspects.contains($0) }.sorted()
            guard holders.count >= threshold else { throw AggregationRefusal(.tooFewSites) }
            do throws(AggregationRefusal) {
                return try secrets(from: Array(holders.prefix(threshold)))
            } catch {
                guard error.code == .shareCommitmentMismatch, let dealer = error.site,
                    let wrong = wrongHolders(dealer: dealer, among: holders, threshold: threshold)
                else { throw error }
                suspects.formUnion(wrong)
            }
        }
    }

    private func secrets(from holders: [UInt32]) throws(AggregationRefusal) -> SecretTable {
        guard let roster, let sharers else { throw AggregationRefusal(.tooFewSites) }
        let interpolation = Interpolation(coordinates: coordinates(of: holders))
        let parts = holders.compactMap { revealed[$0] }
        return try SecretTable(count: sharers.count, width: SecretSharing.secretBytes) {
            (row, output, offset) throws(AggregationRefusal) in
            let dealer = roster.advertisements[sharers.ordinals[row]]
            let shares = parts.compactMap { SecretShare(bytes: $0.entries[row].share[...]) }
            guard let secret = interpolation.secret(from: shares), isCommitted(secret, by: dealer)
            else {
                throw AggregationRefusal(.shareCommitmentMismatch, site: dealer.site)
            }
            output.store(secret, at: offset)
        }
    }

    /// Decodes one dealer's shares with errors.
    /// - Returns: the holders in error, or nil when more are wrong than can be found, or the dealer itself is.
    private func wrongHolders(dealer: UInt32, among holders: [UInt32], threshold: Int) -> [UInt32]?
    {
        guard let roster, let sharers, let ordinal = roster.ordinal(of: dealer),
            let row = sharers.ordinals.firstIndex(of: ordinal)
        else { return nil }
        let decoding = ErrorDecoding(coordinates: coordinates(of: holders), threshold: threshold)
        guard decoding.correctable > 0 else { return nil }
        let shares = holders.compactMap { revealed[$0] }.compactMap {
            SecretShare(bytes: $0.entries[row].share[...])
        }
        guard let outcome = decoding.decode(shares), !outcome.wrong.isEmpty,
            isCommitted(outcome.secret, by: roster.advertisements[ordinal])
        else { return nil }
        return outcome.wrong.map { roster.advertisements[Int($0) - 1].site }
    }

    /// A holder's coordinate is its ordinal plus one.
    private func coordinates(of holders: [UInt32]) -> [UInt32] {
        holders.compactMap { roster?.ordinal(of: $0) }.map { UInt32($0 + 1) }
    }

    /// Whether the secret is the one the dealer advertised: cb for a survivor, pk_s for a dropped site.
    private func isCommitted(_ secret: borrowing SecretBytes, by dealer: Advertisement) -> Bool {
        guard isSurvivor(dealer.site) else {
            let key = try? RoundSecrets.maskKey(seed: secret, site: dealer.site, context: context)
            return key?.publicKey == dealer.maskKey
        }
        return Advertisement.commitment(to: secret, site: dealer.site, context: context)
            == dealer.commitment
    }

    private mutating func removeMasks(with secrets: SecretTable) -> [ServerAction] {
        do throws(AggregationRefusal) {
            let masks = try remainingMasks(secrets)
            var (header, payload) = collection.takeSums()
            masks.apply(
                to: &header, part: .header, segmentElements: HeaderSlots.count, parallelism: 1)
            masks.apply(
                to: &payload, part: .payload, segmentElements: descriptor.vector.segmentElements,
                parallelism: parallelism)
            return try complete(HeaderSlots(words: header), payload)
        } catch {
            return abort(error)
        }
    }

    /// What is still on the sum: every survivor's self mask, and between a survivor u and a dropped site v the pair
    /// mask, which u added if u < v. All with the opposite sign.
    private func remainingMasks(_ secrets: SecretTable) throws(AggregationRefusal) -> MaskExpansion
    {
        guard let roster, let sharers, let survivors else { throw AggregationRefusal(.tooFewSites) }
        let keys = PairwiseKeys(context: context, roster: roster)
        var rows: [(sharer: Int, survivor: Int)] = []
        for (row, ordinal) in sharers.ordinals.enumerated() {
            if survivors.contains(ordinal) { rows.append((row, ordinal)) }
        }
        let selfCount = rows.count
        for (row, ordinal) in sharers.ordinals.enumerated() where !survivors.contains(ordinal) {
            rows += survivors.ordinals.map { (row, $0) }
        }
        var dropped: (row: Int, key: AgreementKey)?
        let seeds = try SecretTable(count: rows.count, width: 32) {
            (index, output, offset) throws(AggregationRefusal) in
            let (row, survivor) = rows[index]
            let owner = roster.advertisements[sharers.ordinals[row]]
            guard index >= selfCount else {
                output.store(keys.selfSeed(secrets.row(row), site: owner.site), at: offset)
                return
            }
            let key: AgreementKey
            if let known = dropped, known.row == row {
                key = known.key
            } else {
                key = try RoundSecrets.maskKey(
                    seed: secrets.row(row), site: owner.site, context: context)
                dropped = (row, key)
            }
            let peer = roster.advertisements[survivor]
            output.store(
                keys.pairSeed(
                    try keys.agreed(key, with: peer.maskKey, site: peer.site), owner, peer),
                at: offset)
        }
        let signs = rows.enumerated().map { index, entry in
            index >= selfCount && entry.survivor > sharers.ordinals[entry.sharer]
        }
        return MaskExpansion(seeds: seeds, isAdded: signs)
    }

    private mutating func complete(
        _ slots: HeaderSlots, _ payload: [UInt32]
    ) throws(AggregationRefusal) -> [ServerAction] {
        guard let roster, let survivors else { throw AggregationRefusal(.tooFewSites) }
        guard
            slots.isPlausibleSum(
                survivors: survivors.count, maximumWeight: descriptor.vector.maximumWeight)
        else {
            throw AggregationRefusal(.sumSlots)
        }
        self.slots = slots
        let sum = AggregateSum(
            spec: descriptor.vector, header: slots, payload: payload,
            survivors: roster.sites(survivors),
            roster: roster.sites)
        collection = MaskedCollection(spec: descriptor.vector)
        revealed = [:]
        self.sum = sum
        step = .awaitingModel
        return [.completed(sum)]
    }

    /// Publishes the sum and what follows from it to every survivor: one message and the payload's segments.
    ///
    /// - Parameters:
    ///   - released: what is published instead of the exact sum: the same with the coordinator's noise.
    ///   - nextModelHash: of the model file that the previous model and the published sum give; nil for rounds that
    ///     make no model.
    /// - Returns: the messages. ``resultHash`` is then the next descriptor's `previousResultHash`.
    package mutating func publish(_ released: AggregateSum? = nil, nextModelHash: Digest?) -> [ServerAction] {
        if let released { sum = released }
        guard step == .awaitingModel, let sum, let slots, let survivors, let transcript else {
            return []
        }
        let words = sum.signedSums.map { UInt32(bitPattern: $0) }
        let header = ResultHeader(
            survivors: survivors, slots: slots, payload: words, spec: descriptor.vector,
            nextModelHash: nextModelHash ?? .zero, transcript: transcript, key: signingKey)
        let messages = header.messages(payload: words, spec: descriptor.vector)
        resultHash = header.hash(transcript)
        publishedResult = PublishedResult(
            transcript: transcript, sites: roster?.count ?? 0, header: header, payload: words)
        step = .published
        return sum.survivors.filter { !gone.contains($0) }.flatMap { site in
            messages.map { ServerAction.send(to: site, message: $0) }
        }
    }
}
