import Codec
import Cryptography
import Study
import Telemetry
import Testing

@testable import Serving

@Suite struct CanaryTrialTests {
    private func trial(_ kind: CanaryPlan.Kind = .canary, step: Int = 0, _ change: (inout CanaryPlan) -> Void = { _ in }) -> CanaryTrial {
        var plan = CanaryPlan(kind)
        (plan.steps, plan.rowsPerStep) = (kind == .ab ? [50] : [10, 50], 100)
        change(&plan)
        return CanaryTrial(.init(plan: plan, step: step, since: at(0), begun: at(0)))
    }

    private func pair(_ live: Double, _ other: Double?, slow: Bool = false) -> PairedScore {
        PairedScore(live: live, other: other, flips: false, isSlow: slow)
    }

    /// The first verdict other than to go on, and after how many rows.
    private func run(_ trial: inout CanaryTrial, most: Int = 2000, _ row: (Int) -> PairedScore) -> (CanaryTrial.Verdict, Int) {
        for count in 1...most {
            let verdict = trial.observe([row(count)], at: at(Int64(count)))
            if verdict != .goOn { return (verdict, count) }
        }
        return (.goOn, most)
    }

    @Test func goesOnStepByStepAndIsPromotedAfterTheLast() {
        var first = trial()
        #expect(run(&first) { _ in pair(0.5, 0.52) } == (.advance, 100))
        // Said once.
        #expect(first.observe([pair(0.5, 0.5)], at: at(200)) == .goOn)
        first.proceed(to: .init(plan: first.plan, step: 1, since: at(0), begun: at(0)))
        #expect(run(&first) { _ in pair(0.5, 0.52) } == (.promote, 100))
        // Not before its time.
        var patient = trial { $0.minutesPerStep = 1 }
        #expect(run(&patient, most: 300) { _ in pair(0.5, 0.5) } == (.goOn, 300))
        #expect(patient.observe([pair(0.5, 0.5)], at: at(60_000)) == .advance)
    }

    @Test func everyGuardrailStopsItAndSaysWhy() {
        let cases: [(String, (Int) -> PairedScore)] = [
            ("errors", { pair(0.5, $0 % 5 == 0 ? nil : 0.5) }), ("scoreAbove", { _ in pair(0.2, 0.7) }),
            ("scoreBelow", { _ in pair(0.9, 0.3) }), ("slower", { pair(0.5, 0.5, slow: $0 % 10 != 0) }),
        ]
        for (name, row) in cases {
            var trial = trial { $0.rowsPerStep = 100_000 }
            let (verdict, rows) = run(&trial, row)
            guard case .stop(let reason) = verdict else {
                Issue.record("\(name): \(verdict)")
                continue
            }
            #expect(reason.hasPrefix("guardrail \(name): ") && rows < 200, "\(name) after \(rows): \(reason)")
        }
        var fine = trial { $0.rowsPerStep = 100_000 }
        #expect(run(&fine) { pair(0.5, 0.5 + ($0 % 2 == 0 ? 0.19 : -0.19), slow: $0 % 3 == 0) }.0 == .goOn)
    }

    @Test func outcomesThatTurnOutWorseStopIt() {
        var trial = trial { $0.rowsPerStep = 100_000 }
        var verdict = CanaryTrial.Verdict.goOn
        for count in 1...400 where verdict == .goOn {
            verdict = trial.observe(squaredError: count % 2 == 0 ? 0.5 : 0.3, isCanary: true, at: at(1))
            if verdict == .goOn { verdict = trial.observe(squaredError: 0.1, isCanary: false, at: at(1)) }
        }
        guard case .stop(let reason) = verdict else { return #expect(Bool(false), "\(verdict)") }
        #expect(reason.contains("guardrail outcomes"))
    }

    /// Outcomes decide an A/B comparison: better is promoted, worse is stopped, the same ends without a winner.
    @Test(arguments: [(0.05, "promote"), (0.4, "stop"), (0.2, "end")]) func outcomesDecideAnABComparison(_ error: Double, _ expected: String) {
        var trial = trial(.ab) { $0.outcomesMax = 1000 }
        #expect(run(&trial) { _ in pair(0.5, 0.5) }.0 == .goOn, "rows alone decide nothing")
        var numbers = SequentialTestTests.Numbers(5)
        var verdict = CanaryTrial.Verdict.goOn
        for _ in 0..<1000 where verdict == .goOn {
            _ = trial.observe(squaredError: 0.2 + (numbers.next() - 0.5) / 5, isCanary: false, at: at(1))
            verdict = trial.observe(squaredError: error + (numbers.next() - 0.5) / 10, isCanary: true, at: at(1))
        }
        #expect("\(verdict)".hasPrefix(expected), "\(verdict)")
    }

    /// Equal versions under continuous looking: the whole trial, all guardrails together, stops at most α of them.
    @Test func equalVersionsAreStoppedAtMostAlphaOfTheTime() {
        var stopped = 0
        for run in 0..<300 {
            var numbers = SequentialTestTests.Numbers(UInt64(run) &* 31 &+ 7)
            var trial = trial {
                ($0.rowsPerStep, $0.outcomeMargin) = (100_000, 0)
                ($0.scoreShiftMax, $0.errorShareMax) = (0.01, 0.02)
            }
            for _ in 0..<800 {
                let live = numbers.next() * 0.9
                let other = numbers.next() < 0.02 ? nil : live + (numbers.next() - 0.5) / 10 + 0.01
                var verdict = trial.observe([pair(live, other, slow: numbers.next() < 0.5)], at: at(1))
                if verdict == .goOn { verdict = trial.observe(squaredError: numbers.next(), isCanary: true, at: at(1)) }
                if verdict == .goOn { verdict = trial.observe(squaredError: numbers.next(), isCanary: false, at: at(1)) }
                if verdict != .goOn {
                    stopped += 1
                    break
                }
            }
        }
        #expect(Double(stopped) / 300 <= 0.05 + 3 * (0.05 * 0.95 / 300).squareRoot(), "\(stopped)")
    }

    @Test func evidenceGoesOnOverARestartFromTheLog() {
        var trial = trial { $0.rowsPerStep = 100_000 }
        for _ in 0..<20 { _ = trial.observe([pair(0.2, 0.65)], at: at(1)) }
        let report = trial.report()
        let later = CanaryTrial(.init(plan: trial.plan, step: 1, since: at(5), begun: at(0), report: report))
        #expect(later.report()["log_evidence"] == report["log_evidence"])
        #expect(later.rowsInStep == 0)
    }

    @Test func keysStayOnTheirArmAndCannotBeChosen() {
        let (router, other) = (ArmRouter(secret: [UInt8](repeating: 1, count: 32)), ArmRouter(secret: [UInt8](repeating: 2, count: 32)))
        let places = (0..<20_000).map { router.place("patient \($0)", trial: digest(1)) }
        #expect(places == (0..<20_000).map { router.place("patient \($0)", trial: digest(1)) })
        for share in [0.01, 0.05, 0.25, 0.5] {
            let found = Double(places.count { $0 < share }) / 20_000
            #expect(abs(found - share) < 4 * (share * (1 - share) / 20_000).squareRoot(), "\(share): \(found)")
        }
        #expect(places.allSatisfy { (0..<1).contains($0) })
        // Another trial and another node divide otherwise.
        let again = (0..<20_000).map { router.place("patient \($0)", trial: digest(2)) }
        let elsewhere = (0..<20_000).map { other.place("patient \($0)", trial: digest(1)) }
        for divided in [again, elsewhere] {
            let both = zip(places, divided).count { $0 < 0.5 && $1 < 0.5 }
            #expect(abs(Double(both) / 20_000 - 0.25) < 0.02)
        }
    }
}
