// The proof that a round stands in the coordinator's log as a node was told, in a head that a quorum of the
// round's sites has cosigned. A coordinator that shows two sites two rounds needs two logs, and no quorum of
// honest sites cosigns both. `protocol/federation.md` §4.

import AuditLog
import Codec
import Cryptography
import SecureAggregation

/// A `round.start` entry with the receipt for it.
package struct RoundStart: Equatable, Sendable {
    /// The entry's bytes in the log.
    package var entry: [UInt8]
    /// Inclusion, and the cosigned checkpoint.
    package var proof: TlogProof

    /// - Parameters: as the members.
    package init(entry: [UInt8], proof: TlogProof) {
        self.entry = entry
        self.proof = proof
    }

    /// lp(entry), lp(receipt).
    package var encoded: [UInt8] {
        var writer = ByteWriter()
        writer.lengthPrefixed(entry)
        writer.lengthPrefixed(proof.bytes)
        return writer.bytes
    }

    /// Reads what `encoded` wrote; nothing is checked yet.
    ///
    /// - Throws: `MessageError.malformed`.
    package init(encoded bytes: [UInt8]) throws(MessageError) {
        do {
            var reader = ByteReader(bytes)
            entry = try reader.lengthPrefixed(maxBytes: LogEntry.bytesMax)
            proof = try TlogProof(try reader.lengthPrefixed(maxBytes: Instruction.startBytesMax))
            try reader.finish()
        } catch {
            throw MessageError.malformed("round start")
        }
    }

    /// Why a proof does not stand for the round.
    package struct Problem: Error, Equatable, Sendable, CustomStringConvertible {
        /// `round.log-entry`, `round.log-sites` or `round.log-quorum`.
        package let code: String
        /// A sentence without data.
        package let description: String
    }

    /// Checks the proof against what the node was told, and gives the sites that the round is for.
    ///
    /// - Parameters:
    ///   - descriptor: of the opening that the node holds.
    ///   - manifest: the members, pinned by this node.
    ///   - coordinatorKey: pinned at enrolment.
    /// - Returns: manifest indices of the sites that the entry names.
    /// - Throws: `Problem`: another round, model, plan, order or roster than was told; a site that is no member; a head
    ///   that fewer than the round's threshold of its sites have cosigned. Cost: one signature check a cosigner.
    package func verify(
        work: RoundWork, descriptor: RoundDescriptor, manifest: Manifest, coordinatorKey: VerifyingKey
    ) throws(Problem) -> Set<UInt32> {
        let stored = try? StoredEntry(entry)
        guard let stored, stored.type == .roundStart,
            RoundStart.details(work, descriptor).allSatisfy({ stored.details[$0.key] == $0.value })
        else {
            throw Problem(
                code: "round.log-entry", description: "the coordinator's log has another round than this site was told of")
        }
        let byName = Dictionary(uniqueKeysWithValues: manifest.members.map { ($0.name, $0) })
        let names = (stored.details["sites"]?.arrayValue ?? []).compactMap(\.stringValue)
        let members = names.compactMap { byName[$0] }
        guard !names.isEmpty, members.count == names.count, Set(names).count == names.count else {
            throw Problem(code: "round.log-sites", description: "the logged round names a site that is not in the list of members in force")
        }
        let witnesses = members.compactMap { LogKeys.witness(federation: manifest.federation, party: $0.name, key: $0.key) }
        let quorum = descriptor.cohort.threshold.threshold(sites: members.count)
        guard
            let log = LogKeys.log(federation: manifest.federation, party: WitnessAnswer.coordinator, key: coordinatorKey),
            (try? proof.verify(entry: entry, policy: TrustPolicy(log: log, witnesses: witnesses, threshold: quorum))) != nil
        else {
            throw Problem(
                code: "round.log-quorum",
                description: "the log's head that proves the round is not cosigned by \(quorum) of the round's \(members.count) sites")
        }
        return Set(members.map(\.index))
    }

    /// What of a `round.start` entry binds the round.
    package static func details(_ work: RoundWork, _ descriptor: RoundDescriptor) -> [String: JSONValue] {
        [
            "run": .string(work.run), "number": .integer(Int64(work.number)), "kind": .string(work.kind.rawValue),
            "step": .integer(Int64(work.step)), "attempt": .integer(Int64(descriptor.attempt)),
            "model": .string(work.modelHash.hex), "plan": .string(work.planHash.hex),
            "manifest": .string(descriptor.manifestHash.hex), "context": .string(descriptor.context.hex),
        ]
    }
}
