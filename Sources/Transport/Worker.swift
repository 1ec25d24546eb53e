import Telemetry

/// One thread for work that waits for the disk, behind servers whose loops must not. Bodies run one after another, so
/// what one of them checks holds until it has acted on it.
package final class Worker: Sendable {
    /// What became of a body.
    package enum Outcome: Sendable {
        case taken
        /// As many wait as may; it never runs.
        case overloaded
        /// The worker is stopping; it never runs.
        case stopped
    }

    private struct Queue {
        var bodies: [@Sendable () -> Void] = []
        var isStopping = false
        var isEnded = false
    }

    private let queue = Locked(Queue())
    private let wakeup = Condition()

    private let waitingMax: Int

    /// - Parameter waitingMax: bodies that may wait.
    package init(name: String, waitingMax: Int) {
        self.waitingMax = waitingMax
        Thread.detach(Thread.start(name: name) { [self] in run() })
    }

    /// Runs `body` soon, if it is taken.
    package func take(_ body: @escaping @Sendable () -> Void) -> Outcome {
        let outcome = queue.withLock { queue -> Outcome in
            guard !queue.isStopping else { return .stopped }
            guard queue.bodies.count < waitingMax else { return .overloaded }
            queue.bodies.append(body)
            return .taken
        }
        if case .taken = outcome { wakeup.withLock { wakeup.signal() } }
        return outcome
    }

    /// Finishes what waits and ends the thread. Not from a body.
    package func stop() {
        wakeup.lock()
        defer { wakeup.unlock() }
        queue.withLock { $0.isStopping = true }
        wakeup.broadcast()
        while !queue.withLock({ $0.isEnded }) { wakeup.wait() }
    }

    private func run() {
        while let body = next() { body() }
        wakeup.withLock {
            queue.withLock { $0.isEnded = true }
            wakeup.broadcast()
        }
    }

    private func next() -> (@Sendable () -> Void)? {
        wakeup.lock()
        defer { wakeup.unlock() }
        while true {
            let (body, isStopping) = queue.withLock { queue in
                (queue.bodies.isEmpty ? nil : queue.bodies.removeFirst(), queue.isStopping)
            }
            if let body { return body }
            if isStopping { return nil }
            wakeup.wait()
        }
    }
}
