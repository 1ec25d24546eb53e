import Glibc
import Telemetry
import Transport

/// One loop thread of a server with its connections. Confined to the thread, except where said.
final class HTTPServerLoop: @unchecked Sendable {
    let loop: EventLoop
    let configuration: HTTPServerConfiguration
    let handler: @Sendable (HTTPRequest, HTTPResponder) -> Void
    private let admission: Admission
    private let tls: Locked<TLSContext?>
    private var connections: [ObjectIdentifier: HTTPServerConnection] = [:]
    private var date: (seconds: Int64, text: [UInt8]) = (0, [])
    /// Read from any thread.
    private let counts = Locked((connections: 0, busy: 0))
    private(set) var isStopping = false
    private var work: WorkQueue<Work>
    private var isWorking = false

    /// A request that waits.
    private struct Work {
        var connection: HTTPServerConnection
        var sequence: UInt64
        var request: HTTPRequest
    }

    init(
        number: Int, _ configuration: HTTPServerConfiguration, _ admission: Admission,
        _ tls: Locked<TLSContext?>,
        _ handler: @escaping @Sendable (HTTPRequest, HTTPResponder) -> Void
    ) throws(TransportError) {
        loop = try EventLoop(name: "http-\(number)")
        loop.beforeSleep = configuration.beforeSleep
        self.configuration = configuration
        self.admission = admission
        self.tls = tls
        self.handler = handler
        work = WorkQueue(requestsMax: configuration.work?.requestsMax ?? 0, bytesMax: configuration.work?.bytesMax ?? 0)
    }

    /// Before ``start()``.
    func attach(_ listener: Listener) throws(TransportError) {
        let reception = Listener.Reception(
            admits: { [unowned self] address in admits(address) },
            accepted: { [unowned self] connection in accept(connection) },
            starved: { [unowned self] error in configuration.observe?(.starved(error)) })
        try listener.attach(to: loop, tls: { [unowned self] in tls.withLock { $0 } }, reception)
    }

    func start() {
        scheduleSweep()
        loop.start()
    }

    // MARK: From any thread

    var connectionCount: Int { counts.withLock { $0.connections } }

    /// Whether a request is being answered or an answer is being sent, as of the last count.
    var isBusy: Bool {
        loop.execute { [self] in count() }
        return counts.withLock { $0.busy > 0 }
    }

    func beginStop(_ listener: Listener) {
        counts.withLock { $0.busy = max($0.busy, 1) }
        loop.execute { [self] in
            isStopping = true
            listener.detach(from: loop)
            for connection in Array(connections.values) { connection.closeIfIdle() }
            count()
        }
    }

    func finishStop() {
        loop.execute { [self] in
            for connection in Array(connections.values) { connection.closeNow() }
        }
        loop.stop()
    }

    func closeConnections(where matches: @escaping @Sendable (PeerIdentity?) -> Bool) {
        loop.execute { [self] in
            for connection in Array(connections.values) where matches(connection.peer) {
                connection.closeNow()
            }
        }
    }

    // MARK: On the loop's thread

    /// The `Date` field's value, made once a second.
    func currentDate() -> [UInt8] {
        let seconds = Int64(time(nil))
        if seconds != date.seconds { date = (seconds, Array(HTTPDate.text(seconds).utf8)) }
        return date.text
    }

    func remove(_ connection: HTTPServerConnection, remoteAddress: String) {
        connections[ObjectIdentifier(connection)] = nil
        admission.leave(remoteAddress)
        counts.withLock { $0.connections = connections.count }
    }

    private func admits(_ address: String) -> Bool {
        let isAdmitted = admission.enter(address)
        if !isAdmitted { configuration.observe?(.connectionRefused(remoteAddress: address)) }
        return isAdmitted
    }

    private func accept(_ connection: Connection) {
        let served = HTTPServerConnection(connection, self)
        connections[ObjectIdentifier(served)] = served
        counts.withLock { $0.connections = connections.count }
        do throws(TransportError) { try connection.start(served) } catch {
            configuration.observe?(.starved(error))
        }
    }

    // MARK: Work

    /// Takes a place in the queue for a request with a body of so many bytes.
    func admit(bytes: Int) -> Bool {
        let isAdmitted = work.enter(bytes: bytes)
        loop.isBusy = work.requests > Self.calmRequests
        return isAdmitted
    }

    /// Gives back the place of a request that was answered, or will not be.
    func giveUp(bytes: Int) {
        work.leave(bytes: bytes)
        loop.isBusy = work.requests > Self.calmRequests
    }

    /// Lets an admitted request wait for its turn.
    func enqueue(_ connection: HTTPServerConnection, _ sequence: UInt64, _ request: HTTPRequest) {
        work.append(Work(connection: connection, sequence: sequence, request: request))
        if !isWorking {
            isWorking = true
            loop.execute { [self] in runWork() }
        }
    }

    /// Works for a moment; then the loop looks at its connections again, and comes back if something is left.
    private func runWork() {
        let end = EventLoop.monotonicNanoseconds() + Self.workNanoseconds
        while var item = work.next() {
            item.request.isAlone = work.requests == 1
            item.connection.begin(item.sequence, item.request)
            guard EventLoop.monotonicNanoseconds() < end else {
                return loop.execute { [self] in runWork() }
            }
        }
        isWorking = false
    }

    private func count() {
        let busy = connections.values.count { $0.isBusy }
        counts.withLock { $0.busy = busy }
    }

    /// Deadlines are looked at twice a second: cheaper than a timer for each request.
    private func scheduleSweep() {
        loop.schedule(afterMilliseconds: Self.sweepMilliseconds) { [unowned self] in
            for connection in Array(connections.values) { connection.checkDeadline() }
            scheduleSweep()
        }
    }

    /// How long requests are worked on before connections are looked at again.
    static let workNanoseconds: UInt64 = 1_000_000
    /// With more requests than these under way, connections read less at a time.
    static let calmRequests = 8
    static let sweepMilliseconds: UInt64 = 500
}
