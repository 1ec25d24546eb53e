import CShims
import Glibc
import Synchronization

/// A moment of the monotonic clock by which something must be done.
package struct Deadline: Sendable {
    let milliseconds: UInt64

    /// So many seconds from now. Large and infinite values are a year.
    package init(afterSeconds seconds: Double) {
        let bounded = min(max(seconds, 0), 31_536_000)
        milliseconds = EventLoop.monotonicMilliseconds() + UInt64(bounded * 1_000)
    }

    /// The earlier of the two.
    package func orEarlier(_ other: Deadline) -> Deadline {
        milliseconds <= other.milliseconds ? self : other
    }

    var remaining: Int32 {
        let now = EventLoop.monotonicMilliseconds()
        return milliseconds <= now ? 0 : Int32(clamping: milliseconds - now)
    }
}

/// Lets another thread end whatever a client is waiting for. Once interrupted it stays so.
package final class Interrupter: Sendable {
    private let descriptor: Int32
    private let flag = Atomic(false)

    /// - Throws: ``TransportError/system(operation:reason:)`` without descriptors left.
    package init() throws(TransportError) {
        descriptor = consilium_eventfd()
        guard descriptor >= 0 else {
            throw .system(operation: "create an event", reason: errnoText(-descriptor))
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Whether `interrupt` was called.
    package var isInterrupted: Bool { flag.load(ordering: .acquiring) }

    /// From any thread.
    package func interrupt() {
        flag.store(true, ordering: .releasing)
        consilium_eventfd_signal(descriptor)
    }

    /// Waits until the socket is ready.
    /// - Throws: `.interrupted`, `.timedOut`.
    func wait(for socket: Socket, toWrite: Bool, until deadline: Deadline, phase: String)
        throws(TransportError)
    {
        var entries = [
            pollfd(fd: socket.descriptor, events: Int16(toWrite ? POLLOUT : POLLIN), revents: 0),
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
        ]
        while true {
            if isInterrupted { throw .interrupted }
            // Safe: two entries.
            let ready = unsafe poll(&entries, 2, deadline.remaining)
            if isInterrupted { throw .interrupted }
            if ready > 0 { return }
            if ready == 0 { throw .timedOut(phase: phase) }
        }
    }
}

/// A blocking connection to a server, plain or TLS, with deadlines. Used by one thread at a time;
/// the ``Interrupter`` may be used by another.
package final class ClientStream: @unchecked Sendable {
    private let socket: Socket
    private let interrupter: Interrupter
    private let host: String
    private var session: TLSSession?

    /// Tries each address of `host` until one connects.
    /// - Throws: `.cannotResolve`, `.cannotConnect`, `.timedOut`, `.interrupted`.
    package init(host: String, port: Int, interrupter: Interrupter, until deadline: Deadline)
        throws(TransportError)
    {
        IgnoredSignals.pipe
        var reason = "no address"
        for address in try Socket.resolve(host, port: port, toListen: false) {
            switch Socket.connecting(to: address) {
            case .failure(let failure): reason = errnoText(failure.code)
            case .success(let socket):
                try interrupter.wait(
                    for: socket, toWrite: true, until: deadline,
                    phase: "connecting to \(host):\(port)")
                let code = socket.connectFailure
                if code == 0 {
                    self.socket = socket
                    self.interrupter = interrupter
                    self.host = host
                    return
                }
                reason = errnoText(code)
            }
        }
        throw .cannotConnect(host: host, port: port, reason: reason)
    }

    /// Turns the connection into TLS. `peerName` is checked against the certificate; behind a proxy
    /// it is not the host that was connected to.
    ///
    /// A server that refuses *our* certificate says so only after this: at the first
    /// ``read(into:until:)``.
    package func startTLS(_ context: TLSContext, peerName: String, until deadline: Deadline)
        throws(TransportError)
    {
        let session = try TLSSession(context, socket: socket, peerName: peerName)
        while true {
            let phase = "in the TLS handshake with \(peerName)"
            switch session.handshake() {
            case .bytes:
                self.session = session
                return
            case .wantsRead:
                try interrupter.wait(for: socket, toWrite: false, until: deadline, phase: phase)
            case .wantsWrite:
                try interrupter.wait(for: socket, toWrite: true, until: deadline, phase: phase)
            case .end: throw .tls(.closedDuringHandshake(peer: peerName))
            case .failed(let error): throw error
            }
        }
    }

    /// The ALPN name both sides agreed on.
    package var negotiatedProtocol: String? { session?.negotiatedProtocol }

    /// True when the server has closed the idle connection (or sent something nobody asked for).
    package var isStale: Bool {
        session?.hasPending == true || socket.wait(forWriting: false, milliseconds: 0)
    }

    /// Sends all bytes.
    /// - Throws: `.timedOut`, `.interrupted`, `.connectionClosed`, `.tls`.
    package func write(_ bytes: [UInt8], until deadline: Deadline) throws(TransportError) {
        var sent = 0
        while sent < bytes.count {
            let phase = "sending to \(host)"
            // Safe: the pointer does not leave the closure.
            let result: IOResult = unsafe bytes.withUnsafeBytes { all in
                let rest = unsafe UnsafeRawBufferPointer(rebasing: all[sent...])
                if let session { return unsafe session.write(rest) }
                return unsafe socket.write(rest)
            }
            switch result {
            case .bytes(let count): sent += count
            case .wantsRead:
                try interrupter.wait(for: socket, toWrite: false, until: deadline, phase: phase)
            case .wantsWrite:
                try interrupter.wait(for: socket, toWrite: true, until: deadline, phase: phase)
            case .end: throw .connectionClosed(reason: "\(host) closed it")
            case .failed(let error): throw error
            }
        }
    }

    /// Reads at least one byte into `buffer`.
    /// - Returns: false when the server has ended the stream.
    /// - Throws: `.timedOut`, `.interrupted`, `.connectionClosed`, `.tls`.
    package func read(into buffer: inout ReceiveBuffer, until deadline: Deadline)
        throws(TransportError) -> Bool
    {
        while true {
            let phase = "waiting for \(host)"
            let result = unsafe buffer.fill(room: Self.roomBytes) { bytes in
                if let session { return unsafe session.read(into: bytes) }
                return unsafe socket.read(into: bytes)
            }
            switch result {
            case .bytes: return true
            case .wantsRead:
                try interrupter.wait(for: socket, toWrite: false, until: deadline, phase: phase)
            case .wantsWrite:
                try interrupter.wait(for: socket, toWrite: true, until: deadline, phase: phase)
            case .end: return false
            case .failed(let error): throw error
            }
        }
    }

    /// Tells the server that nothing more will come; its answers can still be read.
    package func endOutput() {
        session?.sendClose()
        socket.stopWriting()
    }

    /// Ends both directions. The socket itself closes with the last reference.
    package func close() {
        session?.sendClose()
        socket.stopBoth()
    }

    static let roomBytes = 16_384
}
