import CShims

/// The owner of one epoll descriptor and of the eventfd that wakes it. All unsafe epoll calls are
/// in this file.
@safe final class Epoll: @unchecked Sendable {
    /// The two descriptors never change; epoll and eventfd may be used from any thread.
    private let epoll: Int32
    private let wakeUp: Int32

    init() throws(TransportError) {
        epoll = consilium_epoll_create()
        wakeUp = consilium_eventfd()
        guard epoll >= 0, wakeUp >= 0 else {
            throw .system(
                operation: "create an event queue", reason: errnoText(-min(epoll, wakeUp)))
        }
        try add(wakeUp, events: Interest.readable)
    }

    deinit {
        if epoll >= 0 { _ = Socket(owning: epoll) }
        if wakeUp >= 0 { _ = Socket(owning: wakeUp) }
    }

    func add(_ descriptor: Int32, events: UInt32) throws(TransportError) {
        let result = consilium_epoll_add(epoll, descriptor, events)
        guard result == 0 else {
            throw .system(operation: "watch a socket", reason: errnoText(-result))
        }
    }

    func change(_ descriptor: Int32, events: UInt32) {
        let result = consilium_epoll_change(epoll, descriptor, events)
        precondition(result == 0, "a watched socket can be changed")
    }

    func remove(_ descriptor: Int32) { _ = consilium_epoll_remove(epoll, descriptor) }

    /// Makes a waiting ``wait(milliseconds:_:)`` return. Any thread.
    func signal() { consilium_eventfd_signal(wakeUp) }

    /// Waits, calls `woken`, then hands each ready descriptor to `ready`; wake-ups are swallowed.
    func wait(milliseconds: Int32, woken: () -> Void, ready: (_ descriptor: Int32, _ events: UInt32) -> Void) {
        unsafe withUnsafeTemporaryAllocation(
            of: consilium_event.self, capacity: Int(CONSILIUM_EVENTS_MAX)
        ) { events in
            // Safe: the shim initialises the first `count` elements, at most CONSILIUM_EVENTS_MAX.
            let count = unsafe consilium_epoll_wait(epoll, events.baseAddress, milliseconds)
            precondition(count >= 0, "an open epoll descriptor can be waited for")
            woken()
            for index in 0..<Int(count) {
                let event = unsafe events[index]
                if event.descriptor == wakeUp {
                    consilium_eventfd_clear(wakeUp)
                } else {
                    ready(event.descriptor, event.events)
                }
            }
        }
    }
}

/// What a watched descriptor waits for.
enum Interest {
    static let none: UInt32 = 0
    static let readable = UInt32(CONSILIUM_READABLE)
    static let writable = UInt32(CONSILIUM_WRITABLE)
    /// Reported whether asked for or not: both directions are over, or the connection broke.
    static let hangup = UInt32(CONSILIUM_HANGUP)
    /// One loop of several is woken for a shared listener.
    static let exclusive = UInt32(CONSILIUM_EXCLUSIVE)
}
