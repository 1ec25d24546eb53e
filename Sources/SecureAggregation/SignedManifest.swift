// The governance's signatures under a manifest. `protocol/secure-aggregation.md` §7.

import Codec
import Cryptography

/// Who may change the member list: at least `threshold` of these keys together.
package struct Governance: Equatable, Sendable {
    package let keys: [VerifyingKey]
    package let threshold: Int

    /// - Throws: `malformed-message` unless the keys are distinct and 1 ≤ threshold ≤ their number.
    package init(keys: [VerifyingKey], threshold: Int) throws(AggregationRefusal) {
        guard Set(keys).count == keys.count, (1...max(keys.count, 1)).contains(threshold),
            !keys.isEmpty
        else {
            throw AggregationRefusal(.malformedMessage)
        }
        self.keys = keys
        self.threshold = threshold
    }
}

extension Governance {
    /// The sites' own rule: more than two thirds of the members of a manifest decide together.
    ///
    /// - Throws: `malformed-message` for a manifest without members.
    package init(membersOf manifest: Manifest) throws(AggregationRefusal) {
        try self.init(
            keys: manifest.members.map(\.key), threshold: Governance.threshold(members: manifest.members.count))
    }

    /// ⌊2n/3⌋ + 1 of n members, at most all of them.
    package static func threshold(members n: Int) -> Int { min(n, 2 * n / 3 + 1) }
}

/// A manifest with signatures, not yet checked. ``verified(under:)`` is the only way to the manifest.
package struct SignedManifest: Equatable, Sendable {
    /// One governance key's signature, not yet checked.
    package struct Signature: Equatable, Sendable {
        package let key: VerifyingKey
        package let bytes: [UInt8]
    }

    /// What the signatures claim to be about. For display; use ``verified(under:)`` to rely on it.
    package let proposal: Manifest
    package private(set) var signatures: [Signature]

    package init(proposing manifest: Manifest) {
        proposal = manifest
        signatures = []
    }

    /// Adds one governance signature; signing twice with one key changes nothing.
    package mutating func sign(with key: SigningKey) {
        guard !signatures.contains(where: { $0.key == key.publicKey }) else { return }
        let signature = Transcript.sign(.manifest, proposal.hash.bytes, with: key)
        signatures.append(Signature(key: key.publicKey, bytes: signature))
    }

    /// The manifest, if at least the threshold of distinct governance keys signed it.
    ///
    /// Signatures of strangers do not count and do not hurt.
    /// - Throws: `signature-invalid`.
    package func verified(under governance: Governance) throws(AggregationRefusal) -> Manifest {
        let hash = proposal.hash.bytes
        let valid = governance.keys.filter { key in
            signatures.contains {
                $0.key == key && Transcript.isValid($0.bytes, .manifest, hash, by: key)
            }
        }
        guard valid.count >= governance.threshold else {
            throw AggregationRefusal(.signatureInvalid)
        }
        return proposal
    }

    /// Adds a signature that was made elsewhere; the same key twice changes nothing.
    ///
    /// - Throws: `signature-invalid` when it is not one by this key under this manifest.
    package mutating func add(_ signature: [UInt8], by key: VerifyingKey) throws(AggregationRefusal) {
        guard Transcript.isValid(signature, .manifest, proposal.hash.bytes, by: key) else {
            throw AggregationRefusal(.signatureInvalid)
        }
        guard !isSigned(by: key), signatures.count < AggregationLimits.sitesMax else { return }
        signatures.append(Signature(key: key, bytes: signature))
    }

    /// Whether a signature in this key's name is there.
    package func isSigned(by key: VerifyingKey) -> Bool { signatures.contains { $0.key == key } }

    /// One site's signature under a manifest, as ``add(_:by:)`` takes it.
    package static func signature(under manifest: Manifest, with key: SigningKey) -> [UInt8] {
        Transcript.sign(.manifest, manifest.hash.bytes, with: key)
    }

    /// The manifest, if it may follow the one in force: newer, of the same federation, and signed by more than two
    /// thirds of the members of the one in force. The first one needs that many of its own members.
    ///
    /// - Throws: `manifest-mismatch` for an older one or another federation's, `signature-invalid` for too few
    ///   signatures.
    package func verified(after previous: Manifest?) throws(AggregationRefusal) -> Manifest {
        if let previous {
            guard proposal.federation == previous.federation, proposal.sequence > previous.sequence else {
                throw AggregationRefusal(.manifestMismatch)
            }
        }
        return try verified(under: Governance(membersOf: previous ?? proposal))
    }

    /// lp(manifest), u32 count, count × (key, signature).
    package var encoded: [UInt8] {
        var writer = ByteWriter()
        writer.lengthPrefixed(proposal.canonicalBytes)
        writer.u32(UInt32(signatures.count))
        for signature in signatures {
            writer.raw(signature.key.bytes)
            writer.raw(signature.bytes)
        }
        return writer.bytes
    }

    /// Reads what ``encoded`` wrote.
    ///
    /// - Throws: `malformed-message` for anything else, repeated keys included. Signatures are not checked here.
    package init(encoded bytes: [UInt8]) throws(AggregationRefusal) {
        self = try decoding { () throws -> SignedManifest in
            var reader = ByteReader(bytes)
            var signed = SignedManifest(
                proposing: try Manifest(
                    canonicalBytes: try reader.lengthPrefixed(
                        maxBytes: AggregationLimits.manifestBytesMax)))
            let count = Int(try reader.u32())
            guard count <= AggregationLimits.sitesMax else {
                throw AggregationRefusal(.malformedMessage)
            }
            for _ in 0..<count {
                guard let key = VerifyingKey(bytes: try reader.raw(VerifyingKey.keyBytes)),
                    !signed.signatures.contains(where: { $0.key == key })
                else { throw AggregationRefusal(.malformedMessage) }
                signed.signatures.append(Signature(key: key, bytes: try reader.signature()))
            }
            try reader.finish()
            return signed
        }
    }
}
