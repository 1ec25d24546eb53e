import Glibc
import Synchronization
import Telemetry

/// Something that wants to know when its descriptor is ready. Events are hints: a call without data
/// is possible.
protocol EventHandler: AnyObject {
    /// Runs on the loop's thread.
    func ready(_ events: UInt32)
}

/// One thread that waits for sockets, timers and closures from other threads, and runs each on
/// itself.
///
/// Everything registered with a loop belongs to its thread; ``execute(_:)`` is the only way in from
/// outside. A closure that blocks stops every connection of the loop, so real work (training, file
/// syncs) goes to other threads.
package final class EventLoop: @unchecked Sendable {
    /// Confined to the loop's thread after ``start()``, except for `shared`, which has its own
    /// lock.
    private let epoll: Epoll
    private var handlers: [(any EventHandler)?] = []
    private var timers = TimerHeap()
    private let shared = Locked(Shared())
    /// The loop waits, or is about to, and nobody has woken it yet. Set before the loop looks for closures the last time, read
    /// after a closure was added: one of the two sees the other.
    private let isAsleep = Atomic(false)
    /// The loop's own thread; 0 before it runs.
    private let ownThread = Atomic<UInt>(0)
    private let name: String

    private struct Shared {
        var closures: [@Sendable () -> Void] = []
        var isStopping = false
        var thread: pthread_t?
        var mustJoin = false
        /// Who wants closures to wait for more of them.
        var holds = 0
        var hasStopped = false
    }

    /// Milliseconds of the monotonic clock when the current batch of events began.
    package private(set) var now: UInt64 = EventLoop.monotonicMilliseconds()

    /// Whether work waits that connections should not keep from its turn: they read less at a time then. Only on the loop's
    /// thread.
    package var isBusy = false

    /// Called when nothing is ready, before the loop waits for something, and every few milliseconds while something always is;
    /// true when that did something, and the loop looks again. Set before ``start()``. It may block for the fraction of a
    /// millisecond that sleeping and waking up costs.
    package var beforeSleep: (@Sendable () -> Bool)?
    /// When it was called last.
    private var lastPause: UInt64 = 0

    /// Number of a timer, for ``cancel(_:)``.
    package typealias TimerNumber = UInt64

    /// - Parameter name: shown as the thread's name; 15 bytes are kept.
    /// - Throws: ``TransportError/system(operation:reason:)`` without descriptors left.
    package init(name: String) throws(TransportError) {
        IgnoredSignals.pipe
        self.name = name
        epoll = try Epoll()
    }

    /// Starts the thread. Once.
    package func start() {
        let thread = Thread.start(name: name) { [self] in run() }
        shared.withLock { shared in
            shared.thread = thread
            shared.mustJoin = true
        }
    }

    /// Runs `body` on the loop soon, in the order of the calls. From any thread; after ``stop()``
    /// it never runs. Costs a lock and, when the loop sleeps, one system call.
    package func execute(_ body: @escaping @Sendable () -> Void) {
        let mustSignal = shared.withLock { shared in
            if shared.hasStopped { return false }
            shared.closures.append(body)
            return shared.holds == 0
        }
        if mustSignal { wake() }
    }

    /// Until ``release()`` a sleeping loop is not woken by ``execute(_:)``: closures that come at one go cost one wake-up.
    /// From any thread, for microseconds.
    package func hold() { shared.withLock { $0.holds += 1 } }

    /// Ends one ``hold()``.
    package func release() {
        let mustSignal = shared.withLock { shared in
            shared.holds -= 1
            return shared.holds == 0 && !shared.closures.isEmpty
        }
        if mustSignal { wake() }
    }

    private func wake() {
        if isAsleep.exchange(false, ordering: .sequentiallyConsistent) { epoll.signal() }
    }

    /// Calls `body` on the loop's thread after the delay. Only on the loop's thread (or before
    /// ``start()``).
    @discardableResult
    package func schedule(afterMilliseconds delay: UInt64, _ body: @escaping () -> Void)
        -> TimerNumber
    {
        timers.insert(deadline: now + delay, body)
    }

    /// Drops a timer. Only on the loop's thread.
    package func cancel(_ timer: TimerNumber) { timers.cancel(timer) }

    /// Whether the caller is the loop's own thread.
    package var isCurrent: Bool {
        ownThread.load(ordering: .relaxed) == UInt(Thread.current)
    }

    /// Ends the loop after the closures that wait now, and waits for its thread (unless called on
    /// it).
    package func stop() {
        let thread = shared.withLock { shared in
            shared.isStopping = true
            defer { shared.mustJoin = false }
            return shared.mustJoin ? shared.thread : nil
        }
        epoll.signal()
        guard let thread else { return }
        if thread == Thread.current { Thread.detach(thread) } else { Thread.join(thread) }
    }

    // MARK: Inside Transport, on the loop's thread

    func add(_ descriptor: Int32, events: UInt32, handler: any EventHandler) throws(TransportError)
    {
        try epoll.add(descriptor, events: events)
        while handlers.count <= Int(descriptor) { handlers.append(nil) }
        handlers[Int(descriptor)] = handler
    }

    func change(_ descriptor: Int32, events: UInt32) { epoll.change(descriptor, events: events) }

    func remove(_ descriptor: Int32) {
        epoll.remove(descriptor)
        handlers[Int(descriptor)] = nil
    }

    private func run() {
        let thread = Thread.current
        shared.withLock { $0.thread = thread }
        ownThread.store(UInt(thread), ordering: .relaxed)
        now = Self.monotonicMilliseconds()
        while true {
            runClosures()
            while let body = timers.popDue(now) { body() }
            if shared.withLock({ $0.isStopping && $0.closures.isEmpty }) { break }
            if pauses() { continue }
            poll(milliseconds: timeout())
            now = Self.monotonicMilliseconds()
        }
        handlers = []
        timers = TimerHeap()
        shared.withLock { shared in
            shared.hasStopped = true
            shared.closures = []
        }
    }

    /// Calls ``beforeSleep`` when it is time for that.
    /// - Returns: whether anything was done, so that the loop must look again before it waits.
    private func pauses() -> Bool {
        guard let beforeSleep else { return false }
        if now < lastPause + Self.pauseMilliseconds {
            let isAnything = poll(milliseconds: 0)
            if isAnything || shared.withLock({ !$0.closures.isEmpty }) { return true }
        }
        lastPause = now
        return beforeSleep()
    }

    /// How long something may always be ready before ``beforeSleep`` is called all the same.
    private static let pauseMilliseconds: UInt64 = 2

    /// Handles what is ready, waiting for it.
    /// - Returns: whether anything was.
    @discardableResult
    private func poll(milliseconds: Int32) -> Bool {
        var isAnything = false
        epoll.wait(milliseconds: milliseconds) {
            isAsleep.store(false, ordering: .relaxed)
            now = Self.monotonicMilliseconds()
        } ready: { descriptor, events in
            isAnything = true
            if Int(descriptor) < handlers.count { handlers[Int(descriptor)]?.ready(events) }
        }
        return isAnything
    }

    private func runClosures() {
        let closures = shared.withLock { shared in
            guard !shared.closures.isEmpty else { return [@Sendable () -> Void]() }
            defer { shared.closures = [] }
            return shared.closures
        }
        for closure in closures { closure() }
    }

    private func timeout() -> Int32 {
        isAsleep.store(true, ordering: .sequentiallyConsistent)
        if shared.withLock({ !$0.closures.isEmpty || $0.isStopping }) { return 0 }
        guard let next = timers.nextDeadline else { return -1 }
        return next <= now ? 0 : Int32(clamping: next - now)
    }

    /// Milliseconds of a clock that never jumps.
    package static func monotonicMilliseconds() -> UInt64 { monotonicNanoseconds() / 1_000_000 }

    /// Nanoseconds of a clock that never jumps.
    package static func monotonicNanoseconds() -> UInt64 {
        var time = timespec()
        // Safe: the kernel fills the struct.
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
