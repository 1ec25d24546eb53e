// Step 2, ShareKeys: every site splits b and g among all sites of the roster and sends each its share under a
// key of their own (M3); the coordinator passes the shares on (M4). `protocol/secure-aggregation.md` §3.2.

import Codec
import Cryptography

/// A share of b ‖ a share of g under AES-256-GCM: 80 bytes and a tag.
enum ShareBox {
    static let plaintextBytes = 2 * SecretSharing.shareBytes
    static let sealedBytes = plaintextBytes + AESGCM256.tagBytes
    /// The key seals one message in its life.
    static let nonce = [UInt8](repeating: 0, count: AESGCM256.nonceBytes)
}

/// M3: u32 from ‖ u32 count ‖ count × (u32 to ‖ 96 bytes), ascending ‖ signature over (ctx, ρ, from, boxes).
struct EncryptedShares: Equatable, Sendable {
    struct Box: Equatable, Sendable {
        let peer: UInt32
        let sealed: [UInt8]
    }

    let from: UInt32
    let boxes: [Box]
    private let signature: [UInt8]

    init(from: UInt32, boxes: [Box], context: Digest, roster: Roster, identity: SigningKey) {
        self.from = from
        self.boxes = boxes
        signature = Transcript.sign(
            .shares, context.bytes, roster.hash.bytes, from.bigEndianBytes,
            EncryptedShares.bytes(boxes), with: identity)
    }

    var message: [UInt8] {
        var writer = ByteWriter(reserving: 80 + boxes.count * (4 + ShareBox.sealedBytes))
        writer.u8(MessageType.shares.rawValue)
        writer.u32(from)
        writer.u32(UInt32(boxes.count))
        writer.raw(EncryptedShares.bytes(boxes))
        writer.raw(signature)
        return writer.bytes
    }

    init(message: [UInt8]) throws(AggregationRefusal) {
        var reader = try reader(message, expecting: .shares)
        (from, boxes, signature) = try decoding { () throws -> (UInt32, [Box], [UInt8]) in
            let from = try reader.u32()
            let boxes = try EncryptedShares.boxes(&reader)
            let signature = try reader.signature()
            try reader.finish()
            return (from, boxes, signature)
        }
    }

    /// - Parameter message: the one that this was read from; its boxes are what is signed.
    func isSigned(by key: VerifyingKey, context: Digest, roster: Roster, message: [UInt8]) -> Bool {
        Transcript.isValid(
            signature, .shares, context.bytes, roster.hash.bytes, from.bigEndianBytes,
            SignedList.entries(of: message), by: key)
    }

    static func bytes(_ boxes: [Box]) -> [UInt8] {
        var writer = ByteWriter(reserving: boxes.count * (4 + ShareBox.sealedBytes))
        for box in boxes {
            writer.u32(box.peer)
            writer.raw(box.sealed)
        }
        return writer.bytes
    }

    static func boxes(_ reader: inout ByteReader) throws -> [Box] {
        let count = Int(try reader.u32())
        guard count <= AggregationLimits.sitesMax else {
            throw AggregationRefusal(.malformedMessage)
        }
        var boxes: [Box] = []
        boxes.reserveCapacity(count)
        for _ in 0..<count {
            boxes.append(Box(peer: try reader.u32(), sealed: try reader.raw(ShareBox.sealedBytes)))
        }
        guard zip(boxes, boxes.dropFirst()).allSatisfy({ $0.peer < $1.peer }) else {
            throw AggregationRefusal(.malformedMessage)
        }
        return boxes
    }
}

/// M4: lp(bitmap of U2) ‖ u32 count ‖ count × (u32 from ‖ 96 bytes), ascending, without the receiver's own.
struct Delivery: Equatable, Sendable {
    let sharers: SiteSet
    let boxes: [EncryptedShares.Box]

    var message: [UInt8] {
        var writer = ByteWriter(reserving: 160 + boxes.count * (4 + ShareBox.sealedBytes))
        writer.u8(MessageType.delivery.rawValue)
        writer.lengthPrefixed(sharers.bytes)
        writer.u32(UInt32(boxes.count))
        writer.raw(EncryptedShares.bytes(boxes))
        return writer.bytes
    }

    init(sharers: SiteSet, boxes: [EncryptedShares.Box]) {
        self.sharers = sharers
        self.boxes = boxes
    }

    init(message: [UInt8], roster: Roster) throws(AggregationRefusal) {
        var reader = try reader(message, expecting: .delivery)
        (sharers, boxes) = try decoding { () throws -> (SiteSet, [EncryptedShares.Box]) in
            let bitmap = try reader.lengthPrefixed(maxBytes: AggregationLimits.sitesMax / 8)
            let sharers = try SiteSet(bytes: bitmap, capacity: roster.count)
            let boxes = try EncryptedShares.boxes(&reader)
            try reader.finish()
            return (sharers, boxes)
        }
    }

    /// h2 = H("u2"; ctx, ρ, bitmap), in a group H("u2"; ctx, ρ, bitmap, u32 group).
    static func hash(_ sharers: SiteSet, context: Digest, roster: Roster) -> Digest {
        if let group = roster.group {
            return Transcript.hash(
                .sharers, context.bytes, roster.hash.bytes, sharers.bytes,
                group.number.bigEndianBytes)
        }
        return Transcript.hash(.sharers, context.bytes, roster.hash.bytes, sharers.bytes)
    }
}
