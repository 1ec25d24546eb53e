// Serving: CPU of the node for one request, over TLS with kept connections and the durable log on, and of a request of 1,000
// rows in binary. The node is a process of its own (`node serve --package`), so that its CPU is its own; the load is
// closed-loop, one request at a time on each connection.

import Codec
import Cryptography
import Glibc
import HTTP
import ModelPackage
import Models
import Simulation
import Storage
import Study
import Tabular
import Telemetry
import Transport

enum ServingBenchmark {
    static let features = 30
    private static let connections = 8
    private static let seconds = 10.0
    private static let repetitions = 3

    static func run(_ arguments: [String]) throws {
        if arguments.first == "switches" { return try SwitchesBenchmark.run() }
        try Bench.inTemporaryDirectory { directory in
            let signer = SigningKey.generate(random: SeededRandom(seed: 30))
            let package = try VerifiedPackage.verify(try contents(signer), trustedKey: signer.publicKey)
            let path = try package.write(under: directory)
            let state = directory + "/state"
            let key = Hex.encode(signer.publicKey.bytes)
            let process = try ChildProcess(
                try Bench.consilium(),
                ["node", "serve", "--package", path, "--key", key, "--state", state, "--listen", "127.0.0.1:0"],
                logPath: directory + "/node.log")
            defer { process.stop() }
            let target = try Target(state)
            let row = (0..<features).map { "\"f\($0)\":\(Double($0) / 10)" }.joined(separator: ",")
            let single = HTTPRequest(
                method: "POST", target: "/v1/predict", headers: ["Authorization": "Bearer \(target.key)"],
                body: Array("{\"row\":{\(row)}}".utf8))
            print("30 features, MLP 30-64-32-1, JSON, one row, TLS 1.3, \(connections) kept connections, records and log durable:")
            for _ in 0..<repetitions { try report(target, process, single, connections) }
            print("1,000 rows of FP64 in binary, \(1000 * features * 8) bytes, one connection:")
            for _ in 0..<repetitions { try report(target, process, batch(target.key), 1) }
            print("load of the machine beside it: \(pressure())")
        }
    }

    private static func report(_ target: Target, _ process: ChildProcess, _ request: HTTPRequest, _ connections: Int) throws {
        let before = try cpuMicroseconds(process.identifier)
        let result = try target.load(request, connections: connections, seconds: seconds)
        let used = try cpuMicroseconds(process.identifier) - before
        let sorted = result.sorted()
        guard let last = sorted.last else { throw ScenarioError.failed(step: "serving", "no request was answered") }
        print(
            "  \(sorted.count) requests, \(Int(Double(sorted.count) / seconds)) a second, node CPU \(used / sorted.count) us a request; "
                + "p50 \(sorted[sorted.count / 2]) us, p99 \(sorted[sorted.count * 99 / 100]) us, slowest \(last) us")
    }

    private static func batch(_ key: String) -> HTTPRequest {
        var body: [UInt8] = []
        for index in 0..<1000 * features {
            let bits = (Double(index % 97) / 20).bitPattern
            for byte in 0..<8 { body.append(UInt8(truncatingIfNeeded: bits >> (8 * UInt64(byte)))) }
        }
        return HTTPRequest(
            method: "POST", target: "/v2/models/bench/infer",
            headers: ["Authorization": "Bearer \(key)", "Inference-Header-Content-Length": "0"], body: body)
    }

    /// A version of the model that is measured; another number has other weights.
    static func contents(_ signer: SigningKey, version: Int = 1) throws -> PackageContents {
        let schema = Schema(
            features: (0..<features).map { Feature(name: "f\($0)", kind: .numeric(unit: nil, range: -10...10, integer: false)) },
            label: Label(column: "y", positive: .greaterThan(0), range: 0...1))
        let statistics = GlobalStatistics(
            rowCount: 1000, features: (0..<features).map { _ in FeatureStatistics(mean: 1, variance: 2, missingShare: 0) }, labelShare: 0.5)
        let preprocessor = try Preprocessor(schema: schema, statistics: statistics)
        let family = ModelFamily.perceptron(hidden: [64, 32], output: .sigmoid, l2: 0, perSiteIntercept: false)
        let manifest = PackageManifest(
            name: "bench", version: version, created: "2026-11-25T00:00:00.000Z", study: "bench", planHash: SHA256.hash([1]), schema: schema,
            preprocessor: preprocessor, family: family, thresholds: .init(decision: 0.5), background: preprocessor.expectedInputs(statistics),
            provenance: Provenance(run: "bench", roster: []))
        return try PackageWriter.sign(manifest, parameters: ModelParameters(family: family, inputs: features, seed: [6 + UInt8(version)]), with: signer)
    }

    /// User and system time of a process so far.
    private static func cpuMicroseconds(_ process: Int32) throws -> Int {
        let text = String(decoding: try DurableFile.read("/proc/\(process)/schedstat", maxBytes: 256), as: UTF8.self)
        // schedstat is the main thread's; the sum over threads is what counts.
        var total = 0
        for thread in try DurableFile.list("/proc/\(process)/task") {
            let line = (try? DurableFile.read("/proc/\(process)/task/\(thread)/schedstat", maxBytes: 256)).map { String(decoding: $0, as: UTF8.self) }
            total += (line ?? text).split(separator: " ").first.flatMap { Int($0) } ?? 0
        }
        return total / 1000
    }

    static func pressure() -> String {
        let text = (try? DurableFile.read("/proc/loadavg", maxBytes: 256)).map { String(decoding: $0, as: UTF8.self) } ?? "unknown"
        return text.split(separator: " ").prefix(3).joined(separator: " ")
    }
}

/// The node that is measured.
private final class Target: Sendable {
    let key: String
    private let address: ListenAddress
    private let authority: Certificate

    init(_ state: String) throws {
        var url: String?
        for _ in 0..<2000 where url == nil {
            usleep(5000)
            url = (try? DurableFile.read(state + "/endpoint.json", maxBytes: 4096))
                .flatMap { try? JSONValue.parse($0, dialect: .strict) }?["url"]?.stringValue
        }
        guard let url else { throw ScenarioError.failed(step: "serving", "the node was not ready within 10 seconds") }
        address = try ListenAddress(text: String(url.dropFirst("https://".count)), path: "url")
        key = String(decoding: try KeyFile.read(state + "/keys/predict.key").exposedCopy(), as: UTF8.self)
        authority = try Certificate(pem: String(decoding: DurableFile.read(state + "/keys/serving-ca.crt.pem", maxBytes: 1 << 16), as: UTF8.self))
    }

    /// Microseconds of every answered request.
    func load(_ request: HTTPRequest, connections: Int, seconds: Double) throws -> [Int] {
        let results = Locked<[Int]>([])
        let problem = Locked<String?>(nil)
        let end = EventLoop.monotonicNanoseconds() + UInt64(seconds * 1e9)
        var threads: [pthread_t] = []
        for number in 0..<connections {
            let client = try HTTPClient(
                configuration: HTTPClientConfiguration(
                    host: address.host, port: address.port, tls: try TLSContext.client(trust: .authority(authority))))
            threads.append(
                Thread.start(name: "load-\(number)") {
                    defer { client.close() }
                    var times: [Int] = []
                    while EventLoop.monotonicNanoseconds() < end {
                        let start = EventLoop.monotonicNanoseconds()
                        guard let response = try? client.send(request, timeoutSeconds: 30), response.isSuccess else {
                            problem.withLock { $0 = "a request was not answered with 200" }
                            break
                        }
                        times.append(Int(EventLoop.monotonicNanoseconds() - start) / 1000)
                    }
                    results.withLock { $0 += times }
                })
        }
        for thread in threads { Thread.join(thread) }
        if let problem = problem.withLock({ $0 }) { throw ScenarioError.failed(step: "serving", problem) }
        return results.withLock { $0 }
    }
}
