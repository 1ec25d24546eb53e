// Input → M5: once the shares are delivered and the vector is there, it leaves under its masks.

import Cryptography

extension ClientSession {
    struct Delivered: Sendable {
        let roster: Roster
        let threshold: Int
        let sharers: SiteSet
        /// h2.
        let sharersHash: Digest
        /// Share of b ‖ share of g by ordinal.
        let held: SecretTable
        let masks: MaskExpansion
    }

    struct Masked: Sendable {
        let roster: Roster
        let threshold: Int
        let sharers: SiteSet
        let sharersHash: Digest
        let held: SecretTable
        let masked: MaskedInput
    }

    mutating func maskInput(_ state: Delivered) throws(AggregationRefusal) -> [ClientAction] {
        guard let descriptor, var vector = input.take() else { return [] }
        if let group = state.roster.group {
            try policy.checkWeight(
                vector.weight, lastTotal: history.lastTotalWeight(task: descriptor.task),
                part: Double(state.roster.count) / Double(group.roundSites.count))
        }
        let masked = MaskedInput(masking: &vector, with: state.masks, parallelism: parallelism)
        let header = MaskedInputHeader(
            from: siteIndex, context: context, roster: state.roster.hash,
            sharers: state.sharersHash, input: masked,
            identity: identity)
        step = .masked(
            Masked(
                roster: state.roster, threshold: state.threshold, sharers: state.sharers,
                sharersHash: state.sharersHash, held: state.held, masked: masked))
        let record = LatchRecord.masked(
            task: descriptor.task, round: descriptor.round, attempt: descriptor.attempt,
            modelHash: descriptor.modelHash, context: context)
        var actions = [latch(record), .send(header.message)]
        if descriptor.vector.segmentCount > 0 {
            actions.append(.uploadSegments(count: descriptor.vector.segmentCount))
        }
        return actions
    }

    /// One segment of the masked vector, ready to send, again and again if need be.
    ///
    /// - Returns: nil before the vector is masked, after the survivors are known, and for numbers out of range.
    package func segmentMessage(_ segment: Int) -> [UInt8]? {
        guard case .masked(let state) = step, (0..<state.masked.spec.segmentCount).contains(segment)
        else { return nil }
        return state.masked.segmentMessage(segment, from: siteIndex)
    }
}
