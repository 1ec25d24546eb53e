import Kernels
import Models
import Testing

/// Measured, printed, and held to generous bounds in release builds only: the figures to watch, not a benchmark.
@Suite struct SpeedTests {
    @Test func oneRowTakesUnderAMicrosecond() throws {
        for (name, family, inputs) in [
            (
                "logistic regression, 30 columns",
                ModelFamily.logisticRegression(l2: 0, perSiteIntercept: false), 30
            ),
            (
                "perceptron 16, 30 columns",
                .perceptron(hidden: [16], output: .sigmoid, l2: 0, perSiteIntercept: false), 30
            ),
            (
                "perceptron 32, 93 columns",
                .perceptron(hidden: [32], output: .sigmoid, l2: 0, perSiteIntercept: false), 93
            ),
        ] {
            let predictor = try Predictor(
                ModelParameters(family: family, inputs: inputs, seed: [1]), family: family)
            let row = (0..<inputs).map { Float($0 % 7) / 7 }
            let count = 20_000
            var best = Duration.seconds(1)
            var sum: Float = 0
            for _ in 0..<5 {
                best = min(
                    best,
                    try ContinuousClock().measure {
                        for _ in 0..<count { sum += try predictor.probability(row) }
                    })
            }
            #expect(sum.isFinite)
            print("one row, \(name): \(best / count)")
            #if !DEBUG
                #expect(best / count < .microseconds(2))
            #endif
        }
    }
}
