import Glibc
import Kernels
import Models
import Testing

@Suite struct EvaluationTests {
    static func scored(_ rows: Int, seed: UInt64, ties: Bool = false) -> (
        scores: [Float], labels: [Float]
    ) {
        var generator = SeededGenerator(seed: seed)
        let scores = (0..<rows).map { _ in
            ties ? Float(generator.below(5)) / 4 : generator.unitFloat()
        }
        return (scores, scores.map { generator.unitFloat() < 0.2 + 0.6 * $0 ? 1 : 0 })
    }

    @Test(arguments: [false, true]) func aucCountsPairs(ties: Bool) throws {
        for seed in 1...20 as ClosedRange<UInt64> {
            let (scores, labels) = Self.scored(40, seed: seed, ties: ties)
            var (wins, pairs) = (0.0, 0.0)
            for i in scores.indices where labels[i] == 1 {
                for j in scores.indices where labels[j] == 0 {
                    pairs += 1
                    wins += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0
                }
            }
            #expect(near(Metrics.auc(scores, labels), wins / pairs, 1e-12))
        }
        #expect(Metrics.auc([0.1, 0.9], [1, 1]) == nil)
        #expect(Metrics.auc([], []) == nil)
    }

    @Test func knownValues() throws {
        let (scores, labels): ([Float], [Float]) = ([0.9, 0.4, 0.5, 0.2], [1, 1, 0, 0])
        #expect(Metrics.accuracy(scores, labels) == 0.5)
        #expect(near(Metrics.brier(scores, labels), 0.165, 1e-6))
        let loss: Double = -log(0.9 * 0.4 * 0.5 * 0.8) / 4
        #expect(near(Metrics.logLoss(scores, labels), loss, 1e-6))
        #expect(try #require(Metrics.logLoss([0], [1])) <= EvaluationLayout.rowLossMax)
        let confusion = Metrics.confusion(scores, labels)
        #expect(confusion.truePositives == 1 && confusion.falsePositives == 1)
        #expect(
            confusion.sensitivity == 0.5 && confusion.specificity == 0.5
                && confusion.precision == 0.5 && confusion.positiveShare == 0.5)
        #expect(Metrics.accuracy([], []) == nil && Confusion().sensitivity == nil)
    }

    @Test func histogramAgreesWithExactMetrics() throws {
        let (scores, labels) = Self.scored(5000, seed: 3)
        let layout = try EvaluationLayout(threshold: 0.3337)
        let metrics = try EvaluationHistogram(layout: layout, scores: scores, labels: labels)
            .metrics
        #expect(near(metrics.auc, Metrics.auc(scores, labels), 0.001))
        #expect(metrics.confusion == Metrics.confusion(scores, labels, threshold: 0.3337))
        #expect(near(metrics.logLoss, Metrics.logLoss(scores, labels), 1e-4))
        #expect(near(metrics.brier, Metrics.brier(scores, labels), 1e-5))
        #expect(
            metrics.calibration.count == 10
                && metrics.calibration.reduce(0) { $0 + $1.rows } == 5000)
        for step in metrics.calibration {
            #expect(near(step.predicted, (step.lower + step.upper) / 2, 0.02))
            #expect(near(step.observed, (0.2 + 0.6 * (step.lower + step.upper) / 2), 0.1))
        }
        #expect(Set(metrics.named.keys) == ["auc", "accuracy", "logLoss", "brier", "rows"])
    }

    @Test func groupsAreJudgedApart() throws {
        let (scores, labels) = Self.scored(3000, seed: 4)
        let membership = [
            scores.indices.map { $0 < 1000 }, scores.indices.map { $0 >= 1000 },
            scores.indices.map { _ in false },
        ]
        let layout = try EvaluationLayout(groups: ["sex=0", "sex=1", "sex=2"])
        let histogram = try EvaluationHistogram(
            layout: layout, scores: scores, labels: labels, groups: membership)
        let groups = histogram.groupMetrics
        #expect(groups.map(\.group) == ["sex=0", "sex=1", "sex=2"])
        #expect(groups.map(\.metrics.rows) == [1000, 2000, 0])
        #expect(
            near(
                groups[0].metrics.auc, Metrics.auc(Array(scores[..<1000]), Array(labels[..<1000])),
                0.002))
        #expect(groups[2].metrics.auc == nil && groups[2].metrics.accuracy == nil)
    }

    /// What a secure sum does: shares rounded to fixed point, weighted by rows, added. The counts come back whole.
    @Test func countsSurviveAFixedPointSum() throws {
        let layout = try EvaluationLayout(bins: 200, groups: ["a"], groupBins: 20)
        let sites = try [(9, 1), (300, 2), (4321, 3)].map { (rows, seed) in
            let (scores, labels) = Self.scored(rows, seed: UInt64(seed))
            return try EvaluationHistogram(
                layout: layout, scores: scores, labels: labels, groups: [labels.map { $0 == 1 }])
        }
        #expect(
            sites.allSatisfy {
                $0.shares.count == layout.count && $0.shares.allSatisfy { (0...1).contains($0) }
            })
        let summed = sites[0] + sites[1] + sites[2]
        let decoded = try EvaluationHistogram(
            layout: layout, meanShares: layout.meanShares(of: sites), rows: 4630)
        #expect(
            decoded.metrics.confusion == summed.metrics.confusion
                && decoded.metrics.auc == summed.metrics.auc)
        #expect(near(decoded.metrics.logLoss, summed.metrics.logLoss, 1e-5))
        #expect(
            try EvaluationHistogram(layout: layout, counts: summed.counts, rows: 4630) == summed)
    }

    @Test func aSiteWithoutRowsAddsNothing() throws {
        let layout = try EvaluationLayout(bins: 10)
        let empty = try EvaluationHistogram(layout: layout, scores: [], labels: [])
        #expect(empty == EvaluationHistogram(layout: layout) && empty.shares.allSatisfy { $0 == 0 })
        #expect(
            empty.metrics.auc == nil && empty.metrics.logLoss == nil
                && empty.metrics.named == ["rows": 0])
    }

    @Test func refusesCountsThatNoRowsCanGive() throws {
        let layout = try EvaluationLayout(bins: 10)
        let zeros = [Int](repeating: 0, count: layout.count)
        #expect(throws: ModelsError.self) {
            try EvaluationHistogram(layout: layout, counts: [1], rows: 1)
        }
        #expect(throws: ModelsError.self) {
            try EvaluationHistogram(layout: layout, counts: zeros, rows: 1)
        }
        var negative = zeros
        negative[3] = -1
        #expect(throws: ModelsError.self) {
            try EvaluationHistogram(layout: layout, counts: negative, rows: -1)
        }
        var huge = zeros
        huge[0] = .max
        huge[1] = .max
        #expect(throws: ModelsError.self) {
            try EvaluationHistogram(layout: layout, counts: huge, rows: 1)
        }
        #expect(throws: ModelsError.self) {
            try EvaluationHistogram(
                layout: layout, meanShares: [Double](repeating: .nan, count: layout.count), rows: 4)
        }
        var short = [Double](repeating: 0, count: layout.count)
        short[4] = 0.9
        #expect(throws: ModelsError.self) {
            try EvaluationHistogram(layout: layout, meanShares: short, rows: 5000)
        }
        short[4] = 0.9996
        #expect(try EvaluationHistogram(layout: layout, meanShares: short, rows: 5000).rows == 5000)
        #expect(throws: ModelsError.self) {
            try EvaluationHistogram(layout: layout, scores: [1.5], labels: [1])
        }
        #expect(throws: ModelsError.self) {
            try EvaluationHistogram(layout: layout, scores: [.nan], labels: [1])
        }
        #expect(throws: ModelsError.self) { try EvaluationLayout(bins: 1) }
        #expect(throws: ModelsError.self) { try EvaluationLayout(threshold: 1) }
        #expect(throws: ModelsError.self) { try EvaluationLayout(groups: ["a", "a"]) }
    }
}
