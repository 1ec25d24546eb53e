// Step 3, MaskedInput: the only form in which a site's vector has a wire encoding (M5 and its segments).
// `protocol/secure-aggregation.md` §3.3.

import Codec
import Cryptography

/// A site's vector under all its masks: uniform to anyone who lacks one of them.
package struct MaskedInput: Sendable {
    let spec: VectorSpec
    let header: [UInt32]
    let payload: [UInt32]
    let digests: VectorDigests

    init(spec: VectorSpec, header: [UInt32], payload: [UInt32], digests: VectorDigests) {
        self.spec = spec
        self.header = header
        self.payload = payload
        self.digests = digests
    }

    /// y = x + PRG(self) ± PRG(pairs). Takes the vector's memory over.
    init(masking vector: inout QuantizedVector, with masks: MaskExpansion, parallelism: Int) {
        spec = vector.spec
        var header = vector.header.words
        masks.apply(to: &header, part: .header, segmentElements: HeaderSlots.count, parallelism: 1)
        var payload = vector.takePayload()
        masks.apply(
            to: &payload, part: .payload, segmentElements: spec.segmentElements,
            parallelism: parallelism)
        self.header = header
        self.payload = payload
        digests = VectorDigests(header: header, payload: payload, spec: spec)
    }

    /// 0x15 ‖ u32 from ‖ u32 segment ‖ words.
    func segmentMessage(_ segment: Int, from site: UInt32) -> [UInt8] {
        SegmentFrame.message(
            .maskedSegment, sender: site, segment: segment, words: payload,
            range: spec.segmentRange(segment))
    }
}

/// M5: u32 from ‖ ctx ‖ ρ ‖ h2 ‖ 16 masked header words ‖ u32 count ‖ count segment digests ‖ signature over
/// (ctx, ρ, h2, root).
struct MaskedInputHeader: Equatable, Sendable {
    let from: UInt32
    let context: Digest
    let roster: Digest
    let sharers: Digest
    let header: [UInt32]
    let digests: VectorDigests
    private let signature: [UInt8]

    init(
        from: UInt32, context: Digest, roster: Digest, sharers: Digest, input: MaskedInput,
        identity: SigningKey
    ) {
        self.from = from
        self.context = context
        self.roster = roster
        self.sharers = sharers
        header = input.header
        digests = input.digests
        signature = Transcript.sign(
            .masked, context.bytes, roster.bytes, sharers.bytes, input.digests.root.bytes,
            with: identity)
    }

    var message: [UInt8] {
        var writer = ByteWriter(reserving: 256 + 32 * digests.segments.count)
        writer.u8(MessageType.maskedInput.rawValue)
        writer.u32(from)
        for digest in [context, roster, sharers] { writer.raw(digest.bytes) }
        writer.raw(WordBytes.bytes(header))
        writer.u32(UInt32(digests.segments.count))
        for digest in digests.segments { writer.raw(digest.bytes) }
        writer.raw(signature)
        return writer.bytes
    }

    init(message: [UInt8]) throws(AggregationRefusal) {
        var reader = try reader(message, expecting: .maskedInput)
        (from, context, roster, sharers, header, digests, signature) = try decoding {
            () throws -> (UInt32, Digest, Digest, Digest, [UInt32], VectorDigests, [UInt8]) in
            let from = try reader.u32()
            let (context, roster, sharers) = (
                try reader.digest(), try reader.digest(), try reader.digest()
            )
            let header = WordBytes.words(try reader.raw(4 * HeaderSlots.count))
            let count = Int(try reader.u32())
            guard count <= AggregationLimits.segmentsMax else {
                throw AggregationRefusal(.malformedMessage)
            }
            var segments: [Digest] = []
            for _ in 0..<count { segments.append(try reader.digest()) }
            let signature = try reader.signature()
            try reader.finish()
            return (
                from, context, roster, sharers, header,
                VectorDigests(header: header, segments: segments), signature
            )
        }
    }

    func isSigned(by key: VerifyingKey) -> Bool {
        Transcript.isValid(
            signature, .masked, context.bytes, roster.bytes, sharers.bytes, digests.root.bytes,
            by: key)
    }
}
