import Telemetry
import Transport

/// Where a client connects and what it takes.
package struct HTTPClientConfiguration: Sendable {
    package var host: String
    package var port: Int
    /// Plain HTTP if nil. The certificate must be for `host`.
    package var tls: TLSContext?
    package var proxy: HTTPProxy?
    package var connectSeconds = 10.0
    package var limits = HTTPLimits(bodyBytesMax: 64 << 20)

    package init(host: String, port: Int, tls: TLSContext? = nil, proxy: HTTPProxy? = nil) {
        self.host = host
        self.port = port
        self.tls = tls
        self.proxy = proxy
    }
}

/// A blocking HTTP/1.1 client with one kept connection to one server.
///
/// Requests of several threads are sent one after another; a thread that waits long (a long poll)
/// needs a client of its own. ``interrupt()`` ends the wait from outside, for good.
package final class HTTPClient: @unchecked Sendable {
    private let configuration: HTTPClientConfiguration
    private let interrupter: Interrupter
    /// Guards `stream` and `input`: held for the whole of a request.
    private let turn = Lock()
    private var stream: ClientStream?
    private var input = ReceiveBuffer()

    /// - Throws: ``TransportError/system(operation:reason:)`` without descriptors left.
    package init(configuration: HTTPClientConfiguration) throws(TransportError) {
        self.configuration = configuration
        interrupter = try Interrupter()
    }

    /// Sends a request and waits for its complete response, of any status.
    ///
    /// A kept connection that the server has closed meanwhile is replaced; the request is then sent
    /// once more if it is idempotent and no byte of an answer had arrived.
    /// - Parameter timeoutSeconds: for everything together, connecting included.
    package func send(_ request: HTTPRequest, timeoutSeconds: Double = 30) throws(HTTPClientError)
        -> HTTPResponse
    {
        let deadline = Deadline(afterSeconds: timeoutSeconds)
        return try turn.withLock { () throws(HTTPClientError) in try sendInTurn(request, deadline) }
    }

    /// Ends a request that another thread waits for, with ``TransportError/interrupted``, and
    /// refuses all later ones.
    package func interrupt() { interrupter.interrupt() }

    /// Closes the kept connection. The next request opens another.
    package func close() { turn.withLock { drop() } }

    private func sendInTurn(_ request: HTTPRequest, _ deadline: Deadline) throws(HTTPClientError)
        -> HTTPResponse
    {
        if stream?.isStale == true { drop() }
        let isReused = stream != nil
        do throws(Attempt) {
            return try attempt(request, deadline)
        } catch {
            drop()
            guard isReused, request.isIdempotent, !error.hasAnswer,
                case .transport(.connectionClosed) = error.cause
            else {
                throw error.cause
            }
        }
        do throws(Attempt) {
            return try attempt(request, deadline)
        } catch {
            drop()
            throw error.cause
        }
    }

    /// A failed attempt, and whether a byte of an answer had arrived.
    private struct Attempt: Error {
        var cause: HTTPClientError
        var hasAnswer = false
    }

    private func attempt(_ request: HTTPRequest, _ deadline: Deadline) throws(Attempt)
        -> HTTPResponse
    {
        let stream: ClientStream
        do throws(HTTPClientError) {
            if let kept = self.stream { stream = kept } else { stream = try connect(deadline) }
            self.stream = stream
        } catch { throw Attempt(cause: error) }
        var writeFailure: TransportError?
        do throws(TransportError) {
            try stream.write(MessageEncoder.encode(request, host: hostField), until: deadline)
        } catch {
            // The reason may wait to be read: a TLS alert, or an answer that came before the whole
            // body was sent.
            guard case .connectionClosed = error else { throw Attempt(cause: .transport(error)) }
            writeFailure = error
        }
        do throws(Attempt) {
            return try receive(
                stream,
                HTTPResponseParser(
                    limits: configuration.limits, answersHead: request.method == "HEAD"), deadline)
        } catch {
            if let writeFailure, case .transport(.connectionClosed) = error.cause {
                throw Attempt(cause: .transport(writeFailure), hasAnswer: error.hasAnswer)
            }
            throw error
        }
    }

    private func receive(_ stream: ClientStream, _ fresh: HTTPResponseParser, _ deadline: Deadline)
        throws(Attempt) -> HTTPResponse
    {
        var parser = fresh
        var isEnd = false
        var hasAnswer = false
        while true {
            switch parser.next(&input, isEnd: isEnd) {
            case .response(let response):
                if !parser.keepsAlive || !input.isEmpty || isEnd { drop() }
                return response
            case .refused(let refusal):
                throw Attempt(
                    cause: error(for: refusal, hasAnswer: hasAnswer), hasAnswer: hasAnswer)
            case .needsMore: break
            }
            do throws(TransportError) {
                isEnd = try !stream.read(into: &input, until: deadline)
            } catch { throw Attempt(cause: .transport(error), hasAnswer: hasAnswer) }
            if !input.isEmpty { hasAnswer = true }
        }
    }

    private func error(for refusal: HTTPRefusal, hasAnswer: Bool) -> HTTPClientError {
        if !hasAnswer {
            return .transport(
                .connectionClosed(reason: "\(serverName) closed it without an answer"))
        }
        if refusal.status == 413 {
            return .responseTooLarge(
                server: serverName, bytesMax: configuration.limits.bodyBytesMax)
        }
        return .malformedResponse(server: serverName, reason: refusal.message)
    }

    private func connect(_ deadline: Deadline) throws(HTTPClientError) -> ClientStream {
        input = ReceiveBuffer()
        let connectDeadline = deadline.orEarlier(
            Deadline(afterSeconds: configuration.connectSeconds))
        let proxy = configuration.proxy
        let status: Int
        do throws(TransportError) {
            let stream = try ClientStream(
                host: proxy?.host ?? configuration.host, port: proxy?.port ?? configuration.port,
                interrupter: interrupter,
                until: connectDeadline)
            status =
                try proxy.map { proxy throws(TransportError) in
                    try openTunnel(stream, proxy, connectDeadline)
                } ?? 200
            if (200..<300).contains(status) {
                if let tls = configuration.tls {
                    try stream.startTLS(tls, peerName: configuration.host, until: connectDeadline)
                }
                return stream
            }
        } catch { throw .transport(error) }
        throw .proxyRefused(proxy: proxy?.host ?? "", status: status)
    }

    /// Asks the proxy for a way to the server. Returns the status of its answer, 502 for one that
    /// is none.
    private func openTunnel(_ stream: ClientStream, _ proxy: HTTPProxy, _ deadline: Deadline)
        throws(TransportError) -> Int
    {
        let authorization = proxy.authorization.map { "Proxy-Authorization: \($0)\r\n" } ?? ""
        let request = "CONNECT \(hostField) HTTP/1.1\r\nHost: \(hostField)\r\n\(authorization)\r\n"
        try stream.write(Array(request.utf8), until: deadline)
        var parser = HTTPResponseParser(limits: HTTPLimits(), answersHead: true)
        var answer = ReceiveBuffer()
        var isEnd = false
        while true {
            switch parser.next(&answer, isEnd: isEnd) {
            case .response(let response): return answer.isEmpty ? response.status : 502
            case .refused: return 502
            case .needsMore: isEnd = try !stream.read(into: &answer, until: deadline)
            }
        }
    }

    private func drop() {
        stream?.close()
        stream = nil
        input = ReceiveBuffer()
    }

    private var serverName: String { "\(configuration.host):\(configuration.port)" }

    private var hostField: String {
        let host =
            configuration.host.utf8.contains(UInt8(ascii: ":"))
            ? "[\(configuration.host)]" : configuration.host
        return "\(host):\(configuration.port)"
    }
}
