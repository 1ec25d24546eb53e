import Glibc
import HTTP
import Telemetry
import Testing
import Transport

@Suite struct ServerTests {
    @Test func servesAndCountsRequests() throws {
        let server = try TestServer { request, responder in
            responder.respond(
                .text(
                    "\(request.method) \(request.path) \(request.body.count) \(request.remoteAddress)"
                ))
        }
        let client = try server.client()
        for number in 0..<50 {
            let response = try client.send(
                HTTPRequest(
                    method: "POST", target: "/x?n=\(number)",
                    body: [UInt8](repeating: 1, count: number * 1_000)))
            #expect(response.body == [UInt8]("POST /x \(number * 1_000) 127.0.0.1"))
            #expect(response.headers["date"]?.hasSuffix("GMT") == true)
        }
        let exchanges = server.events.withLock { $0 }.compactMap {
            if case .answered(let exchange) = $0 { exchange } else { nil }
        }
        #expect(exchanges.count == 50)
        #expect(
            exchanges.allSatisfy {
                $0.status == 200 && $0.path == "/x" && $0.requestBytes > 50 && $0.responseBytes > 50
            })
        #expect(server.server.connectionCount == 1)
    }

    @Test func answersFromOtherThreadsInOrder() throws {
        let server = try TestServer(configure: { $0.threads = 2 }) { request, responder in
            Thread.detach(
                Thread.start(name: "late") {
                    usleep(UInt32(request.path == "/slow" ? 30_000 : 0))
                    responder.respond(.text(request.path))
                    responder.respond(.text("twice"))
                })
        }
        let stream = try server.stream()
        let bytes = ["/slow", "/a", "/b"].flatMap {
            [UInt8]("GET \($0) HTTP/1.1\r\nHost: a\r\n\r\n")
        }
        try stream.write(bytes, until: Deadline(afterSeconds: 5))
        #expect(
            StreamAnswers(stream, count: 3).bodies == ["/slow", "/a", "/b"].map { [UInt8]($0) })
    }

    @Test func answersAThousandPipelinedRequestsInOrder() throws {
        let server = try TestServer { request, responder in responder.respond(.text(request.target))
        }
        let stream = try server.stream()
        let writer = Thread.start(name: "writer") {
            let bytes = (0..<1_000).flatMap { [UInt8]("GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n") }
            try? stream.write(bytes, until: Deadline(afterSeconds: 10))
        }
        let answers = StreamAnswers(stream, seconds: 10, count: 1_000)
        Thread.join(writer)
        #expect(answers.bodies == (0..<1_000).map { [UInt8]("/\($0)") })
    }

    @Test func headAnswersHaveTheLengthAndNoBody() throws {
        let server = try TestServer()
        let response = try server.client().send(HTTPRequest(method: "HEAD", target: "/"))
        #expect(response.body.isEmpty && response.headers["content-length"] == "2")
    }

    @Test func bodilessStatusesHaveNoLength() throws {
        let server = try TestServer { request, responder in
            responder.respond(HTTPResponse(status: 204, body: [1, 2]))
        }
        let client = try server.client()
        for _ in 0..<2 {
            let response = try client.send(HTTPRequest(method: "GET", target: "/"))
            #expect(
                response.status == 204 && response.body.isEmpty
                    && !response.headers.contains("content-length"))
        }
    }

    @Test func oversizedBodiesAreRefusedWithoutReadingThem() throws {
        let server = try TestServer(configure: {
            $0.bodyLimit = { path in path == "/large" ? 4 << 20 : 1_000 }
        })
        let large = [UInt8](repeating: 7, count: 3 << 20)
        #expect(
            try server.client().send(HTTPRequest(method: "POST", target: "/large", body: large))
                .status == 200)
        let response = try server.client().send(
            HTTPRequest(method: "POST", target: "/small", body: large))
        #expect(response.status == 413 && response.errorMessage?.contains("1000 bytes") == true)
        let stream = try server.stream()
        try stream.write(
            [UInt8]("POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 104857600\r\n\r\n"),
            until: Deadline(afterSeconds: 5))
        let answers = StreamAnswers(stream)
        #expect(answers.statuses == [413] && answers.isClosed)
    }

    @Test func asksForTheBodyOnlyWhenItTakesIt() throws {
        let server = try TestServer(configure: { $0.bodyLimit = { _ in 1_000 } })
        let stream = try server.stream()
        try stream.write(
            [UInt8](
                "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"),
            until: Deadline(afterSeconds: 5))
        var buffer = ReceiveBuffer()
        #expect(try stream.read(into: &buffer, until: Deadline(afterSeconds: 5)))
        #expect(buffer.copy(0..<buffer.count) == [UInt8]("HTTP/1.1 100 Continue\r\n\r\n"))
        try stream.write([UInt8]("hello"), until: Deadline(afterSeconds: 5))
        #expect(StreamAnswers(stream, count: 1).statuses == [200])
        let refused = try server.stream()
        try refused.write(
            [UInt8](
                "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n"
            ), until: Deadline(afterSeconds: 5))
        #expect(StreamAnswers(refused).statuses == [413])
    }

    @Test func halfClosedClientsGetTheirAnswer() throws {
        let server = try TestServer { _, responder in
            Thread.detach(
                Thread.start(name: "late") {
                    usleep(20_000)
                    responder.respond(.text("late"))
                })
        }
        let stream = try server.stream()
        try stream.write(
            [UInt8]("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), until: Deadline(afterSeconds: 5))
        stream.endOutput()
        let answers = StreamAnswers(stream)
        #expect(answers.statuses == [200] && answers.isClosed)
    }

    @Test func longPollsLearnThatTheirClientHasGone() throws {
        let gone = Locked(false)
        let kept = Locked<[HTTPResponder]>([])
        let server = try TestServer { _, responder in
            responder.onDisconnect { gone.withLock { $0 = true } }
            kept.withLock { $0.append(responder) }
        }
        let stream = try server.stream()
        try stream.write(
            [UInt8]("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), until: Deadline(afterSeconds: 5))
        for _ in 0..<200 where kept.withLock({ $0.isEmpty }) { usleep(5_000) }
        stream.close()
        for _ in 0..<200 where !gone.withLock({ $0 }) { usleep(5_000) }
        #expect(gone.withLock { $0 })
        kept.withLock { $0 }.first?.respond(.text("into the void"))
    }

    @Test func stopLetsRequestsFinishAndClosesTheRest() throws {
        let server = try TestServer { _, responder in
            Thread.detach(
                Thread.start(name: "late") {
                    usleep(100_000)
                    responder.respond(.text("done"))
                })
        }
        let idle = try server.stream()
        let busy = try server.stream()
        try busy.write(
            [UInt8]("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), until: Deadline(afterSeconds: 5))
        usleep(30_000)
        server.server.stop()
        let answers = StreamAnswers(busy)
        #expect(answers.statuses == [200] && answers.isClosed)
        #expect(StreamAnswers(idle, seconds: 1).isClosed)
        #expect(failure { _ = try server.stream() } != "no error")
    }

    @Test func stopDoesNotWaitForEver() throws {
        let server = try TestServer { _, _ in }
        let stream = try server.stream()
        try stream.write(
            [UInt8]("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), until: Deadline(afterSeconds: 5))
        usleep(30_000)
        let start = EventLoop.monotonicMilliseconds()
        server.server.stop()
        #expect(EventLoop.monotonicMilliseconds() - start < 3_000)
        #expect(StreamAnswers(stream).isClosed)
    }

    @Test func certificatesAreReplacedWithoutARestart() throws {
        let first = try TestCredentials()
        let second = try TestCredentials()
        let server = try TestServer(tls: first.server)
        let kept = try server.client(first.client)
        #expect(try kept.send(HTTPRequest(method: "GET", target: "/")).status == 200)
        server.server.replaceTLS(second.server)
        #expect(
            try server.client(second.client).send(HTTPRequest(method: "GET", target: "/")).status
                == 200)
        #expect(try kept.send(HTTPRequest(method: "GET", target: "/")).status == 200)
        #expect(
            failure {
                _ = try server.client(first.client).send(HTTPRequest(method: "GET", target: "/"))
            }.contains("certificate authority"))
    }

    @Test func portInUseIsAnErrorWithAdvice() throws {
        let server = try TestServer()
        let second = HTTPServer(
            configuration: HTTPServerConfiguration(host: "127.0.0.1", port: server.port)
        ) { _, _ in }
        let text = failure { try second.start() }
        #expect(text.contains("127.0.0.1:\(server.port)") && text.contains("another process"))
    }
}

/// The text of the error that `body` throws.
func failure(_ body: () throws -> Void) -> String {
    do {
        try body()
        return "no error"
    } catch { return "\(error)" }
}
