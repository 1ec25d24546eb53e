// Coordinator → site. A closed list; `protocol/federation.md` §3.
//
// Encoding: type byte, then the fields in order (`Codec` big-endian integers, length-prefixed byte
// strings), nothing after the last one.

import Codec
import Cryptography
import SecureAggregation
import Study

/// What a coordinator can tell a node. None of it obliges the node to anything.
package enum Instruction: Equatable, Sendable {
    /// A study plan to look at; canonical bytes.
    case planOffer(plan: [UInt8])
    /// The plan is withdrawn: no further round will come.
    case planWithdrawn(planHash: Digest)
    /// A round opens: its work order, the manifest of the cohort, and message M0 of the aggregation.
    case roundOpen(work: [UInt8], manifest: [UInt8], opening: [UInt8])
    /// A later message of the round's aggregation (M2, M4, M6, M8, M10, abort).
    case aggregation(round: UInt64, message: [UInt8])
    /// The run ended; `released` tells whether a version follows.
    case runEnded(run: String, released: Bool)
    /// A signed version to fetch: the blob of the bundled package, its package digest.
    case release(study: String, version: Int, package: Digest, bundle: Digest)

    /// Bytes of an encoded instruction.
    package static let bytesMax = 96 << 20
    static let partBytesMax = 64 << 20
    static let manifestBytesMax = AggregationLimits.manifestBytesMax
    static let openingBytesMax = AggregationLimits.descriptorBytesMax + 4096

    /// Canonical bytes, `protocol/federation.md` §3.
    package var encoded: [UInt8] {
        var writer = ByteWriter()
        switch self {
        case .planOffer(let plan):
            writer.u8(1)
            writer.lengthPrefixed(plan)
        case .planWithdrawn(let hash):
            writer.u8(2)
            writer.raw(hash.bytes)
        case .roundOpen(let work, let manifest, let opening):
            writer.u8(3)
            writer.lengthPrefixed(work)
            writer.lengthPrefixed(manifest)
            writer.lengthPrefixed(opening)
        case .aggregation(let round, let message):
            writer.u8(4)
            writer.u64(round)
            writer.lengthPrefixed(message)
        case .runEnded(let run, let released):
            writer.u8(5)
            writer.text(run)
            writer.u8(released ? 1 : 0)
        case .release(let study, let version, let package, let bundle):
            writer.u8(6)
            writer.text(study)
            writer.u32(UInt32(version))
            writer.raw(package.bytes)
            writer.raw(bundle.bytes)
        }
        return writer.bytes
    }

    /// Reads what `encoded` wrote.
    ///
    /// - Throws: `MessageError.unknownType` for a type byte that is not in the list, `.malformed` for
    ///   anything else that is wrong: short, long, left over, a name that is none.
    package init(encoded bytes: [UInt8]) throws(MessageError) {
        do {
            var reader = ByteReader(bytes)
            let type = try reader.u8()
            switch type {
            case 1: self = .planOffer(plan: try reader.lengthPrefixed(maxBytes: Plan.bytesMax))
            case 2: self = .planWithdrawn(planHash: try reader.digest())
            case 3:
                self = .roundOpen(
                    work: try reader.lengthPrefixed(maxBytes: RoundWork.bytesMax),
                    manifest: try reader.lengthPrefixed(maxBytes: Instruction.manifestBytesMax),
                    opening: try reader.lengthPrefixed(maxBytes: Instruction.openingBytesMax))
            case 4:
                self = .aggregation(
                    round: try reader.u64(),
                    message: try reader.lengthPrefixed(maxBytes: Instruction.partBytesMax))
            case 5: self = .runEnded(run: try reader.name(), released: try reader.flag())
            case 6:
                self = .release(
                    study: try reader.name(), version: Int(try reader.u32()),
                    package: try reader.digest(), bundle: try reader.digest())
            default: throw MessageError.unknownType(type)
            }
            try reader.finish()
        } catch MessageError.unknownType(let type) {
            throw MessageError.unknownType(type)
        } catch {
            throw MessageError.malformed("instruction")
        }
    }

    /// Blobs that the node needs before it can act; it fetches those it does not hold.
    package var references: [Digest] {
        switch self {
        case .roundOpen(let work, _, _):
            guard let work = try? RoundWork(parsing: work) else { return [] }
            return [work.preprocessor, work.model].compactMap { $0 }
        case .release(_, _, _, let bundle): return [bundle]
        default: return []
        }
    }
}
