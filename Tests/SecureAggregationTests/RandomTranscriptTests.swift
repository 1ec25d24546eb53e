// Random transcripts: an evil coordinator with one or two colluding sites sends reordered, duplicated, dropped,
// mutated and freshly signed messages. Full count: CONSILIUM_SECAGG_TRANSCRIPTS=100000 (about half an hour in release).

import Cryptography
import Testing

@testable import SecureAggregation

@Suite("Random transcripts") struct RandomTranscriptTests {
    /// What may never happen, whatever was sent.
    private func check(_ evil: EvilCoordinator, colluders: Int, threshold t: Int, _ seed: UInt64) {
        var signers: [[UInt8]: Int] = [:]
        var revealed: [UInt32: [ShareKind: Int]] = [:]
        for position in evil.clients.indices where position >= colluders {
            let messages = evil.sent[position]
            let confirmations = messages.filter { $0.first == MessageType.confirmation.rawValue }
            let reveals = messages.compactMap { try? RevealedShares(message: $0) }
            #expect(confirmations.count <= 1, "seed \(seed)")
            #expect(reveals.count <= 1, "seed \(seed)")
            #expect(messages.count { $0.first == MessageType.maskedInput.rawValue } <= 1)
            // Nothing follows an abort.
            let abort = messages.firstIndex { $0.first == MessageType.abort.rawValue }
            #expect(abort == nil || abort == messages.count - 1)
            if let reveal = reveals.first {
                #expect(confirmations.count == 1)
                #expect(Set(reveal.entries.map(\.site)).count == reveal.entries.count)
                for entry in reveal.entries {
                    revealed[entry.site, default: [:]][entry.kind, default: 0] += 1
                }
            }
            for confirmation in confirmations {
                signers[listSigned(confirmation, evil), default: 0] += 1
            }
        }
        // Colluders sign everything and reveal everything they hold.
        #expect(
            signers.values.filter { $0 + colluders >= t }.count <= 1,
            "two lists reached t: seed \(seed)")
        for kinds in revealed.values {
            let isSelfSeedKnown = kinds[.selfSeed, default: 0] + colluders >= t
            let isMaskSeedKnown = kinds[.maskSeed, default: 0] + colluders >= t
            #expect(!(isSelfSeedKnown && isMaskSeedKnown), "both secrets of a site: seed \(seed)")
        }
    }

    /// Which list a confirmation is for: found by trying all lists is too slow, so by the latch in the history.
    private func listSigned(_ message: [UInt8], _ evil: EvilCoordinator) -> [UInt8] {
        guard let confirmation = try? SurvivorConfirmation(message: message),
            let position = evil.world.indices.firstIndex(of: confirmation.site),
            let signed = evil.clients[position].history.task(evil.world.descriptor.task)?
                .signedSurvivors
        else { return message }
        return signed.bytes
    }

    @Test func shareTypesAndSurvivorListsStayUnique() throws {
        let count = TestSettings.count("CONSILIUM_SECAGG_TRANSCRIPTS", default: 120)
        for n in 3...7 {
            var opened = EvilCoordinator(World(sites: n))
            opened.openAll()
            var shared = opened
            shared.rosterToAll()
            var masked = shared
            masked.deliverToAll()
            let t = masked.world.descriptor.cohort.threshold.threshold(sites: n)
            let colluders = max(1, (n + 2) / 3 - 1)
            for index in 0..<(count / 5) {
                let seed = TestSettings.seed &+ UInt64(n) << 32 &+ UInt64(index)
                let random = SeededRandom(seed: seed)
                var evil = [opened, shared, masked, masked][random.uniform(below: 4)]
                for _ in 0..<(8 + random.uniform(below: 24)) {
                    let position = colluders + random.uniform(below: n - colluders)
                    evil.send(message(random, &evil, shared, colluders, t), to: position)
                }
                check(evil, colluders: colluders, threshold: t, seed)
            }
        }
    }

    /// One message of the evil coordinator's choice, often close to a good one.
    private func message(
        _ random: SeededRandom, _ evil: inout EvilCoordinator, _ shared: EvilCoordinator,
        _ colluders: Int, _ t: Int
    ) -> [UInt8] {
        let n = evil.clients.count
        var positions = (0..<n).filter { _ in random.uniform(below: 6) > 0 }
        if positions.isEmpty { positions = [0] }
        var message: [UInt8]
        switch random.uniform(below: 10) {
        case 0: message = RoundOpening.encoded(evil.world.descriptor, key: evil.world.coordinator)
        case 1: message = evil.roster.message
        case 2:
            // The shares exist once a copy of the round got that far; they are the same bytes in every copy.
            message =
                shared.delivery(
                    to: random.uniform(below: n),
                    sharers: random.uniform(below: 3) > 0 ? nil : positions
                ).message
        case 3, 4, 5:
            message = SurvivorList.message(
                evil.survivors(positions.count >= t ? positions : Array(0..<n)))
        case 6, 7, 8:
            var list: [SurvivorConfirmation] = []
            for position in 0..<n {
                if position < colluders {
                    list.append(evil.forged(position, evil.transcript(positions)))
                } else if let confirmation = evil.last(.confirmation, from: position).flatMap({
                    try? SurvivorConfirmation(message: $0)
                }) {
                    list.append(confirmation)
                }
            }
            // Signed for one of the lists that honest sites confirmed, when there is one.
            if let signed = evil.clients.compactMap({
                $0.history.task(evil.world.descriptor.task)?.signedSurvivors
            }).randomElement(random) {
                let transcript = ConfirmedTranscript(
                    context: evil.context, roster: evil.roster.hash, sharers: evil.sharersHash,
                    survivors: signed)
                for position in 0..<colluders { list[position] = evil.forged(position, transcript) }
            }
            message = SurvivorConfirmation.evidence(list)
        default:
            let messages = Array(evil.sent.joined())
            message = messages[random.uniform(below: messages.count)]
        }
        if random.uniform(below: 8) == 0 {
            switch random.uniform(below: 3) {
            case 0:
                message[random.uniform(below: message.count)] ^=
                    1 << UInt8(random.uniform(below: 8))
            case 1: message.removeLast(min(message.count, 1 + random.uniform(below: 40)))
            default: message += random.bytes(1 + random.uniform(below: 8))
            }
        }
        return message
    }
}

extension Array {
    fileprivate func randomElement(_ random: SeededRandom) -> Element? {
        isEmpty ? nil : self[random.uniform(below: count)]
    }
}
