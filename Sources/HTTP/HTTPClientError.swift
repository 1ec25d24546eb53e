import Transport

/// Why a client has no response, in words for the operator.
package enum HTTPClientError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Connecting, TLS, sending or receiving failed.
    case transport(TransportError)
    /// The server's answer is not HTTP/1.1 as it should be.
    case malformedResponse(server: String, reason: String)
    /// The answer is larger than the client takes.
    case responseTooLarge(server: String, bytesMax: Int)
    /// The proxy did not open the way.
    case proxyRefused(proxy: String, status: Int)
    /// The proxy's address is malformed.
    case badProxy(reason: String)

    package var description: String {
        switch self {
        case .transport(let error): error.description
        case .malformedResponse(let server, let reason):
            "\(server) did not answer as an HTTP server should: \(reason); check that the address and port are right"
        case .responseTooLarge(let server, let bytesMax):
            "the answer of \(server) is larger than \(bytesMax) bytes"
        case .proxyRefused(let proxy, let status):
            status == 407
                ? "the proxy \(proxy) wants a user and password: put them in https_proxy as http://user:password@host:port"
                : "the proxy \(proxy) refused to connect (status \(status)): ask its operator to allow the coordinator's address"
        case .badProxy(let reason):
            "the proxy setting (https_proxy) cannot be used: \(reason)"
        }
    }

    /// True when a later attempt may succeed: the network or the server's state, not a matter of
    /// credentials or form.
    package var isTransient: Bool {
        guard case .transport(let error) = self else { return false }
        switch error {
        case .cannotResolve, .cannotConnect, .timedOut, .connectionClosed, .system: return true
        case .tls(.closedDuringHandshake), .tls(.outsideValidity): return true
        default: return false
        }
    }
}
