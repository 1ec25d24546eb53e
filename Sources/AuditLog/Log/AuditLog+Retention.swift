import Codec
import Storage
import Telemetry

/// How long entries are given out.
package struct Retention: Equatable, Sendable {
    /// Six months, the least that is accepted.
    package static let daysMin = 183
    /// Six years.
    package static let daysDefault = 2192
    /// A century, so that no date leaves what integers hold.
    package static let daysMax = 36_525

    package let days: Int

    /// - Throws: `retention` below six months.
    package init(days: Int = Retention.daysDefault) throws(AuditLogError) {
        guard (Self.daysMin...Self.daysMax).contains(days) else {
            throw .retention(
                "retentionDays must be from \(Self.daysMin) to \(Self.daysMax), not \(days)")
        }
        self.days = days
    }
}

extension AuditLog {
    /// Index of the first entry that is given out.
    package var minimumIndex: UInt64 { minimum.withLock { $0 } }

    /// Stops giving out entries that are past their retention. Files stay, so every proof and root stays valid. The entry
    /// that says so is appended first. Whole bundles only; does nothing when none is old enough.
    /// - Returns: the new minimum index.
    @discardableResult
    package func prune(_ retention: Retention, actor: String, now: Timestamp) throws(AuditLogError)
        -> UInt64
    {
        let oldest = Timestamp(milliseconds: now.milliseconds - Int64(retention.days) * 86_400_000)
        let below = minimumIndex
        var bundle = below / 256
        while (bundle + 1) * 256 <= size, try entry(at: bundle * 256 + 255).time < oldest {
            bundle += 1
        }
        guard bundle * 256 > below else { return below }
        let details: [String: JSONValue] = [
            "below": .integer(Int64(bundle * 256)),
            "retention_days": .integer(Int64(retention.days)),
        ]
        try append(LogEntry(.logPruned, actor: actor, role: "process", details: details))
        let path = writer.state.minimum
        let bytes = Array("\(bundle * 256)\n".utf8)
        try storage { () throws(StorageError) in try DurableFile.writeAtomically(bytes, to: path) }
        minimum.withLock { $0 = bundle * 256 }
        return bundle * 256
    }
}
