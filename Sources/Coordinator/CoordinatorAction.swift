import AuditLog
import Codec
import Cryptography
import Messages

/// What the coordinator's core wants done, in this order: every `store` and `log` of a batch is durable
/// before the first `send` of it leaves.
package enum CoordinatorAction: Sendable {
    /// Keep a blob under its SHA-256.
    case store([UInt8])
    /// Write an entry.
    case log(LogEntry)
    /// Put an instruction into a site's outbox.
    case send(to: String, Instruction)
    /// Close a site's connections; its certificate is refused from now on.
    case disconnect(site: String)
    /// Cosign a site's log as its witness and send the answer.
    case cosign(site: String, request: [UInt8])
}

extension LogEntry {
    /// An entry by the coordinator itself.
    static func coordinator(_ type: EntryType, _ details: [String: JSONValue], round: Int? = nil) -> LogEntry {
        LogEntry(type, actor: "coordinator", role: "coordinator", round: round, details: details)
    }

    /// An entry for something an operator asked for.
    static func operated(_ type: EntryType, by actor: String, _ details: [String: JSONValue]) -> LogEntry {
        LogEntry(type, actor: actor, role: "operator", details: details)
    }

    /// An entry for something a site did.
    static func site(_ type: EntryType, _ site: String, _ details: [String: JSONValue]) -> LogEntry {
        LogEntry(type, actor: site, role: "site", site: site, details: details)
    }
}
