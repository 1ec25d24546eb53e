import Codec
import Glibc
import Simulation
import Storage
import Study
import Telemetry

/// A node at rest: what it holds of the machine, and how soon it answers.
enum NodeBenchmark {
    static func run(_ arguments: [String]) throws {
        try Bench.inTemporaryDirectory { directory in
            let program = try Bench.consilium()
            let scenario = try Scenario(path: "scenarios/four-hospitals.json5")
            let life = try ProcessScenario(scenario, program: program, out: directory + "/run", dataDirectory: nil, say: { _ in })
            _ = try life.run(keep: false)
            let node = directory + "/run/cleveland"
            var ready: [Int64] = []
            var resident = 0
            for _ in 0..<5 {
                let start = SystemClock().now().milliseconds
                let process = try ChildProcess(program, ["node", "serve", "--dir", node], logPath: directory + "/node.log")
                ready.append(try waitUntilReady(node) - start)
                usleep(1_500_000)
                resident = try residentKilobytes(process.identifier)
                process.stop()
            }
            ready.sort()
            print("ready after \(ready[2]) ms (median of 5: start of the process to the first 200 of /v2/health/ready)")
            print("resident \(decimal(Double(resident) / 1024, places: 1)) MB, model loaded, at rest")
        }
    }

    private static func waitUntilReady(_ directory: String) throws -> Int64 {
        for _ in 0..<5000 {
            usleep(1000)
            guard let bytes = try? DurableFile.read(directory + "/endpoint.json", maxBytes: 4096),
                let url = (try? JSONValue.parse(bytes, dialect: .strict))?["url"]?.stringValue,
                let client = try? APIClient(url: url, authorityPath: directory + "/keys/serving-ca.crt.pem", key: "")
            else { continue }
            defer { client.close() }
            if (try? client.call("GET", "/v2/health/ready")) != nil { return SystemClock().now().milliseconds }
        }
        throw ScenarioError.failed(step: "node", "not ready within 5 seconds")
    }

    private static func residentKilobytes(_ process: Int32) throws -> Int {
        let text = String(decoding: try DurableFile.read("/proc/\(process)/status", maxBytes: 1 << 16), as: UTF8.self)
        for line in text.split(separator: "\n") where line.hasPrefix("VmRSS:") {
            return line.split(separator: " ").compactMap { Int($0) }.first ?? 0
        }
        return 0
    }
}
