import AuditLog
import Telemetry

extension CoordinatorService {
    /// Prunes the log by the configured retention, now and once a day until `stop`. `protocol/audit-log.md` §8.
    package func keepRetention() throws {
        let retention = try Retention(days: directory.configuration.retentionDays)
        log.keep(retention, clock: clock) { [logger] result in
            switch result {
            case .success(let below): logger.info("log.pruned", [("below", .count(Int(below)))])
            case .failure(let error): logger.error("log.not-pruned", [("error", .name("\(error)"))])
            }
        }
    }
}
