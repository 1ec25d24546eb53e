import CShims
import Glibc

/// A listening socket, shared by one or more loops.
package final class Listener: @unchecked Sendable {
    private let socket: Socket
    /// The port that is listened on; chosen by the system if 0 was asked for.
    package let port: Int

    /// Binds and listens at once; connections queue until a loop attaches.
    /// - Throws: ``TransportError/addressInUse(host:port:)``, `.cannotListen`, `.cannotResolve`.
    package init(host: String, port: Int) throws(TransportError) {
        IgnoredSignals.pipe
        socket = try Socket.listening(host: host, port: port)
        self.port = socket.localPort
    }

    /// What to do with connections, on the loop's thread.
    package struct Reception {
        /// Asked with the client's address before anything is spent on it; false closes the
        /// connection at once.
        package var admits: (_ address: String) -> Bool
        /// Gets each admitted connection and starts it with a handler.
        package var accepted: (Connection) -> Void
        /// Told when the system has no descriptors or memory left; accepting pauses for a moment.
        package var starved: (TransportError) -> Void

        package init(
            admits: @escaping (String) -> Bool,
            accepted: @escaping (Connection) -> Void,
            starved: @escaping (TransportError) -> Void
        ) {
            self.admits = admits
            self.accepted = accepted
            self.starved = starved
        }
    }

    /// Lets `loop` accept connections. Only on the loop's thread or before its start.
    /// - Parameter tls: asked for each connection, so that certificates can be replaced; nil for
    ///   plain connections.
    package func attach(
        to loop: EventLoop, tls: @escaping () -> TLSContext?, _ reception: Reception
    ) throws(TransportError) {
        let watch = Watch(socket: socket, loop: loop, tls: tls, reception: reception)
        try loop.add(
            socket.descriptor, events: Interest.readable | Interest.exclusive, handler: watch)
    }

    /// The loop accepts no more. Only on the loop's thread.
    package func detach(from loop: EventLoop) { loop.remove(socket.descriptor) }

    private final class Watch: EventHandler {
        private let socket: Socket
        private unowned let loop: EventLoop
        private let tls: () -> TLSContext?
        private let reception: Reception

        init(
            socket: Socket, loop: EventLoop, tls: @escaping () -> TLSContext?, reception: Reception
        ) {
            self.socket = socket
            self.loop = loop
            self.tls = tls
            self.reception = reception
        }

        func ready(_ events: UInt32) {
            for _ in 0..<Listener.acceptsPerEvent {
                switch socket.accept() {
                case .success(let (accepted, address)): receive(accepted, address)
                case .failure(let failure):
                    switch failure.code {
                    case EAGAIN: return
                    case EMFILE, ENFILE, ENOBUFS, ENOMEM: return pause(failure.code)
                    default: continue  // that one connection is gone already
                    }
                }
            }
        }

        private func receive(_ accepted: Socket, _ address: String) {
            guard reception.admits(address) else { return }
            do throws(TransportError) {
                let session: TLSSession? =
                    if let tls = tls() {
                        try TLSSession(tls, socket: accepted, peerName: "client \(address)")
                    } else { nil }
                reception.accepted(
                    Connection(
                        loop: loop, socket: accepted, session: session, remoteAddress: address))
            } catch { reception.starved(error) }
        }

        /// Waiting clients keep the listener readable: without a pause the loop would spin.
        private func pause(_ code: Int32) {
            reception.starved(.system(operation: "accept a connection", reason: errnoText(code)))
            loop.remove(socket.descriptor)
            loop.schedule(afterMilliseconds: Listener.pauseMilliseconds) { [self] in
                try? loop.add(
                    socket.descriptor, events: Interest.readable | Interest.exclusive, handler: self
                )
            }
        }
    }

    static let acceptsPerEvent = 32
    static let pauseMilliseconds: UInt64 = 200
}
