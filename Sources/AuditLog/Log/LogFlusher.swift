import Storage
import Telemetry

/// What makes pending segments superfluous.
struct FlushJob: Sendable {
    /// Full tiles and bundles to sync.
    var paths: [String]
    /// The signed checkpoint that they make durable.
    var head: [UInt8]
    /// Segments to remove afterwards.
    var segments: [String]
}

/// Makes full tiles durable behind the writer's back, then moves the head forward and removes the segments that held them.
final class LogFlusher: Sendable {
    private static let queueMax = 64

    private let failed: Locked<AuditLogError?>
    private let thread: GroupCommit<FlushJob, Bool>

    init(files: LogFiles, state: StateDirectory) {
        let failed = Locked<AuditLogError?>(nil)
        self.failed = failed
        thread = GroupCommit(batchItemsMax: 1, queueBatchesMax: Self.queueMax) { jobs in
            do throws(AuditLogError) {
                for job in jobs where failed.withLock({ $0 }) == nil {
                    try Self.run(job, files: files, state: state)
                }
            } catch {
                failed.withLock { $0 = .poisoned(cause: error.description) }
            }
            return .success(jobs.map { _ in true })
        }
    }

    /// Why a flush failed, when one did.
    var failure: AuditLogError? { failed.withLock { $0 } }

    /// Takes a job; false when too many wait, and the caller keeps it.
    func take(_ job: FlushJob) -> Bool {
        do {
            try thread.submit(job) { _ in }
            return true
        } catch {
            return false
        }
    }

    /// Finishes the jobs that wait.
    func close() { thread.close() }

    static func run(_ job: FlushJob, files: LogFiles, state: StateDirectory) throws(AuditLogError) {
        try files.sync(job.paths)
        do {
            try DurableFile.writeAtomically(job.head, to: state.head)
            for segment in job.segments { try DurableFile.remove(segment) }
            try DurableFile.syncDirectory(state.path)
        } catch {
            throw .storage(error)
        }
    }
}
