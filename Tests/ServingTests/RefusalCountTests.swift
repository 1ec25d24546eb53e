import Codec
import HTTP
import Testing

@testable import Serving

/// Whatever is refused is counted by endpoint and reason, also what no endpoint ever saw.
@Suite struct RefusalCountTests {
    /// Number of a series in Prometheus text; 0 when it is not there.
    private func value(_ metrics: String, _ series: String) -> Int {
        let line = metrics.split(separator: "\n").first { $0.hasPrefix(series + " ") }
        return line.flatMap { Int($0.dropFirst(series.count + 1)) } ?? 0
    }

    private func refused(_ metrics: String, _ endpoint: String, _ reason: String) -> Int {
        value(metrics, "consilium_requests_refused_total{endpoint=\"\(endpoint)\",reason=\"\(reason)\"}")
    }

    @Test func theServersOwnRefusalsAreCounted() throws {
        let node = try RealNode()
        defer { node.stop() }
        let long = String(repeating: "a", count: 70_000)
        let requests: [(text: String, status: Int, reason: String)] = [
            ("GET /nothing-4711 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 404, "not-found"),
            ("PUT /v1/predict HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 405, "method"),
            ("GET /\(long) HTTP/1.1\r\n", 414, "too-large"),
            ("GET /v2 HTTP/1.1\r\nHost: a\r\nX-Long: \(long)\r\n\r\n", 431, "too-large"),
            ("GET /v2 HTTP/1.1\r\n\r\n", 400, "malformed"),
            ("GET /v2 HTTP/2.7\r\nHost: a\r\n\r\n", 505, "http-version"),
            ("BREW /v2 HTTP/1.1\r\nHost: a\r\n\r\n", 501, "not-implemented"),
            ("POST /v1/predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "not-implemented"),
            ("POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n", 413, "too-large"),
            ("POST /v1/predict HTTP/1.1\r\nHost: a\r\nExpect: the-moon\r\nContent-Length: 2\r\n\r\n", 417, "expectation"),
            ("GET /v2 HTTP/1.1\r\nHost: a", 408, "slow-request"),
        ]
        var expected: [String: Int] = [:]
        for (text, status, reason) in requests {
            let answer = try node.sendRaw(Array(text.utf8))
            #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(text.prefix(60)): \(answer.prefix(200))")
            #expect(answer.contains("{\"error\":\""), "\(text.prefix(60))")
            expected[reason, default: 0] += 1
        }
        let metrics = try node.send("GET", "/metrics").string
        for (reason, count) in expected { #expect(refused(metrics, "none", reason) == count, "\(reason)") }
        #expect(value(metrics, "nv_inference_request_failure{model=\"\",version=\"\",reason=\"REJECTED\"}") == requests.count)
        #expect(!metrics.contains("4711"))
    }

    @Test func everyRefusalOfAnEndpointIsCountedOnce() throws {
        let node = try RealNode()
        defer { node.stop() }
        let answers = [
            try node.client.send(HTTPRequest(method: "POST", target: "/v1/predict", body: Array("{}".utf8))),
            try node.send("POST", "/v1/predict", Array("{".utf8)),
            try node.send("POST", "/v1/predict", Array(#"{"row":{"age":-1,"sex":"male","cp":"none"}}"#.utf8)),
            try node.send("POST", "/v2/models/other/infer", Array("{}".utf8)),
            try node.send("POST", "/v2/models/heart/infer", Array("{}".utf8)),
            try node.send("GET", "/v1/decisions/0193"),
        ]
        #expect(answers.map(\.status) == [401, 400, 422, 404, 400, 404])
        let metrics = try node.send("GET", "/metrics").string
        for (endpoint, reason) in [
            ("predict", "unauthorised"), ("predict", "malformed"), ("predict", "schema"), ("infer", "unknown-model"), ("infer", "malformed"),
            ("decision", "unknown-prediction"),
        ] { #expect(refused(metrics, endpoint, reason) == 1, "\(endpoint) \(reason)") }
        #expect(!metrics.contains("endpoint=\"none\""))
        // What came to a version is its failure, the rest is of none: together the five predictions that were not made.
        let families = ["model=\"\",version=\"\"", "model=\"heart\",version=\"1\""]
        #expect(families.map { value(metrics, "nv_inference_request_failure{\($0),reason=\"REJECTED\"}") } == [3, 2])
    }

    @Test func whatIsRefusedBeforeItsBodyIsReadIsCountedToo() throws {
        let node = try RealNode()
        defer { node.stop() }
        for path in ["/v1/predict", "/v2/models/heart/infer"] {
            let head = "POST \(path) HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n"
            #expect(try node.sendRaw(Array(head.utf8) + [UInt8](repeating: 0x20, count: 1_000_000)).hasPrefix("HTTP/1.1 401 "))
        }
        let metrics = try node.send("GET", "/metrics").string
        #expect(refused(metrics, "predict", "unauthorised") == 1 && refused(metrics, "infer", "unauthorised") == 1)
        #expect(value(metrics, "nv_inference_request_failure{model=\"\",version=\"\",reason=\"REJECTED\"}") == 2)
    }

    @Test func whatHasNoPlaceToWaitIsCountedAsOverload() throws {
        let node = try RealNode(waitingMax: 1)
        defer { node.stop() }
        // The only place is taken by a request whose body does not come.
        let head = "POST /v1/predict HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(node.key)\r\nContent-Length: 1000\r\n\r\n{"
        let waiting = try node.connect(Array(head.utf8))
        while try node.send("POST", "/v1/predict", Array("{}".utf8)).status == 400 {}
        for _ in 0..<2 {
            let answer = try node.send("POST", "/v1/predict", Array("{}".utf8))
            #expect(answer.status == 503 && answer.headers["Retry-After"] == "1" && answer.value["error"] != nil)
        }
        waiting.close()
        let metrics = try node.send("GET", "/metrics").string
        #expect(refused(metrics, "predict", "overloaded") == 3 && !metrics.contains("endpoint=\"none\""))
    }
}
