// The node's audit log seen from outside of it: its retention, and entries that it would not take.

import AuditLog
import Serving
import Telemetry

extension NodeService {
    /// Prunes the log by the configured retention, now and once a day until `stop`. `protocol/audit-log.md` §8.
    func keepRetention() throws {
        let retention = try Retention(days: directory.configuration.retentionDays)
        log.keep(retention, clock: clock) { [logger, metrics] result in
            switch result {
            case .success(let below): logger.info("log.pruned", [("below", .count(Int(below)))])
            case .failure(let error):
                metrics.countRefusedEntry()
                logger.error("log.not-pruned", [("error", .name("\(error)"))])
            }
        }
    }
}

extension Telemetry.Metrics {
    /// Notes that an operation was refused because the audit log did not take its entry.
    func countRefusedEntry() {
        count("consilium_log_refused_total", help: "Operations that were refused because the audit log did not take their entry")
    }
}

extension LogWriter {
    /// Writes to the node's audit log, and counts what it refuses.
    init(_ log: AuditLog, metrics: Telemetry.Metrics) {
        self.init(log, refused: { metrics.countRefusedEntry() })
    }
}

/// Counts answers by status, without looking a counter up by its name each time.
final class AnswerCounters: Sendable {
    private let metrics: Telemetry.Metrics
    private let known = Locked<[Int: Counter]>([:])

    init(_ metrics: Telemetry.Metrics) { self.metrics = metrics }

    func count(_ status: Int) {
        let counter = known.withLock { known in
            if let counter = known[status] { return counter }
            let counter = metrics.counter("consilium_http_requests_total", [("status", "\(status)")], help: "Requests by status")
            known[status] = counter
            return counter
        }
        counter.add()
    }
}
