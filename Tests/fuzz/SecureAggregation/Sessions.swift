// Sessions under arbitrary sequences of messages, from any point of a real round. Some messages are signed by their
// real sender after the edits, so that what lies behind the signatures is reached too.

import Cryptography

@testable import SecureAggregation

struct Sessions: Sendable {
    private static let messagesMax = 8
    private let round: FuzzRound

    init(_ round: FuzzRound) { self.round = round }

    func runClient(_ input: inout Input) {
        var session = round.clients[input.index(round.clients.count)]
        var confirmed = 0
        var revealed = 0
        var isOver = false
        for _ in 0..<Sessions.messagesMax where !input.isEmpty {
            var pending = session.handle(messageToClient(&input))
            while !pending.isEmpty {
                let action = pending.removeFirst()
                precondition(!isOver, "nothing follows an abort")
                switch action {
                case .send(let message):
                    if message.first == MessageType.confirmation.rawValue { confirmed += 1 }
                    if message.first == MessageType.revealedShares.rawValue { revealed += 1 }
                case .needInput: pending += provide(&session)
                case .uploadSegments(let count): for segment in 0..<count { _ = session.segmentMessage(segment) }
                case .finished: pending += session.confirmResult(computedModel: nil)
                case .aborted, .abortedByCoordinator: isOver = true
                case .persistLatch(let record): precondition((try? LatchRecord(encoded: record.encoded)) == record, "a latch reads back")
                }
            }
            if isOver { precondition(session.isOver && session.handle(round.toClient[0]).isEmpty, "an ended session is deaf") }
        }
        precondition(confirmed <= 1 && revealed <= 1, "one survivor list, one unmasking")
    }

    private func provide(_ session: inout ClientSession) -> [ClientAction] {
        guard let descriptor = session.descriptor else { return [] }
        // A descriptor that the policy let through may describe a large vector: what is at stake is its checks.
        guard descriptor.vector.elementCount <= 1000 else { return session.cancel() }
        let values = [Float](repeating: 0.25, count: descriptor.vector.elementCount)
        guard let vector = try? FixedPoint.encode(values, spec: descriptor.vector, weight: 1) else { return session.cancel() }
        return session.provideInput(vector)
    }

    private func messageToClient(_ input: inout Input) -> [UInt8] {
        let choice = input.byte()
        let real = round.toClient[input.index(round.toClient.count)]
        switch choice % 8 {
        case 0:
            let bytes = input.message(near: round.descriptor.canonicalBytes)
            guard let descriptor = try? RoundDescriptor(canonicalBytes: bytes) else { return input.message(near: real) }
            return RoundOpening.encoded(descriptor, key: round.coordinator)
        case 1:
            let code = RefusalCode(rawValue: UInt16(input.byte())) ?? .cancelled
            return AbortMessage(
                sender: choice < 128 ? AbortMessage.coordinator : UInt32(input.byte()),
                refusal: AggregationRefusal(code, site: nil)
            ).encoded(context: round.descriptor.context, key: round.coordinator)
        case 2, 3: return input.message(near: real)
        default: return real
        }
    }

    func runServer(_ input: inout Input) {
        var server = round.servers[input.index(round.servers.count)]
        for _ in 0..<Sessions.messagesMax where !input.isEmpty {
            let choice = input.byte()
            var actions: [ServerAction] = []
            switch choice % 16 {
            case 0: actions = server.deadlinePassed()
            case 1: actions = server.siteLost(UInt32(input.byte() % 6))
            case 2: actions = server.publish(nextModelHash: nil)
            default:
                let (site, message) = messageToServer(choice, server, &input)
                actions = (try? server.handle(message, from: site)) ?? []
            }
            for case .completed(let sum) in actions {
                precondition(sum.survivors.count >= (server.threshold ?? .max), "a sum has at least t sites")
            }
            for site in 0..<UInt32(FuzzRound.sites) { _ = server.missingSegments(of: site) }
            precondition(!server.isOver || server.awaited.isEmpty, "a round that is over waits for nobody")
        }
    }

    private func messageToServer(_ choice: UInt8, _ server: ServerSession, _ input: inout Input) -> (UInt32, [UInt8]) {
        let (site, real) = round.toServer[input.index(round.toServer.count)]
        switch choice % 16 {
        case 3, 4: return (UInt32(input.byte() % 6), input.message(near: real))
        case 5, 6, 7: return (site, input.message(near: real))
        case 8, 9, 10:
            guard let transcript = server.transcript, let shares = try? RevealedShares(message: input.message(near: real)) else {
                return (site, real)
            }
            let signed = RevealedShares(
                from: site, entries: shares.entries, transcript: transcript, identity: round.identities[Int(site)])
            return (site, signed.message)
        case 11:
            guard let shares = try? EncryptedShares(message: input.message(near: real)) else { return (site, real) }
            let signed = EncryptedShares(
                from: site, boxes: shares.boxes, context: round.descriptor.context, roster: round.roster,
                identity: round.identities[Int(site)])
            return (site, signed.message)
        case 12:
            guard let header = try? MaskedInputHeader(message: input.message(near: real)) else { return (site, real) }
            let vector = MaskedInput(
                spec: round.descriptor.vector, header: header.header, payload: [], digests: header.digests)
            let signed = MaskedInputHeader(
                from: site, context: header.context, roster: header.roster, sharers: header.sharers, input: vector,
                identity: round.identities[Int(site)])
            return (site, signed.message)
        default: return (site, real)
        }
    }
}
