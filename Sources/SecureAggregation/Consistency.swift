// Step 4, Consistency: the coordinator names the survivors (M6), each survivor signs that list once (M7), and
// nobody reveals anything before seeing that at least t of them signed the same one (M8).
// `protocol/secure-aggregation.md` §3.4.

import Codec
import Cryptography

/// M6: lp(bitmap of U3).
enum SurvivorList {
    static func message(_ survivors: SiteSet) -> [UInt8] {
        var writer = ByteWriter(reserving: 160)
        writer.u8(MessageType.survivors.rawValue)
        writer.lengthPrefixed(survivors.bytes)
        return writer.bytes
    }

    static func survivors(_ message: [UInt8], roster: Roster) throws(AggregationRefusal) -> SiteSet
    {
        var reader = try reader(message, expecting: .survivors)
        return try decoding { () throws -> SiteSet in
            let bitmap = try reader.lengthPrefixed(maxBytes: AggregationLimits.sitesMax / 8)
            try reader.finish()
            return try SiteSet(bytes: bitmap, capacity: roster.count)
        }
    }

    /// h3 = H("u3"; ctx, ρ, h2, bitmap), in a group H("u3"; ctx, ρ, h2, bitmap, u32 group).
    static func hash(_ survivors: SiteSet, context: Digest, roster: Roster, sharers: Digest)
        -> Digest
    {
        if let group = roster.group {
            return Transcript.hash(
                .survivors, context.bytes, roster.hash.bytes, sharers.bytes, survivors.bytes,
                group.number.bigEndianBytes)
        }
        return Transcript.hash(
            .survivors, context.bytes, roster.hash.bytes, sharers.bytes, survivors.bytes)
    }

    /// The set itself, independent of any attempt: what a retry is compared by.
    static func setDigest(_ sites: [UInt32]) -> Digest {
        Transcript.hash(.survivorSet, sites.sorted().flatMap(\.bigEndianBytes))
    }
}

/// What the confirmations of one survivor list are signed over.
struct ConfirmedTranscript: Equatable, Sendable {
    let context: Digest
    let roster: Digest
    let sharers: Digest
    let survivors: Digest

    func sign(with key: SigningKey) -> [UInt8] {
        Transcript.sign(
            .consistency, context.bytes, roster.bytes, sharers.bytes, survivors.bytes, with: key)
    }

    func isValid(_ signature: [UInt8], by key: VerifyingKey) -> Bool {
        Transcript.isValid(
            signature, .consistency, context.bytes, roster.bytes, sharers.bytes, survivors.bytes,
            by: key)
    }
}

/// M7: u32 from ‖ signature over (ctx, ρ, h2, h3). M8: u32 count ‖ count × (u32 site ‖ signature), ascending.
struct SurvivorConfirmation: Equatable, Sendable {
    let site: UInt32
    let signature: [UInt8]

    var message: [UInt8] { [MessageType.confirmation.rawValue] + site.bigEndianBytes + signature }

    init(site: UInt32, signature: [UInt8]) {
        self.site = site
        self.signature = signature
    }

    init(message: [UInt8]) throws(AggregationRefusal) {
        var reader = try reader(message, expecting: .confirmation)
        self = try decoding { () throws -> SurvivorConfirmation in
            let confirmation = SurvivorConfirmation(
                site: try reader.u32(), signature: try reader.signature())
            try reader.finish()
            return confirmation
        }
    }

    static func evidence(_ confirmations: [SurvivorConfirmation]) -> [UInt8] {
        var writer = ByteWriter(reserving: 8 + confirmations.count * 68)
        writer.u8(MessageType.evidence.rawValue)
        writer.u32(UInt32(confirmations.count))
        for confirmation in confirmations.sorted(by: { $0.site < $1.site }) {
            writer.u32(confirmation.site)
            writer.raw(confirmation.signature)
        }
        return writer.bytes
    }

    static func confirmations(_ message: [UInt8]) throws(AggregationRefusal)
        -> [SurvivorConfirmation]
    {
        var reader = try reader(message, expecting: .evidence)
        return try decoding { () throws -> [SurvivorConfirmation] in
            let count = Int(try reader.u32())
            guard count <= AggregationLimits.sitesMax else {
                throw AggregationRefusal(.malformedMessage)
            }
            var list: [SurvivorConfirmation] = []
            for _ in 0..<count {
                list.append(
                    SurvivorConfirmation(site: try reader.u32(), signature: try reader.signature()))
            }
            try reader.finish()
            return list
        }
    }
}
