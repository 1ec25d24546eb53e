import Codec
import HTTP
import Testing
import Transport

@Suite struct RequestParserTests {
    private func run(_ text: String, bodyBytesMax: Int = 1_048_576) -> ParserRun {
        ParserRun([UInt8](text).wholly, bodyBytesMax: bodyBytesMax)
    }

    @Test func decodesThePathOnceAndKeepsTheTarget() throws {
        let request = try #require(
            run("GET /v1/a%20b/%C3%A9?x=1+2&y=%26&z HTTP/1.1\r\nHost: a\r\n\r\n").requests.first)
        #expect(request.path == "/v1/a b/é")
        #expect(request.target == "/v1/a%20b/%C3%A9?x=1+2&y=%26&z")
        #expect(request.query.map { "\($0.0)|\($0.1)" } == ["x|1 2", "y|&", "z|"])
        #expect(request.queryValue("y") == "&")
    }

    @Test(arguments: [
        "/a/%2e%2e/b", "/..", "/a/.", "/a%2fb", "/a%5Cb", "/%00", "/%C0%AF", "/%", "/%4",
        "/a?b=%zz", "/a\\b", "//a", "/a//b",
    ])
    func refusesPathsThatLeadElsewhere(target: String) {
        #expect(run("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n").refusal?.status == 400)
    }

    @Test func boundsBodiesByPath() {
        var parser = HTTPRequestParser { path in path == "/large" ? 10 : 2 }
        var input = ReceiveBuffer()
        input.append(
            [UInt8](
                "POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcPOST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
            ))
        guard case .request(let request) = parser.next(&input) else { return #expect(Bool(false)) }
        #expect(request.body == [UInt8]("abc"))
        guard case .refused(let refusal) = parser.next(&input) else { return #expect(Bool(false)) }
        #expect(refusal.status == 413)
    }

    @Test func chunksOverTheLimitAreRefusedBeforeTheyArrive() {
        #expect(
            run(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n",
                bodyBytesMax: 10
            ).refusal?.status == 413)
    }

    @Test func refusalsRepeatNoInput() {
        for text in [
            "GET /secret HTTP/1.1\r\nsecret\r\n\r\n", "SECRET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: secret@x\r\n\r\n",
        ] {
            #expect(run(text).refusal?.message.lowercased().contains("secret") == false)
        }
    }

    @Test func aDeclaredLengthReservesNoMemory() {
        let run = ParserRun(
            [UInt8]("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n").wholly,
            bodyBytesMax: 1 << 40)
        #expect(run.isUnfinished && run.refusal == nil)
    }

    @Test func randomBytesNeverTrap() {
        var generator = SplitMix(state: 7)
        let seeds = [
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            "POST /x HTTP/1.1\r\nHost: [::1]:1\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n",
        ]
        for round in 0..<20_000 {
            var bytes = [UInt8](seeds[round % 2])
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let position = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: bytes[position] = UInt8.random(in: 0...255, using: &generator)
                case 1: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: position)
                default: bytes.remove(at: position)
                }
            }
            let whole = ParserRun(bytes.wholly)
            let cut = ParserRun(bytes.split(at: Int.random(in: 0...bytes.count, using: &generator)))
            #expect(
                whole.requests.count == cut.requests.count
                    && whole.refusal?.status == cut.refusal?.status)
        }
    }
}

struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

@Suite struct ResponseParserTests {
    private func parse(
        _ text: String, answersHead: Bool = false, isEnd: Bool = false, pieces: Int = 1
    ) -> HTTPResponseParser.Outcome {
        var parser = HTTPResponseParser(
            limits: HTTPLimits(bodyBytesMax: 100), answersHead: answersHead)
        var input = ReceiveBuffer()
        let bytes = [UInt8](text)
        var outcome = HTTPResponseParser.Outcome.needsMore
        let size = max(1, bytes.count / pieces)
        for start in stride(from: 0, to: bytes.count, by: size) {
            input.append(bytes[start..<min(start + size, bytes.count)])
            outcome = parser.next(&input, isEnd: isEnd && start + size >= bytes.count)
        }
        return outcome
    }

    @Test(arguments: [1, 7, 1_000])
    func readsCountedChunkedAndEndingBodies(pieces: Int) throws {
        let cases = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false),
            (
                "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
                false
            ),
            ("HTTP/1.0 200 OK\r\n\r\nhello", true),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                false
            ),
        ]
        for (text, isEnd) in cases {
            guard case .response(let response) = parse(text, isEnd: isEnd, pieces: pieces) else {
                Issue.record("\(text)")
                continue
            }
            #expect(response.status == 200 && response.body == [UInt8]("hello"))
        }
    }

    @Test func bodilessResponsesEndWithTheirHead() {
        for (text, head) in [
            ("HTTP/1.1 204 No Content\r\n\r\n", false),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", true),
        ] {
            guard case .response(let response) = parse(text, answersHead: head) else {
                Issue.record("\(text)")
                continue
            }
            #expect(response.body.isEmpty)
        }
    }

    @Test(arguments: [
        "HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    ])
    func refusesWhatIsNoResponse(text: String) {
        guard case .refused = parse(text) else {
            Issue.record("accepted")
            return
        }
    }

    @Test func anEndInsideAResponseIsRefused() {
        guard case .refused = parse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", isEnd: true)
        else {
            Issue.record("accepted")
            return
        }
    }
}

@Suite struct HeaderTests {
    @Test func namesCompareWithoutCaseAndKeepTheirOrder() {
        var headers: HTTPHeaders = ["X-A": "1", "X-B": "2"]
        headers.append("x-a", "3")
        #expect(
            headers["X-a"] == "1" && headers.values("x-A") == ["1", "3"] && headers["x-c"] == nil)
        headers.set("X-A", "4")
        #expect(
            headers.rawFields.map { String(decoding: $0.name, as: UTF8.self) } == ["X-B", "X-A"])
        #expect(headers == ["x-b": "2", "x-a": "4"] && headers != ["x-b": "2"])
    }

    @Test func valuesCannotBecomeFields() async {
        await #expect(processExitsWith: .failure) {
            var headers = HTTPHeaders()
            headers.append("X-A", "1\r\nX-B: 2")
        }
    }
}

@Suite struct RouterTests {
    private func name(_ router: Router, _ method: String, _ path: String) -> String {
        switch router.match(method, path) {
        case .route(let pattern, _, _): pattern
        case .otherMethods(let methods): methods.joined(separator: ",")
        case .notFound: "none"
        }
    }

    @Test func choosesTheClosestPattern() {
        var router = Router()
        for pattern in [
            "/", "/v1/models", "/v1/models/{name}", "/v1/models/latest",
            "/v1/models/{name}/versions/{version}", "/audit/{path...}", "/audit/checkpoint",
        ] {
            router.add("GET", pattern) { _, responder in responder.respond(.text(pattern)) }
        }
        router.add("POST", "/v1/models") { _, responder in responder.respond(.text("post")) }
        let cases = [
            ("/", "/"), ("/v1/models", "/v1/models"), ("/v1/models/a", "/v1/models/{name}"),
            ("/v1/models/latest", "/v1/models/latest"),
            ("/v1/models/latest/versions/2", "/v1/models/{name}/versions/{version}"),
            ("/audit/tile/0/1", "/audit/{path...}"), ("/audit/checkpoint", "/audit/checkpoint"),
            ("/audit/", "none"), ("/audit", "none"), ("/v1/models/", "none"),
            ("//v1/models", "none"), ("/v1", "none"), ("", "none"),
            ("/v1//models", "none"), ("/V1/models", "none"),
        ]
        for (path, wanted) in cases { #expect(name(router, "GET", path) == wanted, "\(path)") }
        #expect(name(router, "HEAD", "/v1/models/a") == "/v1/models/{name}")
        #expect(name(router, "DELETE", "/v1/models") == "GET,HEAD,OPTIONS,POST")
        #expect(router.routes.count == 8)
    }

    @Test func givesSegmentsByName() {
        var router = Router()
        router.add("GET", "/m/{name}/v/{version}") { _, parameters, responder in
            responder.respond(.text(parameters["name"] + "@" + parameters["version"]))
        }
        router.add("GET", "/t/{path...}") { _, parameters, responder in
            responder.respond(.text(parameters["path"]))
        }
        for (path, wanted) in [("/m/a%20b/v/2", "a b@2"), ("/t/x/y/z", "x/y/z")] {
            router.handle(
                HTTPRequest(method: "GET", target: path),
                HTTPResponder { #expect($0.body == [UInt8](wanted)) })
        }
    }

    @Test func answersOtherMethodsAndUnknownPathsWithErrors() {
        var router = Router()
        router.add("GET", "/a") { _, responder in responder.respond(.text("a")) }
        router.handle(
            HTTPRequest(method: "POST", target: "/a"),
            HTTPResponder { response in
                #expect(
                    response.status == 405 && response.headers["allow"] == "GET, HEAD, OPTIONS"
                        && response.errorMessage != nil)
            })
        router.handle(
            HTTPRequest(method: "GET", target: "/b"),
            HTTPResponder { #expect($0.status == 404 && $0.errorMessage != nil) })
        router.handle(
            HTTPRequest(method: "OPTIONS", target: "/a"),
            HTTPResponder { #expect($0.status == 204) })
    }
}

@Suite struct ProxyTests {
    @Test func readsProxyAddresses() throws {
        #expect(
            try HTTPProxy(url: "http://proxy.example:8080/")
                == HTTPProxy(host: "proxy.example", port: 8080))
        #expect(try HTTPProxy(url: "proxy") == HTTPProxy(host: "proxy", port: 3128))
        #expect(
            try HTTPProxy(url: "http://us%40er:p%3Aw@[::1]:1")
                == HTTPProxy(
                    host: "::1", port: 1,
                    authorization: "Basic " + Base64.encode([UInt8]("us@er:p:w"))))
        for bad in [
            "https://proxy:1", "http://proxy:99999", "http://proxy:x", "http://", "http://a b:1",
            "http://a/b",
        ] {
            #expect(throws: HTTPClientError.self) { try HTTPProxy(url: bad) }
        }
    }

    @Test func loopbackAndExceptionsAreNotProxied() throws {
        let environment = [
            "https_proxy": "http://proxy:1", "no_proxy": "bank.example, .ward.example",
        ]
        for host in [
            "localhost", "127.0.0.1", "::1", "bank.example", "a.bank.example", "x.ward.example",
        ] {
            #expect(try HTTPProxy.fromEnvironment(environment, for: host) == nil, "\(host)")
        }
        for host in ["coordinator.example", "notbank.example", "10.0.0.1"] {
            #expect(try HTTPProxy.fromEnvironment(environment, for: host)?.host == "proxy")
        }
        #expect(try HTTPProxy.fromEnvironment([:], for: "a.example") == nil)
    }
}

@Suite struct DateTests {
    @Test(arguments: [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
        (4_102_444_799, "Thu, 31 Dec 2099 23:59:59 GMT"),
    ])
    func writesTheDateOfRFC9110(seconds: Int64, text: String) {
        #expect(HTTPDate.text(seconds) == text)
    }
}
