import Codec
import Cryptography
import HTTP
import Testing

@testable import Serving

@Suite struct RateLimitTests {
    private static let second: UInt64 = 1_000_000_000

    @Test func readsWhatPeopleWriteAndNothingElse() {
        #expect(RateLimit("20/s") == .requests(20, per: .second))
        #expect(RateLimit("600/m") == .requests(600, per: .minute))
        #expect(RateLimit("1000000/h") == .requests(1_000_000, per: .hour))
        #expect(RateLimit("none") == .unlimited)
        for text in ["", "20", "/s", "20/", "20/d", "0/s", "-1/s", "+1/s", "1.5/s", "1000001/s", "20/s ", "20//s", "20/s/s", "99999999/s", "٢/s"] {
            #expect(RateLimit(text) == nil, "\(text)")
        }
        for limit in [RateLimit.unlimited, .requests(1, per: .hour), .requests(77, per: .second)] {
            #expect(RateLimit(limit.text) == limit)
        }
    }

    @Test func aBucketGivesItsCountAtOnceAndThenItsRate() {
        var bucket = TokenBucket(10, per: .second, at: 5)
        for _ in 0..<10 { #expect(bucket.take(at: 5) == nil) }
        #expect(bucket.take(at: 5) == 1)
        // A tenth of a second is one token.
        #expect(bucket.take(at: 5 + Self.second / 10 - 1000) == 1)
        #expect(bucket.take(at: 5 + Self.second / 10 + 1000) == nil)
        #expect(bucket.take(at: 5 + Self.second / 10 + 1000) == 1)
        // Ten thousand quiet years do not give more than the count.
        var given = 0
        while bucket.take(at: .max) == nil { given += 1 }
        #expect(given == 10)
    }

    @Test func aBucketSaysHowLongToWait() {
        var bucket = TokenBucket(1, per: .minute, at: 0)
        #expect(bucket.take(at: 0) == nil)
        #expect(bucket.take(at: 0) == 60)
        #expect(bucket.take(at: 30 * Self.second) == 30)
        #expect(bucket.take(at: 59 * Self.second + Self.second / 2) == 1)
        #expect(bucket.take(at: 60 * Self.second) == nil)
    }

    @Test func timeThatGoesBackGivesNothing() {
        var bucket = TokenBucket(2, per: .second, at: 100)
        #expect(bucket.take(at: 100) == nil && bucket.take(at: 100) == nil)
        for now in [0, 50, 100] as [UInt64] { #expect(bucket.take(at: now) != nil) }
    }

    @Test func overALongTimeNoCallerExceedsItsRate() {
        var bucket = TokenBucket(7, per: .second, at: 0)
        let random = SeededRandom(seed: 4)
        var (now, given) = (UInt64(0), 0)
        while now < 1000 * Self.second {
            now += UInt64(random.bytes(1)[0]) * 1_000_000
            if bucket.take(at: now) == nil { given += 1 }
        }
        #expect((6_700...7_010).contains(given), "\(given)")
    }

    @Test func callersDoNotShareABucketAndAreForgotten() {
        var limiter = RateLimiter()
        let limit = RateLimit.requests(1, per: .second)
        #expect(limiter.take("a", limit, at: 0) == nil && limiter.take("a", limit, at: 0) == 1)
        #expect(limiter.take("b", limit, at: 0) == nil)
        // Another limit takes effect at once.
        #expect(limiter.take("a", .requests(2, per: .second), at: 0) == nil)
        #expect(limiter.take("c", .unlimited, at: 0) == nil && limiter.count == 2)
        for caller in 0..<3 * RateLimiter.callersMax { _ = limiter.take("key:\(caller)", limit, at: 1) }
        #expect(limiter.count <= RateLimiter.callersMax)
    }

    @Test func beyondItsRateACallerGets429AndOthersGoOn() throws {
        let node = try TestNode()
        try node.deploy()
        let (record, key) = try node.keys.create(
            AccessKeyRequest(name: "ward", roles: [.predict], rate: .requests(3, per: .hour)), random: SystemRandom.shared)
        node.clock.advance(seconds: 1)
        let body = Array(#"{"row":\#(TestModel.goodRow)}"#.utf8)
        for _ in 0..<3 { #expect(node.send("POST", "/v1/predict", body, key: key).status == 200) }
        let before = node.log.entries.count
        let refused = node.send("POST", "/v1/predict", body, key: key)
        #expect(refused.status == 429 && refused.value["error"]?.stringValue?.contains("3/h") == true)
        #expect(refused.headers["Retry-After"].flatMap { Int($0) } == 1200)
        #expect(node.send("GET", "/v2/health/live", key: key).status == 200)
        #expect(node.log.entries.count == before, "a refused request is decided nowhere")
        #expect(node.predict(#"{"row":\#(TestModel.goodRow)}"#).status == 200)
        #expect(
            node.get("/metrics").string.contains(
                #"consilium_requests_refused_total{endpoint="predict",reason="rate-limited"} 1"#))
        try node.keys.revoke(id: record.id)
        node.clock.advance(seconds: 1)
        #expect(node.send("POST", "/v1/predict", body, key: key).status == 401)
    }

    @Test func theNodesDefaultIsForKeysWithoutALimitOfTheirOwn() throws {
        let node = try TestNode(rate: .requests(2, per: .hour))
        let free = try node.keys.create(
            AccessKeyRequest(name: "free", roles: [.auditor], rate: .unlimited), random: SystemRandom.shared
        ).key
        node.clock.advance(seconds: 1)
        for status in [200, 200, 429, 429] { #expect(node.get("/v1/models").status == status) }
        for _ in 0..<5 { #expect(node.send("GET", "/v1/models", key: free).status == 200) }
        // Wrong roles count too: a caller cannot try endpoints without end.
        for status in [403, 403, 429] { #expect(node.post("/v1/predict", [], as: .feedback).status == status) }
    }
}
