// What one secure round is for. The round descriptor of the secure aggregation binds the SHA-256 of
// these canonical bytes (its training-config hash), so every site of a round works on the same order.
//
// `protocol/federation.md` §4.

import Codec
import Cryptography
import Study

/// The order of one secure round.
package struct RoundWork: Equatable, Sendable {
    /// Which vector is summed.
    package enum Kind: String, Sendable {
        /// Means, squares and category shares of the training rows.
        case statistics
        /// Update of the model parameters after local training.
        case training
        /// Score histogram on rows that no site trained on.
        case evaluation
    }

    /// Which vector is summed.
    package var kind: Kind
    /// Run identifier, `[a-z0-9-]{1,64}`.
    package var run: String
    /// The plan that the run follows.
    package var planHash: Digest
    /// Round number within the study's task, strictly increasing over all runs and attempts.
    package var number: UInt64
    /// Training rounds completed before this one.
    package var step: Int
    /// Blob of the fitted preprocessor; nil in the statistics round.
    package var preprocessor: Digest?
    /// Blob of the model parameters; nil in the statistics round.
    package var model: Digest?
    /// Set on an evaluation that only feeds the learning curve.
    package var isCurve: Bool

    /// Bytes of a work order.
    static let bytesMax = 4096

    /// - Parameters: see the properties.
    package init(
        kind: Kind, run: String, planHash: Digest, number: UInt64, step: Int,
        preprocessor: Digest? = nil, model: Digest? = nil, isCurve: Bool = false
    ) {
        self.kind = kind
        self.run = run
        self.planHash = planHash
        self.number = number
        self.step = step
        self.preprocessor = preprocessor
        self.model = model
        self.isCurve = isCurve
    }

    /// The document in canonical JSON.
    package var canonicalBytes: [UInt8] {
        let json: JSONValue = [
            "consilium": "round-work/1", "kind": .string(kind.rawValue), "run": .string(run),
            "planHash": .string(planHash.hex), "number": .integer(Int64(number)),
            "step": .integer(Int64(step)), "isCurve": .bool(isCurve),
            "preprocessor": preprocessor.map { .string($0.hex) } ?? .null,
            "model": model.map { .string($0.hex) } ?? .null,
        ]
        return json.canonicalBytes()
    }

    /// SHA-256 of the canonical bytes.
    package var hash: Digest { SHA256.hash(canonicalBytes) }

    /// Reads canonical bytes, and no other form of the same document.
    ///
    /// - Throws: `MessageError.malformed` when a field is missing, unknown or out of range, or when kind
    ///   and model do not go together.
    package init(parsing bytes: [UInt8]) throws(MessageError) {
        do {
            var fields = try JSONFields(
                try JSONValue.parse(
                    bytes, dialect: .strict, limits: .init(bytesMax: RoundWork.bytesMax)),
                path: "work")
            guard try fields.string("consilium", maxBytes: 32) == "round-work/1",
                let kind = Kind(rawValue: try fields.string("kind", maxBytes: 32)),
                let plan = Digest(hex: try fields.string("planHash", maxBytes: 64))
            else { throw MessageError.malformed("round work") }
            self.kind = kind
            planHash = plan
            run = try fields.string("run", maxBytes: 64)
            number = UInt64(try fields.integer("number", in: 0...Int.max))
            step = try fields.integer("step", in: 0...1_000_000)
            isCurve = try fields.bool("isCurve")
            preprocessor = try RoundWork.optionalDigest(&fields, "preprocessor")
            model = try RoundWork.optionalDigest(&fields, "model")
            try fields.finish()
        } catch {
            throw MessageError.malformed("round work")
        }
        guard isName(run), (kind == .statistics) == (model == nil),
            (model == nil) == (preprocessor == nil),
            !isCurve || kind == .evaluation, canonicalBytes == bytes
        else { throw MessageError.malformed("round work") }
    }

    private static func optionalDigest(_ fields: inout JSONFields, _ key: String) throws -> Digest?
    {
        guard let value = fields.value(key), value != .null else { return nil }
        guard let text = value.stringValue, let digest = Digest(hex: text) else {
            throw MessageError.malformed("round work")
        }
        return digest
    }
}
