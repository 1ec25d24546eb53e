import Transport

/// How a server listens, what it allows and how long it waits. `protocol/http.md` §5 states the
/// defaults.
package struct HTTPServerConfiguration: Sendable {
    /// A name or address of this machine.
    package var host: String
    /// 0 lets the system choose; ``HTTPServer/port`` tells which.
    package var port: Int
    /// Plain HTTP if nil.
    package var tls: TLSContext?
    /// Loop threads. Connections are spread over them.
    package var threads = 1
    package var limits = HTTPLimits()
    /// Body bytes that a path takes; asked before the body is read. `limits.bodyBytesMax` where
    /// nil.
    package var bodyLimit: (@Sendable (_ path: String) -> Int)?

    package var connectionsMax = 1_024
    package var connectionsPerAddressMax = 1_024

    /// From accept to the end of the TLS handshake.
    package var handshakeSeconds = 5.0
    /// From the first byte of a request (or the start of the connection) to the end of its header
    /// fields.
    package var headSeconds = 10.0
    /// Bodies and responses must move at least this fast, measured over ``rateWindowSeconds``.
    package var bytesPerSecondMin = 512
    package var rateWindowSeconds = 10.0
    /// Between two requests.
    package var idleSeconds = 75.0
    /// From a request to its answer; 503 after that.
    package var answerSeconds = 120.0
    /// How long ``HTTPServer/stop()`` waits for requests that are being answered.
    package var stopSeconds = 5.0

    /// Called on a loop's thread when it has nothing else to do: see ``EventLoop/beforeSleep``.
    package var beforeSleep: (@Sendable () -> Bool)?
    /// Requests that wait for one another; without it every request is handled when it is read.
    package var work: WorkRules?
    /// Told what happened, on the loop's thread, for metrics and logs. Must be quick.
    package var observe: (@Sendable (HTTPServerEvent) -> Void)?

    package init(host: String, port: Int, tls: TLSContext? = nil) {
        self.host = host
        self.port = port
        self.tls = tls
    }
}

/// What a server tells its observer.
package enum HTTPServerEvent: Sendable {
    /// A request was answered, by a handler or by the server itself.
    case answered(HTTPExchange)
    /// A client's TLS handshake failed or timed out.
    case handshakeFailed(remoteAddress: String, failure: TransportError?)
    /// A client was turned away because a connection limit was reached.
    case connectionRefused(remoteAddress: String)
    /// The system has no descriptors or memory for another connection.
    case starved(TransportError)
}

/// One request and its answer, in numbers.
package struct HTTPExchange: Sendable {
    /// Empty when the request was refused before it was understood.
    package var method: String
    /// Empty when the request was refused before it was understood.
    package var path: String
    package var status: Int
    /// Bytes on the wire without TLS.
    package var requestBytes: Int
    package var responseBytes: Int
    /// From the complete request to its encoded answer.
    package var nanoseconds: UInt64
    /// The client's site, with mutual TLS.
    package var siteName: String?
    /// ``HTTPResponse/isCounted`` of the answer.
    package var isCounted = false
}
