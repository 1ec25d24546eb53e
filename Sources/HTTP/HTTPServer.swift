import Glibc
import Telemetry
import Transport

/// An HTTP/1.1 server, plain or TLS, on its own loop threads.
///
/// The handler runs on a loop thread and must not block; it answers at once or keeps the
/// ``HTTPResponder`` and answers later from any thread. Requests of one connection are handled one
/// after another, so pipelined answers keep their order. ``stop()`` must be called before the last
/// reference goes.
package final class HTTPServer: Sendable {
    private let configuration: HTTPServerConfiguration
    private let handler: @Sendable (HTTPRequest, HTTPResponder) -> Void
    private let tls: Locked<TLSContext?>
    private let running = Locked<Running?>(nil)

    private struct Running {
        var listener: Listener
        var loops: [HTTPServerLoop]
    }

    package init(
        configuration: HTTPServerConfiguration,
        handler: @escaping @Sendable (HTTPRequest, HTTPResponder) -> Void
    ) {
        precondition(configuration.threads > 0, "a server has at least one loop")
        self.configuration = configuration
        self.handler = handler
        tls = Locked(configuration.tls)
    }

    /// Uses another TLS context for connections from now on (a renewed certificate); open ones keep
    /// theirs. Only for a server that was configured with one.
    package func replaceTLS(_ context: TLSContext) {
        precondition(configuration.tls != nil, "a plain server stays plain")
        tls.withLock { $0 = context }
    }

    /// Listens and serves from now on. Once.
    /// - Throws: ``TransportError/addressInUse(host:port:)`` and other reasons why the address
    ///   cannot be had.
    package func start() throws(TransportError) {
        let listener = try Listener(host: configuration.host, port: configuration.port)
        let admission = Admission(configuration)
        var loops: [HTTPServerLoop] = []
        for number in 0..<configuration.threads {
            let loop = try HTTPServerLoop(number: number, configuration, admission, tls, handler)
            try loop.attach(listener)
            loops.append(loop)
        }
        for loop in loops { loop.start() }
        let started = Running(listener: listener, loops: loops)
        running.withLock { running in
            precondition(running == nil, "a server starts once")
            running = started
        }
    }

    /// The port that is listened on; 0 before ``start()``.
    package var port: Int { running.withLock { $0?.listener.port ?? 0 } }

    /// Connections that are open now.
    package var connectionCount: Int { loops.reduce(0) { $0 + $1.connectionCount } }

    /// Takes no more connections, lets requests that are being answered finish (`stopSeconds` at
    /// most), closes everything and ends the threads. Not from a handler. Does nothing the second
    /// time.
    package func stop() {
        let stopped = running.withLock { running in
            defer { running = nil }
            return running
        }
        guard let stopped else { return }
        for loop in stopped.loops { loop.beginStop(stopped.listener) }
        let deadline = EventLoop.monotonicMilliseconds() + UInt64(configuration.stopSeconds * 1_000)
        while stopped.loops.contains(where: { $0.isBusy }),
            EventLoop.monotonicMilliseconds() < deadline
        {
            usleep(Self.stopPollMicroseconds)
        }
        for loop in stopped.loops { loop.finishStop() }
    }

    /// Closes every connection whose peer `matches` says, at once, requests under way included: for
    /// revocation.
    package func closeConnections(where matches: @escaping @Sendable (PeerIdentity?) -> Bool) {
        for loop in loops { loop.closeConnections(where: matches) }
    }

    /// Runs `body`, which answers several requests from a thread of its own: each loop is woken once for all of them.
    package func answeringTogether(_ body: () -> Void) {
        let loops = loops
        for loop in loops { loop.loop.hold() }
        body()
        for loop in loops { loop.loop.release() }
    }

    /// Whether the calling thread is one of the server's loops.
    package var isLoopThread: Bool { loops.contains { $0.loop.isCurrent } }

    private var loops: [HTTPServerLoop] { running.withLock { $0?.loops ?? [] } }

    static let stopPollMicroseconds: UInt32 = 2_000
}

/// Counts connections, in all and by address, over all loops.
final class Admission: Sendable {
    private struct Counts {
        var total = 0
        var byAddress: [String: Int] = [:]
    }

    private let counts = Locked(Counts())
    private let totalMax: Int
    private let perAddressMax: Int

    init(_ configuration: HTTPServerConfiguration) {
        totalMax = configuration.connectionsMax
        perAddressMax = configuration.connectionsPerAddressMax
    }

    /// Takes a place; ``leave(_:)`` gives it back.
    func enter(_ address: String) -> Bool {
        counts.withLock { counts in
            guard counts.total < totalMax, counts.byAddress[address, default: 0] < perAddressMax
            else { return false }
            counts.total += 1
            counts.byAddress[address, default: 0] += 1
            return true
        }
    }

    func leave(_ address: String) {
        counts.withLock { counts in
            counts.total -= 1
            guard let count = counts.byAddress[address] else { return }
            counts.byAddress[address] = count > 1 ? count - 1 : nil
        }
    }
}
