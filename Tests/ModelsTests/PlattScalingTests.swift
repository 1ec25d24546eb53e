import Cryptography
import Testing

@testable import Models

@Suite struct PlattScalingTests {
    private func rows(slope: Double, intercept: Double, count: Int) -> (logOdds: [Float], labels: [Float]) {
        let random = SeededRandom(seed: 9)
        var (scores, labels): ([Float], [Float]) = ([], [])
        let truth = PlattScaling(slope: slope, intercept: intercept)
        for _ in 0..<count {
            let score = Double(random.word() >> 11) / Double(1 << 53) * 8 - 4
            scores.append(Float(score))
            labels.append(Double(random.word() >> 11) / Double(1 << 53) < truth.probability(score) ? 1 : 0)
        }
        return (scores, labels)
    }

    @Test(arguments: [(1.0, 0.0), (0.5, 1.0), (2.0, -0.7)]) func findsWhatTheScoresAreOffBy(_ slope: Double, _ intercept: Double) throws {
        let (scores, labels) = rows(slope: slope, intercept: intercept, count: 20_000)
        let found = try #require(PlattScaling(logOdds: scores, labels: labels))
        #expect(abs(found.slope - slope) < 0.08 && abs(found.intercept - intercept) < 0.08, "\(found)")
        // The sum of calibrated probabilities is the number of positives, but for the prior.
        let expected = scores.reduce(0) { $0 + found.probability(Double($1)) }
        #expect(abs(expected - Double(labels.reduce(0, +))) < 1)
    }

    @Test func aHistogramSaysNearlyTheSameAsItsRows() throws {
        let (scores, labels) = rows(slope: 0.6, intercept: 0.4, count: 5000)
        let layout = try EvaluationLayout(bins: 1000, threshold: 0.5, groups: [])
        let histogram = try EvaluationHistogram(layout: layout, scores: scores.map { Float(PlattScaling(slope: 1, intercept: 0).probability(Double($0))) }, labels: labels)
        let (binned, exact) = (try #require(histogram.calibration), try #require(PlattScaling(logOdds: scores, labels: labels)))
        #expect(abs(binned.slope - exact.slope) < 0.02 && abs(binned.intercept - exact.intercept) < 0.02)
    }

    @Test func whereNothingCanBeSaidThereIsNoCalibration() {
        #expect(PlattScaling([]) == nil)
        #expect(PlattScaling(logOdds: [1, 2, 3], labels: [1, 1, 1]) == nil)
        #expect(PlattScaling(logOdds: [1, 2, 3], labels: [0, 0, 0]) == nil)
        let ranks = (0..<400).map { Float($0) / 50 - 4 }
        #expect(PlattScaling(logOdds: ranks, labels: ranks.map { $0 < 0 ? 1 : 0 }) == nil, "higher scores, fewer positives")
        // Few rows change little.
        let few = PlattScaling(logOdds: [-1, 1], labels: [0, 1])
        #expect(few.map { abs($0.slope - 1) < 1.2 && abs($0.intercept) < 0.5 } == true)
        // Perfectly separated rows do not run off to infinity.
        let separated = PlattScaling(logOdds: ranks, labels: ranks.map { $0 < 0 ? 0 : 1 })
        #expect(separated.map { $0.slope.isFinite && $0.slope < 100 } == true)
    }
}
