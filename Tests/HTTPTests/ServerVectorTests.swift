import HTTP
import Telemetry
import Testing
import Transport

/// The shared vectors against the running server: in one write, one byte per write, after another
/// request, over mutual TLS. The answers, what handlers saw, and whether the connection closes must
/// be the same in all modes.
@Suite struct ServerVectorTests {
    static let vectors = RequestVectors.shared

    /// Answers 200 everywhere, except under `/audit`, where only `checkpoint` exists.
    final class Site: Sendable {
        let requests = Locked<[HTTPRequest]>([])
        let credentials: TestCredentials
        let plain: TestServer
        let tls: TestServer

        init() throws {
            credentials = try TestCredentials()
            let requests = requests
            let handler: @Sendable (HTTPRequest, HTTPResponder) -> Void = { request, responder in
                if request.path.hasPrefix("/audit"), request.path != "/audit/checkpoint" {
                    return responder.respond(.error(404, "there is nothing at this path"))
                }
                requests.withLock { $0.append(request) }
                responder.respond(.text("seen"))
            }
            plain = try TestServer(handler: handler)
            tls = try TestServer(tls: credentials.server, handler: handler)
        }

        func takeRequests() -> [HTTPRequest] {
            requests.withLock { requests in
                defer { requests = [] }
                return requests
            }
        }
    }

    enum Mode: CaseIterable { case whole, byteByByte, afterPrefix, mutualTLS }

    /// Sends the bytes as `mode` says; a server that closes early is no failure here.
    private func send(_ vector: RequestVector, _ mode: Mode, _ site: Site) throws -> ClientStream {
        let deadline = Deadline(afterSeconds: 10)
        let stream =
            try mode == .mutualTLS ? site.tls.stream(site.credentials.client) : site.plain.stream()
        let bytes = mode == .afterPrefix ? Self.vectors.prefix + vector.bytes : vector.bytes
        if mode == .byteByByte {
            // The long ones go in larger pieces: the parser's own test feeds them byte by byte.
            let size = bytes.count > 3_000 ? 512 : 1
            for start in stride(from: 0, to: bytes.count, by: size) {
                do {
                    try stream.write(
                        Array(bytes[start..<min(start + size, bytes.count)]), until: deadline)
                } catch { break }
            }
        } else {
            try? stream.write(bytes, until: deadline)
        }
        if vector.isUnfinished { stream.endOutput() }
        return stream
    }

    @Test(arguments: Mode.allCases) func badRequestsGetOneRefusalAndTheEnd(mode: Mode) throws {
        let site = try Site()
        for vector in Self.vectors.refused {
            let stream = try send(vector, mode, site)
            let before = vector.answeredBefore + (mode == .afterPrefix ? 1 : 0)
            // Tolerated cases and unknown paths may keep the connection; all others must end it.
            let mayStay = !vector.closes
            let answers = StreamAnswers(stream, count: mayStay ? before + 1 : .max)
            let seen = site.takeRequests()
            let about = "\(vector.id) \(mode) \(answers.statuses)"
            #expect(!seen.contains { $0.path == "/smuggled" }, "\(about)")
            #expect(answers.statuses.prefix(before).allSatisfy { $0 == 200 }, "\(about)")
            #expect(!answers.hasLeftovers, "\(about)")
            if vector.closes { #expect(answers.isClosed, "\(about)") }
            if vector.isUnfinished, answers.statuses.count == before { continue }
            #expect(answers.statuses.count == before + 1, "\(about)")
            #expect(answers.statuses.last.map(vector.status.contains) == true, "\(about)")
            if answers.statuses.last ?? 0 >= 400 {
                #expect(seen.count == before, "\(about)")
                #expect(
                    HTTPResponse(status: 400, body: answers.bodies.last ?? []).errorMessage != nil,
                    "\(about)")
            } else {
                #expect(
                    vector.isTolerated
                        && vector.ifAccepted.map { wanted in seen.last.map(wanted.matches) == true }
                            == true,
                    "\(about)")
            }
        }
    }

    @Test(arguments: Mode.allCases) func validRequestsAreAnsweredAndTheConnectionKept(mode: Mode)
        throws
    {
        let site = try Site()
        for vector in Self.vectors.valid {
            let stream = try send(vector, mode, site)
            let before = mode == .afterPrefix ? 1 : 0
            if !vector.closes {
                try stream.write(
                    [UInt8]("GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
                    until: Deadline(afterSeconds: 5))
            }
            let heads = Set(
                vector.parsed.indices.filter { vector.parsed[$0].method == "HEAD" }.map {
                    $0 + before
                })
            let answers = StreamAnswers(stream, heads: heads)
            let seen = site.takeRequests().dropFirst(before)
            let about = "\(vector.id) \(mode) \(answers.statuses)"
            let count = vector.parsed.count + (vector.closes ? 0 : 1)
            #expect(answers.isClosed && !answers.hasLeftovers, "\(about)")
            #expect(answers.statuses == [Int](repeating: 200, count: before + count), "\(about)")
            #expect(seen.count == count, "\(about)")
            for (request, wanted) in zip(seen, vector.parsed) {
                #expect(wanted.matches(request), "\(about)")
            }
            if !vector.closes { #expect(seen.last?.path == "/last", "\(about)") }
            if mode == .mutualTLS {
                #expect(seen.allSatisfy { $0.peer?.siteName == "site-a" }, "\(about)")
            }
        }
    }
}
