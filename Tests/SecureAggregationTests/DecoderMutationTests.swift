// Every decoder under 100,000 mutated messages, from a seed, in the ordinary run. `Tests/fuzz/run` is the long form:
// libFuzzer, address sanitizer, sessions as well.

import Cryptography
import Testing

@testable import SecureAggregation

@Suite("Decoders under mutation") struct DecoderMutationTests {
    private struct Decoder {
        let samples: [[UInt8]]
        /// The accepted message, written again; nil when it was refused.
        let rewrite: ([UInt8]) -> [UInt8]?
    }

    /// One round's messages, and who reads them.
    private func decoders() throws -> [Decoder] {
        var federation = Federation(World(sites: 4, elements: 600, segmentLog2: 8))
        let world = federation.world
        var sent: [[UInt8]] = []
        var received: [[UInt8]] = []
        let taps = MessageTap()
        federation.tamper = { _, message in
            taps.messages.append(message)
            return message
        }
        federation.perform(federation.server.open())
        while federation.inboxes.contains(where: { !$0.isEmpty }) {
            for position in federation.clients.indices where !federation.inboxes[position].isEmpty {
                let message = federation.inboxes[position].removeFirst()
                if !received.contains(message) { received.append(message) }
                federation.perform(federation.clients[position].handle(message), position)
            }
        }
        sent = taps.messages
        func samples(_ type: MessageType) -> [[UInt8]] {
            (sent + received).filter { $0.first == type.rawValue }
        }
        let context = world.descriptor.context
        let spec = world.descriptor.vector
        let key = world.coordinator.publicKey
        let roster = Roster(
            try samples(.advertisement).map { try Advertisement(message: $0) }, context: context)
        var signed = SignedManifest(proposing: world.manifest)
        signed.sign(with: world.identities[0])
        let abort = AbortMessage(
            sender: AbortMessage.coordinator, refusal: AggregationRefusal(.cancelled))
        let published = try #require(federation.server.publishedResult)
        return [
            Decoder(samples: samples(.opening)) {
                (try? RoundOpening.opened($0, key: key)).map {
                    RoundOpening.encoded($0.0, key: world.coordinator)
                }
            },
            Decoder(samples: [world.descriptor.canonicalBytes]) {
                (try? RoundDescriptor(canonicalBytes: $0))?.canonicalBytes
            },
            Decoder(samples: [world.manifest.canonicalBytes]) {
                (try? Manifest(canonicalBytes: $0))?.canonicalBytes
            },
            Decoder(samples: [signed.encoded]) { (try? SignedManifest(encoded: $0))?.encoded },
            Decoder(
                samples: federation.latches.values.joined().filter {
                    if case .ledgerHeads = $0 { false } else { true }
                }.map(\.encoded)
            ) { bytes in
                guard let record = try? LatchRecord(encoded: bytes) else { return nil }
                if case .ledgerHeads = record { return bytes }
                return record.encoded
            },
            Decoder(samples: samples(.advertisement)) {
                (try? Advertisement(message: $0))?.message
            },
            Decoder(samples: samples(.roster)) {
                (try? Roster(message: $0, context: context))?.message
            },
            Decoder(samples: samples(.shares)) { (try? EncryptedShares(message: $0))?.message },
            Decoder(samples: samples(.delivery)) {
                (try? Delivery(message: $0, roster: roster))?.message
            },
            Decoder(samples: samples(.maskedInput)) {
                (try? MaskedInputHeader(message: $0))?.message
            },
            Decoder(samples: samples(.maskedSegment)) { bytes in
                (try? SegmentFrame(bytes, type: .maskedSegment, spec: spec)).map { _ in bytes }
            },
            Decoder(samples: samples(.resultSegment)) { bytes in
                (try? SegmentFrame(bytes, type: .resultSegment, spec: spec)).map { _ in bytes }
            },
            Decoder(samples: samples(.survivors)) {
                (try? SurvivorList.survivors($0, roster: roster)).map(SurvivorList.message)
            },
            Decoder(samples: samples(.confirmation)) {
                (try? SurvivorConfirmation(message: $0))?.message
            },
            // Evidence may list its signers in any order.
            Decoder(samples: samples(.evidence)) { bytes in
                (try? SurvivorConfirmation.confirmations(bytes)).map { _ in bytes }
            },
            Decoder(samples: samples(.revealedShares)) {
                (try? RevealedShares(message: $0))?.message
            },
            Decoder(samples: samples(.result)) {
                (try? ResultHeader(message: $0, rosterCount: roster.count))?.message
            },
            Decoder(samples: [published.encoded]) {
                (try? PublishedResult(encoded: $0, spec: spec, key: key))?.encoded
            },
            Decoder(samples: [abort.encoded(context: context, key: world.coordinator)]) {
                (try? AbortMessage($0, context: context, key: key))?.encoded(
                    context: context, key: world.coordinator)
            },
        ]
    }

    private final class MessageTap { var messages: [[UInt8]] = [] }

    @Test("mutated messages never trap a decoder, and what is accepted has one encoding")
    func decodersSurviveAnything() throws {
        let decoders = try decoders()
        for decoder in decoders {
            #expect(!decoder.samples.isEmpty)
            for sample in decoder.samples { #expect(decoder.rewrite(sample) == sample) }
        }
        let random = SeededRandom(seed: TestSettings.seed)
        var accepted = 0
        for _ in 0..<100_000 {
            // One draw an input: the generator must not be what takes the time.
            var dice = random.word()
            func roll(_ bound: Int) -> Int {
                defer { dice = (dice / UInt64(bound)) &* 0x9E37_79B9_7F4A_7C15 &+ dice % 7919 }
                return Int(dice % UInt64(bound))
            }
            let decoder = decoders[roll(decoders.count)]
            var message = decoder.samples[roll(decoder.samples.count)]
            for _ in 0..<roll(4) where !message.isEmpty {
                message[roll(message.count)] = UInt8(roll(256))
            }
            switch roll(8) {
            case 0: message.removeLast(min(message.count, roll(40)))
            case 1: message += [UInt8](repeating: UInt8(roll(256)), count: 1 + roll(8))
            default: break
            }
            guard let again = decoder.rewrite(message) else { continue }
            accepted += 1
            if again != message { Issue.record("a \(message.first ?? 0) message has two encodings") }
        }
        #expect(accepted > 1000, "most of what is tried gets past the frame")
    }
}
