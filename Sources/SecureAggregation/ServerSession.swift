// The coordinator's side of one attempt at one round: messages and deadlines in, actions out. It sees public
// keys, sealed shares, masked vectors and signatures; it learns the sum. `protocol/secure-aggregation.md` §3.
//
// A step ends when every site that is expected has answered, or at its deadline with those that did; the
// confirmation and unmasking steps end as soon as t sites have answered.

import Codec
import Cryptography

/// The steps, in order.
package enum RoundStep: String, Sendable {
    case advertiseKeys, shareKeys, maskedInput, consistency, unmasking
    /// The sum is known; ``ServerSession/publish(nextModelHash:)`` is due.
    case awaitingModel
    case published
    case aborted
}

/// What the caller must do, in order.
package enum ServerAction: Sendable {
    case send(to: UInt32, message: [UInt8])
    /// A step began: call ``ServerSession/deadlinePassed()`` if it is still this step after so many milliseconds.
    case entered(RoundStep, deadlineMilliseconds: UInt32)
    /// The sum. Compute the next model, then ``ServerSession/publish(nextModelHash:)``.
    case completed(AggregateSum)
    /// The round is over without a sum. Messages to the sites were in earlier actions.
    case aborted(AggregationRefusal)
    /// This site revealed wrong shares or dealt them; look into it.
    case suspect(UInt32, RefusalCode)
}

/// The state machine of the coordinator.
package struct ServerSession: Sendable {
    package let descriptor: RoundDescriptor
    package let context: Digest
    let manifest: Manifest
    let signingKey: SigningKey
    let now: UInt64
    let parallelism: Int
    /// Sites the round is offered to, ascending.
    package let invited: [UInt32]
    package internal(set) var step = RoundStep.advertiseKeys
    /// Sites that aborted, were lost or came too late: nothing more is expected of them.
    package internal(set) var gone: Set<UInt32> = []

    /// The current step's participants from the first that is awaited on; nil when the step began.
    private var stillAwaited: ArraySlice<UInt32>?
    var advertisements: [UInt32: Advertisement] = [:]
    /// Of all advertisements, to refuse a key that comes twice.
    var publicKeys: Set<[UInt8]> = []
    var roster: Roster?
    var shares: [UInt32: EncryptedShares] = [:]
    var sharers: SiteSet?
    var collection: MaskedCollection
    var survivors: SiteSet?
    var transcript: ConfirmedTranscript?
    /// The result as a document for sites that missed the round; set by ``publish(nextModelHash:)``.
    package internal(set) var publishedResult: PublishedResult?
    var confirmations: [UInt32: SurvivorConfirmation] = [:]
    var revealed: [UInt32: RevealedShares] = [:]
    /// Sites whose revealed shares proved wrong.
    var suspects: Set<UInt32> = []
    var slots: HeaderSlots?
    /// Heads of the sites' privacy ledgers that were seen in earlier rounds.
    package var knownLedgerHeads: [UInt32: LedgerHead] = [:]
    /// The sum, once known.
    package internal(set) var sum: AggregateSum?
    /// Binds this round's result; set by ``publish(nextModelHash:)``.
    package internal(set) var resultHash: Digest?

    /// - Parameters:
    ///   - manifest: its hash must be the descriptor's.
    ///   - invited: manifest indices; nil means all members in force.
    ///   - now: seconds since 1970, for the validity of memberships.
    ///   - parallelism: threads for removing masks.
    package init(
        descriptor: RoundDescriptor, manifest: Manifest, signingKey: SigningKey,
        invited: [UInt32]? = nil,
        now: UInt64, parallelism: Int = 1
    ) {
        precondition(
            descriptor.cohort.groupSize == nil, "a round in groups is a GroupedServerSession")
        self.init(
            of: descriptor, manifest: manifest, signingKey: signingKey, invited: invited, now: now,
            parallelism: parallelism)
    }

    /// For ``GroupedServerSession``: the first step of a round in groups; what follows M2 is up to its groups.
    init(
        of descriptor: RoundDescriptor, manifest: Manifest, signingKey: SigningKey,
        invited: [UInt32]?, now: UInt64, parallelism: Int
    ) {
        precondition(descriptor.manifestHash == manifest.hash, "the descriptor names this manifest")
        precondition(descriptor.vector.isWithinLimits, "the vector is within the protocol's limits")
        precondition(
            descriptor.vector.cannotOverflow(cohortMax: descriptor.cohort.maximum),
            "the sum cannot wrap around")
        self.descriptor = descriptor
        context = descriptor.context
        self.manifest = manifest
        self.signingKey = signingKey
        self.now = now
        self.parallelism = parallelism
        let inForce = manifest.members.filter { $0.isInForce(at: now) }.map(\.index)
        self.invited = invited.map { wanted in inForce.filter(Set(wanted).contains) } ?? inForce
        collection = MaskedCollection(spec: descriptor.vector)
    }

    /// For ``GroupedServerSession``: one group of a round whose roster is fixed, from the sharing of keys on.
    init(group: Roster, of round: ServerSession) {
        descriptor = round.descriptor
        context = round.context
        manifest = round.manifest
        signingKey = round.signingKey
        now = round.now
        parallelism = round.parallelism
        invited = group.sites
        gone = round.gone.intersection(invited)
        collection = MaskedCollection(spec: descriptor.vector)
        roster = group
        step = .shareKeys
    }

    /// The opening for every invited site. Call once, first.
    package mutating func open() -> [ServerAction] {
        let message = RoundOpening.encoded(descriptor, key: signingKey)
        return invited.map { .send(to: $0, message: message) }
            + [.entered(.advertiseKeys, deadlineMilliseconds: descriptor.deadlines.advertiseKeys)]
            + advance()
    }

    /// Takes one message. A refusal concerns the message alone, the round goes on without it.
    ///
    /// - Parameter site: the authenticated sender.
    /// - Throws: why the message was not taken; `uploads-busy` asks to send it again later.
    package mutating func handle(_ message: [UInt8], from site: UInt32) throws(AggregationRefusal)
        -> [ServerAction]
    {
        guard invited.contains(site) else { throw AggregationRefusal(.unknownSite, site: site) }
        guard let type = message.first.flatMap(MessageType.init(rawValue:)) else {
            throw AggregationRefusal(.malformedMessage, site: site)
        }
        do throws(AggregationRefusal) {
            switch type {
            case .advertisement:
                try takeAdvertisement(message, site)
                if let refused = refuseOldLedger(site) { return refused + advance() }
            case .shares: try takeShares(message, site)
            case .maskedInput: try takeMaskedInput(message, site)
            case .maskedSegment: try takeSegment(message, site)
            case .confirmation: try takeConfirmation(message, site)
            case .revealedShares: try takeRevealedShares(message, site)
            case .abort: try takeAbort(message, site)
            default: throw AggregationRefusal(.unexpectedMessage)
            }
        } catch {
            throw AggregationRefusal(error.code, site: error.site ?? site)
        }
        return advance()
    }

    /// The deadline of the current step passed: go on with those who answered, or give up.
    package mutating func deadlinePassed() -> [ServerAction] { endStep() }

    /// The site will not answer any more: revoked, disconnected for good.
    package mutating func siteLost(_ site: UInt32) -> [ServerAction] {
        gone.insert(site)
        collection.drop(site)
        return advance()
    }

    /// The operator stops the round.
    package mutating func cancel() -> [ServerAction] {
        isOver ? [] : abort(AggregationRefusal(.cancelled))
    }

    /// Whether nothing more will happen: published or aborted.
    package var isOver: Bool { step == .published || step == .aborted }

    /// The threshold t; nil before the roster is fixed.
    package var threshold: Int? {
        roster.map { descriptor.cohort.threshold.threshold(sites: $0.count) }
    }

    /// Sites the current step still waits for.
    package var awaited: [UInt32] { participants.filter(isAwaited) }

    private func isAwaited(_ site: UInt32) -> Bool {
        guard !gone.contains(site) else { return false }
        return switch step {
        case .advertiseKeys: advertisements[site] == nil
        case .shareKeys: shares[site] == nil
        case .maskedInput: !collection.isComplete(site)
        case .consistency: confirmations[site] == nil
        case .unmasking: revealed[site] == nil
        case .awaitingModel, .published, .aborted: false
        }
    }

    /// Sites that the current step is about.
    var participants: [UInt32] {
        guard let roster else { return invited }
        if let survivors { return roster.sites(survivors) }
        if let sharers { return roster.sites(sharers) }
        return roster.sites
    }

    /// Ends the step if nobody else is awaited.
    private mutating func advance() -> [ServerAction] {
        var actions: [ServerAction] = []
        while !isOver, step != .awaitingModel, isStepComplete() {
            let before = step
            actions += endStep()
            if step == before { break }
        }
        return actions
    }

    /// Whoever answered or left stays so for the rest of the step, so the list is walked once in a step.
    private mutating func isStepComplete() -> Bool {
        switch step {
        case .consistency where confirmations.count >= (threshold ?? .max): return true
        case .unmasking where revealed.count >= (threshold ?? .max): return true
        default: break
        }
        var list = stillAwaited ?? participants[...]
        while let site = list.first, !isAwaited(site) { list.removeFirst() }
        stillAwaited = list
        return list.isEmpty
    }

    private mutating func endStep() -> [ServerAction] {
        switch step {
        case .advertiseKeys: endAdvertiseKeys()
        case .shareKeys: endShareKeys()
        case .maskedInput: endMaskedInput()
        case .consistency: endConsistency()
        case .unmasking: endUnmasking()
        case .awaitingModel, .published, .aborted: []
        }
    }

    mutating func enter(_ next: RoundStep, deadlineMilliseconds: UInt32) -> ServerAction {
        step = next
        stillAwaited = nil
        return .entered(next, deadlineMilliseconds: deadlineMilliseconds)
    }

    /// Tells the sites that were left behind, and forgets them.
    mutating func dismiss(_ sites: [UInt32]) -> [ServerAction] {
        let message = abortMessage(AggregationRefusal(.tooLate))
        let told = sites.filter { !gone.contains($0) }
        gone.formUnion(sites)
        return told.map { .send(to: $0, message: message) }
    }

    /// Gives the round up and tells everybody who still takes part.
    mutating func abort(_ refusal: AggregationRefusal) -> [ServerAction] {
        let message = abortMessage(refusal)
        let told = participants.filter { !gone.contains($0) }
        step = .aborted
        collection = MaskedCollection(spec: descriptor.vector)
        return told.map { .send(to: $0, message: message) } + [.aborted(refusal)]
    }

    func abortMessage(_ refusal: AggregationRefusal) -> [UInt8] {
        AbortMessage(sender: AbortMessage.coordinator, refusal: refusal).encoded(
            context: context, key: signingKey)
    }

    private mutating func takeAbort(_ message: [UInt8], _ site: UInt32) throws(AggregationRefusal) {
        let abort = try AbortMessage(message, context: context, key: try key(of: site))
        guard abort.sender == site else { throw AggregationRefusal(.signatureInvalid) }
        gone.insert(site)
        collection.drop(site)
    }

    func key(of site: UInt32) throws(AggregationRefusal) -> VerifyingKey {
        guard let member = manifest.member(site) else { throw AggregationRefusal(.unknownSite) }
        return member.key
    }

    /// Where a message stands against its step: before it, `unexpected-message`; after it, `too-late`.
    func require(_ wanted: RoundStep, order: [RoundStep] = ServerSession.order)
        throws(AggregationRefusal)
    {
        guard step != wanted else { return }
        guard step != .aborted, let now = order.firstIndex(of: step),
            let due = order.firstIndex(of: wanted)
        else {
            throw AggregationRefusal(.tooLate)
        }
        throw AggregationRefusal(now < due ? .unexpectedMessage : .tooLate)
    }

    static let order: [RoundStep] = [
        .advertiseKeys, .shareKeys, .maskedInput, .consistency, .unmasking, .awaitingModel,
        .published,
    ]

    /// Stores the first message of a site; a byte-identical repeat is fine, another one is not.
    func isRepeat<Message: Equatable>(_ known: Message?, _ message: Message)
        throws(AggregationRefusal) -> Bool
    {
        guard let known else { return false }
        guard known == message else { throw AggregationRefusal(.conflictingMessage) }
        return true
    }
}
