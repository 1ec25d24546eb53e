import Glibc
import HTTP
import Telemetry
import Testing
import Transport

/// Clients that are slow, many, or no longer welcome. Deadlines are shortened; the defaults differ
/// only in length.
@Suite struct AttackTests {
    private func shortDeadlines(_ configuration: inout HTTPServerConfiguration) {
        configuration.handshakeSeconds = 0.6
        configuration.headSeconds = 0.6
        configuration.rateWindowSeconds = 0.6
        configuration.bytesPerSecondMin = 10_000
    }

    /// An honest request is answered quickly meanwhile.
    private func expectHonestService(_ server: TestServer, _ tls: TLSContext? = nil) throws {
        let client = try server.client(tls)
        let start = EventLoop.monotonicMilliseconds()
        #expect(try client.send(HTTPRequest(method: "GET", target: "/")).status == 200)
        #expect(EventLoop.monotonicMilliseconds() - start < 500)
    }

    @Test func slowlorisHeadersAreCutOff() throws {
        let server = try TestServer(configure: shortDeadlines)
        let streams = try (0..<50).map { _ in try server.stream() }
        for stream in streams {
            try stream.write(
                [UInt8]("GET / HTTP/1.1\r\nHost: a\r\n"), until: Deadline(afterSeconds: 5))
        }
        let start = EventLoop.monotonicMilliseconds()
        var open = streams
        while EventLoop.monotonicMilliseconds() - start < 4_000, !open.isEmpty {
            for stream in open {
                try? stream.write([UInt8]("X-A: b\r\n"), until: Deadline(afterSeconds: 1))
            }
            try expectHonestService(server)
            usleep(100_000)
            open = open.filter { !$0.isStale }
        }
        #expect(open.isEmpty)
        for stream in streams { #expect(StreamAnswers(stream).statuses == [408]) }
    }

    @Test func slowBodiesAreCutOff() throws {
        let server = try TestServer(configure: shortDeadlines)
        let stream = try server.stream()
        try stream.write(
            [UInt8]("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"),
            until: Deadline(afterSeconds: 5))
        let start = EventLoop.monotonicMilliseconds()
        while EventLoop.monotonicMilliseconds() - start < 6_000, !stream.isStale {
            try? stream.write([UInt8](repeating: 1, count: 100), until: Deadline(afterSeconds: 1))
            usleep(50_000)
        }
        #expect(StreamAnswers(stream).statuses == [408])
        #expect(EventLoop.monotonicMilliseconds() - start < 5_000)
    }

    @Test func slowReadersAreCutOff() throws {
        let body = [UInt8](repeating: 7, count: 32 << 20)
        let server = try TestServer(configure: shortDeadlines) { _, responder in
            responder.respond(HTTPResponse(body: body))
        }
        let stream = try server.stream()
        try stream.write(
            [UInt8]("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), until: Deadline(afterSeconds: 5))
        // The kernel connects before the server accepts: only then is there somebody to cut off.
        for _ in 0..<400 where server.server.connectionCount == 0 { usleep(5_000) }
        #expect(server.server.connectionCount == 1)
        for _ in 0..<400 where server.server.connectionCount > 0 { usleep(50_000) }
        #expect(server.server.connectionCount == 0)
    }

    @Test func silentConnectionsAreCutOff() throws {
        let server = try TestServer(configure: shortDeadlines)
        let stream = try server.stream()
        let answers = StreamAnswers(stream, seconds: 3)
        #expect(answers.isClosed && answers.statuses.isEmpty)
    }

    @Test func aThousandHalfOpenHandshakesHurtNobody() throws {
        let credentials = try TestCredentials()
        let server = try TestServer(
            tls: credentials.server,
            configure: { configuration in
                shortDeadlines(&configuration)
                configuration.connectionsMax = 1_500
                configuration.connectionsPerAddressMax = 1_500
            })
        // Hello bytes that never become a whole record. As many as the descriptor limit of this
        // process allows.
        var limit = rlimit()
        unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let count = min(1_000, Int(min(limit.rlim_cur, 1 << 20)) / 2 - 200)
        let streams = try (0..<count).map { _ in try server.stream() }
        for stream in streams {
            try stream.write(
                [0x16, 0x03, 0x01, 0x02, 0x00, 0x01], until: Deadline(afterSeconds: 5))
        }
        try expectHonestService(server, credentials.client)
        for _ in 0..<100 where server.server.connectionCount > 1 { usleep(50_000) }
        #expect(server.server.connectionCount <= 1)
        let failures = server.events.withLock {
            $0.count { if case .handshakeFailed = $0 { true } else { false } }
        }
        #expect(failures == count)
    }

    /// Sends `text`, optionally ends the output, then resets the connection.
    private func sendAndReset(_ text: String, to port: Int, endsOutput: Bool, whenSeen: () -> Void)
    {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe _ = connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        let bytes = [UInt8](text)
        unsafe _ = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        if endsOutput { shutdown(descriptor, Int32(SHUT_WR)) }
        whenSeen()
        var abrupt = linger(l_onoff: 1, l_linger: 0)
        unsafe setsockopt(
            descriptor, SOL_SOCKET, SO_LINGER, &abrupt, socklen_t(MemoryLayout<linger>.size))
        close(descriptor)
    }

    @Test(arguments: [false, true]) func resetsDuringALongPollEndItWithoutSpinning(endsOutput: Bool)
        throws
    {
        let kept = Locked<[HTTPResponder]>([])
        let gone = Locked(0)
        let server = try TestServer { _, responder in
            kept.withLock { $0.append(responder) }
            responder.onDisconnect { gone.withLock { $0 += 1 } }
        }
        let pipelined =
            endsOutput
            ? "" : String(repeating: "GET /next HTTP/1.1\r\nHost: a\r\n\r\n", count: 4_000)
        sendAndReset(
            "GET /poll HTTP/1.1\r\nHost: a\r\n\r\n" + pipelined, to: server.port,
            endsOutput: endsOutput
        ) {
            for _ in 0..<200 where kept.withLock({ $0.isEmpty }) { usleep(5_000) }
            usleep(50_000)
        }
        for _ in 0..<200 where server.server.connectionCount > 0 { usleep(5_000) }
        #expect(server.server.connectionCount == 0)
        #expect(gone.withLock { $0 } == 1)
        #expect(kept.withLock { $0.count } == 1)
    }

    @Test func connectionsBeyondTheLimitAreTurnedAwayAndPlacesComeBack() throws {
        let server = try TestServer(configure: { $0.connectionsPerAddressMax = 3 })
        var streams = try (0..<3).map { _ in try server.stream() }
        for _ in 0..<200 where server.server.connectionCount < 3 { usleep(5_000) }
        #expect(StreamAnswers(try server.stream(), seconds: 2).isClosed)
        streams[0].close()
        streams = []
        for _ in 0..<400 where server.server.connectionCount > 0 { usleep(5_000) }
        try expectHonestService(server)
    }

    @Test func runningOutOfDescriptorsDoesNotSpinAndHeals() async {
        await #expect(processExitsWith: .success) {
            let server = try TestServer()
            let client = try server.client()
            #expect(try client.send(HTTPRequest(method: "GET", target: "/")).status == 200)
            var limit = rlimit(rlim_cur: 64, rlim_max: 64)
            unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            var held: [Int32] = []
            while true {
                let descriptor = dup(0)
                if descriptor < 0 { break }
                held.append(descriptor)
            }
            // One descriptor for the client, none for the server's end of it.
            close(held.removeLast())
            close(held.removeLast())
            let waiting = try server.client()
            let answered = Locked<Int?>(nil)
            let thread = Thread.start(name: "waiting") {
                let status = (try? waiting.send(HTTPRequest(method: "GET", target: "/")))?.status
                answered.withLock { $0 = status }
            }
            usleep(300_000)
            var before = timespec()
            unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before)
            usleep(500_000)
            var after = timespec()
            unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after)
            let busy =
                (after.tv_sec - before.tv_sec) * 1_000 + (after.tv_nsec - before.tv_nsec)
                / 1_000_000
            for descriptor in held { close(descriptor) }
            Thread.join(thread)
            let starved = server.events.withLock {
                $0.contains { if case .starved = $0 { true } else { false } }
            }
            let kept = try client.send(HTTPRequest(method: "GET", target: "/")).status
            exit(answered.withLock { $0 } == 200 && kept == 200 && busy < 250 && starved ? 0 : 1)
        }
    }

    @Test func revocationEndsOpenConnectionsAndNewOnes() throws {
        let revoked = Locked<Set<String>>([])
        let credentials = try TestCredentials(isRevoked: { serial in
            revoked.withLock { $0.contains(serial) }
        })
        let kept = Locked<[HTTPResponder]>([])
        let server = try TestServer(tls: credentials.server) { request, responder in
            if request.path == "/poll" {
                kept.withLock { $0.append(responder) }
            } else {
                responder.respond(.text(request.peer?.siteName ?? "nobody"))
            }
        }
        let idle = try server.client(credentials.client)
        #expect(try idle.send(HTTPRequest(method: "GET", target: "/")).body == [UInt8]("site-a"))
        let polling = try server.client(credentials.client)
        let outcome = Locked("")
        let thread = Thread.start(name: "poll") {
            let text = failure {
                _ = try polling.send(HTTPRequest(method: "POST", target: "/poll"))
            }
            outcome.withLock { $0 = text }
        }
        for _ in 0..<200 where kept.withLock({ $0.isEmpty }) { usleep(5_000) }
        let serial = credentials.siteSerial
        revoked.withLock { _ = $0.insert(serial) }
        let start = EventLoop.monotonicMilliseconds()
        server.server.closeConnections { peer in peer?.serialHex == serial }
        Thread.join(thread)
        #expect(EventLoop.monotonicMilliseconds() - start < 5_000)
        #expect(outcome.withLock { $0 }.contains("closed"))
        let text = failure { _ = try idle.send(HTTPRequest(method: "GET", target: "/")) }
        #expect(text.contains("has been revoked"), "\(text)")
        for _ in 0..<200 where server.server.connectionCount > 0 { usleep(10_000) }
        #expect(server.server.connectionCount == 0)
    }
}
