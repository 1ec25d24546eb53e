// What a site asks of versions that no plan governs: models that it imported, or was given as packages. JSON5, with the words
// of a plan's `deployment`; `protocol/prediction-api.md` §9.
//
//     {
//         consilium: "site-rules/1",
//         siteGates: [{ metric: "auc", atLeast: 0.75 }, { metric: "rows", atLeast: 200 }],
//         rollout: { approvals: 2, approvalHours: 72, groupGaps: [{ metric: "truePositiveRate", atMost: 0.1 }] },
//         heldOut: "…64 hex…",           // SHA-256 of the file that versions are measured on
//     }

import Codec
import Cryptography

/// The rules of a site.
package struct SiteRules: Equatable, Sendable {
    /// Bounds, approvals and canary, as in a plan; nothing is automatic.
    package let deployment: DeploymentPlan
    /// The file of held-out rows that counts; nil: any.
    package let heldOut: Digest?
    /// Whether an overseer may let a version through that missed a bound.
    package let allowsOverride: Bool
    /// Whether the site asks for nothing any more.
    package let isNone: Bool
    /// Canonical form: entries of the log hold it.
    package let text: String

    /// Bytes of a document.
    package static let bytesMax = 8192

    /// - Throws: `FieldError`, `StudyError` or `JSONError` with the place of what is wrong.
    package init(parsing bytes: [UInt8], dialect: JSONDialect = .json5) throws {
        let value = try JSONValue.parse(bytes, dialect: dialect, limits: JSONLimits(bytesMax: Self.bytesMax, depthMax: 16))
        var fields = try JSONFields(value, path: "")
        guard try fields.string("consilium", maxBytes: 16) == "site-rules/1" else {
            throw FieldError(path: "consilium", problem: "must be \"site-rules/1\"")
        }
        isNone = try fields.bool("none", default: false)
        heldOut = try fields.optionalString("heldOut", maxBytes: 64).map { text in
            guard let digest = Digest(hex: text) else { throw FieldError(path: "heldOut", problem: "must be SHA-256 in hex, 64 digits") }
            return digest
        }
        allowsOverride = try fields.bool("gateOverride", default: false)
        var object: [String: JSONValue] = ["automatic": false]
        for member in ["siteGates", "rollout"] { object[member] = fields.value(member) }
        deployment = try DeploymentPlan(JSONFields(.object(object), path: "rules"))
        try fields.finish()
        guard !isNone || value.objectValue?.count == 2 else { throw FieldError(path: "none", problem: "stands alone: no rules have no members") }
        text = String(decoding: value.canonicalBytes(), as: UTF8.self)
    }

    /// What names the rules.
    package var digest: Digest { SHA256.hash(Array(text.utf8)) }

    /// People who must approve a version, and a change of the rules.
    package var approvals: Int { deployment.rollout?.approvals ?? 0 }
}
