import Telemetry
import Transport

/// One thread for work that waits for the disk: outcomes, decisions, changes of versions. Bodies run one after another, so
/// what one of them checks holds until it has acted on it.
final class Worker: Sendable {
    private struct Queue {
        var bodies: [@Sendable () -> Void] = []
        var isStopping = false
        var isEnded = false
    }

    private let queue = Locked(Queue())
    private let wakeup = Condition()

    init(name: String) {
        Thread.detach(Thread.start(name: name) { [self] in run() })
    }

    /// Runs `body` soon.
    /// - Throws: `ServingError.overloaded` beyond `ServingLimits.pendingRequests`, `.stopped`; `body` then never runs.
    func run(_ body: @escaping @Sendable () -> Void) throws(ServingError) {
        try queue.withLock { (queue: inout Queue) throws(ServingError) in
            guard !queue.isStopping else { throw .stopped }
            guard queue.bodies.count < ServingLimits.pendingRequests else { throw .overloaded }
            queue.bodies.append(body)
        }
        wakeup.withLock { wakeup.signal() }
    }

    /// Finishes what waits and ends the thread. Not from a body.
    func stop() {
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
