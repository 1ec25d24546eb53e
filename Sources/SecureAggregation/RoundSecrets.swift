// The secrets of one attempt, in memory only. A process that restarts has lost them and counts as a dropout.

import Cryptography

/// What a site draws for one attempt: g, b and the channel key. Dropped (and thereby wiped) after unmasking.
final class RoundSecrets: Sendable {
    /// g: 32 bytes from which the mask key comes; shared, and revealed if this site drops out.
    let maskSeed: SecretBytes
    /// b: 32 bytes from which the self mask comes; shared, and revealed if this site survives.
    let selfSeed: SecretBytes
    let channelKey: AgreementKey
    let maskKey: AgreementKey

    /// Three draws of 32 bytes, in this order: g, b, channel key.
    init(site: UInt32, context: Digest, random: any RandomSource) throws(AggregationRefusal) {
        maskSeed = random.secret(32)
        selfSeed = random.secret(32)
        channelKey = try RoundSecrets.agreementKey(random.secret(32))
        maskKey = try RoundSecrets.maskKey(seed: maskSeed, site: site, context: context)
    }

    /// sk_s = Expand(Extract(ctx, g), "mask-x25519"; u32 site).
    static func maskKey(
        seed: borrowing SecretBytes, site: UInt32, context: Digest
    ) throws(AggregationRefusal) -> AgreementKey {
        try agreementKey(
            Transcript.expand(Transcript.extract(context, seed), .maskKey, site.bigEndianBytes))
    }

    private static func agreementKey(_ raw: consuming SecretBytes) throws(AggregationRefusal)
        -> AgreementKey
    {
        do { return try AgreementKey(raw: raw) } catch { throw AggregationRefusal(.unusableKey) }
    }
}

/// Equal-sized secrets in one piece of secret memory, by position.
final class SecretTable: Sendable {
    let width: Int
    let count: Int
    private let bytes: SecretBytes

    /// - Parameter fill: writes row `row` at its byte offset; may throw the round's refusal.
    init(
        count: Int, width: Int,
        fill: (_ row: Int, _ output: inout MutableRawSpan, _ offset: Int) throws(AggregationRefusal)
            -> Void
    ) throws(AggregationRefusal) {
        self.width = width
        self.count = count
        var failure: AggregationRefusal?
        bytes = SecretBytes(count: count * width) { output in
            for row in 0..<count {
                do throws(AggregationRefusal) { try fill(row, &output, row * width) } catch {
                    failure = error
                    return
                }
            }
        }
        if let failure { throw failure }
    }

    /// A copy of one row, in secret memory.
    func row(_ row: Int) -> SecretBytes { part(row, 0..<width) }

    /// A copy of part of one row, in secret memory.
    func part(_ row: Int, _ range: Range<Int>) -> SecretBytes {
        bytes.withBytes { all in
            SecretBytes(
                copying: all.extracting(
                    row * width + range.lowerBound..<row * width + range.upperBound))
        }
    }
}

extension MutableRawSpan {
    /// Copies a secret to a byte offset of secret memory.
    mutating func store(_ secret: borrowing SecretBytes, at offset: Int) {
        secret.withBytes { source in
            for index in 0..<source.byteCount {
                storeBytes(
                    of: loadByte(source, index), toByteOffset: offset + index, as: UInt8.self)
            }
        }
    }
}
