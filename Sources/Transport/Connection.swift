/// What happens on a connection. Every call comes on the loop's thread.
package protocol ConnectionHandler: AnyObject {
    /// The connection is ready; with TLS, the handshake is complete and ``Connection/peer`` is
    /// known.
    func opened(_ connection: Connection)
    /// New bytes are in ``Connection/input``.
    func received(_ connection: Connection)
    /// The peer will send nothing more. It may still read.
    func inputEnded(_ connection: Connection)
    /// All output was handed to the system.
    func drained(_ connection: Connection)
    /// The connection is gone. The last call. `failure` is nil after an orderly end.
    func closed(_ connection: Connection, failure: TransportError?)
}

/// One accepted connection, plain or TLS, on a loop. Belongs to the loop's thread.
///
/// Output is collected in ``output`` and sent by ``flush()``. Input is read into ``input`` while
/// ``wantsInput`` is true.
package final class Connection: EventHandler, @unchecked Sendable {
    private unowned let loop: EventLoop
    private var socket: Socket?
    private var session: TLSSession?
    private var handler: (any ConnectionHandler)?
    private var state = State.handshaking
    private var interest = Interest.readable
    private var outputSent = 0
    private var inputHasEnded = false
    private var room = Connection.roomBytes

    private enum State { case handshaking, open, lingering, closed }

    /// The client's numeric address, without the port.
    package let remoteAddress: String
    /// Unconsumed bytes from the peer.
    package var input = ReceiveBuffer()
    /// Bytes for the peer that no ``flush()`` has sent yet.
    package var output: [UInt8] = []
    /// The verified client, with mutual TLS.
    package var peer: PeerIdentity? { session?.identity }
    /// The ALPN name, with TLS.
    package private(set) var negotiatedProtocol: String?

    init(loop: EventLoop, socket: Socket, session: TLSSession?, remoteAddress: String) {
        self.loop = loop
        self.socket = socket
        self.session = session
        self.remoteAddress = remoteAddress
    }

    /// Begins to serve the connection. Plain connections call `opened` at once.
    /// - Throws: ``TransportError/system(operation:reason:)``; the connection is closed then.
    package func start(_ handler: any ConnectionHandler) throws(TransportError) {
        guard let socket else { preconditionFailure("a connection starts once") }
        self.handler = handler
        do throws(TransportError) {
            try loop.add(socket.descriptor, events: interest, handler: self)
        } catch {
            finish(error)
            throw error
        }
        if session == nil { open() }
    }

    /// True from `opened` until the connection closes or ``closeAfterFlush()`` was called.
    package var isOpen: Bool { state == .open }

    /// While false nothing is read, so the peer's sending stalls.
    package var wantsInput = true {
        didSet {
            guard wantsInput != oldValue, state == .open else { return }
            updateInterest()
            // What OpenSSL holds already makes no socket readable.
            if wantsInput, session?.hasPending == true { loop.execute { [self] in readInput() } }
        }
    }

    /// All bytes that the socket has taken so far, without TLS.
    package private(set) var bytesSent: UInt64 = 0

    /// Bytes of ``output`` that the socket has not taken yet.
    package var unsentBytes: Int { output.count - outputSent }

    /// Sends what the socket takes now; the rest goes when it is writable.
    package func flush() {
        guard state == .open else { return }
        while outputSent < output.count {
            switch write() {
            case .bytes(let count):
                outputSent += count
                bytesSent += UInt64(count)
            case .wantsRead, .wantsWrite: return updateInterest()
            case .end: return finish(.connectionClosed(reason: "the peer closed it"))
            case .failed(let error): return finish(error)
            }
        }
        guard !output.isEmpty else { return }
        outputSent = 0
        if output.capacity > Self.keptOutputBytesMax {
            output = []
        } else {
            output.removeAll(keepingCapacity: true)
        }
        updateInterest()
        handler?.drained(self)
    }

    /// Sends close_notify and the end of our direction, then reads and forgets for a moment, so
    /// that a peer that is still sending gets our last bytes instead of a reset. Call when
    /// ``unsentBytes`` is 0, else the rest is lost.
    package func closeAfterFlush() {
        guard state == .open || state == .handshaking, let socket else { return }
        if state == .open { session?.sendClose() }
        socket.stopWriting()
        if inputHasEnded { return finish(nil) }
        state = .lingering
        input = ReceiveBuffer()
        output = []
        outputSent = 0
        updateInterest()
        loop.schedule(afterMilliseconds: Self.lingerMilliseconds) { [weak self] in self?.finish(nil)
        }
    }

    /// Acknowledges what has arrived at once. A client without TCP_NODELAY holds the rest of its
    /// message back until then, and the system would wait 40 ms for data to send the
    /// acknowledgement with.
    package func acknowledge() { socket?.acknowledge() }

    /// Closes at once.
    package func closeNow() { finish(nil) }

    // MARK: Events

    func ready(_ events: UInt32) {
        switch state {
        case .handshaking: shakeHands()
        case .open:
            if outputSent < output.count { flush() }
            readInput()
            // Nobody reads now, so nobody would notice, and the event would come again and again.
            if events & Interest.hangup != 0, state == .open, !wantsInput || inputHasEnded {
                finish(.connectionClosed(reason: "the peer broke it"))
            }
        case .lingering: readAndForget()
        case .closed: break
        }
    }

    private func shakeHands() {
        guard let session else { return }
        switch session.handshake() {
        case .bytes:
            // Without tickets nothing of ours follows the client's last handshake message.
            acknowledge()
            open()
            readInput()
        case .wantsRead: setInterest(Interest.readable)
        case .wantsWrite: setInterest(Interest.writable)
        case .end: finish(.tls(.closedDuringHandshake(peer: "client \(remoteAddress)")))
        case .failed(let error):
            // The alert is in the socket; a reset would destroy it.
            failure = error
            closeAfterFlush()
        }
    }

    /// Why the handshake failed, told to the handler when the connection has gone.
    private var failure: TransportError?

    private func open() {
        state = .open
        negotiatedProtocol = session?.negotiatedProtocol
        updateInterest()
        handler?.opened(self)
    }

    private func readInput() {
        for _ in 0..<(loop.isBusy ? Self.readsWhenBusy : Self.readsPerEvent) {
            guard state == .open, wantsInput, !inputHasEnded else { return }
            switch unsafe input.fill(room: room, read) {
            case .bytes(let count):
                room = count >= room ? Self.roomBytesMax : Self.roomBytes
                handler?.received(self)
                guard session?.hasPending == true || room == Self.roomBytesMax else { return }
            case .wantsRead, .wantsWrite: return
            case .end:
                inputHasEnded = true
                updateInterest()
                handler?.inputEnded(self)
            case .failed(let error): finish(error)
            }
        }
        // The others get their turn; the socket's readiness does not show what OpenSSL holds.
        if session?.hasPending == true { loop.execute { [self] in readInput() } }
    }

    private func readAndForget() {
        var scratch = ReceiveBuffer()
        for _ in 0..<Self.readsPerEvent {
            // Below TLS: nobody wants to know what it says.
            switch unsafe scratch.fill(
                room: Self.roomBytesMax, { bytes in unsafe socket?.read(into: bytes) ?? .end })
            {
            case .bytes(let count): scratch.consume(count)
            case .wantsRead, .wantsWrite: return
            case .end, .failed: return finish(nil)
            }
        }
    }

    private func read(into bytes: UnsafeMutableRawBufferPointer) -> IOResult {
        if let session { return unsafe session.read(into: bytes) }
        return unsafe socket?.read(into: bytes) ?? .end
    }

    private func write() -> IOResult {
        // Safe: the pointer does not leave the closure.
        unsafe output.withUnsafeBytes { bytes in
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[outputSent...])
            if let session { return unsafe session.write(rest) }
            return unsafe socket?.write(rest) ?? .end
        }
    }

    private func updateInterest() {
        let reads = state == .lingering || (wantsInput && !inputHasEnded)
        setInterest(
            (reads ? Interest.readable : 0) | (outputSent < output.count ? Interest.writable : 0))
    }

    private func setInterest(_ wanted: UInt32) {
        guard wanted != interest, let socket, state != .closed else { return }
        interest = wanted
        loop.change(socket.descriptor, events: wanted)
    }

    private func finish(_ error: TransportError?) {
        guard state != .closed, let socket else { return }
        state = .closed
        loop.remove(socket.descriptor)
        session = nil
        self.socket = nil
        let handler = handler
        self.handler = nil
        handler?.closed(self, failure: failure ?? error)
    }

    /// Room that a read offers; a full read offers more the next time.
    static let roomBytes = 8_192
    static let roomBytesMax = 65_536
    /// A peer that sends as fast as we read does not keep the loop from the others.
    static let readsPerEvent = 16
    static let readsWhenBusy = 1
    static let keptOutputBytesMax = 65_536
    static let lingerMilliseconds: UInt64 = 1_000
}
