// A site's side of one attempt at one round: messages and the input in, actions out. No sockets, clock or files.
// `protocol/secure-aggregation.md` §3.
//
//     opening ─▶ advertised ─▶ shared ─▶ delivered ─▶ masked ─▶ confirmed ─▶ unmasked ─▶ result
//        M0          M2          M4       input          M6         M8           M10
//
// Every failed check ends the session: secrets are wiped, a signed abort with the reason is sent, later messages
// are ignored. A message that is repeated byte for byte is ignored as well; a different one in its place is refused.

import Codec
import Cryptography

/// What the caller must do, in order.
package enum ClientAction: Sendable {
    /// Make the record durable before performing any later action of this list, and replay it at the next start.
    case persistLatch(LatchRecord)
    /// Send to the coordinator. The caller repeats it until it is acknowledged.
    case send([UInt8])
    /// Start the local work; hand the vector over with ``ClientSession/provideInput(_:)`` at any time.
    case needInput(RoundDescriptor)
    /// Send ``ClientSession/segmentMessage(_:)`` for the segments 0 ..< count, in any order, after what went before.
    case uploadSegments(count: Int)
    /// The sum is here and its checks passed. Recompute the next model and call
    /// ``ClientSession/confirmResult(computedModel:)``.
    case finished(RoundResult)
    /// This node refused to go on; the abort message was in an earlier `.send`.
    case aborted(AggregationRefusal)
    /// The coordinator stopped the round, for instance because this site was too late.
    case abortedByCoordinator(AggregationRefusal)
}

/// The state machine of a site. One session is one attempt; make a new one for every opening.
package struct ClientSession: Sendable {
    let identity: SigningKey
    package let siteIndex: UInt32
    let manifest: Manifest
    let policy: NodeAggregationPolicy
    let coordinatorKey: VerifyingKey
    let ledgerHead: LedgerHead
    let random: any RandomSource
    let now: UInt64
    let parallelism: Int
    /// Past rounds, this session's records included.
    package private(set) var history: AggregationHistory
    /// The context once the opening was read; zeros before.
    var context = Digest.zero
    /// The round once the opening was accepted.
    package internal(set) var descriptor: RoundDescriptor?
    var step = Step.waitingForOpening
    var input: QuantizedVector?
    private var handled: [MessageType: Digest] = [:]

    enum Step: Sendable {
        case waitingForOpening
        case advertised(Advertised)
        case shared(Shared)
        case delivered(Delivered)
        case masked(Masked)
        case confirmed(Confirmed)
        case unmasked(Unmasked)
        case receivingResult(ReceivingResult)
        case resultToConfirm(RoundResult)
        case ended
    }

    /// - Parameters:
    ///   - identity: the site's Ed25519 key, the one the manifest lists.
    ///   - manifest: verified under the governance and pinned by this node.
    ///   - policy: validated.
    ///   - coordinatorKey: pinned at enrolment.
    ///   - history: all of this node's latch records, folded.
    ///   - ledgerHead: head of the privacy budget ledger, the charge of this attempt included.
    ///   - now: seconds since 1970 by this node's clock, for the validity of memberships.
    ///   - parallelism: threads for mask expansion.
    package init(
        identity: SigningKey, siteIndex: UInt32, manifest: Manifest, policy: NodeAggregationPolicy,
        coordinatorKey: VerifyingKey, history: AggregationHistory, ledgerHead: LedgerHead = .none,
        random: any RandomSource, now: UInt64, parallelism: Int = 1
    ) {
        precondition(parallelism >= 1, "at least one thread")
        self.identity = identity
        self.siteIndex = siteIndex
        self.manifest = manifest
        self.policy = policy
        self.coordinatorKey = coordinatorKey
        self.history = history
        self.ledgerHead = ledgerHead
        self.random = random
        self.now = now
        self.parallelism = parallelism
    }

    /// Whether the session is over, well or badly.
    package var isOver: Bool { if case .ended = step { true } else { false } }

    /// Takes one message of the coordinator.
    ///
    /// - Returns: what to do, in order; empty for repeats and after the end. Never throws: a refusal is the pair
    ///   `.send(abort)`, `.aborted`.
    package mutating func handle(_ message: [UInt8]) -> [ClientAction] {
        guard !isOver else { return [] }
        do throws(AggregationRefusal) {
            guard let type = message.first.flatMap(MessageType.init(rawValue:)) else {
                throw AggregationRefusal(.malformedMessage)
            }
            guard type != .resultSegment else { return try takeResultSegment(message) }
            let digest = SHA256.hash(message)
            if let before = handled[type] {
                guard before != digest else { return [] }
                throw AggregationRefusal(ClientSession.conflict(type))
            }
            let actions = try advance(type, message)
            handled[type] = digest
            return actions
        } catch {
            return abort(error)
        }
    }

    private mutating func advance(_ type: MessageType, _ message: [UInt8])
        throws(AggregationRefusal) -> [ClientAction]
    {
        switch (type, step) {
        case (.abort, _): return try takeAbort(message)
        case (.opening, .waitingForOpening): return try advertiseKeys(message)
        case (.roster, .advertised(let state)): return try shareKeys(message, state)
        case (.delivery, .shared(let state)): return try acceptShares(message, state)
        case (.survivors, .masked(let state)): return try confirmSurvivors(message, state)
        case (.survivors, .delivered(let state)): return try missedSurvivors(message, state)
        case (.evidence, .confirmed(let state)): return try revealShares(message, state)
        case (.result, .unmasked(let state)): return try takeResult(message, state)
        default: throw AggregationRefusal(.unexpectedMessage)
        }
    }

    /// A second, different message of a kind.
    private static func conflict(_ type: MessageType) -> RefusalCode {
        switch type {
        case .survivors: .survivorsConflict
        case .evidence: .alreadyUnmasked
        default: .conflictingMessage
        }
    }

    /// Hands over this site's vector, made by ``FixedPoint`` for the descriptor's specification, once.
    ///
    /// May be called from `.needInput` on; the masked vector leaves when the shares have been delivered too.
    package mutating func provideInput(_ vector: QuantizedVector) -> [ClientAction] {
        guard !isOver, let descriptor else { return [] }
        precondition(
            vector.spec == descriptor.vector, "the vector was encoded for another specification")
        precondition(input == nil, "the input is given once")
        do throws(AggregationRefusal) {
            try policy.checkWeight(
                vector.weight, lastTotal: history.lastTotalWeight(task: descriptor.task))
            input = vector
            guard case .delivered(let state) = step else { return [] }
            return try maskInput(state)
        } catch {
            return abort(error)
        }
    }

    /// Gives up on this side's own account, for instance because training failed.
    package mutating func cancel() -> [ClientAction] {
        isOver ? [] : abort(AggregationRefusal(.cancelled))
    }

    /// Wipes the secrets, tells the coordinator why.
    mutating func abort(_ refusal: AggregationRefusal) -> [ClientAction] {
        end()
        let message = AbortMessage(sender: siteIndex, refusal: refusal)
        return [.send(message.encoded(context: context, key: identity)), .aborted(refusal)]
    }

    mutating func end() {
        step = .ended
        input = nil
    }

    private mutating func takeAbort(_ message: [UInt8]) throws(AggregationRefusal) -> [ClientAction]
    {
        let abort = try AbortMessage(message, context: context, key: coordinatorKey)
        guard abort.sender == AbortMessage.coordinator else {
            throw AggregationRefusal(.signatureInvalid)
        }
        end()
        return [.abortedByCoordinator(abort.refusal)]
    }

    /// Applies a record to the history and asks the caller to keep it.
    mutating func latch(_ record: LatchRecord) -> ClientAction {
        history.apply(record)
        return .persistLatch(record)
    }
}
