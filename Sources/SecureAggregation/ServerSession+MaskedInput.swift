// M5 and segments in, M6 out.

import Cryptography

extension ServerSession {
    mutating func takeMaskedInput(_ message: [UInt8], _ site: UInt32) throws(AggregationRefusal) {
        let header = try MaskedInputHeader(message: message)
        guard header.from == site else { throw AggregationRefusal(.signatureInvalid) }
        guard try !isRepeat(collection.header(of: site), header) else { return }
        try require(.maskedInput)
        guard let roster, let sharersHash = collection.sharersHash, isSharer(site) else {
            throw AggregationRefusal(.tooLate)
        }
        guard header.context == context, header.roster == roster.hash, header.sharers == sharersHash
        else {
            throw AggregationRefusal(.wrongTranscript)
        }
        guard header.digests.segments.count == descriptor.vector.segmentCount else {
            throw AggregationRefusal(.malformedMessage)
        }
        guard header.isSigned(by: try key(of: site)) else {
            throw AggregationRefusal(.signatureInvalid)
        }
        collection.add(header)
    }

    mutating func takeSegment(_ message: [UInt8], _ site: UInt32) throws(AggregationRefusal) {
        let frame = try SegmentFrame(message, type: .maskedSegment, spec: descriptor.vector)
        guard frame.sender == site else { throw AggregationRefusal(.signatureInvalid) }
        try require(.maskedInput)
        guard isSharer(site) else { throw AggregationRefusal(.tooLate) }
        try collection.add(frame, message, from: site)
    }

    /// Segments that a site must still send, so that it can resume; nil before its header arrived.
    package func missingSegments(of site: UInt32) -> [Int]? { collection.missingSegments(of: site) }

    private func isSharer(_ site: UInt32) -> Bool {
        guard let roster, let sharers, let ordinal = roster.ordinal(of: site) else { return false }
        return sharers.contains(ordinal) && !gone.contains(site)
    }

    mutating func endMaskedInput() -> [ServerAction] {
        guard let roster, let sharers, let threshold, let sharersHash = collection.sharersHash
        else { return [] }
        collection.close()
        let present = sharers.ordinals.filter {
            collection.isComplete(roster.advertisements[$0].site)
        }
        guard present.count >= max(threshold, descriptor.cohort.graphMinimum) else {
            return abort(AggregationRefusal(.tooFewSites))
        }
        let survivors = SiteSet(present, capacity: roster.count)
        let dismissed = dismiss(roster.sites(sharers).filter { !collection.isComplete($0) })
        self.survivors = survivors
        transcript = ConfirmedTranscript(
            context: context, roster: roster.hash, sharers: sharersHash,
            survivors: SurvivorList.hash(
                survivors, context: context, roster: roster, sharers: sharersHash))
        let message = SurvivorList.message(survivors)
        return dismissed
            + roster.sites(survivors).filter { !gone.contains($0) }.map {
                .send(to: $0, message: message)
            }
            + [enter(.consistency, deadlineMilliseconds: descriptor.deadlines.consistency)]
    }
}
