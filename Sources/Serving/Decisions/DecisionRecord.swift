// What the node remembers of the rows of one request, and how it is bound to the log. `protocol/prediction-api.md` §6.
//
// Records are erasable; the log holds only commitments to them, under random salts: of a single row one to the input and one
// to the output, of several rows the root over the commitments to all (`AuditLog/Records/Record.swift`). Once a row
// and its salt are erased, the entry says nothing about the person any more.
//
// Record of kind `decision`, big-endian:
//   shared    package digest 32 | configuration digest 32 | intercept f64 | propensity f64 | arm | of a pipeline: `PipelineUse`
//   payload   score f64 | probability f64 | positive u8 | value f64 …
// Values are the validated features in the schema order of the package: numbers, category indices, NaN when missing.
// Records of kind `prediction` are of earlier versions, with one row and no shared part:
//   payload   package digest 32 | intercept f64 | score f64 | probability f64 | positive u8 | count u32 | value f64 …

import AuditLog
import Codec
import Cryptography

/// What all rows of a request have in common: which version decided, how it was set, and why it was this one.
package final class DecisionContext: Equatable, Sendable {
    /// The version that decided.
    package let digest: Digest
    /// `DeployedModel.configurationDigest`; nil for records of earlier versions.
    package let configuration: Digest?
    /// The site's intercept at that moment, part of the score.
    package let intercept: Double
    /// Which arm of a roll-out the request was given to.
    package let arm: DeploymentArm
    /// How the row came to the version, if by a pipeline.
    let pipeline: PipelineUse?
    /// The shared part of a record.
    let bytes: [UInt8]

    init(
        digest: Digest, configuration: Digest? = nil, intercept: Double, arm: DeploymentArm = .live,
        pipeline: PipelineUse? = nil
    ) {
        (self.digest, self.configuration, self.intercept, self.arm) = (digest, configuration, intercept, arm)
        self.pipeline = pipeline
        var writer = ByteWriter(reserving: 96 + arm.name.utf8.count)
        writer.raw(digest.bytes)
        writer.raw((configuration ?? digest).bytes)
        writer.u64(intercept.bitPattern)
        writer.u64(arm.propensity.bitPattern)
        writer.text(arm.name)
        pipeline?.append(to: &writer)
        bytes = writer.bytes
    }

    package static func == (left: DecisionContext, right: DecisionContext) -> Bool {
        left.digest == right.digest && left.configuration == right.configuration && left.intercept == right.intercept
            && left.arm == right.arm && left.pipeline == right.pipeline
    }
}

/// The part of a deployment that answered, and how likely it was to be chosen.
package struct DeploymentArm: Equatable, Sendable {
    /// `live`, `canary` …, at most 64 bytes.
    package var name: String
    /// The probability with which a request such as this one is given to this arm.
    package var propensity: Double

    /// Everything goes to the live version.
    package static let live = DeploymentArm(name: "live", propensity: 1)
    static let nameBytesMax = 64

    package init(name: String, propensity: Double) {
        (self.name, self.propensity) = (name, propensity)
    }
}

/// One decided row.
package struct DecisionRecord: Equatable, Sendable {
    package var id: PredictionID
    package var context: DecisionContext
    /// Log-odds.
    package var score: Double
    package var probability: Double
    /// Whether the answer was the positive class.
    package var positive: Bool
    /// `ValidRow.values`; for a pipeline the values of its own inputs come after them.
    package var values: [Double]

    /// The features of the version that decided.
    package var features: [Double] {
        context.pipeline.map { Array(values.dropLast($0.inputs)) } ?? values
    }

    /// NaN marks a missing value, so two missing values are equal here.
    package static func == (left: DecisionRecord, right: DecisionRecord) -> Bool {
        left.id == right.id && left.inputBytes == right.inputBytes && left.outputBytes == right.outputBytes
            && left.context == right.context
    }

    /// Feature values as bytes: what the input commitment of a single row covers.
    var inputBytes: [UInt8] {
        var writer = ByteWriter(reserving: 4 + 8 * values.count)
        writer.u32(UInt32(values.count))
        for value in values { writer.u64((value.isNaN ? Double.nan : value).bitPattern) }
        return writer.bytes
    }

    /// The answer as bytes: what the output commitment of a single row covers.
    var outputBytes: [UInt8] {
        var writer = ByteWriter(reserving: 60)
        writer.raw(context.digest.bytes)
        writer.u64(context.intercept.bitPattern)
        writer.u64(score.bitPattern)
        writer.u64(probability.bitPattern)
        writer.u8(positive ? 1 : 0)
        return writer.bytes
    }

    package init(
        id: PredictionID, context: DecisionContext, score: Double, probability: Double, positive: Bool,
        values: [Double]
    ) {
        (self.id, self.context, self.score) = (id, context, score)
        (self.probability, self.positive, self.values) = (probability, positive, values)
    }

    /// A row of a record.
    init(_ record: Record, row: Int) throws(CodecError) {
        var reader = ByteReader(record.payload(row))
        let isOld = record.kind == Kind.old
        let context = isOld ? nil : try DecisionContext(record.shared)
        let digest = isOld ? try reader.raw(32) : []
        let intercept = isOld ? Double(bitPattern: try reader.u64()) : 0
        let score = Double(bitPattern: try reader.u64())
        let probability = Double(bitPattern: try reader.u64())
        let positive = try reader.u8() == 1
        let count = isOld ? Int(try reader.u32()) : reader.remaining / 8
        var values: [Double] = []
        for _ in 0..<min(count, reader.remaining / 8) {
            values.append(Double(bitPattern: try reader.u64()))
        }
        try reader.finish()
        self.init(
            id: record.id.advanced(by: row),
            // Without a context 32 bytes were read, so this is a digest.
            context: context ?? DecisionContext(digest: Digest(bytes: digest) ?? SHA256.hash(digest), intercept: intercept),
            score: score, probability: probability, positive: positive, values: values)
    }

    /// Bytes of a row in a record.
    static func payloadBytes(values: Int) -> Int { 17 + 8 * values }

    /// Kinds of records.
    enum Kind {
        static let current = "decision"
        static let old = "prediction"
    }
}

extension DecisionContext {
    convenience init(_ bytes: [UInt8]) throws(CodecError) {
        var reader = ByteReader(bytes)
        let (package, configuration) = (try reader.raw(32), try reader.raw(32))
        let intercept = Double(bitPattern: try reader.u64())
        let propensity = Double(bitPattern: try reader.u64())
        let arm = DeploymentArm(name: try reader.text(maxBytes: DeploymentArm.nameBytesMax), propensity: propensity)
        let pipeline = reader.remaining > 0 ? try PipelineUse(&reader) : nil
        try reader.finish()
        // 32 bytes were read, so these are digests.
        self.init(
            digest: Digest(bytes: package) ?? SHA256.hash(package), configuration: Digest(bytes: configuration),
            intercept: intercept, arm: arm, pipeline: pipeline)
    }
}

/// The decided rows of one request, as they are stored and logged.
struct SealedDecisions: Sendable {
    /// What is stored.
    let record: Record
    /// Of a single row: commits to the features, and to the answer.
    let single: (input: Digest, output: Digest)?

    /// - Parameter salts: 32 random bytes for each row.
    init(_ rows: ScoredRows, subject: Record.Subject?, salts: [UInt8]) {
        record = rows.record(subject: subject, salts: salts)
        guard rows.count == 1 else {
            single = nil
            return
        }
        // The same bytes in the same order as in the row's payload: score, probability and class, then the values.
        let payload = record.payload(0)
        let valueBytes = payload.count - DecisionRecord.payloadBytes(values: 0)
        var input = ByteWriter(reserving: 32 + valueBytes)
        input.raw(RecordCommitment.inputLabel)
        input.u32(UInt32(valueBytes / 8))
        input.raw(payload[DecisionRecord.payloadBytes(values: 0)...])
        var output = ByteWriter(reserving: 96)
        output.raw(RecordCommitment.outputLabel)
        output.raw(rows.context.bytes[..<Digest.byteCount])
        output.u64(rows.context.intercept.bitPattern)
        output.raw(payload[..<DecisionRecord.payloadBytes(values: 0)])
        single = (Commitment.make(input.bytes, salt: salts), Commitment.make(output.bytes, salt: salts))
    }
}

/// A decided row as it was found in the store.
struct StoredDecision {
    var decision: DecisionRecord
    var record: Record
    var row: Int
}

/// What turned out to be true for a prediction, as someone reported it.
package struct OutcomeRecord: Equatable, Sendable {
    /// The outcome's own id.
    package var id: PredictionID
    package var salt: [UInt8]
    package var prediction: PredictionID
    package var positive: Bool
    /// Where it comes from, in the reporter's words; may be empty.
    package var source: String
    /// The outcome that this one corrects.
    package var supersedes: PredictionID?

    /// Commits to the outcome.
    package var commitment: Digest { RecordCommitment.make(.outcome, body, salt: salt) }

    /// What is stored, besides id and salt.
    var body: [UInt8] {
        var writer = ByteWriter(reserving: 48 + source.utf8.count)
        writer.u64(prediction.high)
        writer.u64(prediction.low)
        writer.u8(positive ? 1 : 0)
        writer.u64(supersedes?.high ?? 0)
        writer.u64(supersedes?.low ?? 0)
        writer.text(source)
        return writer.bytes
    }

    init(_ record: Record) throws(CodecError) {
        var reader = ByteReader(record.payload(0))
        prediction = PredictionID(high: try reader.u64(), low: try reader.u64())
        positive = try reader.u8() == 1
        let earlier = PredictionID(high: try reader.u64(), low: try reader.u64())
        supersedes = earlier.high == 0 ? nil : earlier
        source = try reader.text(maxBytes: ServingLimits.sourceBytes)
        try reader.finish()
        (id, salt) = (record.id, record.salt(0))
    }

    init(
        id: PredictionID, salt: [UInt8], prediction: PredictionID, positive: Bool, source: String,
        supersedes: PredictionID?
    ) {
        (self.id, self.salt, self.prediction) = (id, salt, prediction)
        (self.positive, self.source, self.supersedes) = (positive, source, supersedes)
    }
}

/// What is committed to; each kind has a label, so that no commitment stands for another.
enum RecordCommitment: String {
    case input = "consilium/input/1\n"
    case output = "consilium/output/1\n"
    case outcome = "consilium/outcome/1\n"

    static let inputLabel = Array(input.rawValue.utf8)
    static let outputLabel = Array(output.rawValue.utf8)

    static func make(_ kind: RecordCommitment, _ bytes: [UInt8], salt: [UInt8]) -> Digest {
        Commitment.make(Array(kind.rawValue.utf8) + bytes, salt: salt)
    }
}
