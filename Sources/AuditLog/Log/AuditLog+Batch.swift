import Telemetry

extension AuditLog {
    /// Appends entries in order and waits until all are durable: one sync, unless the batch is very long.
    /// - Returns: their numbers.
    /// - Throws: the first `AuditLogError`; then some of the entries may be durable, none is acknowledged.
    @discardableResult
    package func append(_ entries: [LogEntry]) throws(AuditLogError) -> [UInt64] {
        let open = Condition()
        let state = Locked<(waiting: Int, numbers: [UInt64], failure: AuditLogError?)>((entries.count, [], nil))
        for (index, entry) in entries.enumerated() {
            do {
                try append(entry) { result in
                    state.withLock { state in
                        state.waiting -= 1
                        switch result {
                        case .success(let number): state.numbers.append(number)
                        case .failure(let error): state.failure = state.failure ?? error
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
        let (_, numbers, failure) = state.withLock { $0 }
        if let failure { throw failure }
        return numbers
    }
}
