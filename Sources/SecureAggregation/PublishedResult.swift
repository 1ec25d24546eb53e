// A result as a document of its own: what a site that missed a round needs to follow the models of a run by
// itself. `protocol/secure-aggregation.md` §3.6.
//
//     32-byte ctx, ρ, h2, h3 (of a round in groups: zeros and the hash of all groups, §6.3), u32 sites in the roster, lp(result message M10), lp(payload, u32 little-endian)

import Codec
import Cryptography

/// A round's published sum with the coordinator's signature, kept for those who were not there.
package struct PublishedResult: Sendable {
    let transcript: ConfirmedTranscript
    private let sites: Int
    let header: ResultHeader
    /// The payload sum, mod 2^32.
    let payload: [UInt32]

    init(transcript: ConfirmedTranscript, sites: Int, header: ResultHeader, payload: [UInt32]) {
        self.transcript = transcript
        self.sites = sites
        self.header = header
        self.payload = payload
    }

    /// What the next descriptor names as its previous result.
    package var hash: Digest { header.hash(transcript) }

    /// The model that the coordinator says follows; zeros when none does.
    package var nextModelHash: Digest { header.nextModelHash }

    /// The document's bytes; 4 bytes an element and about 300.
    package var encoded: [UInt8] {
        var writer = ByteWriter(reserving: 512 + 4 * payload.count)
        writer.raw(transcript.context.bytes)
        writer.raw(transcript.roster.bytes)
        writer.raw(transcript.sharers.bytes)
        writer.raw(transcript.survivors.bytes)
        writer.u32(UInt32(sites))
        writer.lengthPrefixed(header.message)
        writer.lengthPrefixed(WordBytes.bytes(payload))
        return writer.bytes
    }

    /// Reads and checks a document: signed by the coordinator, with the payload that it signed.
    ///
    /// - Parameter spec: of the round's vector, from the plan.
    /// - Throws: `malformed-message`, `result-signature`, `result-digest`.
    package init(encoded bytes: [UInt8], spec: VectorSpec, key: VerifyingKey) throws(AggregationRefusal) {
        let elements = spec.elementCount
        self = try decoding { () throws -> PublishedResult in
            var reader = ByteReader(bytes)
            let transcript = ConfirmedTranscript(
                context: try reader.digest(), roster: try reader.digest(), sharers: try reader.digest(),
                survivors: try reader.digest())
            let sites = Int(try reader.u32())
            guard sites <= AggregationLimits.groupedSitesMax else { throw AggregationRefusal(.malformedMessage) }
            let message = try reader.lengthPrefixed(maxBytes: AggregationLimits.descriptorBytesMax)
            let payload = try reader.lengthPrefixed(maxBytes: 4 * elements)
            guard payload.count == 4 * elements else { throw AggregationRefusal(.malformedMessage) }
            try reader.finish()
            return PublishedResult(
                transcript: transcript, sites: sites,
                header: try ResultHeader(message: message, rosterCount: sites), payload: WordBytes.words(payload))
        }
        guard header.isSigned(by: key, transcript: transcript) else { throw AggregationRefusal(.resultSignature) }
        guard header.digests == VectorDigests(header: header.slots.words, payload: payload, spec: spec) else { throw AggregationRefusal(.resultDigest) }
    }

    /// The sum as the round's own sites have it, but for the names: sites are numbered by their place in the roster.
    ///
    /// - Parameter spec: of the round's descriptor, from the plan.
    package func sum(spec: VectorSpec) -> AggregateSum {
        let positions = (0..<UInt32(sites)).filter { header.survivors.contains(Int($0)) }
        return AggregateSum(
            spec: spec, header: header.slots, payload: payload, survivors: positions, roster: Array(0..<UInt32(sites)))
    }
}
