// Who the members are. The list is signed by a threshold of the sites' own governance keys, never by the
// coordinator, and every node pins its hash. `protocol/secure-aggregation.md` §7.
//
//     text "consilium/manifest/v1", text federation, u64 sequence, u32 count,
//     count × (u32 index, text name, 32-byte Ed25519 key, u64 valid from, u64 valid to), by index

import Codec
import Cryptography

/// The member list of a federation.
package struct Manifest: Equatable, Sendable {
    /// One member.
    package struct Member: Equatable, Sendable {
        /// The site's number in every message; never used for another site.
        package var index: UInt32
        /// `[a-z0-9._-]{1,64}`.
        package var name: String
        package var key: VerifyingKey
        /// Seconds since 1970: the membership is in force from the first to just before the second.
        package var validFrom: UInt64
        package var validTo: UInt64

        package init(
            index: UInt32, name: String, key: VerifyingKey, validFrom: UInt64, validTo: UInt64
        ) {
            self.index = index
            self.name = name
            self.key = key
            self.validFrom = validFrom
            self.validTo = validTo
        }

        /// Whether the membership counts at this time, in seconds since 1970.
        package func isInForce(at seconds: UInt64) -> Bool {
            validFrom <= seconds && seconds < validTo
        }
    }

    package let federation: String
    /// Increases with every change of the list.
    package let sequence: UInt64
    /// Ascending by index.
    package let members: [Member]

    private static let magic = "consilium/manifest/v1"
    private static let nameBytesMax = 64
    private static let membersMax = 100_000

    /// - Throws: `malformed-message` for repeated indices, names or keys, bad names or more members than fit.
    package init(federation: String, sequence: UInt64, members: [Member]) throws(AggregationRefusal)
    {
        let sorted = members.sorted { $0.index < $1.index }
        guard Set(members.map(\.index)).count == members.count,
            Set(members.map(\.name)).count == members.count,
            Set(members.map(\.key)).count == members.count,
            members.count <= Manifest.membersMax,
            federation.utf8.count <= Manifest.nameBytesMax,
            sorted.allSatisfy({ Manifest.isName($0.name) && $0.index < AbortMessage.coordinator })
        else { throw AggregationRefusal(.malformedMessage) }
        self.federation = federation
        self.sequence = sequence
        self.members = sorted
    }

    /// The member with this index. Cost: O(log members).
    package func member(_ index: UInt32) -> Member? {
        var low = 0
        var high = members.count
        while low < high {
            let middle = (low + high) / 2
            if members[middle].index < index { low = middle + 1 } else { high = middle }
        }
        return low < members.count && members[low].index == index ? members[low] : nil
    }

    /// The one encoding, laid out at the top of this file.
    package var canonicalBytes: [UInt8] {
        var writer = ByteWriter(reserving: 64 + members.count * 96)
        writer.text(Manifest.magic)
        writer.text(federation)
        writer.u64(sequence)
        writer.u32(UInt32(members.count))
        for member in members {
            writer.u32(member.index)
            writer.text(member.name)
            writer.raw(member.key.bytes)
            writer.u64(member.validFrom)
            writer.u64(member.validTo)
        }
        return writer.bytes
    }

    /// What nodes pin and every round descriptor names: H("manifest"; canonical bytes).
    package var hash: Digest { Transcript.hash(.manifest, canonicalBytes) }

    /// - Throws: `malformed-message` unless the bytes are one manifest in canonical form.
    package init(canonicalBytes bytes: [UInt8]) throws(AggregationRefusal) {
        let parsed = try decoding { () throws -> Manifest in
            var reader = ByteReader(bytes)
            guard try reader.text(maxBytes: 64) == Manifest.magic else {
                throw AggregationRefusal(.malformedMessage)
            }
            let federation = try reader.text(maxBytes: Manifest.nameBytesMax)
            let sequence = try reader.u64()
            let count = Int(try reader.u32())
            guard count <= Manifest.membersMax else { throw AggregationRefusal(.malformedMessage) }
            var members: [Member] = []
            for _ in 0..<count {
                let index = try reader.u32()
                let name = try reader.text(maxBytes: Manifest.nameBytesMax)
                guard let key = VerifyingKey(bytes: try reader.raw(VerifyingKey.keyBytes)) else {
                    throw AggregationRefusal(.malformedMessage)
                }
                members.append(
                    Member(
                        index: index, name: name, key: key, validFrom: try reader.u64(),
                        validTo: try reader.u64()))
            }
            try reader.finish()
            return try Manifest(federation: federation, sequence: sequence, members: members)
        }
        guard parsed.canonicalBytes == bytes else { throw AggregationRefusal(.malformedMessage) }
        self = parsed
    }

    private static func isName(_ name: String) -> Bool {
        let isAllowed = { (byte: UInt8) in
            (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2E
                || byte == 0x5F || byte == 0x2D
        }
        return (1...nameBytesMax).contains(name.utf8.count) && name.utf8.allSatisfy(isAllowed)
    }
}
