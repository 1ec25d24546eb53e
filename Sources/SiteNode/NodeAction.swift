import AuditLog
import Codec
import Cryptography
import Messages
import ModelPackage
import Serving

/// What the node's core wants done, strictly in order: a `log` is durable before the next action runs.
package enum NodeAction: Sendable {
    /// Keep a blob under its SHA-256.
    case store([UInt8])
    /// Write an entry.
    case log(LogEntry)
    /// Send a report to the coordinator.
    case send(Report)
    /// Hand a verified version to serving.
    case install(Installation)
    /// Cosign another party's log as its witness and send the answer.
    case cosign(request: [UInt8])
    /// A witness answered about this node's own log.
    case witnessed(WitnessAnswer)
}

/// A version on its way into service.
package struct Installation: Sendable {
    package let package: VerifiedPackage
    /// The site's own intercept, for families that have one.
    package let intercept: Double
    /// What the site's own held-out rows say, bound by bound; it stays here.
    package let evaluation: Evaluation
    /// What the version needs before it is put to use.
    package let rules: DeploymentRules

    /// Metrics on the site's own held-out rows.
    package var metrics: [String: Double] { evaluation.metrics }
}

extension LogEntry {
    /// An entry by the node itself.
    static func node(_ type: EntryType, site: String, _ details: [String: JSONValue], model: String? = nil) -> LogEntry {
        LogEntry(type, actor: site, role: "node", site: site, model: model, details: details)
    }

    /// An entry for something a person at the site asked for.
    static func operated(_ type: EntryType, site: String, by actor: String, _ details: [String: JSONValue]) -> LogEntry {
        LogEntry(type, actor: actor, role: "operator", site: site, details: details)
    }
}
