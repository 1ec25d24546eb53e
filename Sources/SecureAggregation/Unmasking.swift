// Step 5, Unmasking: each survivor reveals one share per site that shared (M9): of b for those that survived, of g
// for those that dropped out. `protocol/secure-aggregation.md` §3.5.

import Codec
import Cryptography

/// Which of a site's two secrets a share is of.
enum ShareKind: UInt8, Sendable {
    /// b, of a survivor.
    case selfSeed = 0
    /// g, of a dropped site.
    case maskSeed = 1
}

/// M9: u32 from ‖ u32 count ‖ count × (u32 site ‖ u8 kind ‖ 40-byte share), ascending ‖ signature over
/// (ctx, ρ, h3, from, entries).
struct RevealedShares: Equatable, Sendable {
    struct Entry: Equatable, Sendable {
        let site: UInt32
        let kind: ShareKind
        let share: [UInt8]
    }

    let from: UInt32
    let entries: [Entry]
    private let signature: [UInt8]

    init(from: UInt32, entries: [Entry], transcript: ConfirmedTranscript, identity: SigningKey) {
        self.from = from
        self.entries = entries
        signature = Transcript.sign(
            .unmasking, transcript.context.bytes, transcript.roster.bytes,
            transcript.survivors.bytes,
            from.bigEndianBytes, RevealedShares.bytes(entries), with: identity)
    }

    var message: [UInt8] {
        var writer = ByteWriter(reserving: 80 + entries.count * 45)
        writer.u8(MessageType.revealedShares.rawValue)
        writer.u32(from)
        writer.u32(UInt32(entries.count))
        writer.raw(RevealedShares.bytes(entries))
        writer.raw(signature)
        return writer.bytes
    }

    init(message: [UInt8]) throws(AggregationRefusal) {
        var reader = try reader(message, expecting: .revealedShares)
        (from, entries, signature) = try decoding { () throws -> (UInt32, [Entry], [UInt8]) in
            let from = try reader.u32()
            let count = Int(try reader.u32())
            guard count <= AggregationLimits.sitesMax else {
                throw AggregationRefusal(.malformedMessage)
            }
            var entries: [Entry] = []
            for _ in 0..<count {
                let site = try reader.u32()
                guard let kind = ShareKind(rawValue: try reader.u8()) else {
                    throw AggregationRefusal(.malformedMessage)
                }
                entries.append(
                    Entry(site: site, kind: kind, share: try reader.raw(SecretSharing.shareBytes)))
            }
            let signature = try reader.signature()
            try reader.finish()
            return (from, entries, signature)
        }
    }

    /// - Parameter message: the one that this was read from; its entries are what is signed.
    func isSigned(by key: VerifyingKey, transcript: ConfirmedTranscript, message: [UInt8]) -> Bool {
        Transcript.isValid(
            signature, .unmasking, transcript.context.bytes, transcript.roster.bytes,
            transcript.survivors.bytes,
            from.bigEndianBytes, SignedList.entries(of: message), by: key)
    }

    private static func bytes(_ entries: [Entry]) -> [UInt8] {
        var writer = ByteWriter(reserving: entries.count * 45)
        for entry in entries {
            writer.u32(entry.site)
            writer.u8(entry.kind.rawValue)
            writer.raw(entry.share)
        }
        return writer.bytes
    }
}

/// Messages of the form: type, u32 from, u32 count, entries, signature.
enum SignedList {
    /// The entries as they stand in a message that was read, which has one encoding: nothing is written again to
    /// check the signature under it.
    static func entries(of message: [UInt8]) -> [UInt8] {
        Array(message[9..<(message.count - SigningKey.signatureBytes)])
    }
}
