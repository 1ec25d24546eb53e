// Who this site believes to be a member. The coordinator hands lists of members out; a list counts here only when the
// sites themselves stand behind it, and the first one only when a person of this site does.
// `protocol/secure-aggregation.md` §7.

import AuditLog
import Codec
import Cryptography
import Messages
import SecureAggregation
import Telemetry

extension NodeCore {
    mutating func receiveManifest(_ bytes: [UInt8]) throws -> [NodeAction] {
        guard let signed = try? SignedManifest(encoded: bytes), signed.proposal.federation == federation else {
            return [.send(.refusal(subject: SHA256.hash(bytes), code: "manifest.malformed", sentence: "the list of members cannot be read by this node"))]
        }
        guard signed.proposal.sequence > state.manifest?.proposal.sequence ?? 0 else { return [] }
        var own = signed
        if let signature = state.signedManifests[signed.proposal.hash] { try own.add(signature, by: signingKey.publicKey) }
        if isInForce(own) { return adopt(own) }
        // Older than the one that waits, or the same one with nothing new.
        guard signed.proposal.sequence >= state.proposal?.proposal.sequence ?? 0, signed != state.proposal else { return [] }
        return [
            .store(bytes),
            .log(
                .node(
                    .manifestProposed, site: site,
                    [
                        "manifest": .string(signed.proposal.hash.hex), "blob": .string(SHA256.hash(bytes).hex),
                        "members": .integer(Int64(signed.proposal.members.count)),
                    ])),
        ]
    }

    /// A person of this site has compared names and keys with what the other sites told them, and signs.
    ///
    /// - Parameter prefix: of the list's hash, at least ``manifestPrefixMin`` hex digits, as the person has it from somewhere else than the
    ///   coordinator, or from `manifest show`.
    package mutating func signManifest(_ prefix: String, by actor: String, at now: Timestamp) throws -> [NodeAction] {
        guard var signed = state.proposal else {
            throw NodeError.refused(code: "manifest.none", "no list of members waits for this site's signature")
        }
        let manifest = signed.proposal
        guard prefix.utf8.count >= NodeCore.manifestPrefixMin, manifest.hash.hex.hasPrefix(prefix.lowercased()) else {
            throw NodeError.refused(
                code: "manifest.other", "the list of members that waits here has another hash: look at it with `consilium manifest show` and sign that one")
        }
        guard let member = manifest.member(siteIndex), member.key == signingKey.publicKey, member.name == site else {
            throw NodeError.refused(
                code: "manifest.without-self", "the list has this site with another name or key, or not at all: do not sign it, and ask the coordinator why")
        }
        let signature = state.signedManifests[manifest.hash] ?? SignedManifest.signature(under: manifest, with: signingKey)
        try signed.add(signature, by: signingKey.publicKey)
        let entry = LogEntry.operated(
            .manifestSigned, site: site, by: actor, ["manifest": .string(manifest.hash.hex), "signature": .string(Hex.encode(signature))])
        let report = NodeAction.send(.manifestSignature(manifest: manifest.hash, signature: signature))
        var actions: [NodeAction] = state.signedManifests[manifest.hash] == nil ? [.log(entry)] : []
        actions += isInForce(signed, signedHere: true) ? adopt(signed) + [report] : [report]
        return try settle(actions, at: now)
    }

    /// Hex digits of a list's hash that a person must give to sign it.
    package static let manifestPrefixMin = 12

    /// Whether a list may take effect here.
    private func isInForce(_ signed: SignedManifest, signedHere: Bool = false) -> Bool {
        if !policy.governanceKeys.isEmpty {
            guard let governance = try? Governance(keys: policy.governanceKeys, threshold: policy.governanceThreshold) else { return false }
            return (try? signed.verified(under: governance)) != nil
        }
        if let current = state.manifest?.proposal { return (try? signed.verified(after: current)) != nil }
        // The first list: nobody whom this site trusts vouches for it but its own people.
        guard signedHere || state.signedManifests[signed.proposal.hash] != nil else { return false }
        return (try? signed.verified(after: nil)) != nil
    }

    private func adopt(_ signed: SignedManifest) -> [NodeAction] {
        let bytes = signed.encoded
        return [
            .store(bytes),
            .log(
                .node(
                    .manifestAdopted, site: site,
                    [
                        "manifest": .string(signed.proposal.hash.hex), "blob": .string(SHA256.hash(bytes).hex),
                        "signatures": .integer(Int64(signed.signatures.count)),
                    ])),
        ]
    }

    /// Signatures that the coordinator may have missed.
    var standingSignatures: [Report] {
        guard let manifest = state.proposal?.proposal, let signature = state.signedManifests[manifest.hash] else { return [] }
        return [.manifestSignature(manifest: manifest.hash, signature: signature)]
    }
}
