import Telemetry

/// Prunes a log now and once a day until it is told to end. One thread, which sleeps in between.
final class RetentionKeeper: Sendable {
    static let secondsBetween = 86_400.0

    private let wakeup: Condition
    private let isEnding: Locked<Bool>
    private let thread: WorkerThread

    init(_ prune: @escaping @Sendable () -> Void) {
        let (wakeup, isEnding) = (Condition(), Locked(false))
        (self.wakeup, self.isEnding) = (wakeup, isEnding)
        thread = WorkerThread {
            while !isEnding.withLock({ $0 }) {
                prune()
                wakeup.withLock {
                    // A wake-up without an end only brings the next look forward.
                    if !isEnding.withLock({ $0 }) { _ = wakeup.wait(seconds: Self.secondsBetween) }
                }
            }
        }
    }

    /// Waits for a look that is under way and ends the thread. Once.
    func end() {
        wakeup.withLock {
            isEnding.withLock { $0 = true }
            wakeup.broadcast()
        }
        thread.join()
    }
}

extension AuditLog {
    /// Keeps a retention for as long as the log is open: prunes now and once a day, on a thread of its own.
    /// - Parameter report: told what each look raised the minimum index to, or why it could not; on that thread.
    package func keep(
        _ retention: Retention, clock: any Clock,
        report: @escaping @Sendable (Result<UInt64, AuditLogError>) -> Void = { _ in }
    ) {
        keeper.withLock { keeper in
            guard keeper == nil else { return }
            keeper = RetentionKeeper { [weak self] in
                guard let self else { return }
                do throws(AuditLogError) {
                    let before = self.minimumIndex
                    let now = try self.prune(retention, actor: "retention", now: clock.now())
                    if now > before { report(.success(now)) }
                } catch {
                    report(.failure(error))
                }
            }
        }
    }
}
