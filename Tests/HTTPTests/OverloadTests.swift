import Glibc
import Testing
import Transport

@testable import HTTP

/// What may wait, and that what may not is told so at once.
@Suite struct OverloadTests {
    @Test func aQueueKeepsItsLimitsAndItsOrder() {
        var queue = WorkQueue<Int>(requestsMax: 3, bytesMax: 100)
        // One larger than everything is taken when nothing waits.
        #expect(queue.enter(bytes: 1_000) && !queue.enter(bytes: 0))
        queue.leave(bytes: 1_000)
        #expect(queue.enter(bytes: 60) && !queue.enter(bytes: 41) && queue.enter(bytes: 40) && queue.enter(bytes: 0))
        #expect(!queue.enter(bytes: 0) && queue.requests == 3 && queue.bytes == 100)
        for number in 1...3 { queue.append(number) }
        #expect(queue.next() == 1 && queue.next() == 2)
        queue.append(4)
        #expect(queue.next() == 3 && queue.next() == 4 && queue.next() == nil)
        for bytes in [60, 40, 0] { queue.leave(bytes: bytes) }
        #expect(queue.requests == 0 && queue.bytes == 0)
    }

    /// A server whose `/jobs` takes one request of 1,000 bytes at a time; the path's last word is answered.
    private func server(refusal: (@Sendable (HTTPRequest) -> HTTPResponse?)? = nil) throws -> TestServer {
        try TestServer(configure: {
            var rules = WorkRules { $0.hasPrefix("/jobs") }
            rules.bytesMax = 1_000
            if let refusal { rules.refusal = refusal }
            $0.work = rules
        }) { request, responder in
            responder.respond(.text("\(request.path) \(request.body.count)"))
        }
    }

    private func post(_ path: String, _ bytes: Int, sent: Int? = nil, _ fields: String = "") -> [UInt8] {
        [UInt8]("POST \(path) HTTP/1.1\r\nHost: a\r\n\(fields)Content-Length: \(bytes)\r\n\r\n")
            + [UInt8](repeating: 1, count: sent ?? bytes)
    }

    @Test func workBeyondTheLimitIsRefusedAtItsHeadAndNothingElseIs() throws {
        let server = try server()
        let deadline = Deadline(afterSeconds: 5)
        let first = try server.stream()
        // Its head is read in one go with the request before, so it holds the place of 900 bytes when that is answered.
        try first.write(post("/other", 0) + post("/jobs/first", 900, sent: 10), until: deadline)
        #expect(StreamAnswers(first, count: 1).statuses == [200])
        let second = try server.stream()
        // Refused while most of its body is still to come; the rest is read over and the next request is served.
        try second.write(post("/jobs/second", 200, sent: 1), until: deadline)
        let refused = StreamAnswers(second, count: 1)
        #expect(refused.statuses == [503] && !refused.isClosed)
        #expect(String(decoding: refused.bodies[0], as: UTF8.self).contains("\"error\""))
        try second.write([UInt8](repeating: 1, count: 199) + post("/other", 300) + post("/jobs/small", 100), until: deadline)
        #expect(StreamAnswers(second, count: 2).bodies == [[UInt8]("/other 300"), [UInt8]("/jobs/small 100")])
        try first.write([UInt8](repeating: 1, count: 890), until: deadline)
        #expect(StreamAnswers(first, count: 1).bodies == [[UInt8]("/jobs/first 900")])
        // All places are free again.
        try second.write(post("/jobs/last", 1_000), until: deadline)
        #expect(StreamAnswers(second, count: 1).bodies == [[UInt8]("/jobs/last 1000")])
    }

    @Test func aClientThatGoesGivesItsPlaceBack() throws {
        let server = try server()
        let deadline = Deadline(afterSeconds: 5)
        for _ in 0..<3 {
            let gone = try server.stream()
            try gone.write(post("/other", 0) + post("/jobs/gone", 900, sent: 10), until: deadline)
            #expect(StreamAnswers(gone, count: 1).statuses == [200])
            gone.close()
            for _ in 0..<200 where server.server.connectionCount > 0 { usleep(5_000) }
        }
        let stream = try server.stream()
        try stream.write(post("/jobs/last", 1_000), until: deadline)
        #expect(StreamAnswers(stream, count: 1).bodies == [[UInt8]("/jobs/last 1000")])
    }

    @Test func aHeadCanBeRefusedBeforeItsBody() throws {
        let server = try server { $0.headers["Authorization"] == nil ? .error(401, "a key is needed") : nil }
        let deadline = Deadline(afterSeconds: 5)
        let stream = try server.stream()
        try stream.write(post("/jobs/a", 500, sent: 0), until: deadline)
        #expect(StreamAnswers(stream, count: 1).statuses == [401])
        let chunks = "POST /jobs/b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        try stream.write([UInt8](repeating: 1, count: 500) + [UInt8](chunks), until: deadline)
        #expect(StreamAnswers(stream, count: 1).statuses == [401])
        try stream.write([UInt8]("3\r\nabc\r\n0\r\n\r\n") + post("/jobs/c", 5, sent: 0, "Authorization: x\r\n"), until: deadline)
        try stream.write([1, 2, 3, 4, 5], until: deadline)
        #expect(StreamAnswers(stream, count: 1).bodies == [[UInt8]("/jobs/c 5")])
        // Who waits to be asked for the body is told no, and the connection ends: a body may come or not.
        try stream.write(post("/jobs/d", 500, sent: 0, "Expect: 100-continue\r\n"), until: deadline)
        let last = StreamAnswers(stream)
        #expect(last.statuses == [401] && last.isClosed)
    }

    /// The queue empties however the requests come: pipelined, from many connections, with the loop busy.
    @Test func everythingAdmittedIsAnsweredInOrder() throws {
        let server = try TestServer(configure: {
            var rules = WorkRules { $0.hasPrefix("/jobs") }
            rules.requestsMax = 10_000
            $0.work = rules
        }) { request, responder in
            if request.target.hasSuffix("7") { usleep(1_100) }
            responder.respond(.text(request.target))
        }
        let streams = try (0..<8).map { _ in try server.stream() }
        for (number, stream) in streams.enumerated() {
            let requests = (0..<40).flatMap { post("/jobs/\(number)/\($0)", $0 * 100) }
            try stream.write(requests, until: Deadline(afterSeconds: 5))
        }
        for (number, stream) in streams.enumerated() {
            #expect(StreamAnswers(stream, count: 40).bodies == (0..<40).map { [UInt8]("/jobs/\(number)/\($0)") })
        }
    }
}
