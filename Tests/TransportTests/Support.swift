import Cryptography
import Glibc
import Telemetry
import Transport

/// A CA with what a test needs from it.
struct TestAuthority {
    let authority: CertificateAuthority
    let now = Int64(time(nil))

    init(_ name: String = "Test CA") throws {
        authority = try CertificateAuthority.create(
            name: name, now: Int64(time(nil)) - 86_400, days: 10)
    }

    func server(
        hosts: [String] = ["127.0.0.1", "localhost"], shift: Int64 = 0, lifetime: Int64 = 3_600
    ) throws -> TestIdentity {
        let key = CertificateKey.generate()
        let leaf = try authority.issueServer(
            key: key, hosts: hosts, siteName: "site-a", now: now + shift, lifetimeSeconds: lifetime)
        return TestIdentity(chain: [leaf, authority.certificate], key: key)
    }

    func site(_ name: String = "site-a", shift: Int64 = 0, lifetime: Int64 = 3_600) throws
        -> TestIdentity
    {
        let key = CertificateKey.generate()
        let request = try CertificateRequest.make(key: key, commonName: name)
        let leaf = try authority.issueSite(
            requestDER: request, siteName: name, now: now + shift, lifetimeSeconds: lifetime)
        return TestIdentity(chain: [leaf], key: key)
    }

    func clientContext(_ identity: TestIdentity?) throws -> TLSContext {
        try TLSContext.client(
            trust: .authority(authority.certificate), identity: identity.map { ($0.chain, $0.key) })
    }
}

struct TestIdentity {
    var chain: [Certificate]
    var key: CertificateKey
}

/// Echoes what it gets, and remembers who came.
final class EchoServer: @unchecked Sendable {
    let loop: EventLoop
    let listener: Listener
    let seen = Locked<[Seen]>([])
    private var open: [ObjectIdentifier: Connection] = [:]

    struct Seen {
        var site: String?
        var negotiated: String?
        var failure: String?
        var bytes = 0
    }

    init(_ tls: TLSContext?) throws {
        loop = try EventLoop(name: "echo")
        listener = try Listener(host: "127.0.0.1", port: 0)
        let reception = Listener.Reception(
            admits: { _ in true },
            accepted: { [unowned self] connection in try? connection.start(Echo(self)) },
            starved: { _ in })
        try listener.attach(to: loop, tls: { tls }, reception)
        loop.start()
    }

    deinit { loop.stop() }

    final class Echo: ConnectionHandler {
        private let server: EchoServer
        private var seen = Seen()
        init(_ server: EchoServer) { self.server = server }
        func opened(_ connection: Connection) {
            seen.site = connection.peer?.siteName
            seen.negotiated = connection.negotiatedProtocol
        }
        func received(_ connection: Connection) {
            seen.bytes += connection.input.count
            connection.output += connection.input.copy(0..<connection.input.count)
            connection.input.consume(connection.input.count)
            connection.flush()
        }
        func inputEnded(_ connection: Connection) { connection.closeAfterFlush() }
        func drained(_ connection: Connection) {}
        func closed(_ connection: Connection, failure: TransportError?) {
            seen.failure = failure?.description
            server.seen.withLock { $0.append(seen) }
        }
    }

    /// What the server saw of the next connection to end, waiting up to 5 s.
    func nextSeen() -> Seen? {
        for _ in 0..<1_000 {
            if let first = seen.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) { return first }
            usleep(5_000)
        }
        return nil
    }
}

/// Connects, sends `hello`, returns the echo. Closes after.
func echo(
    _ server: EchoServer, _ tls: TLSContext?, peerName: String = "127.0.0.1",
    bytes: [UInt8] = Array("hello".utf8)
) throws -> [UInt8] {
    let deadline = Deadline(afterSeconds: 5)
    let stream = try ClientStream(
        host: "127.0.0.1", port: server.listener.port, interrupter: try Interrupter(),
        until: deadline)
    defer { stream.close() }
    if let tls { try stream.startTLS(tls, peerName: peerName, until: deadline) }
    try stream.write(bytes, until: deadline)
    var buffer = ReceiveBuffer()
    while buffer.count < bytes.count {
        guard try stream.read(into: &buffer, until: deadline) else { break }
    }
    return buffer.copy(0..<buffer.count)
}

/// The text of the error that `body` throws.
func failure(_ body: () throws -> Void) -> String {
    do {
        try body()
        return "no error"
    } catch { return "\(error)" }
}
