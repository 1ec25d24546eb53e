import Transport

/// HTTP/1.1 on one connection of a server: parse, hand over, answer, keep or close. Confined to the
/// loop's thread, except for the two entries of ``HTTPResponder``.
final class HTTPServerConnection: ConnectionHandler, @unchecked Sendable {
    private let server: HTTPServerLoop
    private let connection: Connection
    private var parser: HTTPRequestParser
    private var exchange: Exchange?
    private var sequence: UInt64 = 0
    /// Bytes for which the request that is being read or answered has a place among the work.
    private var admittedBytes: Int?
    /// No further request is read; the connection closes when the output is sent.
    private var isClosing = false
    private var isProcessing = false
    private var isOpened = false
    private var hasServed = false
    private var inputHasEnded = false
    private var stage = HTTPRequestParser.Stage.idle
    private var stageSince: UInt64
    private var received = RateWindow()
    private var sent = RateWindow()

    /// The request that is being answered.
    private struct Exchange {
        var sequence: UInt64
        var method: String
        var path: String
        var keepsAlive: Bool
        var minorVersion: Int
        var requestBytes: Int
        var startedNanoseconds: UInt64
        var onDisconnect: (@Sendable () -> Void)?
    }

    init(_ connection: Connection, _ server: HTTPServerLoop) {
        self.connection = connection
        self.server = server
        let configuration = server.configuration
        parser = HTTPRequestParser(limits: configuration.limits, bodyLimit: configuration.bodyLimit)
        stageSince = server.loop.now
    }

    var peer: PeerIdentity? { connection.peer }
    var isBusy: Bool { exchange != nil || connection.unsentBytes > 0 }

    // MARK: From any thread

    func respond(_ sequence: UInt64, _ response: HTTPResponse) {
        if server.loop.isCurrent {
            complete(sequence, response)
        } else {
            server.loop.execute { [self] in complete(sequence, response) }
        }
    }

    func onDisconnect(_ sequence: UInt64, _ body: @escaping @Sendable () -> Void) {
        guard server.loop.isCurrent else {
            return server.loop.execute { [self] in onDisconnect(sequence, body) }
        }
        guard exchange?.sequence == sequence else { return body() }
        if inputHasEnded { body() } else { exchange?.onDisconnect = body }
    }

    // MARK: Connection events

    func opened(_ connection: Connection) {
        isOpened = true
        stageSince = server.loop.now
    }

    func received(_ connection: Connection) { process() }

    func inputEnded(_ connection: Connection) {
        inputHasEnded = true
        if let exchange {
            // A half-closed client still gets its answer; whoever waits may stop waiting.
            self.exchange?.onDisconnect = nil
            exchange.onDisconnect?()
        } else {
            finishAfterOutput()
        }
    }

    func drained(_ connection: Connection) {
        sent = RateWindow()
        if isClosing {
            connection.closeAfterFlush()
        } else if !connection.input.isEmpty || !connection.wantsInput {
            process()
        }
    }

    func closed(_ connection: Connection, failure: TransportError?) {
        if !isOpened, !server.isStopping {
            server.configuration.observe?(
                .handshakeFailed(remoteAddress: connection.remoteAddress, failure: failure))
        }
        let disconnect = exchange?.onDisconnect
        exchange = nil
        giveUpPlace()
        isClosing = true
        server.remove(self, remoteAddress: connection.remoteAddress)
        disconnect?()
    }

    // MARK: Requests and answers

    /// Answers everything that can be answered now, then sends it in one go.
    private func process() {
        guard !isProcessing else { return }
        isProcessing = true
        var hasCompleted = false
        while exchange == nil, !isClosing, connection.isOpen,
            connection.unsentBytes < Self.outputBytesMax
        {
            guard handleNext() else { break }
            hasCompleted = true
        }
        isProcessing = false
        guard connection.isOpen else { return }
        if parser.stage == .body, stage != .body { connection.acknowledge() }
        noteStage(hasCompleted)
        connection.wantsInput =
            connection.unsentBytes < Self.outputBytesMax && !isClosing
            && (exchange == nil || connection.input.count < Self.inputBytesMax)
        connection.flush()
        if inputHasEnded, exchange == nil, connection.isOpen { finishAfterOutput() }
    }

    /// False when nothing complete is there.
    private func handleNext() -> Bool {
        switch parser.next(&connection.input) {
        case .needsMore: return false
        case .continueExpected:
            MessageEncoder.append("HTTP/1.1 100 Continue\r\n\r\n", to: &connection.output)
        case .head(let head, let bytes): consider(head, bytes)
        case .discarded: break
        case .request(let request): hand(request)
        case .refused(let refusal): refuse(refusal)
        }
        return true
    }

    /// Work is refused before its body is read.
    private func consider(_ head: HTTPRequest, _ bytes: Int?) {
        guard let rules = server.configuration.work, rules.isWork(head.path) else { return }
        let wanted = bytes ?? Self.chunkedBytesGuess
        var refusal = rules.refusal(identified(head))
        if refusal == nil {
            if server.admit(bytes: wanted) {
                admittedBytes = wanted
                return
            }
            refusal = rules.overloaded
        }
        guard let refusal else { return }
        parser.discardBody()
        begin(head, keepsAlive: parser.keepsAlive && !parser.isWaitedFor)
        complete(sequence, refusal)
    }

    private func identified(_ request: HTTPRequest) -> HTTPRequest {
        var request = request
        request.peer = connection.peer
        request.negotiatedProtocol = connection.negotiatedProtocol
        request.remoteAddress = connection.remoteAddress
        return request
    }

    private func begin(_ request: HTTPRequest, keepsAlive: Bool) {
        sequence += 1
        hasServed = true
        exchange = Exchange(
            sequence: sequence, method: request.method, path: request.path, keepsAlive: keepsAlive,
            minorVersion: request.minorVersion, requestBytes: parser.messageBytes, startedNanoseconds: EventLoop.monotonicNanoseconds())
    }

    private func hand(_ parsed: HTTPRequest) {
        begin(parsed, keepsAlive: parser.keepsAlive)
        var request = identified(parsed)
        request.receivedNanoseconds = exchange?.startedNanoseconds ?? 0
        guard let rules = server.configuration.work, rules.isWork(request.path) else { return begin(sequence, request) }
        if admittedBytes == nil, server.admit(bytes: request.body.count) { admittedBytes = request.body.count }
        guard admittedBytes != nil else { return complete(sequence, rules.overloaded) }
        server.enqueue(self, sequence, request)
    }

    /// Lets the handler answer, unless the client has gone meanwhile.
    func begin(_ sequence: UInt64, _ request: HTTPRequest) {
        guard exchange?.sequence == sequence, connection.isOpen else { return }
        server.handler(request, HTTPResponder(self, sequence: sequence))
    }

    private func giveUpPlace() {
        if let bytes = admittedBytes { server.giveUp(bytes: bytes) }
        admittedBytes = nil
    }

    private func complete(_ sequence: UInt64, _ response: HTTPResponse) {
        guard let exchange, exchange.sequence == sequence, connection.isOpen else { return }
        self.exchange = nil
        giveUpPlace()
        let closes = !exchange.keepsAlive || inputHasEnded || server.isStopping
        let before = connection.output.count
        MessageEncoder.encode(
            response, isHead: exchange.method == "HEAD",
            connection: closes ? "close" : exchange.minorVersion == 0 ? "keep-alive" : nil,
            date: server.currentDate(), into: &connection.output)
        if closes { isClosing = true }
        observe(
            exchange, status: response.status, responseBytes: connection.output.count - before, isCounted: response.isCounted)
        process()
    }

    /// One answer, then the end, whatever else is in the bytes.
    private func refuse(_ refusal: HTTPRefusal) {
        isClosing = true
        giveUpPlace()
        let before = connection.output.count
        MessageEncoder.encode(
            HTTPResponse(refusal), isHead: false, connection: "close", date: server.currentDate(),
            into: &connection.output)
        let unknown = Exchange(
            sequence: 0, method: "", path: "", keepsAlive: false, minorVersion: 1,
            requestBytes: parser.messageBytes,
            startedNanoseconds: EventLoop.monotonicNanoseconds())
        observe(unknown, status: refusal.status, responseBytes: connection.output.count - before)
    }

    private func observe(_ exchange: Exchange, status: Int, responseBytes: Int, isCounted: Bool = false) {
        guard let observe = server.configuration.observe else { return }
        observe(
            .answered(
                HTTPExchange(
                    method: exchange.method, path: exchange.path, status: status,
                    requestBytes: exchange.requestBytes,
                    responseBytes: responseBytes,
                    nanoseconds: EventLoop.monotonicNanoseconds() - exchange.startedNanoseconds,
                    siteName: connection.peer?.siteName, isCounted: isCounted)))
    }

    private func finishAfterOutput() {
        isClosing = true
        if connection.unsentBytes == 0 { connection.closeAfterFlush() }
    }

    func closeIfIdle() {
        if exchange == nil { finishAfterOutput() }
    }

    func closeNow() { connection.closeNow() }

    // MARK: Deadlines

    private func noteStage(_ hasCompleted: Bool) {
        guard hasCompleted || parser.stage != stage else { return }
        stage = parser.stage
        stageSince = server.loop.now
        received = RateWindow()
    }

    func checkDeadline() {
        let configuration = server.configuration
        let elapsed = Double(server.loop.now - min(stageSince, server.loop.now)) / 1_000
        guard isOpened else {
            if elapsed > configuration.handshakeSeconds { connection.closeNow() }
            return
        }
        if connection.unsentBytes > 0 {
            if sent.isTooSlow(connection.bytesSent, server.loop.now, configuration) {
                connection.closeNow()
            }
        } else if let exchange {
            if elapsed > configuration.answerSeconds {
                complete(exchange.sequence, .error(503, "the answer took too long"))
            }
        } else if !isClosing {
            checkInput(elapsed, configuration)
        }
    }

    private func checkInput(_ elapsed: Double, _ configuration: HTTPServerConfiguration) {
        switch stage {
        case .idle:
            if elapsed > (hasServed ? configuration.idleSeconds : configuration.headSeconds) {
                finishAfterOutput()
            }
        case .head:
            if elapsed > configuration.headSeconds {
                giveUp("the request header took longer than \(Int(configuration.headSeconds)) s")
            }
        case .body:
            if received.isTooSlow(UInt64(parser.bodyBytesReceived), server.loop.now, configuration)
            {
                giveUp(
                    "the request body came slower than \(configuration.bytesPerSecondMin) bytes a second"
                )
            }
        }
    }

    private func giveUp(_ reason: String) {
        refuse(HTTPRefusal(408, reason))
        connection.flush()
    }

    /// Pipelined bytes that wait while a request is being answered.
    static let inputBytesMax = 65_536
    /// What a body of chunks, whose length is not known, counts for while it comes.
    static let chunkedBytesGuess = 262_144
    /// Unsent answers beyond which no further request is taken.
    static let outputBytesMax = 262_144
}

/// Whether a stream of bytes keeps a minimum rate, judged once per window.
struct RateWindow {
    private var start: (milliseconds: UInt64, bytes: UInt64)?

    mutating func isTooSlow(
        _ bytes: UInt64, _ now: UInt64, _ configuration: HTTPServerConfiguration
    ) -> Bool {
        guard let start else {
            self.start = (now, bytes)
            return false
        }
        guard Double(now - start.milliseconds) >= configuration.rateWindowSeconds * 1_000 else {
            return false
        }
        self.start = (now, bytes)
        let wanted = Double(configuration.bytesPerSecondMin) * configuration.rateWindowSeconds
        return Double(bytes - min(start.bytes, bytes)) < wanted
    }
}
