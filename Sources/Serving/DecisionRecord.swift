// What the node remembers of one prediction, and how it is bound to the log. `protocol/prediction-api.md` §6.
//
// Records are erasable; the log entry holds only commitments to them, each under the record's own random salt:
//
//   commitment(part) = HMAC-SHA256(salt, label ‖ part)
//
// Once the record and its salt are erased, the entry says nothing about the person any more.
//
// Body of a prediction record, big-endian:
//   package digest 32 | intercept f64 | score f64 | probability f64 | positive u8 | count u32 | count × value f64
// Values are the validated features in the schema order of the package: numbers, category indices, NaN when missing.

import AuditLog
import Codec
import Cryptography

package struct DecisionRecord: Equatable, Sendable {
    package var id: PredictionID
    package var salt: [UInt8]
    /// The version that decided.
    package var digest: Digest
    /// The site's intercept at that moment, part of the score.
    package var intercept: Double
    /// Log-odds.
    package var score: Double
    package var probability: Double
    /// Whether the answer was the positive class.
    package var positive: Bool
    /// `ValidRow.values`.
    package var values: [Double]
    /// Whom it is about, as the site knows the person; erased with the record.
    package var subject: String?

    /// Feature values as bytes: what the input commitment covers.
    private var inputBytes: [UInt8] {
        var writer = ByteWriter(reserving: 4 + 8 * values.count)
        writer.u32(UInt32(values.count))
        for value in values { writer.u64((value.isNaN ? Double.nan : value).bitPattern) }
        return writer.bytes
    }

    /// The answer as bytes: what the output commitment covers.
    private var outputBytes: [UInt8] {
        var writer = ByteWriter(reserving: 60)
        writer.raw(digest.bytes)
        writer.u64(intercept.bitPattern)
        writer.u64(score.bitPattern)
        writer.u64(probability.bitPattern)
        writer.u8(positive ? 1 : 0)
        return writer.bytes
    }

    /// The bytes to store and the commitments to log. About 3 µs.
    package var sealed: SealedDecision {
        let (input, output) = (inputBytes, outputBytes)
        return SealedDecision(
            id: id, salt: salt, subject: subject, body: output + input,
            input: RecordCommitment.make(.input, input, salt: salt),
            output: RecordCommitment.make(.output, output, salt: salt))
    }

    init(id: PredictionID, salt: [UInt8], subject: String?, body: [UInt8]) throws(CodecError) {
        var reader = ByteReader(body)
        let digest = try reader.raw(32)
        intercept = Double(bitPattern: try reader.u64())
        score = Double(bitPattern: try reader.u64())
        probability = Double(bitPattern: try reader.u64())
        positive = try reader.u8() == 1
        let count = Int(try reader.u32())
        var values: [Double] = []
        for _ in 0..<min(count, reader.remaining / 8) {
            values.append(Double(bitPattern: try reader.u64()))
        }
        try reader.finish()
        // 32 bytes were read, so this is a digest.
        self.digest = Digest(bytes: digest) ?? SHA256.hash(digest)
        (self.id, self.salt, self.subject, self.values) = (id, salt, subject, values)
    }

    package init(
        id: PredictionID, salt: [UInt8], digest: Digest, intercept: Double, score: Double,
        probability: Double, positive: Bool, values: [Double], subject: String? = nil
    ) {
        (self.id, self.salt, self.digest, self.intercept) = (id, salt, digest, intercept)
        (self.score, self.probability, self.positive, self.values) = (
            score, probability, positive, values
        )
        self.subject = subject
    }

    /// NaN marks a missing value, so two missing values are equal here.
    package static func == (left: DecisionRecord, right: DecisionRecord) -> Bool {
        left.id == right.id && left.salt == right.salt && left.subject == right.subject
            && left.inputBytes == right.inputBytes
            && left.outputBytes == right.outputBytes
    }
}

/// A decision as it is stored and logged.
package struct SealedDecision: Sendable {
    /// The prediction's id.
    package var id: PredictionID
    var salt: [UInt8]
    var subject: String?
    /// What is stored, besides id, salt and subject: the answer, then the features.
    var body: [UInt8]
    /// Commits to the features.
    package var input: Digest
    /// Commits to the answer.
    package var output: Digest
    /// Commits to the person.
    var subjectCommitment: Digest? {
        subject.map { Commitment.make(Array($0.utf8), salt: salt) }
    }
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

    init(id: PredictionID, salt: [UInt8], body: [UInt8]) throws(CodecError) {
        var reader = ByteReader(body)
        prediction = PredictionID(high: try reader.u64(), low: try reader.u64())
        positive = try reader.u8() == 1
        let earlier = PredictionID(high: try reader.u64(), low: try reader.u64())
        supersedes = earlier.high == 0 ? nil : earlier
        source = try reader.text(maxBytes: ServingLimits.sourceBytes)
        try reader.finish()
        (self.id, self.salt) = (id, salt)
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

    static func make(_ kind: RecordCommitment, _ bytes: [UInt8], salt: [UInt8]) -> Digest {
        Commitment.make(Array(kind.rawValue.utf8) + bytes, salt: salt)
    }
}
