// M8 → M9: only when t survivors signed the same list, reveal one share of each sharer, once. Then M10.

import Cryptography

extension ClientSession {
    struct Unmasked: Sendable {
        let roster: Roster
        let survivors: SiteSet
        let transcript: ConfirmedTranscript
    }

    struct ReceivingResult: Sendable {
        let roster: Roster
        let header: ResultHeader
        let transcript: ConfirmedTranscript
        var payload: [UInt32]
        var missing: Set<Int>
    }

    mutating func revealShares(_ message: [UInt8], _ state: Confirmed) throws(AggregationRefusal)
        -> [ClientAction]
    {
        guard let descriptor else { throw AggregationRefusal(.unexpectedMessage) }
        try checkEvidence(try SurvivorConfirmation.confirmations(message), state)
        if let past = history.task(descriptor.task), past.context == context, past.hasUnmasked {
            throw AggregationRefusal(.alreadyUnmasked)
        }
        let entries = state.sharers.ordinals.map { ordinal in
            let kind: ShareKind = state.survivors.contains(ordinal) ? .selfSeed : .maskSeed
            let share = state.held.part(
                ordinal,
                kind == .selfSeed
                    ? 0..<SecretSharing.shareBytes
                    : SecretSharing.shareBytes..<ShareBox.plaintextBytes)
            return RevealedShares.Entry(
                site: state.roster.advertisements[ordinal].site, kind: kind,
                share: share.exposedCopy())
        }
        let revealed = RevealedShares(
            from: siteIndex, entries: entries, transcript: state.transcript, identity: identity)
        // The last reference to the held shares goes with the old step: they are wiped here.
        step = .unmasked(
            Unmasked(roster: state.roster, survivors: state.survivors, transcript: state.transcript)
        )
        let record = LatchRecord.unmasked(
            task: descriptor.task, round: descriptor.round, context: context,
            survivorSet: SurvivorList.setDigest(state.roster.sites(state.survivors)))
        return [latch(record), .send(revealed.message)]
    }

    /// At least t distinct survivors signed exactly this node's list.
    private func checkEvidence(_ evidence: [SurvivorConfirmation], _ state: Confirmed)
        throws(AggregationRefusal)
    {
        guard evidence.count >= state.threshold else { throw AggregationRefusal(.evidenceTooSmall) }
        guard Set(evidence.map(\.site)).count == evidence.count else {
            throw AggregationRefusal(.evidenceDuplicateSigner)
        }
        for confirmation in evidence {
            guard let ordinal = state.roster.ordinal(of: confirmation.site),
                state.survivors.contains(ordinal),
                let member = manifest.member(confirmation.site)
            else { throw AggregationRefusal(.evidenceNotSurvivor, site: confirmation.site) }
            guard state.transcript.isValid(confirmation.signature, by: member.key) else {
                throw AggregationRefusal(.evidenceSignature, site: confirmation.site)
            }
        }
    }

    mutating func takeResult(_ message: [UInt8], _ state: Unmasked) throws(AggregationRefusal)
        -> [ClientAction]
    {
        guard let descriptor else { throw AggregationRefusal(.unexpectedMessage) }
        let header = try ResultHeader(message: message, rosterCount: state.roster.roundSites.count)
        guard state.roster.isResult(header.survivors, over: state.survivors, descriptor.cohort),
            header.digests.segments.count == descriptor.vector.segmentCount
        else {
            throw AggregationRefusal(.resultMismatch)
        }
        let transcript = state.roster.resultTranscript(state.transcript, header.survivors)
        guard header.isSigned(by: coordinatorKey, transcript: transcript) else {
            throw AggregationRefusal(.resultSignature)
        }
        guard
            header.slots.isPlausibleSum(
                survivors: header.survivors.count, maximumWeight: descriptor.vector.maximumWeight)
        else { throw AggregationRefusal(.resultSlots) }
        let receiving = ReceivingResult(
            roster: state.roster, header: header, transcript: transcript,
            payload: [UInt32](repeating: 0, count: descriptor.vector.elementCount),
            missing: Set(0..<descriptor.vector.segmentCount))
        step = .receivingResult(receiving)
        return receiving.missing.isEmpty ? finish(receiving, descriptor) : []
    }

    mutating func takeResultSegment(_ message: [UInt8]) throws(AggregationRefusal) -> [ClientAction]
    {
        if case .resultToConfirm = step { return [] }
        guard case .receivingResult(var state) = step, let descriptor else {
            throw AggregationRefusal(.unexpectedMessage)
        }
        let frame = try SegmentFrame(message, type: .resultSegment, spec: descriptor.vector)
        guard
            WordBytes.digest(message, from: frame.start)
                == state.header.digests.segments[frame.segment]
        else {
            throw AggregationRefusal(.resultDigest)
        }
        guard state.missing.remove(frame.segment) != nil else { return [] }
        // Keep the payload's only reference in `state`, so that writing does not copy it.
        step = .waitingForOpening
        WordBytes.copy(
            message, from: frame.start, to: &state.payload,
            descriptor.vector.segmentRange(frame.segment))
        step = .receivingResult(state)
        return state.missing.isEmpty ? finish(state, descriptor) : []
    }

    private mutating func finish(_ state: ReceivingResult, _ descriptor: RoundDescriptor)
        -> [ClientAction]
    {
        let sites = state.roster.roundSites
        let result = RoundResult(
            hash: state.header.hash(state.transcript),
            sum: AggregateSum(
                spec: descriptor.vector, header: state.header.slots, payload: state.payload,
                survivors: state.header.survivors.ordinals.map { sites[$0] }, roster: sites),
            nextModelHash: state.header.nextModelHash)
        step = .resultToConfirm(result)
        return [.finished(result)]
    }

    /// The caller's verdict: the hash of the model it computed from the previous one and the sum, or nil when the
    /// round makes no model (statistics, evaluation).
    ///
    /// Latched either way: the next round of the task must start from the model this node computed, so after a
    /// mismatch, which also aborts, it will be refused.
    package mutating func confirmResult(computedModel: Digest?) -> [ClientAction] {
        guard case .resultToConfirm(let result) = step, let descriptor else { return [] }
        let record = latch(
            .result(
                task: descriptor.task, round: descriptor.round, resultHash: result.hash,
                nextModel: computedModel,
                totalWeight: result.sum.totalWeight))
        guard result.nextModelHash == computedModel ?? .zero else {
            return [record] + abort(AggregationRefusal(.resultModelMismatch))
        }
        end()
        return [record]
    }
}
