// What a node must never forget. Each record is durable before the message that depends on it leaves;
// after a restart the records are all that is left of a round. `protocol/secure-aggregation.md` §8.

import Codec
import Cryptography

/// The head of a site's privacy budget ledger as it stands in its advertisement.
package struct LedgerHead: Equatable, Sendable {
    /// Number of the last ledger entry; 0 for a site without ledger.
    package let sequence: UInt64
    /// First 24 bytes of the head's hash.
    package let hash: [UInt8]

    /// Bytes of the ledger's hash that an advertisement carries.
    package static let hashBytes = 24
    /// A site that keeps no ledger.
    package static let none = LedgerHead(sequence: 0, hash: [UInt8](repeating: 0, count: hashBytes))

    package init(sequence: UInt64, hash: [UInt8]) {
        precondition(
            hash.count == LedgerHead.hashBytes, "a ledger head carries 24 bytes of its hash")
        self.sequence = sequence
        self.hash = hash
    }

    /// The head as one word: the sequence in decimal, a colon, 48 hex digits.
    package var text: String { "\(sequence):\(Hex.encode(hash))" }

    /// Reads `text`; nil for another form.
    package init?(text: String) {
        let parts = text.split(separator: ":", maxSplits: 1)
        guard parts.count == 2, let sequence = UInt64(parts[0]), let hash = Hex.decode(String(parts[1])), hash.count == LedgerHead.hashBytes else { return nil }
        self.init(sequence: sequence, hash: hash)
    }

    var bytes: [UInt8] {
        var writer = ByteWriter(reserving: 32)
        writer.u64(sequence)
        writer.raw(hash)
        return writer.bytes
    }

    init(from reader: inout ByteReader) throws {
        self.init(sequence: try reader.u64(), hash: try reader.raw(LedgerHead.hashBytes))
    }

    /// Whether a ledger that stood at `earlier` can stand here now.
    func follows(_ earlier: LedgerHead) -> Bool {
        sequence > earlier.sequence || self == earlier
    }
}

/// One fact to keep for good.
package enum LatchRecord: Equatable, Sendable {
    /// The node answered the opening of this attempt.
    case opened(task: String, round: UInt64, attempt: UInt32, context: Digest)
    /// Ledger heads seen in an accepted roster, by site.
    case ledgerHeads([UInt32: LedgerHead])
    /// The node's one masked vector for this model and attempt is about to leave.
    case masked(task: String, round: UInt64, attempt: UInt32, modelHash: Digest, context: Digest)
    /// The node is about to sign this survivor list; no other for this context.
    case signedSurvivors(task: String, context: Digest, survivors: Digest)
    /// The node is about to reveal shares; never again for this context.
    case unmasked(task: String, round: UInt64, context: Digest, survivorSet: Digest)
    /// A result was checked: the model that follows from it, and its total weight.
    case result(
        task: String, round: UInt64, resultHash: Digest, nextModel: Digest?, totalWeight: UInt64)

    /// The record's bytes, for the node's log: a type byte and the fields in order. `init(encoded:)` reads them back.
    package var encoded: [UInt8] {
        var writer = ByteWriter()
        switch self {
        case .opened(let task, let round, let attempt, let context):
            writer.u8(1)
            writer.text(task)
            writer.u64(round)
            writer.u32(attempt)
            writer.raw(context.bytes)
        case .ledgerHeads(let heads):
            writer.u8(2)
            writer.u32(UInt32(heads.count))
            for (site, head) in heads.sorted(by: { $0.key < $1.key }) {
                writer.u32(site)
                writer.raw(head.bytes)
            }
        case .masked(let task, let round, let attempt, let modelHash, let context):
            writer.u8(3)
            writer.text(task)
            writer.u64(round)
            writer.u32(attempt)
            writer.raw(modelHash.bytes)
            writer.raw(context.bytes)
        case .signedSurvivors(let task, let context, let survivors):
            writer.u8(4)
            writer.text(task)
            writer.raw(context.bytes)
            writer.raw(survivors.bytes)
        case .unmasked(let task, let round, let context, let survivorSet):
            writer.u8(5)
            writer.text(task)
            writer.u64(round)
            writer.raw(context.bytes)
            writer.raw(survivorSet.bytes)
        case .result(let task, let round, let resultHash, let nextModel, let totalWeight):
            writer.u8(6)
            writer.text(task)
            writer.u64(round)
            writer.raw(resultHash.bytes)
            writer.u8(nextModel == nil ? 0 : 1)
            writer.raw((nextModel ?? .zero).bytes)
            writer.u64(totalWeight)
        }
        return writer.bytes
    }

    /// - Throws: `malformed-message`.
    package init(encoded bytes: [UInt8]) throws(AggregationRefusal) {
        self = try decoding { () throws -> LatchRecord in
            var reader = ByteReader(bytes)
            let record = try LatchRecord(from: &reader)
            try reader.finish()
            return record
        }
    }

    private init(from reader: inout ByteReader) throws {
        let type = try reader.u8()
        if type == 2 {
            let count = Int(try reader.u32())
            guard count <= AggregationLimits.groupedSitesMax else {
                throw AggregationRefusal(.malformedMessage)
            }
            var heads: [UInt32: LedgerHead] = [:]
            for _ in 0..<count { heads[try reader.u32()] = try LedgerHead(from: &reader) }
            self = .ledgerHeads(heads)
            return
        }
        let task = try reader.text(maxBytes: AggregationLimits.taskBytesMax)
        switch type {
        case 1:
            self = .opened(
                task: task, round: try reader.u64(), attempt: try reader.u32(),
                context: try reader.digest())
        case 3:
            self = .masked(
                task: task, round: try reader.u64(), attempt: try reader.u32(),
                modelHash: try reader.digest(),
                context: try reader.digest())
        case 4:
            self = .signedSurvivors(
                task: task, context: try reader.digest(), survivors: try reader.digest())
        case 5:
            self = .unmasked(
                task: task, round: try reader.u64(), context: try reader.digest(),
                survivorSet: try reader.digest())
        case 6:
            let round = try reader.u64()
            let hash = try reader.digest()
            let hasModel = try reader.u8()
            let model = try reader.digest()
            guard hasModel <= 1, hasModel == 1 || model == .zero else {
                throw AggregationRefusal(.malformedMessage)
            }
            self = .result(
                task: task, round: round, resultHash: hash, nextModel: hasModel == 1 ? model : nil,
                totalWeight: try reader.u64())
        default:
            throw AggregationRefusal(.malformedMessage)
        }
    }
}
