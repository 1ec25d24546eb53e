// Whether the noise is really there: membership inference by canary on the whole pipeline.
//
// Two federations differ in one record of one site. Each is run many times, from statistics round to signed
// version; from the released parameters alone it is guessed which one they come from. What the guesses get right bounds ε from below
// (Jagielski, Ullman and Oprea 2020): below what the plan reports, or something is broken. Built with
// `-Xswiftc -DCONSILIUM_NO_NOISE_AUDIT`, which takes the noise out of the samplers, the same audit has to exceed it.

import Codec
import Cryptography
import DifferentialPrivacy
import Glibc
import SiteNode
import Study
import Tabular
import Telemetry

/// One audit.
package struct PrivacyAudit: Sendable {
    /// Runs of the study, half of them with the canary: 8 to 100,000.
    package var runs: Int
    /// Of keys, batches and noise.
    package var seed: UInt64

    /// - Parameters: see the properties.
    package init(runs: Int, seed: UInt64) {
        precondition((8...100_000).contains(runs), "an audit of 8 to 100,000 runs")
        self.runs = runs
        self.seed = seed
    }

    /// What an audit finds.
    package struct Finding: Sendable {
        /// ε that the plan promises, by privacy loss distributions.
        package let reported: Double
        /// ε that the guesses show, with 95 % confidence (Clopper and Pearson 1934); 0 when they show nothing.
        package let lowerBound: Double
        /// Runs behind the bound, and how many guesses were right: with the canary, without it.
        package let judged: Int
        package let recognised: (with: Int, without: Int)
    }

    static let canaryColumns = 16
    static let rowsPerSite = 30
    private static let siteNames = ["one", "three", "two"]
    private static let delta = 1e-5
    private static let epsilon = 3.0
    private static let samplingRate = 0.5
    private static let rounds = 2
    private static let stepsPerRound = 4

    /// Runs it.
    ///
    /// - Parameter progress: called before every run with how many are done.
    package func run(progress: (Int) -> Void = { _ in }) throws -> Finding {
        let steps = PrivacyAudit.rounds * PrivacyAudit.stepsPerRound
        let promised = try NoiseCalibration(samplingRate: PrivacyAudit.samplingRate, steps: steps, delta: PrivacyAudit.delta)
            .noiseMultiplier(epsilon: PrivacyAudit.epsilon)
        let event = try PrivacyEvent.poissonGaussian(
            samplingRate: PrivacyAudit.samplingRate, noiseMultiplier: promised, steps: steps)
        let reported = try LossAccountant([event]).epsilon(delta: PrivacyAudit.delta)
        var scores: [[Double]] = []
        for (index, withCanary) in [true, false].enumerated() {
            let plan = try PrivacyAudit.plan(noiseMultiplier: promised, withCanary: withCanary)
            let first = index * (runs / 2)
            scores.append(
                try (first..<first + runs / 2).map { run in
                    progress(run)
                    return try score(plan, withCanary: withCanary, seed: seed &* 0x1_0001 &+ UInt64(run))
                })
        }
        return finding(with: scores[0], without: scores[1], reported: reported)
    }

    /// What the released parameters say about the canary: the mean weight of its columns. Every run has a federation of its
    /// own, because no node's budget pays for two.
    private func score(_ plan: Plan, withCanary: Bool, seed: UInt64) throws -> Double {
        let sites = PrivacyAudit.siteNames.map { name -> (name: String, data: any SiteData) in
            let rows = PrivacyAudit.rows(withCanary: withCanary && name == PrivacyAudit.siteNames[0])
            return (
                name,
                MemorySiteData(site: name) { plan, site in
                    try SiteDataset(source: Ingest.read(csv: rows, schema: plan.schema), feedback: [], plan: plan, site: site, splitKey: [1])
                }
            )
        }
        let federation = try MemoryFederation(name: "audit", sites: sites, seed: seed, orderSeed: seed)
        try federation.agree(on: plan)
        let run = try federation.run(study: plan.study)
        guard run.status == .released, let weights = federation.installed[PrivacyAudit.siteNames[1]]?.last?.package.parameters.tensors.first
        else { throw ScenarioError.failed(step: "audit", run.reason ?? "no model was released") }
        return weights.values.reduce(0) { $0 + Double($1) } / Double(PrivacyAudit.canaryColumns)
    }

    /// The first half of the runs chooses threshold and direction, the second half is judged.
    func finding(with: [Double], without: [Double], reported: Double) -> Finding {
        let half = with.count / 2
        let (chosenWith, chosenWithout) = (with[..<half], without[..<half])
        var best = (bound: -Double.infinity, threshold: 0.0, claims: true)
        for threshold in (chosenWith + chosenWithout).sorted() {
            for claims in [true, false] {
                let bound = PrivacyAudit.bound(chosenWith, chosenWithout, threshold: threshold, claimsPresence: claims)
                if bound > best.bound { best = (bound, threshold, claims) }
            }
        }
        let (judgedWith, judgedWithout) = (with[half...], without[half...])
        return Finding(
            reported: reported,
            lowerBound: max(0, PrivacyAudit.bound(judgedWith, judgedWithout, threshold: best.threshold, claimsPresence: best.claims)),
            judged: judgedWith.count + judgedWithout.count,
            recognised: (judgedWith.count { $0 >= best.threshold }, judgedWithout.count { $0 < best.threshold }))
    }

    /// log((P(claim | true) − δ) / P(claim | false)), the first from below and the second from above.
    private static func bound(_ with: ArraySlice<Double>, _ without: ArraySlice<Double>, threshold: Double, claimsPresence: Bool) -> Double {
        let (truth, other) = claimsPresence ? (with, without) : (without, with)
        func claims(_ scores: ArraySlice<Double>) -> Int { scores.count { ($0 >= threshold) == claimsPresence } }
        let right = ClopperPearson.lower(claims(truth), of: truth.count, error: 0.025) - delta
        let wrong = ClopperPearson.upper(claims(other), of: other.count, error: 0.025)
        return right <= 0 ? -.infinity : log(right / wrong)
    }

    /// Rows in which no column says anything; the canary has a one in all of them.
    private static func rows(withCanary: Bool) -> [UInt8] {
        func line(_ value: String, _ label: Int) -> String {
            String(repeating: value + ",", count: canaryColumns) + "\(label)\n"
        }
        var lines = (0..<canaryColumns).map { "c\($0)," }.joined() + "y\n"
        for row in 0..<rowsPerSite { lines += line("0", row % 2) }
        if withCanary { lines += line("1", 1) }
        return Array(lines.utf8)
    }

    /// The first two rows of a site judge, the others train, the canary among them.
    private static func plan(noiseMultiplier: Double, withCanary: Bool) throws -> Plan {
        let lists = siteNames.map { site in
            let rows = rowsPerSite + (withCanary && site == siteNames[0] ? 1 : 0)
            return "\(site): { train: [\((2..<rows).map(String.init).joined(separator: ", "))], heldOut: [0, 1] }"
        }.joined(separator: ", ")
        let features = (0..<canaryColumns).map { "{ name: \"c\($0)\", kind: \"binary\" }" }.joined(separator: ", ")
        let text = """
            {
                consilium: "plan/1", study: "audit", title: "Audit", owner: "Simulation", purpose: "Membership inference by canary.",
                mustNotBeUsedFor: ["Anything else."], assumptions: [], task: "binary-classification",
                schema: { features: [\(features)], label: { column: "y", positive: { equals: [1] } } },
                model: { family: "logisticRegression" },
                training: { rounds: \(rounds), local: { optimizer: "sgd", learningRate: 1 }, server: { optimizer: "fedAvg" }, updateBound: 1024 },
                privacy: {
                    secureAggregation: true, mode: "record-local", noiseMultiplier: \(noiseMultiplier), delta: \(delta), clippingNorm: 1, samplingRate: \(samplingRate),
                    expectedBatch: 15, stepsPerRound: \(stepsPerRound),
                    statisticsOutsideGuarantee: "The columns of the audit need no statistics.",
                    evaluationOutsideGuarantee: "The audit looks at parameters only.",
                },
                split: { rule: "row-lists", sites: { \(lists) } },
                gates: [{ metric: "rows", atLeast: 1 }],
            }
            """
        return try Plan(parsing: Array(text.utf8))
    }
}

/// Exact bounds of a probability from counts (Clopper and Pearson 1934).
enum ClopperPearson {
    /// The largest p with P(X ≥ hits) ≤ error; 0 for no hit.
    static func lower(_ hits: Int, of trials: Int, error: Double) -> Double {
        hits == 0 ? 0 : bisect { tail(hits...trials, trials, $0) <= error }
    }

    /// The smallest p with P(X ≤ hits) ≤ error; 1 when all hit.
    static func upper(_ hits: Int, of trials: Int, error: Double) -> Double {
        hits == trials ? 1 : bisect { tail(0...hits, trials, $0) > error }
    }

    /// Where a condition that holds from 0 on ceases to.
    private static func bisect(_ holds: (Double) -> Bool) -> Double {
        var (low, high) = (0.0, 1.0)
        for _ in 0..<60 {
            let middle = (low + high) / 2
            if holds(middle) { low = middle } else { high = middle }
        }
        return (low + high) / 2
    }

    private static func tail(_ hits: ClosedRange<Int>, _ trials: Int, _ p: Double) -> Double {
        let n = Double(trials)
        return hits.reduce(0.0) { sum, k in
            let x = Double(k)
            return sum + exp(lgamma(n + 1) - lgamma(x + 1) - lgamma(n - x + 1) + x * log(p) + (n - x) * log1p(-p))
        }
    }
}
