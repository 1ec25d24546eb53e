// Serving, a row of figures each: `consilium-bench serving [request|plain|batch|row|nginx|overload|memory|switches|compare OTHER]`, all
// but the last two without a name. The node is a process of its own (`node serve --package`), so that its CPU is its own; the load is
// closed-loop, one request at a time on each connection, and the generator shares the machine.

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
    static let seconds = 10.0
    private static let repetitions = 3

    static func run(_ arguments: [String]) throws {
        switch arguments.first {
        case nil: for name in ["row", "request", "plain", "batch", "memory", "nginx", "overload"] { try run([name]) }
        case "request": try requests(isPlain: false)
        case "plain": try requests(isPlain: true)
        case "batch":
            try withNode { node in
                print("1,000 rows of FP64 in binary, \(1000 * features * 8) bytes, TLS 1.3, one connection:")
                for _ in 0..<repetitions { try report(node, batch(node.key), 1) }
            }
        case "row": try ServingRows.inProcess()
        case "memory": try ServingRows.memory()
        case "nginx": try NginxComparison.run()
        case "overload": try ServingOverload.run()
        case "switches": try SwitchesBenchmark.run()
        case "compare" where arguments.count == 2: try compare(with: arguments[1])
        default: throw ScenarioError.unusable("consilium-bench serving [request|plain|batch|row|nginx|overload|memory|switches|compare OTHER]")
        }
    }

    private static func requests(isPlain: Bool) throws {
        try withNode(isPlain: isPlain) { node in
            print(
                "30 features, MLP 30-64-32-1, JSON, one row, \(isPlain ? "plain HTTP" : "TLS 1.3"), \(connections) kept connections, records and log durable:")
            for _ in 0..<repetitions { try report(node, single(node.key), connections) }
        }
    }

    /// This build beside another one, a second each in turn: a machine's mood changes from minute to minute and meets both alike.
    private static func compare(with other: String) throws {
        try withNode { ours in
            try withNode(program: other) { theirs in
                var figures: [[Int]] = [[], []]
                for _ in 0..<20 {
                    for (place, node) in [ours, theirs].enumerated() {
                        let before = try cpuMicroseconds(node.process.identifier)
                        let count = try node.load(single(node.key), connections: connections, seconds: 1).times.count
                        figures[place].append((try cpuMicroseconds(node.process.identifier) - before) / max(1, count))
                    }
                }
                let medians = figures.map { $0.sorted()[$0.count / 2] }
                print("one row, \(connections) connections, TLS, node CPU a request: \(medians[0]) us, the other build \(medians[1]) us (medians of \(figures[0].count) seconds)")
            }
        }
    }

    /// Starts a node with one small model; says the machine's load afterwards.
    /// - Parameter program: another build.
    static func withNode(isPlain: Bool = false, program: String? = nil, _ body: (ServedNode) throws -> Void) throws {
        try Bench.inTemporaryDirectory { directory in
            let signer = SigningKey.generate(random: SeededRandom(seed: 30))
            let package = try VerifiedPackage.verify(try contents(signer), trustedKey: signer.publicKey)
            let arguments = [
                "node", "serve", "--package", try package.write(under: directory), "--key", Hex.encode(signer.publicKey.bytes),
                "--state", directory + "/state", "--listen", "127.0.0.1:0",
            ]
            let start = EventLoop.monotonicNanoseconds()
            let process = try ChildProcess(try program ?? Bench.consilium(), arguments + (isPlain ? ["--plain"] : []), logPath: directory + "/node.log")
            defer { process.stop() }
            try body(try ServedNode(directory + "/state", process, isPlain: isPlain, started: start))
        }
        print("  load of the machine beside it: \(pressure())")
    }

    private static func report(_ node: ServedNode, _ request: HTTPRequest, _ connections: Int) throws {
        let before = try cpuMicroseconds(node.process.identifier)
        let result = try node.load(request, connections: connections, seconds: seconds)
        let used = try cpuMicroseconds(node.process.identifier) - before
        print("  \(result.line), node CPU \(used / max(1, result.times.count)) us a request")
    }

    /// One row as JSON.
    static func single(_ key: String) -> HTTPRequest {
        let row = (0..<features).map { "\"f\($0)\":\(Double($0) / 10)" }.joined(separator: ",")
        return HTTPRequest(
            method: "POST", target: "/v1/predict", headers: ["Authorization": "Bearer \(key)"], body: Array("{\"row\":{\(row)}}".utf8))
    }

    /// Five rows, each with the search for a counterfactual: much work in few bytes.
    static func counterfactuals(_ key: String) -> HTTPRequest {
        let rows = (0..<5).map { row in
            "{" + (0..<features).map { "\"f\($0)\":\(Double(($0 + row) % 30) / 10)" }.joined(separator: ",") + "}"
        }
        return HTTPRequest(
            method: "POST", target: "/v1/predict", headers: ["Authorization": "Bearer \(key)"],
            body: Array("{\"rows\":[\(rows.joined(separator: ","))],\"counterfactual\":true}".utf8))
    }

    /// A thousand rows in binary.
    static func batch(_ key: String) -> HTTPRequest {
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
    static func cpuMicroseconds(_ process: Int32) throws -> Int {
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

