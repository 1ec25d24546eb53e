// A version on trial: what is seen of it, and what follows. No clock, no disk: observations in, a verdict out.
//
// Each row that the canary answers is also scored by the live version, so errors, score and time are compared on the same rows.
// Outcomes come back for different people on the two arms: the k-th outcome of one arm is paired with the k-th of the other,
// in the order of their coming, so that a drift over time meets both alike.

import Codec
import Glibc
import Study
import Telemetry

package struct CanaryTrial: Sendable {
    /// What follows from what was seen.
    package enum Verdict: Equatable, Sendable {
        case goOn
        case advance
        case promote
        /// A guardrail is crossed; the reason is for people.
        case stop(String)
        /// Nothing was shown; the live version stays.
        case end(String)
    }

    /// What is tested.
    package enum Claim: String, CaseIterable, Sendable {
        case errors, scoreAbove, scoreBelow, slower, outcomes
        /// Of an A/B comparison: the new version is not better.
        case notBetter

        /// Those that stop the version when they are refuted.
        static let guardrails: [Claim] = [.errors, .scoreAbove, .scoreBelow, .slower, .outcomes]
    }

    package let plan: CanaryPlan
    /// Index into the plan's steps.
    package private(set) var step: Int
    private var stepBegun: Timestamp
    private var tests: [Claim: SequentialTest] = [:]
    private(set) var differences = DifferenceSummary()
    private(set) var rowsInStep = 0
    private var waiting: (live: [Double], canary: [Double]) = ([], [])
    /// Set while a verdict is being carried out.
    private var isDecided = false
    /// After a verdict that could not be carried out.
    private var notBefore = Timestamp(milliseconds: 0)

    /// Outcomes of one arm that wait for one of the other.
    static let waitingMax = 1000

    /// A trial as the log has it.
    package init(_ standing: DeploymentState.CanaryStanding) {
        (plan, step, stepBegun) = (standing.plan, standing.step, standing.since)
        let carried = standing.report?["log_evidence"]
        func test(_ claim: Claim, bound: Double, low: Double) {
            tests[claim] = SequentialTest(
                bound: bound, low: low, carried: carried?[claim.rawValue]?.stringValue.flatMap(Double.init) ?? 0)
        }
        test(.errors, bound: plan.errorShareMax, low: 0)
        test(.scoreAbove, bound: plan.scoreShiftMax, low: -1)
        test(.scoreBelow, bound: plan.scoreShiftMax, low: -1)
        test(.slower, bound: 0.5, low: 0)
        test(.outcomes, bound: plan.outcomeMargin, low: -1)
        test(.notBetter, bound: 0, low: -1)
    }

    /// Goes on to a step, with what was seen so far.
    mutating func proceed(to standing: DeploymentState.CanaryStanding) {
        (step, stepBegun, rowsInStep, isDecided) = (standing.step, standing.since, 0, false)
    }

    /// Takes the rows of a request that was given to the canary.
    mutating func observe(_ pairs: [PairedScore], at now: Timestamp) -> Verdict {
        for pair in pairs {
            differences.observe(pair)
            rowsInStep += 1
            tests[.errors]?.observe(pair.other == nil ? 1 : 0)
            tests[.slower]?.observe(pair.isSlow ? 1 : 0)
            guard let other = pair.other else { continue }
            tests[.scoreAbove]?.observe(other - pair.live)
            tests[.scoreBelow]?.observe(pair.live - other)
        }
        return verdict(at: now)
    }

    /// Takes an outcome: the squared error of what an arm had said.
    package mutating func observe(squaredError: Double, isCanary: Bool, at now: Timestamp) -> Verdict {
        if isCanary { waiting.canary.append(squaredError) } else { waiting.live.append(squaredError) }
        if waiting.live.count > Self.waitingMax { waiting.live.removeFirst() }
        if waiting.canary.count > Self.waitingMax { waiting.canary.removeFirst() }
        while let live = waiting.live.first, let canary = waiting.canary.first {
            waiting.live.removeFirst()
            waiting.canary.removeFirst()
            tests[.outcomes]?.observe(canary - live)
            tests[.notBetter]?.observe(live - canary)
        }
        return verdict(at: now)
    }

    private mutating func verdict(at now: Timestamp) -> Verdict {
        guard !isDecided, now >= notBefore else { return .goOn }
        let verdict = decide(at: now)
        isDecided = verdict != .goOn
        return verdict
    }

    /// The verdict could not be carried out: another may come, later.
    mutating func reopen(at now: Timestamp) { (isDecided, notBefore) = (false, now.adding(seconds: 10)) }

    private func decide(at now: Timestamp) -> Verdict {
        // The guardrails share alpha equally.
        let share = plan.alpha / Double(Claim.guardrails.count)
        for claim in Claim.guardrails {
            if let test = tests[claim], test.refutes(at: share) { return .stop(reason(claim, test)) }
        }
        guard plan.kind == .canary else {
            if tests[.notBetter]?.refutes(at: plan.alpha) == true { return .promote }
            if (tests[.notBetter]?.count ?? 0) >= plan.outcomesMax { return .end("no difference was shown by \(plan.outcomesMax) pairs of outcomes") }
            return .goOn
        }
        let isLongEnough = now.milliseconds - stepBegun.milliseconds >= Int64(plan.minutesPerStep) * 60_000
        guard rowsInStep >= plan.rowsPerStep, isLongEnough else { return .goOn }
        return step + 1 < plan.steps.count ? .advance : .promote
    }

    private func reason(_ claim: Claim, _ test: SequentialTest) -> String {
        let mean = decimal(test.mean ?? 0, places: 6)
        let what =
            switch claim {
            case .errors: "no usable score on a share of \(mean) of the rows, at most \(plan.errorShareMax) is allowed"
            case .scoreAbove: "probabilities are \(mean) above the live version's, at most \(plan.scoreShiftMax) is allowed"
            case .scoreBelow: "probabilities are \(mean) below the live version's, at most \(plan.scoreShiftMax) is allowed"
            case .slower: "more than \(plan.slowerTimesMax) times slower than the live version on a share of \(mean) of the rows"
            case .outcomes: "squared error is \(mean) above the live version's, at most \(plan.outcomeMargin) is allowed"
            case .notBetter: ""
            }
        return "guardrail \(claim.rawValue): \(what) (\(test.count) observations)"
    }

    /// The figures, for people (`number` writes numbers) or for the log (decimal texts).
    func members(_ number: (Double) -> JSONValue) -> [String: JSONValue] {
        var members = differences.members(number)
        members["step"] = .integer(Int64(step))
        members["percent"] = .integer(Int64(plan.steps[step]))
        members["rows_in_step"] = .integer(Int64(rowsInStep))
        members["outcome_pairs"] = .integer(Int64(tests[.outcomes]?.count ?? 0))
        members["log_evidence"] = .object(
            Dictionary(uniqueKeysWithValues: tests.map { ($0.rawValue, number(max($1.logEvidence, -1e6))) }))
        members["mean_outcome_difference"] = tests[.outcomes]?.mean.map(number) ?? .null
        members["threshold"] = number(log(Double(Claim.guardrails.count) / plan.alpha))
        return members
    }

    /// For the log.
    func report(reason: String? = nil) -> JSONValue {
        var members = members { .string($0.description) }
        members["reason"] = reason.map { .string($0) }
        return .object(members)
    }
}
