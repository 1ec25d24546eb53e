// The published result (M10 and its segments), which every node checks for itself.
// `protocol/secure-aggregation.md` §3.6.

import Codec
import Cryptography

/// A result that passed every check a node can make.
package struct RoundResult: Equatable, Sendable {
    /// Binds round, survivors, sum and next model; the next descriptor names it as `previousResultHash`.
    package let hash: Digest
    package let sum: AggregateSum
    /// What the coordinator says follows from the sum: recompute and compare, then
    /// ``ClientSession/confirmResult(computedModel:)``. Zeros when the round makes no model.
    package let nextModelHash: Digest
}

/// M10: lp(bitmap of U3) ‖ 16 header sums ‖ 32-byte next model hash ‖ u32 count ‖ count segment digests ‖
/// signature over (ctx, result hash).
struct ResultHeader: Equatable, Sendable {
    let survivors: SiteSet
    let slots: HeaderSlots
    let nextModelHash: Digest
    let digests: VectorDigests
    private let signature: [UInt8]

    init(
        survivors: SiteSet, slots: HeaderSlots, payload: [UInt32], spec: VectorSpec,
        nextModelHash: Digest,
        transcript: ConfirmedTranscript, key: SigningKey
    ) {
        self.survivors = survivors
        self.slots = slots
        self.nextModelHash = nextModelHash
        digests = VectorDigests(header: slots.words, payload: payload, spec: spec)
        let hash = ResultHeader.hash(transcript, digests, nextModelHash)
        signature = Transcript.sign(.result, transcript.context.bytes, hash.bytes, with: key)
    }

    /// H("result"; ctx, ρ, h3, root, next model hash).
    func hash(_ transcript: ConfirmedTranscript) -> Digest {
        ResultHeader.hash(transcript, digests, nextModelHash)
    }

    private static func hash(
        _ transcript: ConfirmedTranscript, _ digests: VectorDigests, _ next: Digest
    ) -> Digest {
        Transcript.hash(
            .result, transcript.context.bytes, transcript.roster.bytes, transcript.survivors.bytes,
            digests.root.bytes, next.bytes)
    }

    func isSigned(by key: VerifyingKey, transcript: ConfirmedTranscript) -> Bool {
        Transcript.isValid(
            signature, .result, transcript.context.bytes, hash(transcript).bytes, by: key)
    }

    var message: [UInt8] {
        var writer = ByteWriter(reserving: 400 + 32 * digests.segments.count)
        writer.u8(MessageType.result.rawValue)
        writer.lengthPrefixed(survivors.bytes)
        writer.raw(WordBytes.bytes(slots.words))
        writer.raw(nextModelHash.bytes)
        writer.u32(UInt32(digests.segments.count))
        for digest in digests.segments { writer.raw(digest.bytes) }
        writer.raw(signature)
        return writer.bytes
    }

    /// M10 and the payload's segments.
    func messages(payload: [UInt32], spec: VectorSpec) -> [[UInt8]] {
        [message]
            + (0..<spec.segmentCount).map { segment in
                SegmentFrame.message(
                    .resultSegment, sender: nil, segment: segment, words: payload,
                    range: spec.segmentRange(segment))
            }
    }

    init(message: [UInt8], rosterCount: Int) throws(AggregationRefusal) {
        var reader = try reader(message, expecting: .result)
        (survivors, slots, nextModelHash, digests, signature) = try decoding {
            () throws -> (SiteSet, HeaderSlots, Digest, VectorDigests, [UInt8]) in
            let bitmap = try reader.lengthPrefixed(maxBytes: (rosterCount + 7) / 8)
            let survivors = try SiteSet(bytes: bitmap, capacity: rosterCount)
            let header = WordBytes.words(try reader.raw(4 * HeaderSlots.count))
            let next = try reader.digest()
            let count = Int(try reader.u32())
            guard count <= AggregationLimits.segmentsMax else {
                throw AggregationRefusal(.malformedMessage)
            }
            var segments: [Digest] = []
            for _ in 0..<count { segments.append(try reader.digest()) }
            let signature = try reader.signature()
            try reader.finish()
            return (
                survivors, HeaderSlots(words: header), next,
                VectorDigests(header: header, segments: segments), signature
            )
        }
    }
}
