// The list of members as people read it. `protocol/secure-aggregation.md` §7.

import Codec
import Cryptography
import SecureAggregation

extension SignedManifest {
    /// The list with who signed it and how many signatures it needs.
    ///
    /// - Parameter previous: the list in force that it would follow; nil for the first.
    package func json(after previous: Manifest?) -> JSONValue {
        let governance = previous ?? proposal
        return [
            "manifest": .string(proposal.hash.hex), "federation": .string(proposal.federation),
            "sequence": .integer(Int64(clamping: proposal.sequence)),
            "signaturesNeeded": .integer(Int64(Governance.threshold(members: governance.members.count))),
            "signatures": .integer(Int64(governance.members.count { isSigned(by: $0.key) })),
            "members": .array(
                proposal.members.map { member in
                    [
                        "index": .integer(Int64(member.index)), "name": .string(member.name), "key": .string(Hex.encode(member.key.bytes)),
                        "signed": .bool(isSigned(by: member.key)),
                    ]
                }),
        ]
    }
}
