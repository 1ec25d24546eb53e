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
    /// A round opens: its work order, the proof that the coordinator's log holds it (``RoundStart``), message M0 of
    /// the aggregation, and the published results of the run's training so far, as blobs, oldest first.
    case roundOpen(work: [UInt8], start: [UInt8], opening: [UInt8], results: [Digest])
    /// A later message of the round's aggregation (M2, M4, M6, M8, M10, abort).
    case aggregation(round: UInt64, message: [UInt8])
    /// The run ended; `released` tells whether a version follows.
    case runEnded(run: String, released: Bool)
    /// A signed version to fetch: the blob of the bundled package, its package digest.
    case release(study: String, version: Int, package: Digest, bundle: Digest)
    /// A list of members for a person to sign, or the one in force: a manifest with its signatures so far.
    case manifest(signed: [UInt8])
    /// A log asks this site as its witness to cosign a checkpoint: the body of `add-checkpoint`.
    case witness(request: [UInt8])
    /// What a witness answered to this site's own request.
    case witnessed(WitnessAnswer)

    /// Bytes of an encoded instruction.
    package static let bytesMax = 96 << 20
    static let partBytesMax = 64 << 20
    static let manifestBytesMax = 2 * AggregationLimits.manifestBytesMax
    static let startBytesMax = 1 << 17
    static let resultsMax = 1 << 14
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
        case .roundOpen(let work, let start, let opening, let results):
            writer.u8(3)
            writer.lengthPrefixed(work)
            writer.lengthPrefixed(start)
            writer.lengthPrefixed(opening)
            writer.u32(UInt32(results.count))
            for result in results { writer.raw(result.bytes) }
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
        case .manifest(let signed):
            writer.u8(7)
            writer.lengthPrefixed(signed)
        case .witness(let request):
            writer.u8(8)
            writer.lengthPrefixed(request)
        case .witnessed(let answer):
            writer.u8(9)
            answer.write(to: &writer)
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
                let work = try reader.lengthPrefixed(maxBytes: RoundWork.bytesMax)
                let start = try reader.lengthPrefixed(maxBytes: Instruction.startBytesMax)
                let opening = try reader.lengthPrefixed(maxBytes: Instruction.openingBytesMax)
                let count = Int(try reader.u32())
                guard count <= Instruction.resultsMax else { throw MessageError.malformed("instruction") }
                var results: [Digest] = []
                for _ in 0..<count { results.append(try reader.digest()) }
                self = .roundOpen(work: work, start: start, opening: opening, results: results)
            case 4:
                self = .aggregation(
                    round: try reader.u64(),
                    message: try reader.lengthPrefixed(maxBytes: Instruction.partBytesMax))
            case 5: self = .runEnded(run: try reader.name(), released: try reader.flag())
            case 6:
                self = .release(
                    study: try reader.name(), version: Int(try reader.u32()),
                    package: try reader.digest(), bundle: try reader.digest())
            case 7: self = .manifest(signed: try reader.lengthPrefixed(maxBytes: Instruction.manifestBytesMax))
            case 8: self = .witness(request: try reader.lengthPrefixed(maxBytes: WitnessAnswer.noteBytesMax))
            case 9: self = .witnessed(try WitnessAnswer(from: &reader))
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
        case .roundOpen(let work, _, _, _):
            guard let work = try? RoundWork(parsing: work) else { return [] }
            return [work.preprocessor, work.model].compactMap { $0 }
        case .release(_, _, _, let bundle): return [bundle]
        default: return []
        }
    }

    /// Blobs that the node may fetch on this instruction's account: those it needs, and results that it may have missed.
    package var offered: [Digest] {
        guard case .roundOpen(_, _, _, let results) = self else { return references }
        return references + results
    }
}
