// Performance as numbers: `consilium-bench NAME`. Every figure stands beside what it is held against, from the same
// run; CPU time where wall time would only measure the neighbours.

import Codec
import Glibc
import Simulation
import Storage

@main
enum Bench {
    struct Benchmark: Sendable {
        var name: String
        var summary: String
        var run: @Sendable ([String]) throws -> Void
    }

    static let benchmarks = [
        Benchmark(name: "rounds", summary: "a secure round with nothing in it: 4 and 10 nodes as processes, full TLS (needs the consilium binary)", run: RoundBenchmark.run),
        Benchmark(name: "node", summary: "a node at rest with a model: resident memory, time to ready (needs the consilium binary)", run: NodeBenchmark.run),
        Benchmark(name: "secure-aggregation", summary: "each cost of a secure sum beside what this machine could do at best", run: SecureAggregationBenchmark.run),
        Benchmark(name: "serving", summary: "a node that predicts: CPU of a request, 1,000 rows, beside nginx, overload, memory, switches (needs the consilium binary)", run: ServingBenchmark.run),
        Benchmark(name: "audit-log", summary: "durable appends of 64 writers beside the disk's fdatasync; the check of a million entries", run: AuditLogBenchmark.run),
        Benchmark(name: "private-training", summary: "an epoch of DP-SGD beside the same epoch without privacy; draws of exact noise", run: PrivateTrainingBenchmark.run),
        Benchmark(name: "privacy-audit", summary: "membership inference by canary: what 1,000 runs of the whole pipeline show, beside the epsilon reported", run: PrivacyAuditBenchmark.run),
    ]

    static func main() {
        signal(SIGPIPE, SIG_IGN)
        umask(0o077)
        let arguments = Array(CommandLine.arguments.dropFirst())
        guard let name = arguments.first, let benchmark = benchmarks.first(where: { $0.name == name }) else {
            print("consilium-bench NAME. There are:")
            for benchmark in benchmarks { print("  \(benchmark.name)  \(benchmark.summary)") }
            exit(arguments.isEmpty ? 0 : 64)
        }
        do { try benchmark.run(Array(arguments.dropFirst())) } catch {
            print("consilium-bench \(name): \(error)")
            exit(70)
        }
    }

    /// The `consilium` binary that was built beside this one.
    static func consilium() throws -> String {
        let program = DurableFile.parent(of: ChildProcess.ownProgram ?? "") + "/consilium"
        guard DurableFile.exists(program) else {
            throw ScenarioError.unusable("\(program) is not built: swift build -c release --product consilium")
        }
        return program
    }

    /// A fresh directory below /tmp; removed by `body`'s end.
    static func inTemporaryDirectory<Result>(_ body: (String) throws -> Result) throws -> Result {
        var template = Array("/tmp/consilium-bench-XXXXXX".utf8CString)
        guard unsafe mkdtemp(&template) != nil else { throw ScenarioError.unusable("no temporary directory can be made") }
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { try? ChildProcess.run("/bin/rm", ["-rf", path], logPath: "/dev/null") }
        return try body(path)
    }

    /// CPU seconds of all children that have ended.
    static var childSeconds: Double {
        var usage = rusage()
        unsafe getrusage(__rusage_who_t(RUSAGE_CHILDREN.rawValue), &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) * 1e-6 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }
}
