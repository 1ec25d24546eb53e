// Keys that two sites share without anyone else. `protocol/secure-aggregation.md` §3.2, §3.3.

import Cryptography

/// Keys of one roster.
struct PairwiseKeys {
    let context: Digest
    let roster: Roster

    /// Extract(ctx, X25519(own, peer)).
    /// - Throws: `unusable-key` for a public key of low order.
    func agreed(_ own: AgreementKey, with peer: [UInt8], site: UInt32) throws(AggregationRefusal)
        -> SecretBytes
    {
        let secret: SecretBytes
        do { secret = try own.agree(with: peer) } catch {
            throw AggregationRefusal(.unusableKey, site: site)
        }
        return Transcript.extract(context, secret)
    }

    /// The single-use key for the shares that `from` sends to `to`.
    func channelKey(_ agreed: borrowing SecretBytes, from: Advertisement, to: Advertisement)
        -> SecretBytes
    {
        Transcript.expand(
            agreed, .channel, roster.hash.bytes, from.site.bigEndianBytes, to.site.bigEndianBytes,
            from.channelKey, to.channelKey)
    }

    func channelData(from: UInt32, to: UInt32) -> [UInt8] {
        Transcript.hash(
            .channelData, context.bytes, roster.hash.bytes, from.bigEndianBytes, to.bigEndianBytes
        ).bytes
    }

    /// s_uv, the same from either side.
    func pairSeed(_ agreed: borrowing SecretBytes, _ one: Advertisement, _ other: Advertisement)
        -> SecretBytes
    {
        let (low, high) = one.site < other.site ? (one, other) : (other, one)
        return Transcript.expand(
            agreed, .pair, roster.hash.bytes, low.site.bigEndianBytes, high.site.bigEndianBytes,
            low.maskKey, high.maskKey)
    }

    /// self_u from b_u.
    func selfSeed(_ seed: borrowing SecretBytes, site: UInt32) -> SecretBytes {
        Transcript.expand(
            Transcript.extract(context, seed), .selfMask, roster.hash.bytes, site.bigEndianBytes)
    }
}
