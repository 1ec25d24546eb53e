import Codec
import Simulation
import Storage
import Study

/// Rounds with nothing in them, so that what is left is protocol, TLS and disk.
enum RoundBenchmark {
    static func run(_ arguments: [String]) throws {
        print("nodes  median ms  p90 ms  CPU ms per round and party (all processes)")
        for nodes in [4, 10] {
            try Bench.inTemporaryDirectory { directory in
                let file = "scenarios/benchmarks/empty-round-\(nodes).json5"
                guard DurableFile.exists(file) else { throw ScenarioError.unusable("run this from the top of the repository: \(file) is not here") }
                let scenario = try Scenario(path: file)
                let life = try ProcessScenario(
                    scenario, program: try Bench.consilium(), out: directory + "/run", dataDirectory: nil, say: { _ in })
                let before = Bench.childSeconds
                let report = try life.run(keep: false)
                let seconds = Bench.childSeconds - before
                let rounds = report["runs"]?.arrayValue?.first?["rounds"]?.arrayValue ?? []
                let times = rounds.filter { $0["kind"]?.stringValue == "training" }.compactMap { $0["milliseconds"]?.intValue }.sorted()
                guard !times.isEmpty else { throw ScenarioError.failed(step: "rounds", "no round was completed") }
                let cpu = seconds * 1000 / Double(rounds.count) / Double(nodes + 1)
                print("\(nodes)      \(times[times.count / 2])         \(times[times.count * 9 / 10])      \(decimal(cpu, places: 2))")
            }
        }
    }
}
