// The list of members. The coordinator writes it down; it is in force only when more than two thirds of the sites in
// the list before it, or for the first one of its own, have signed. `protocol/secure-aggregation.md` §7.

import AuditLog
import Codec
import Cryptography
import Messages
import SecureAggregation
import Telemetry

extension CoordinatorCore {
    /// Draws up the list of the present members and asks every site to sign it.
    ///
    /// - Throws: `CoordinatorError.refused`: `manifest.members` for fewer than 3, `manifest.unchanged` when the list in
    ///   force or the open proposal is the same.
    package mutating func proposeManifest(by actor: String, at now: Timestamp) throws -> (manifest: Manifest, actions: [CoordinatorAction]) {
        let sites = federation.activeSites
        guard sites.count >= AggregationLimits.sitesMin else {
            throw CoordinatorError.refused(
                code: "manifest.members",
                "\(sites.count) sites have joined; a list of members needs at least \(AggregationLimits.sitesMin)")
        }
        let members = sites.map { site in
            Manifest.Member(
                index: site.index, name: site.name, key: site.key, validFrom: UInt64(max(0, site.joined.milliseconds / 1000)),
                validTo: UInt64(Int64.max))
        }
        let last = [federation.manifest, federation.proposal].compactMap { $0?.proposal }
        guard !last.contains(where: { $0.members == members }) else {
            throw CoordinatorError.refused(
                code: "manifest.unchanged", "the members are those of the list that is in force or proposed already: see `consilium manifest show`")
        }
        let manifest = try Manifest(
            federation: federation.name, sequence: (last.map(\.sequence).max() ?? 0) + 1, members: members)
        let bytes = manifest.canonicalBytes
        let entry = LogEntry.operated(
            .manifestProposed, by: actor,
            ["manifest": .string(manifest.hash.hex), "blob": .string(SHA256.hash(bytes).hex), "members": .integer(Int64(members.count))])
        let offer = Instruction.manifest(signed: SignedManifest(proposing: manifest).encoded)
        return (manifest, try settle([.store(bytes), .log(entry)] + sites.map { .send(to: $0.name, offer) }, at: now))
    }

    /// Takes a site's signature under the proposal, or under the list in force when it comes late.
    mutating func acceptSignature(_ signature: [UInt8], under hash: Digest, from site: Federation.Site, at now: Timestamp) throws -> [CoordinatorAction] {
        let isProposal = federation.proposal?.proposal.hash == hash
        guard var signed = isProposal ? federation.proposal : federation.manifest, signed.proposal.hash == hash else {
            throw CoordinatorError.refused(
                code: "manifest.unknown", "the signature is under a list of members that is not proposed any more: look at the newest one")
        }
        guard !signed.isSigned(by: site.key) else { return [] }
        do { try signed.add(signature, by: site.key) } catch {
            throw CoordinatorError.refused(code: "manifest.signature", "the signature under the list of members is not by this site's key")
        }
        var actions: [CoordinatorAction] = [
            .log(.site(.manifestSigned, site.name, ["site": .string(site.name), "manifest": .string(hash.hex), "signature": .string(Hex.encode(signature))]))
        ]
        if isProposal, (try? signed.verified(after: federation.manifest?.proposal)) != nil {
            let bytes = signed.encoded
            actions += [
                .store(bytes),
                .log(
                    .coordinator(
                        .manifestAdopted,
                        [
                            "manifest": .string(hash.hex), "blob": .string(SHA256.hash(bytes).hex),
                            "signatures": .integer(Int64(signed.signatures.count)),
                        ])),
            ]
            actions += federation.activeSites.map { .send(to: $0.name, .manifest(signed: bytes)) }
        }
        return actions
    }
}
