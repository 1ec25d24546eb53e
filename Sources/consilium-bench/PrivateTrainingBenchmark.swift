import Codec
import Cryptography
import DifferentialPrivacy
import Glibc
import Kernels
import Models
import Simulation
import Study

/// An epoch of DP-SGD beside the same epoch without privacy, on one core; and what the exact noise costs.
/// `consilium-bench private-training [ROWS]`.
enum PrivateTrainingBenchmark {
    private static let columns = 30
    private static let expectedBatch = 256
    private static let repetitions = 5
    /// What issue and design promise.
    private static let ratioMax = 3.0

    static func run(_ arguments: [String]) throws {
        let rows = arguments.first.flatMap { Int($0) } ?? 100_000
        guard rows >= expectedBatch, arguments.count <= 1 else {
            throw ScenarioError.unusable("consilium-bench private-training [ROWS]: at least \(expectedBatch) rows")
        }
        let family = ModelFamily.perceptron(hidden: [64, 32], output: .sigmoid, l2: 0, perSiteIntercept: false)
        let matrix = try self.matrix(rows: rows)
        let start = ModelParameters(family: family, inputs: columns, seed: [1])
        let optimizer = LocalTraining.Optimizer.sgd(learningRate: 0.05, momentum: 0.9)
        let plain = LocalTraining(optimizer: optimizer, epochs: 1, batchSize: expectedBatch)
        let hidden = PrivateTraining(
            optimizer: optimizer, steps: (rows + expectedBatch / 2) / expectedBatch, samplingRate: Double(expectedBatch) / Double(rows),
            expectedBatch: Double(expectedBatch), clippingNorm: 1, noiseMultiplier: 1)
        var times: (plain: [Double], hidden: [Double]) = ([], [])
        // In turns, so that a busy neighbour disturbs both.
        for _ in 0..<repetitions {
            times.plain.append(try processorSeconds { _ = try plain.train(start, family: family, on: matrix, seed: 1) })
            times.hidden.append(
                try processorSeconds { _ = try hidden.train(start, family: family, on: matrix, random: SystemRandom.shared) })
        }
        let (fast, slow) = (median(times.plain), median(times.hidden))
        print("epoch of \(rows) rows, MLP \(columns)-64-32-1, batches of \(expectedBatch), CPU time of one thread, medians of \(repetitions) in turns:")
        print("without privacy \(decimal(fast * 1000, places: 0)) ms, DP-SGD \(decimal(slow * 1000, places: 0)) ms: \(decimal(slow / fast, places: 2)) times (promised: at most \(ratioMax))")
        noise()
    }

    private static func noise() {
        let count = 1_000_000
        var values = [Int64](repeating: 0, count: count)
        var stream = NoiseStream(purpose: "benchmark", random: SystemRandom.shared)
        func rate(_ seconds: Double) -> String { decimal(Double(count) / seconds / 1e6, places: 1) }
        var span = values.mutableSpan
        let lattice = processorSeconds { LatticeGaussian(standardDeviation: 0x1p21).add(to: &span, &stream) }
        print("lattice Gaussian: \(rate(lattice)) million draws a second")
        for variance in [1, 100, 0x1p40] {
            let exact = processorSeconds { DiscreteGaussian(variance: variance).add(to: &span, &stream) }
            print("exact discrete Gaussian, variance \(decimal(variance, places: 0)): \(rate(exact)) million draws a second")
        }
    }

    private static func matrix(rows: Int) throws -> FeatureMatrix {
        var generator = SeededGenerator(seed: 7)
        var (values, labels): ([Float], [Float]) = ([], [])
        values.reserveCapacity(rows * columns)
        for _ in 0..<rows {
            var logOdds: Float = 0
            for column in 0..<columns {
                let value = 2 * generator.unitFloat() - 1
                values.append(value)
                logOdds += column % 2 == 0 ? value : -value
            }
            labels.append(generator.unitFloat() < 1 / (1 + expf(-logOdds)) ? 1 : 0)
        }
        return try FeatureMatrix(rows: rows, columns: columns, values: values, labels: labels)
    }

    private static func processorSeconds(_ body: () throws -> Void) rethrows -> Double {
        func now() -> Double {
            var time = timespec()
            unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
        }
        let start = now()
        try body()
        return now() - start
    }

    private static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
}
