// The coordinator's side of a round in groups. Experimental. `protocol/secure-aggregation.md` §6.3.
//
// One session advertises keys for all; from the roster on each group is a session of its own. Its sum is added to the
// round's when it is known; a group that falls below its threshold is left out. The step of the round is the
// earliest that any group is in, and its deadline ends that step for every group still in it.

import Cryptography

/// The state machine of the coordinator for a descriptor with a group size. Used like ``ServerSession``.
package struct GroupedServerSession: Sendable {
    private var opening: ServerSession
    private var groups: [ServerSession] = []
    private var groupOf: [UInt32: Int] = [:]
    /// The step of the round: the earliest of its groups'.
    package private(set) var step = RoundStep.advertiseKeys
    /// Σ over the groups that completed, mod 2^32.
    private var header = [UInt32](repeating: 0, count: HeaderSlots.count)
    private var payload: [UInt32] = []
    private var survivors: [UInt32] = []
    /// The sum over all completed groups, once every group has completed or failed.
    package private(set) var sum: AggregateSum?
    /// Binds this round's result; set by ``publish(nextModelHash:)``.
    package private(set) var resultHash: Digest?
    /// The result as a document for sites that missed the round; set by ``publish(nextModelHash:)``.
    package private(set) var publishedResult: PublishedResult?

    /// The round, as opened.
    package var descriptor: RoundDescriptor { opening.descriptor }
    /// Sites the round is offered to, ascending.
    package var invited: [UInt32] { opening.invited }
    /// Whether nothing more will happen: published or aborted.
    package var isOver: Bool { step == .published || step == .aborted }
    /// Groups of the round; 0 before the roster is fixed.
    package var groupCount: Int { groups.count }
    /// The sites of each group; empty before the roster is fixed.
    var partition: [[UInt32]] { groups.map(\.invited) }
    /// Groups that failed and are not in the sum.
    package var droppedGroups: [Int] { groups.indices.filter { groups[$0].step == .aborted } }
    /// Sites the current step still waits for.
    package var awaited: [UInt32] {
        guard !groups.isEmpty else { return opening.awaited }
        return groups.filter { $0.step == step }.flatMap(\.awaited).sorted()
    }

    /// - Parameters:
    ///   - descriptor: with a group size.
    ///   - manifest: its hash must be the descriptor's.
    ///   - invited: manifest indices; nil means all members in force.
    ///   - now: seconds since 1970, for the validity of memberships.
    ///   - parallelism: threads for removing masks.
    package init(
        descriptor: RoundDescriptor, manifest: Manifest, signingKey: SigningKey,
        invited: [UInt32]? = nil, now: UInt64, parallelism: Int = 1
    ) {
        precondition(descriptor.cohort.groupSize != nil, "the descriptor has a group size")
        opening = ServerSession(
            of: descriptor, manifest: manifest, signingKey: signingKey, invited: invited, now: now,
            parallelism: parallelism)
    }

    /// The opening for every invited site. Call once, first.
    package mutating func open() -> [ServerAction] {
        let actions = opening.open()
        return actions + split()
    }

    /// Takes one message. A refusal concerns the message alone, the round goes on without it.
    ///
    /// - Parameter site: the authenticated sender.
    /// - Throws: as ``ServerSession/handle(_:from:)``.
    package mutating func handle(_ message: [UInt8], from site: UInt32) throws(AggregationRefusal)
        -> [ServerAction]
    {
        guard !groups.isEmpty, message.first != MessageType.advertisement.rawValue else {
            let actions = try opening.handle(message, from: site)
            return groups.isEmpty ? actions + split() : []
        }
        guard let group = groupOf[site] else {
            throw AggregationRefusal(
                opening.invited.contains(site) ? .tooLate : .unknownSite, site: site)
        }
        let actions = try groups[group].handle(message, from: site)
        return follow(actions, group) + settle()
    }

    /// The deadline of the current step passed: go on with those who answered.
    package mutating func deadlinePassed() -> [ServerAction] {
        guard !groups.isEmpty else {
            let actions = opening.deadlinePassed()
            return actions + split()
        }
        let due = step
        return groups.indices.filter { groups[$0].step == due }.flatMap { group in
            let actions = groups[group].deadlinePassed()
            return follow(actions, group)
        } + settle()
    }

    /// The site will not answer any more: revoked, disconnected for good.
    package mutating func siteLost(_ site: UInt32) -> [ServerAction] {
        guard !groups.isEmpty else {
            let actions = opening.siteLost(site)
            return actions + split()
        }
        guard let group = groupOf[site] else { return [] }
        let actions = groups[group].siteLost(site)
        return follow(actions, group) + settle()
    }

    /// The operator stops the round.
    package mutating func cancel() -> [ServerAction] {
        guard !isOver else { return [] }
        guard !groups.isEmpty else {
            let actions = opening.cancel()
            return actions + split()
        }
        return abort(AggregationRefusal(.cancelled))
    }

    /// Segments that a site must still send, so that it can resume; nil before its header arrived.
    package func missingSegments(of site: UInt32) -> [Int]? {
        groupOf[site].flatMap { groups[$0].missingSegments(of: site) }
    }

    /// Makes the groups as soon as the roster is fixed.
    private mutating func split() -> [ServerAction] {
        guard let roster = opening.roster, let size = descriptor.cohort.groupSize else {
            step = opening.step
            return []
        }
        groups = roster.groups(size: size, context: opening.context).map {
            ServerSession(group: $0, of: opening)
        }
        for (number, group) in groups.enumerated() {
            for site in group.invited { groupOf[site] = number }
        }
        payload = [UInt32](repeating: 0, count: descriptor.vector.elementCount)
        step = .shareKeys
        return []
    }

    /// What a group does, without what only concerns the group: its steps, its end.
    private mutating func follow(_ actions: [ServerAction], _ group: Int) -> [ServerAction] {
        actions.filter { action in
            switch action {
            case .send, .suspect: return true
            case .entered, .aborted: return false
            case .completed(let sum):
                add(sum, group)
                return false
            }
        }
    }

    private mutating func add(_ sum: AggregateSum, _ group: Int) {
        guard let slots = groups[group].slots else { return }
        for index in header.indices { header[index] &+= slots.words[index] }
        for index in payload.indices { payload[index] &+= UInt32(bitPattern: sum.signedSums[index]) }
        survivors += sum.survivors
        groups[group].sum = nil
    }

    /// Moves the round to the earliest step of its groups, and ends it when all of them have ended.
    private mutating func settle() -> [ServerAction] {
        guard !isOver, step != .awaitingModel else { return [] }
        let active = ServerSession.order.prefix(5).first { step in
            groups.contains { $0.step == step }
        }
        guard let active else { return conclude() }
        guard active != step else { return [] }
        step = active
        return [.entered(active, deadlineMilliseconds: descriptor.deadlines.milliseconds(active))]
    }

    private mutating func conclude() -> [ServerAction] {
        guard !survivors.isEmpty, survivors.count >= descriptor.cohort.minimum else {
            return abort(AggregationRefusal(.tooFewSites))
        }
        survivors.sort()
        let slots = HeaderSlots(words: header)
        guard
            slots.isPlausibleSum(
                survivors: survivors.count, maximumWeight: descriptor.vector.maximumWeight)
        else { return abort(AggregationRefusal(.sumSlots)) }
        let sum = AggregateSum(
            spec: descriptor.vector, header: slots, payload: payload, survivors: survivors,
            roster: opening.roster?.sites ?? [])
        self.sum = sum
        step = .awaitingModel
        return [.completed(sum)]
    }

    private mutating func abort(_ refusal: AggregationRefusal) -> [ServerAction] {
        step = .aborted
        return groups.indices.filter { groups[$0].step != .aborted }.flatMap { group in
            let actions = groups[group].abort(refusal)
            return follow(actions, group)
        } + [.aborted(refusal)]
    }

    /// Publishes the sum over all completed groups and what follows from it to their survivors.
    ///
    /// - Parameter nextModelHash: as ``ServerSession/publish(nextModelHash:)``.
    /// - Returns: the messages, the same ones for every survivor.
    package mutating func publish(nextModelHash: Digest?) -> [ServerAction] {
        guard step == .awaitingModel, let sum, let roster = opening.roster else { return [] }
        let all = SiteSet(survivors.compactMap(roster.ordinal), capacity: roster.count)
        let transcript = ConfirmedTranscript.ofAllGroups(
            all, context: opening.context, roster: roster.hash)
        let result = ResultHeader(
            survivors: all, slots: HeaderSlots(words: header), payload: payload,
            spec: descriptor.vector, nextModelHash: nextModelHash ?? .zero, transcript: transcript,
            key: opening.signingKey)
        resultHash = result.hash(transcript)
        publishedResult = PublishedResult(
            transcript: transcript, sites: roster.count, header: result, payload: payload)
        step = .published
        let messages = result.messages(payload: payload, spec: descriptor.vector)
        let gone = groups.reduce(into: Set<UInt32>()) { $0.formUnion($1.gone) }
        return sum.survivors.filter { !gone.contains($0) }.flatMap { site in
            messages.map { ServerAction.send(to: site, message: $0) }
        }
    }
}

extension StepDeadlines {
    /// Of a step that has one; 0 for the others.
    func milliseconds(_ step: RoundStep) -> UInt32 {
        switch step {
        case .advertiseKeys: advertiseKeys
        case .shareKeys: shareKeys
        case .maskedInput: maskedInput
        case .consistency: consistency
        case .unmasking: unmasking
        case .awaitingModel, .published, .aborted: 0
        }
    }
}
