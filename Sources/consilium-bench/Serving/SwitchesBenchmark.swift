// Switches under constant load: 100 of them, 20 rollbacks, 20 steps of a canary, while requests come at a fixed rate over TLS.
// Every answer is checked: version, digest and score belong together. Times count from when a request was due, so that a node
// that stalls is not spared the requests it held up. Ten rounds, each with a tenth of every kind of change between windows without
// any, and all windows of a kind counted together: what else runs on the machine meets all kinds alike.

import Codec
import Cryptography
import Glibc
import HTTP
import ModelPackage
import Simulation
import Storage
import Study
import Telemetry
import Transport

enum SwitchesBenchmark {
    private static let rate = 400.0
    private static let connections = 8
    private static let rounds = 10

    static func run() throws {
        try Bench.inTemporaryDirectory { directory in
            let signer = SigningKey.generate(random: SeededRandom(seed: 30))
            var paths: [String] = []
            var digests: [String] = []
            for version in 1...2 {
                let package = try VerifiedPackage.verify(try ServingBenchmark.contents(signer, version: version), trustedKey: signer.publicKey)
                paths.append(try package.write(under: directory))
                digests.append(package.digest.hex)
            }
            let state = directory + "/state"
            let process = try ChildProcess(
                try Bench.consilium(),
                ["node", "serve", "--key", Hex.encode(signer.publicKey.bytes), "--state", state, "--listen", "127.0.0.1:0"]
                    + paths.flatMap { ["--package", $0] },
                logPath: directory + "/node.log")
            defer { process.stop() }
            let node = try SwitchedNode(state, digests)
            print("\(Int(rate)) requests a second of one row, 30 features, MLP 30-64-32-1, TLS 1.3, \(connections) connections, log durable:")
            let load = try Load(node, rate: rate, connections: connections)
            defer { load.stop() }
            usleep(2_000_000)
            for _ in 0..<rounds {
                load.window("steady") { usleep(1_500_000) }
                try load.window("100 switches") { try node.switches(10, everyMicroseconds: 100_000) }
                load.window("steady") { usleep(1_500_000) }
                try load.window("20 rollbacks") { try node.rollbacks(2, everyMicroseconds: 300_000) }
                load.window("steady") { usleep(1_500_000) }
                try load.window("20 canary steps") { try node.canary(steps: 2) }
            }
            let base = percentile(load.times("steady"), 99)
            for name in ["steady", "100 switches", "20 rollbacks", "20 canary steps"] {
                let times = load.times(name)
                let p99 = percentile(times, 99)
                print(
                    "  \(name): \(times.count) answers, p50 \(percentile(times, 50)) us, p99 \(p99) us = \(decimal(Double(p99) / Double(base), places: 2)) x steady, slowest \(times.max() ?? 0) us")
            }
            print("  slowest rollback, the request over TLS: \(node.slowestRollback / 1000) ms")
            print("  failed and mixed answers: \(node.mistakes)")
            print("load of the machine beside it: \(ServingBenchmark.pressure())")
        }
    }

    private static func percentile(_ times: [Int], _ percent: Int) -> Int {
        let sorted = times.sorted()
        return sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, sorted.count * percent / 100)]
    }
}

/// Requests at a fixed rate over kept connections, each counted for the window in which it was due.
private final class Load: Sendable {
    private let isDone = Locked(false)
    private let label = Locked("warm-up")
    private let results = Locked<[String: [Int]]>([:])
    private let threads = Locked<[pthread_t]>([])

    init(_ node: SwitchedNode, rate: Double, connections: Int) throws {
        for number in 0..<connections {
            let client = try node.client()
            let thread = Thread.start(name: "load-\(number)") { [self] in
                defer { client.close() }
                let interval = UInt64(1e9 * Double(connections) / rate)
                var due = EventLoop.monotonicNanoseconds() + UInt64(number) * interval / UInt64(connections)
                while !isDone.withLock({ $0 }) {
                    let now = EventLoop.monotonicNanoseconds()
                    if due > now { usleep(UInt32((due - now) / 1000)) }
                    let window = label.withLock { $0 }
                    node.check(try? client.send(node.request, timeoutSeconds: 30))
                    let took = Int(EventLoop.monotonicNanoseconds() - due) / 1000
                    results.withLock { $0[window, default: []].append(took) }
                    due += interval
                }
            }
            threads.withLock { $0.append(thread) }
        }
    }

    /// Answers from here to the end of `body` count for a window.
    func window(_ name: String, _ body: () throws -> Void) rethrows {
        label.withLock { $0 = name }
        try body()
    }

    func times(_ window: String) -> [Int] { results.withLock { $0[window] ?? [] } }

    func stop() {
        isDone.withLock { $0 = true }
        for thread in threads.withLock({ $0 }) { Thread.join(thread) }
    }
}

/// The node whose versions change.
private final class SwitchedNode: Sendable {
    let request: HTTPRequest
    private let operators: String
    /// The operator's connection, kept: a handshake is no part of what is measured.
    private let console: HTTPClient
    private let address: ListenAddress
    private let authority: Certificate
    private let digests: [String]
    /// What each version says of the row.
    private let scores = Locked<[JSONValue]>([])
    private let wrong = Locked(0)
    private let rollbackMicroseconds = Locked(0)

    var mistakes: Int { wrong.withLock { $0 } }
    var slowestRollback: Int { rollbackMicroseconds.withLock { $0 } }

    init(_ state: String, _ digests: [String]) throws {
        self.digests = digests
        var url: String?
        for _ in 0..<2000 where url == nil {
            usleep(5000)
            url = (try? DurableFile.read(state + "/endpoint.json", maxBytes: 4096)).flatMap { try? JSONValue.parse($0, dialect: .strict) }?["url"]?
                .stringValue
        }
        guard let url else { throw ScenarioError.failed(step: "switches", "the node was not ready within 10 seconds") }
        func key(_ name: String) throws -> String { String(decoding: try KeyFile.read(state + "/keys/" + name).exposedCopy(), as: UTF8.self) }
        address = try ListenAddress(text: String(url.dropFirst("https://".count)), path: "url")
        authority = try Certificate(pem: String(decoding: DurableFile.read(state + "/keys/serving-ca.crt.pem", maxBytes: 1 << 16), as: UTF8.self))
        operators = try key("operator.key")
        console = try Self.client(address, authority)
        let row = (0..<ServingBenchmark.features).map { "\"f\($0)\":\(Double($0) / 10)" }.joined(separator: ",")
        request = HTTPRequest(
            method: "POST", target: "/v1/predict", headers: ["Authorization": "Bearer \(try key("predict.key"))"], body: Array("{\"row\":{\(row)}}".utf8))
        for digest in digests {
            try promote(digest)
            let client = try client()
            defer { client.close() }
            let answer = try JSONValue.parse(client.send(request, timeoutSeconds: 10).body, dialect: .strict)
            scores.withLock { $0.append(answer["predictions"]?.arrayValue?.first?["score"] ?? .null) }
        }
    }

    func client() throws -> HTTPClient { try Self.client(address, authority) }

    private static func client(_ address: ListenAddress, _ authority: Certificate) throws -> HTTPClient {
        try HTTPClient(
            configuration: HTTPClientConfiguration(host: address.host, port: address.port, tls: try TLSContext.client(trust: .authority(authority))))
    }

    /// Version, digest and score of an answer belong together.
    func check(_ response: HTTPResponse?) {
        guard let response, response.isSuccess, let answer = try? JSONValue.parse(response.body, dialect: .strict),
            let version = answer["version"]?.intValue, digests.indices.contains(version - 1),
            answer["digest"]?.stringValue == digests[version - 1],
            answer["predictions"]?.arrayValue?.first?["score"] == scores.withLock({ $0[version - 1] })
        else { return wrong.withLock { $0 += 1 } }
    }

    private func call(_ path: String, _ body: [UInt8] = []) throws -> JSONValue {
        let response = try console.send(
            HTTPRequest(method: "POST", target: path, headers: ["Authorization": "Bearer \(operators)"], body: body), timeoutSeconds: 30)
        guard response.isSuccess else { throw ScenarioError.failed(step: "switches", "\(path): \(response.errorMessage ?? "\(response.status)")") }
        return try JSONValue.parse(response.body, dialect: .strict)
    }

    private func promote(_ digest: String) throws { _ = try call("/v1/models/\(digest)/live") }

    /// The version that is live, and the other one.
    private func roles() throws -> (live: String, other: String) {
        let answer = try console.send(
            HTTPRequest(method: "GET", target: "/v1/models", headers: ["Authorization": "Bearer \(operators)"]), timeoutSeconds: 30)
        let live = try JSONValue.parse(answer.body, dialect: .strict)["models"]?.arrayValue?.first?["live"]?.stringValue
        return (live ?? "", digests.first { $0 != live } ?? "")
    }

    func switches(_ count: Int, everyMicroseconds: UInt32) throws {
        for _ in 0..<count {
            try promote(try roles().other)
            usleep(everyMicroseconds)
        }
    }

    func rollbacks(_ count: Int, everyMicroseconds: UInt32) throws {
        for _ in 0..<count {
            try promote(try roles().other)
            usleep(everyMicroseconds)
            let start = EventLoop.monotonicNanoseconds()
            _ = try call("/v1/rollback")
            let took = Int(EventLoop.monotonicNanoseconds() - start) / 1000
            rollbackMicroseconds.withLock { $0 = max($0, took) }
            usleep(everyMicroseconds)
        }
    }

    /// From the first step to the switch after the last, by the node itself.
    func canary(steps: Int) throws {
        let digest = try roles().other
        let terms: JSONValue = [
            "steps": .array((1...steps).map { .integer(Int64($0 * 90 / steps)) }), "rowsPerStep": 100, "scoreShiftMax": 0.999, "errorShareMax": 0.5,
            "slowerTimesMax": 1000, "alpha": 0.001,
        ]
        _ = try call("/v1/models/\(digest)/canary", terms.canonicalBytes())
        for _ in 0..<600 where try roles().live != digest { usleep(100_000) }
        guard try roles().live == digest else { throw ScenarioError.failed(step: "switches", "the canary did not reach its last step in a minute") }
    }
}
