// Every decoder, one for each input. What it accepts it must write again byte for byte.

import Cryptography

@testable import SecureAggregation

struct Decoders: Sendable {
    private struct Target: Sendable {
        let name: String
        let samples: [[UInt8]]
        /// The bytes that the decoded value writes; nil when the input was refused.
        let rewrite: @Sendable ([UInt8]) -> [UInt8]?
    }

    private let targets: [Target]

    init(_ round: FuzzRound) {
        let roster = round.roster
        let context = round.descriptor.context
        let spec = round.descriptor.vector
        let all = round.toClient + round.toServer.map(\.message)
        func samples(_ type: MessageType) -> [[UInt8]] { all.filter { $0.first == type.rawValue } }
        targets = [
            Target(name: "opening", samples: samples(.opening)) {
                guard let opened = try? RoundOpening.opened($0, key: round.coordinator.publicKey) else { return nil }
                return RoundOpening.encoded(opened.0, key: round.coordinator)
            },
            Target(name: "descriptor", samples: [round.descriptor.canonicalBytes]) {
                (try? RoundDescriptor(canonicalBytes: $0))?.canonicalBytes
            },
            Target(name: "manifest", samples: [round.manifest.canonicalBytes]) { (try? Manifest(canonicalBytes: $0))?.canonicalBytes },
            Target(name: "signed manifest", samples: [round.signedManifest.encoded]) { (try? SignedManifest(encoded: $0))?.encoded },
            Target(name: "latch", samples: round.latches.map(\.encoded)) { bytes in
                guard let record = try? LatchRecord(encoded: bytes) else { return nil }
                // Heads may come in any order, so the bytes may differ; the value may not.
                guard case .ledgerHeads = record else { return record.encoded }
                precondition((try? LatchRecord(encoded: record.encoded)) == record, "a latch reads back as it was")
                return bytes
            },
            Target(name: "advertisement", samples: samples(.advertisement)) { (try? Advertisement(message: $0))?.message },
            Target(name: "roster", samples: samples(.roster)) { (try? Roster(message: $0, context: context))?.message },
            Target(name: "shares", samples: samples(.shares)) { (try? EncryptedShares(message: $0))?.message },
            Target(name: "delivery", samples: samples(.delivery)) { (try? Delivery(message: $0, roster: roster))?.message },
            Target(name: "masked input", samples: samples(.maskedInput)) { (try? MaskedInputHeader(message: $0))?.message },
            Target(name: "masked segment", samples: samples(.maskedSegment)) { bytes in
                (try? SegmentFrame(bytes, type: .maskedSegment, spec: spec)).map { frame in
                    Decoders.segment(bytes, frame, .maskedSegment, spec)
                }
            },
            Target(name: "result segment", samples: samples(.resultSegment)) { bytes in
                (try? SegmentFrame(bytes, type: .resultSegment, spec: spec)).map { frame in
                    Decoders.segment(bytes, frame, .resultSegment, spec)
                }
            },
            Target(name: "survivors", samples: samples(.survivors)) {
                (try? SurvivorList.survivors($0, roster: roster)).map(SurvivorList.message)
            },
            Target(name: "confirmation", samples: samples(.confirmation)) { (try? SurvivorConfirmation(message: $0))?.message },
            Target(name: "evidence", samples: samples(.evidence)) { bytes in
                guard let list = try? SurvivorConfirmation.confirmations(bytes) else { return nil }
                // The order is the sender's; a node only counts.
                precondition(SurvivorConfirmation.evidence(list).count == bytes.count, "evidence keeps its size")
                return bytes
            },
            Target(name: "revealed shares", samples: samples(.revealedShares)) { bytes in
                guard let revealed = try? RevealedShares(message: bytes) else { return nil }
                for entry in revealed.entries {
                    if let share = SecretShare(bytes: entry.share[...]) { precondition(share.bytes == entry.share, "a share keeps its bytes") }
                }
                return revealed.message
            },
            Target(name: "result", samples: samples(.result)) { (try? ResultHeader(message: $0, rosterCount: roster.count))?.message },
            Target(name: "published result", samples: round.servers.compactMap(\.publishedResult?.encoded)) { bytes in
                (try? PublishedResult(encoded: bytes, spec: spec, key: round.coordinator.publicKey)).map { result in
                    precondition(result.sum(spec: spec).signedSums.count == spec.elementCount, "a sum has every element")
                    return result.encoded
                }
            },
            Target(
                name: "abort",
                samples: [
                    AbortMessage(sender: AbortMessage.coordinator, refusal: AggregationRefusal(.cancelled)).encoded(
                        context: context, key: round.coordinator)
                ]
            ) {
                (try? AbortMessage($0, context: context, key: round.coordinator.publicKey))?.encoded(
                    context: context, key: round.coordinator)
            },
        ]
        precondition(targets.allSatisfy { !$0.samples.isEmpty }, "the round has a message of every kind")
        for target in targets {
            for sample in target.samples { precondition(target.rewrite(sample) == sample, "\(target.name): the real one is accepted") }
        }
    }

    func run(_ input: inout Input) {
        let target = targets[Int(input.byte()) % targets.count]
        let message = input.message(near: target.samples[input.index(target.samples.count)])
        guard let again = target.rewrite(message) else { return }
        precondition(again == message, "\(target.name): accepted bytes are the one encoding")
    }

    private static func segment(_ bytes: [UInt8], _ frame: SegmentFrame, _ type: MessageType, _ spec: VectorSpec) -> [UInt8] {
        var words = [UInt32](repeating: 0, count: spec.elementCount)
        let range = spec.segmentRange(frame.segment)
        WordBytes.copy(bytes, from: frame.start, to: &words, range)
        return SegmentFrame.message(type, sender: frame.sender, segment: frame.segment, words: words, range: range)
    }
}
