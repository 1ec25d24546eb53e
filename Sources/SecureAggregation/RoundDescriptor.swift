// What a round is: everything that every derivation, signature and mask of it depends on. Its hash is the
// round's context `ctx`; sites that were told different things get masks that do not cancel.
// `protocol/secure-aggregation.md` §3.

import Codec
import Cryptography

/// Time that each step may take, in milliseconds; the coordinator's clock decides when to go on.
package struct StepDeadlines: Equatable, Sendable {
    package var advertiseKeys, shareKeys, maskedInput, consistency, unmasking: UInt32

    package init(
        advertiseKeys: UInt32 = 30_000, shareKeys: UInt32 = 30_000, maskedInput: UInt32 = 600_000,
        consistency: UInt32 = 30_000, unmasking: UInt32 = 30_000
    ) {
        self.advertiseKeys = advertiseKeys
        self.shareKeys = shareKeys
        self.maskedInput = maskedInput
        self.consistency = consistency
        self.unmasking = unmasking
    }

    var all: [UInt32] { [advertiseKeys, shareKeys, maskedInput, consistency, unmasking] }
}

/// The canonical description of one attempt at one round.
package struct RoundDescriptor: Equatable, Sendable {
    /// X25519, Ed25519, HKDF-SHA-256, AES-256-CTR, AES-256-GCM, Shamir over 2^61 − 1.
    package static let suite: UInt16 = 1

    /// What is summed, over many rounds: numbers increase and models are used once within a task.
    /// Study, run and kind of vector, for instance "heart/r1/training"; at most 128 bytes.
    package var task: String
    package var round: UInt64
    package var attempt: UInt32
    package var manifestHash: Digest
    /// SHA-256 of the exact model file that the round starts from.
    package var modelHash: Digest
    /// ``RoundResult/hash`` of the result that `modelHash` follows from; zeros at the start.
    package var previousResultHash: Digest
    package var architectureHash: Digest
    /// SHA-256 of the plan, work order or other configuration.
    package var configurationHash: Digest
    package var vector: VectorSpec
    package var privacy: PrivacyTerms
    package var cohort: CohortTerms
    package var deadlines: StepDeadlines
    /// 32 random bytes of the coordinator.
    package var nonce: [UInt8]

    package init(
        task: String, round: UInt64, attempt: UInt32, manifestHash: Digest, modelHash: Digest,
        previousResultHash: Digest, architectureHash: Digest, configurationHash: Digest,
        vector: VectorSpec,
        privacy: PrivacyTerms, cohort: CohortTerms, deadlines: StepDeadlines = StepDeadlines(),
        nonce: [UInt8]
    ) {
        self.task = task
        self.round = round
        self.attempt = attempt
        self.manifestHash = manifestHash
        self.modelHash = modelHash
        self.previousResultHash = previousResultHash
        self.architectureHash = architectureHash
        self.configurationHash = configurationHash
        self.vector = vector
        self.privacy = privacy
        self.cohort = cohort
        self.deadlines = deadlines
        self.nonce = nonce
    }

    /// Fixed field order, §3.
    package var canonicalBytes: [UInt8] {
        var writer = ByteWriter(reserving: 512)
        writer.u16(RoundDescriptor.suite)
        writer.text(task)
        writer.u64(round)
        writer.u32(attempt)
        for digest in [
            manifestHash, modelHash, previousResultHash, architectureHash, configurationHash,
        ] {
            writer.raw(digest.bytes)
        }
        vector.write(to: &writer)
        privacy.write(to: &writer)
        cohort.write(to: &writer)
        for deadline in deadlines.all { writer.u32(deadline) }
        precondition(nonce.count == 32, "a descriptor's nonce has 32 bytes")
        writer.raw(nonce)
        return writer.bytes
    }

    /// ctx = H("ctx"; RD).
    package var context: Digest { RoundDescriptor.context(of: canonicalBytes) }

    static func context(of bytes: [UInt8]) -> Digest { Transcript.hash(.context, bytes) }

    /// - Throws: a refusal when the bytes are not one descriptor in canonical form.
    package init(canonicalBytes bytes: [UInt8]) throws(AggregationRefusal) {
        self = try decoding { () throws -> RoundDescriptor in
            var reader = ByteReader(bytes)
            let descriptor = try RoundDescriptor(from: &reader)
            try reader.finish()
            return descriptor
        }
    }

    private init(from reader: inout ByteReader) throws {
        guard try reader.u16() == RoundDescriptor.suite else {
            throw AggregationRefusal(.unsupportedSuite)
        }
        task = try reader.text(maxBytes: AggregationLimits.taskBytesMax)
        round = try reader.u64()
        attempt = try reader.u32()
        manifestHash = try reader.digest()
        modelHash = try reader.digest()
        previousResultHash = try reader.digest()
        architectureHash = try reader.digest()
        configurationHash = try reader.digest()
        vector = try VectorSpec(from: &reader)
        privacy = try PrivacyTerms(from: &reader)
        cohort = try CohortTerms(from: &reader)
        deadlines = StepDeadlines(
            advertiseKeys: try reader.u32(), shareKeys: try reader.u32(),
            maskedInput: try reader.u32(),
            consistency: try reader.u32(), unmasking: try reader.u32())
        nonce = try reader.raw(32)
    }
}

extension Digest {
    /// Thirty-two zeros: "none".
    package static let zero: Digest = {
        guard let digest = Digest(bytes: [UInt8](repeating: 0, count: byteCount)) else {
            preconditionFailure("32 bytes make a digest")
        }
        return digest
    }()
}
