import Codec
import Models
import Study
import Testing

/// `deployment.rollout`: what a version needs before it is put to use at a site.
@Suite struct RolloutPlanTests {
    static let full: JSONValue = fullPlan.with(
        "deployment.rollout",
        [
            "approvals": 2, "approvalHours": 48,
            "groupGaps": [["metric": "selectionRate", "atMost": 0.1, "rowsMin": 5]],
            "notWorseThanLive": [["metric": "auc", "by": 0.02]],
            "canary": ["kind": "canary", "steps": [5, 50], "rowsPerStep": 100, "alpha": 0.01],
        ])

    @Test func aPlanWithoutItKeepsTheHashItAlwaysHad() throws {
        let without = try plan(fullPlan)
        #expect(without.deployment.rollout == nil)
        #expect(!String(decoding: without.canonicalBytes, as: UTF8.self).contains("rollout"))
        let with = try plan(Self.full)
        let again = try Plan(parsing: with.canonicalBytes)
        #expect(with.hash != without.hash && again == with)
        #expect(with.deployment.rollout?.canary?.minutesPerStep == 0)
        let empty = try plan(fullPlan.with("deployment.rollout", [:]))
        #expect(empty.deployment.rollout == RolloutPlan())
    }

    static let outside: [(String, [JSONValue])] = [
        ("approvals", [-1, 3, 1.5]), ("approvalHours", [0, 8761]), ("groupGaps[0].metric", ["f1", "rows"]),
        ("groupGaps[0].atMost", [-0.1, 1.1]), ("groupGaps[0].rowsMin", [0]), ("notWorseThanLive[0].metric", ["rows", "selectionRate"]),
        ("notWorseThanLive[0].by", [-0.1, 1.1]), ("canary.kind", ["blue"]), ("canary.steps", [[], [0], [100], [5, 5], [50, 5], [1.5]]),
        ("canary.rowsPerStep", [0]), ("canary.minutesPerStep", [-1]), ("canary.alpha", [0, 0.6]), ("canary.errorShareMax", [0, 0.6]),
        ("canary.scoreShiftMax", [0, 1]), ("canary.slowerTimesMax", [1, 1001]), ("canary.outcomeMargin", [-0.1, 0.95]),
        ("canary.outcomesMax", [9]), ("unknown", [1]), ("canary.unknown", [1]), ("groupGaps[0].unknown", [1]),
    ]

    @Test(arguments: outside) func refusesValuesOutsideTheRange(_ path: String, _ values: [JSONValue]) {
        for value in values {
            let error = failure { _ = try plan(Self.full.with("deployment.rollout." + path, value)) }
            #expect(error?.path.hasPrefix("deployment.rollout." + path.prefix { $0 != "[" }) == true, "\(path): \(error?.description ?? "accepted")")
        }
    }

    @Test func anABComparisonHasOneShare() throws {
        var document = Self.full.with("deployment.rollout.canary.kind", "ab")
        #expect(failure { _ = try plan(document) }?.code == .planContradiction)
        document = document.with("deployment.rollout.canary.steps", nil)
        #expect(try plan(document).deployment.rollout?.canary?.steps == [50])
        #expect(try plan(document).deployment.rollout?.canary?.outcomeMargin == 0)
    }

    // MARK: bounds on the site's own rows

    /// Two groups of 40 rows; scores separate the labels where `sharp` says so.
    private func histogram(_ sharp: [Bool], shift: Float = 0) throws -> EvaluationHistogram {
        let layout = try EvaluationLayout(groups: ["sex=0", "sex=1"])
        var (scores, labels): ([Float], [Float]) = ([], [])
        var groups: [[Bool]] = [[], []]
        for group in 0..<2 {
            for row in 0..<40 {
                let label: Float = row % 2 == 0 ? 1 : 0
                scores.append(min(1, max(0, (sharp[group] ? 0.1 + 0.8 * label : 0.45 + Float(row % 5) / 50) + shift)))
                labels.append(label)
                groups[group].append(true)
                groups[1 - group].append(false)
            }
        }
        return try EvaluationHistogram(layout: layout, scores: scores, labels: labels, groups: groups)
    }

    @Test func aGapBetweenGroupsIsHeldAgainstItsBound() throws {
        var plan = try plan(Self.full).deployment
        plan.siteGates = []
        plan.rollout?.groupGaps[0].atMost = 0.04
        let fair = plan.accept(try histogram([true, true]), live: nil)
        #expect(fair.map(\.gate) == ["selectionRate gap of sex"] && fair.allSatisfy { $0.passed && $0.value == 0 })
        // One group is selected by half, the other by two rows in five.
        let unfair = try #require(plan.accept(try histogram([true, false]), live: nil).first)
        #expect(!unfair.passed && abs((unfair.value ?? 0) - 0.1) < 1e-9)
        #expect(unfair.sentence == "selectionRate gap of sex is 0.100000, must be at most 0.040000, missed by 0.060000")
        // Too few rows for a comparison: nothing to hold, and said so.
        plan.rollout?.groupGaps[0].rowsMin = 41
        let small = try #require(plan.accept(try histogram([true, false]), live: nil).first)
        #expect(small.passed && small.value == nil)
    }

    @Test func worseThanLiveByMoreThanDeltaIsRefused() throws {
        var plan = try plan(Self.full).deployment
        plan.siteGates = []
        plan.rollout?.groupGaps = []
        let good = try histogram([true, true]).metrics.named
        let poor = try histogram([false, false])
        #expect(plan.accept(poor, live: nil).isEmpty, "nothing is live, so nothing to be worse than")
        #expect(plan.accept(poor, live: poor.metrics.named).allSatisfy { $0.passed && $0.value == 0 })
        let worse = try #require(plan.accept(poor, live: good).first)
        #expect(!worse.passed && worse.gate == "loss of auc against live")
        #expect(abs((worse.missedBy ?? 0) - ((good["auc"] ?? 0) - (poor.metrics.auc ?? 0) - 0.02)) < 1e-9)
        #expect(plan.accept(try histogram([true, true]), live: poor.metrics.named).allSatisfy(\.passed), "better is not worse")
        // What cannot be compared misses its bound.
        #expect(plan.accept(poor, live: [:]).allSatisfy { !$0.passed && $0.value == nil })
    }
}
