import Codec
import Glibc
import HTTP
import Telemetry
import Testing
import Transport

@Suite struct ClientTests {
    @Test func keepsItsConnection() throws {
        let server = try TestServer()
        let client = try server.client()
        for _ in 0..<20 {
            #expect(try client.send(HTTPRequest(method: "GET", target: "/")).status == 200)
        }
        #expect(server.server.connectionCount == 1)
    }

    @Test func replacesAConnectionThatTheServerClosed() throws {
        let server = try TestServer(configure: { $0.idleSeconds = 0.1 })
        let client = try server.client()
        #expect(try client.send(HTTPRequest(method: "POST", target: "/")).status == 200)
        for _ in 0..<400 where server.server.connectionCount > 0 { usleep(5_000) }
        #expect(try client.send(HTTPRequest(method: "POST", target: "/")).status == 200)
    }

    /// A server that answers once and closes the second time without an answer, as a restarting one
    /// does.
    @Test func sendsIdempotentRequestsOnceMore() throws {
        let calls = Locked(0)
        let closing = Locked<HTTPServer?>(nil)
        let server = try TestServer { _, responder in
            let number = calls.withLock {
                $0 += 1
                return $0
            }
            if number == 2 || number == 4 {
                closing.withLock { $0 }?.closeConnections { _ in true }
            } else {
                responder.respond(.text("ok"))
            }
        }
        closing.withLock { $0 = server.server }
        defer { closing.withLock { $0 = nil } }
        let client = try server.client()
        #expect(try client.send(HTTPRequest(method: "GET", target: "/")).status == 200)
        #expect(
            try client.send(HTTPRequest(method: "POST", target: "/", isIdempotent: true)).status
                == 200)
        #expect(calls.withLock { $0 } == 3)
        #expect(
            failure { _ = try client.send(HTTPRequest(method: "POST", target: "/")) }.contains(
                "closed"))
        #expect(calls.withLock { $0 } == 4)
    }

    @Test func timesOutWithTheWholeRequest() throws {
        let server = try TestServer { _, _ in }
        let client = try server.client()
        let start = EventLoop.monotonicMilliseconds()
        #expect(
            failure {
                _ = try client.send(HTTPRequest(method: "GET", target: "/"), timeoutSeconds: 0.2)
            }.contains("timed out waiting for 127.0.0.1"))
        #expect(EventLoop.monotonicMilliseconds() - start < 2_000)
    }

    @Test func interruptEndsALongPoll() throws {
        let server = try TestServer { _, _ in }
        let client = try server.client()
        let thread = Thread.start(name: "interrupt") {
            usleep(50_000)
            client.interrupt()
        }
        #expect(throws: HTTPClientError.transport(.interrupted)) {
            try client.send(HTTPRequest(method: "GET", target: "/"))
        }
        Thread.join(thread)
    }

    @Test func boundsTheResponse() throws {
        let server = try TestServer { _, responder in
            responder.respond(HTTPResponse(body: [UInt8](repeating: 0, count: 1_001)))
        }
        var configuration = HTTPClientConfiguration(host: "127.0.0.1", port: server.port)
        configuration.limits = HTTPLimits(bodyBytesMax: 1_000)
        let client = try HTTPClient(configuration: configuration)
        #expect(
            failure { _ = try client.send(HTTPRequest(method: "GET", target: "/")) }.contains(
                "larger than 1000 bytes"))
    }

    @Test func aServerOfAnotherKindIsNamed() throws {
        let listener = try Listener(host: "127.0.0.1", port: 0)
        let loop = try EventLoop(name: "ssh")
        final class Banner: ConnectionHandler {
            func opened(_ connection: Connection) {
                connection.output += [UInt8]("SSH-2.0-OpenSSH_9.2\r\n")
                connection.flush()
            }
            func received(_ connection: Connection) {}
            func inputEnded(_ connection: Connection) {}
            func drained(_ connection: Connection) {}
            func closed(_ connection: Connection, failure: TransportError?) {}
        }
        try listener.attach(
            to: loop, tls: { nil },
            Listener.Reception(
                admits: { _ in true }, accepted: { try? $0.start(Banner()) }, starved: { _ in }))
        loop.start()
        defer { loop.stop() }
        let client = try HTTPClient(
            configuration: HTTPClientConfiguration(host: "127.0.0.1", port: listener.port))
        #expect(
            failure { _ = try client.send(HTTPRequest(method: "GET", target: "/")) }.contains(
                "did not answer as an HTTP server"))
    }

    @Test func saysWhatIsWrongWithItsCertificateAtTheFirstAnswer() throws {
        let credentials = try TestCredentials()
        let server = try TestServer(tls: credentials.server)
        let bare = try TLSContext.client(trust: .authority(credentials.authority.certificate))
        let text = failure {
            _ = try server.client(bare).send(HTTPRequest(method: "GET", target: "/"))
        }
        #expect(text.contains("requires a client certificate"), "\(text)")
        let large = HTTPRequest(
            method: "POST", target: "/", body: [UInt8](repeating: 0, count: 4 << 20))
        let late = failure { _ = try server.client(bare).send(large) }
        #expect(late.contains("requires a client certificate"), "\(late)")
    }

    // MARK: Through a proxy

    /// A CONNECT proxy for one tunnel at a time on its own thread, in raw sockets.
    private func withProxy(
        answer: String, to port: Int,
        _ body: (_ proxyPort: Int, _ asked: Locked<[UInt8]>) throws -> Void
    ) throws {
        let asked = Locked<[UInt8]>([])
        let listening = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe _ = bind(listening, $0, length)
            }
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe _ = getsockname(listening, $0, &length)
            }
        }
        listen(listening, 4)
        let thread = Thread.start(name: "proxy") {
            let near = accept(listening, nil, nil)
            var byte: UInt8 = 0
            while !asked.withLock({ $0.suffix(4).elementsEqual("\r\n\r\n".utf8) }),
                unsafe recv(near, &byte, 1, 0) == 1
            {
                asked.withLock { $0.append(byte) }
            }
            let text = [UInt8](answer)
            unsafe _ = send(near, text, text.count, 0)
            if text.starts(with: "HTTP/1.1 200".utf8),
                let far = try? ClientStream(
                    host: "127.0.0.1", port: port, interrupter: Interrupter(),
                    until: Deadline(afterSeconds: 5))
            {
                let back = Thread.start(name: "proxy-back") {
                    var buffer = ReceiveBuffer()
                    while (try? far.read(into: &buffer, until: Deadline(afterSeconds: 5))) == true {
                        let bytes = buffer.copy(0..<buffer.count)
                        buffer.consume(buffer.count)
                        unsafe _ = send(near, bytes, bytes.count, Int32(MSG_NOSIGNAL))
                    }
                }
                var chunk = [UInt8](repeating: 0, count: 4_096)
                while true {
                    let count = unsafe recv(near, &chunk, chunk.count, 0)
                    if count <= 0 { break }
                    try? far.write(Array(chunk[..<count]), until: Deadline(afterSeconds: 5))
                }
                far.close()
                Thread.join(back)
            }
            close(near)
        }
        defer {
            Thread.join(thread)
            close(listening)
        }
        try body(Int(UInt16(bigEndian: address.sin_port)), asked)
    }

    @Test func tunnelsTLSThroughAProxyWithCredentials() throws {
        let credentials = try TestCredentials()
        let server = try TestServer(tls: credentials.server) { request, responder in
            responder.respond(.text(request.peer?.siteName ?? ""))
        }
        try withProxy(answer: "HTTP/1.1 200 Connection established\r\n\r\n", to: server.port) {
            port, asked in
            let proxy = try HTTPProxy(url: "http://user:pass@127.0.0.1:\(port)")
            let client = try HTTPClient(
                configuration: HTTPClientConfiguration(
                    host: "localhost", port: server.port, tls: credentials.client, proxy: proxy))
            for _ in 0..<3 {
                #expect(
                    try client.send(HTTPRequest(method: "GET", target: "/")).body
                        == [UInt8]("site-a"))
            }
            client.close()
            let text = String(decoding: asked.withLock { $0 }, as: UTF8.self)
            #expect(
                text.hasPrefix(
                    "CONNECT localhost:\(server.port) HTTP/1.1\r\nHost: localhost:\(server.port)\r\n"
                ))
            #expect(
                text.contains(
                    "Proxy-Authorization: Basic \(Base64.encode([UInt8]("user:pass")))\r\n"))
        }
    }

    @Test(arguments: [
        ("407 Proxy Authentication Required", "wants a user and password"),
        ("403 Forbidden", "refused to connect (status 403)"),
    ])
    func proxyRefusalsSayWhoRefused(status: String, words: String) throws {
        try withProxy(answer: "HTTP/1.1 \(status)\r\nContent-Length: 0\r\n\r\n", to: 1) { port, _ in
            let client = try HTTPClient(
                configuration: HTTPClientConfiguration(
                    host: "coordinator.example", port: 443,
                    proxy: HTTPProxy(host: "127.0.0.1", port: port)))
            #expect(
                failure { _ = try client.send(HTTPRequest(method: "GET", target: "/")) }.contains(
                    words))
        }
    }
}
