import Cryptography
import Glibc
import HTTP
import ModelPackage
import Models
import Tabular
import Transport

/// What one row costs without HTTP, and what a node holds of the machine.
enum ServingRows {
    /// One row through schema, preprocessor and kernel in this process.
    static func inProcess() throws {
        let signer = SigningKey.generate(random: SeededRandom(seed: 30))
        let package = try VerifiedPackage.verify(try ServingBenchmark.contents(signer), trustedKey: signer.publicKey)
        let rules = RowRules(package.schema)
        let preprocessor = package.preprocessor
        let predictor = try Predictor(package.parameters, family: package.family)
        let numbers = (0..<ServingBenchmark.features).map { Double($0) / 10 }
        var builder = RowBuilder(rules)
        var inputs = [Float](repeating: 0, count: preprocessor.columnCount)
        var times: [UInt64] = []
        var sum: Float = 0
        for round in 0..<20_000 {
            let start = EventLoop.monotonicNanoseconds()
            builder.reset()
            for (index, number) in numbers.enumerated() { builder.set(number: number, at: index) }
            guard builder.complete() else { preconditionFailure("the row fits its schema") }
            var output = inputs.mutableSpan
            preprocessor.transform(builder.values.span, into: &output)
            sum += try predictor.logOdds(inputs)
            if round >= 1000 { times.append(EventLoop.monotonicNanoseconds() - start) }
        }
        times.sort()
        print(
            "one row through schema, preprocessor and kernel in process: median \(times[times.count / 2]) ns, p99 \(times[times.count * 99 / 100]) ns"
                + (sum.isFinite ? "" : " (no score)"))
    }

    /// Cold start with a model, and resident memory before and under load.
    static func memory() throws {
        var starts: [Int] = []
        for _ in 0..<4 { try ServingBenchmark.withNode { starts.append($0.startMilliseconds) } }
        try ServingBenchmark.withNode { node in
            starts.append(node.startMilliseconds)
            let before = node.residentKilobytes
            var most = before
            for connections in [8, 64] {
                let result = try node.load(ServingBenchmark.single(node.key), connections: connections, seconds: 5)
                most = max(most, node.residentKilobytes)
                print("  \(connections) connections: \(result.line); resident \(node.residentKilobytes / 1024) MB")
            }
            let rows = try node.load(ServingBenchmark.batch(node.key), connections: 4, seconds: 5)
            most = max(most, node.residentKilobytes)
            print("  4 connections, 1,000 rows each: \(rows.line); resident \(node.residentKilobytes / 1024) MB")
            print("cold start with a model, process to first answer: \(starts.sorted()[2]) ms (median of 5); resident \(before / 1024) MB at rest, at most \(most / 1024) MB under load")
        }
    }
}
