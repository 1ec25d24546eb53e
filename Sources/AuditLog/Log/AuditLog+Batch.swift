import Telemetry

extension AuditLog {
    /// Appends entries in order and waits until all are durable: one sync, unless the batch is very long.
    /// - Throws: the first `AuditLogError`; then some of the entries may be durable, none is acknowledged.
    package func append(_ entries: [LogEntry]) throws(AuditLogError) {
        let open = Condition()
        let state = Locked<(waiting: Int, failure: AuditLogError?)>((entries.count, nil))
        for (index, entry) in entries.enumerated() {
            do {
                try append(entry) { result in
                    state.withLock { state in
                        state.waiting -= 1
                        if case .failure(let error) = result, state.failure == nil {
                            state.failure = error
                        }
                    }
                    open.withLock { open.signal() }
                }
            } catch {
                state.withLock { state in
                    state.waiting -= entries.count - index
                    if state.failure == nil { state.failure = error }
                }
                break
            }
        }
        open.withLock {
            while state.withLock({ $0.waiting > 0 }) { open.wait() }
        }
        if let failure = state.withLock({ $0.failure }) { throw failure }
    }
}
