// The two inner costs of a round, alone, for `consilium-bench secure-aggregation`: the same code that rounds run, with
// keys and secrets drawn for the occasion.

import Cryptography

/// Measured parts of a round.
package enum AggregationCosts {
    /// Adds the payload masks of this many fresh seeds to `words`, as a client with so many peers does.
    ///
    /// - Parameters:
    ///   - streams: seeds, at least 1.
    ///   - segmentElements: words per key, a multiple of 4,096 or at least the number of words.
    ///   - withOpenSSL: the portable form, whatever the processor has.
    package static func addMasks(
        streams: Int, to words: inout [UInt32], segmentElements: Int, withOpenSSL: Bool = false
    ) throws(AggregationRefusal) {
        let seeds = try SecretTable(count: streams, width: 32) { (_, output, offset) in
            output.store(SecretBytes.random(32), at: offset)
        }
        let masks = MaskExpansion(
            seeds: seeds, isAdded: [Bool](repeating: true, count: streams),
            form: withOpenSSL ? .openSSL : .best)
        masks.apply(
            to: &words, part: .payload, segmentElements: segmentElements, parallelism: 1)
    }

    /// Both secrets of one client dealt to n holders.
    ///
    /// - Parameters:
    ///   - sites: n, at least `threshold`.
    ///   - threshold: t, at least 1.
    /// - Returns: for each secret the shares of the first t holders, for ``DealtSecrets/combine()``.
    package static func shareSecrets(sites: Int, threshold: Int) -> DealtSecrets {
        let secrets = [SecretBytes.random(32).exposedCopy(), SecretBytes.random(32).exposedCopy()]
        let tables = secrets.map { secret in
            let polynomials = SecretSharing.Polynomials(
                secret: SecretBytes(copying: secret), threshold: threshold,
                random: SystemRandom.shared)
            return SecretBytes(count: SecretSharing.shareBytes * sites) { output in
                for ordinal in 0..<sites {
                    polynomials.writeShare(
                        of: UInt32(ordinal + 1), to: &output, at: SecretSharing.shareBytes * ordinal
                    )
                }
            }.exposedCopy()
        }
        return DealtSecrets(secrets: secrets, tables: tables, threshold: threshold)
    }

    /// Two secrets and the shares that were dealt of them.
    package struct DealtSecrets {
        let secrets: [[UInt8]]
        let tables: [[UInt8]]
        let threshold: Int

        /// Combines both secrets from the first t shares, Lagrange coefficients included.
        /// - Returns: whether they came out as they went in.
        package func combine() -> Bool {
            let interpolation = Interpolation(coordinates: (0..<threshold).map { UInt32($0 + 1) })
            return zip(secrets, tables).allSatisfy { secret, table in
                let shares = (0..<threshold).compactMap { holder in
                    SecretShare(
                        bytes: table[holder * SecretSharing.shareBytes..<(holder + 1)
                            * SecretSharing.shareBytes])
                }
                guard shares.count == threshold, let combined = interpolation.secret(from: shares)
                else { return false }
                return combined.exposedCopy() == secret
            }
        }
    }
}
