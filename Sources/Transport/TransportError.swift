import CShims
import Glibc

/// What can go wrong with sockets and TLS, in words for the operator.
package enum TransportError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The name has no address. `reason` is the resolver's.
    case cannotResolve(host: String, reason: String)
    /// Another process has the port.
    case addressInUse(host: String, port: Int)
    /// This process may not listen there.
    case cannotListen(host: String, port: Int, reason: String)
    /// No address of the host took the connection.
    case cannotConnect(host: String, port: Int, reason: String)
    /// A deadline passed; `phase` is what was waited for.
    case timedOut(phase: String)
    /// The peer closed, or the connection broke.
    case connectionClosed(reason: String)
    /// ``ClientStream/interrupt()`` was called.
    case interrupted
    /// The TLS handshake or session failed.
    case tls(TLSFailure)
    /// Certificates or keys that OpenSSL does not take.
    case badCredentials(reason: String)
    /// The system refused a resource (descriptors, memory).
    case system(operation: String, reason: String)

    package var description: String {
        switch self {
        case .cannotResolve(let host, let reason):
            "cannot find the address of \"\(host)\": \(reason); check the name and the DNS settings of this machine"
        case .addressInUse(let host, let port):
            "cannot listen on \(host):\(port): another process uses this port; stop it (`ss -ltnp` names it) or choose another port"
        case .cannotListen(let host, let port, let reason):
            "cannot listen on \(host):\(port): \(reason); choose an address of this machine and a port this user may use"
        case .cannotConnect(let host, let port, let reason):
            "cannot connect to \(host):\(port): \(reason); check that the service runs there and that no firewall is between"
        case .timedOut(let phase):
            "timed out \(phase)"
        case .connectionClosed(let reason):
            "the connection was closed: \(reason)"
        case .interrupted:
            "the connection was interrupted by this process"
        case .tls(let failure):
            failure.description
        case .badCredentials(let reason):
            "the TLS certificate or key cannot be used: \(reason)"
        case .system(let operation, let reason):
            "the system refused to \(operation): \(reason)"
        }
    }
}

/// The system's words for an errno.
func errnoText(_ code: Int32) -> String {
    // Safe: strerror returns a static or thread-local text, which is copied at once.
    unsafe String(cString: strerror(code))
}
