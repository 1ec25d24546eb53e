// What a promise costs and what keeps it, before anybody has a plan. `protocol/differential-privacy.md` §3.

import Codec
import DifferentialPrivacy
import Simulation
import Storage
import Study
import Tabular
import Telemetry

private let mechanism: [Option] = [
    .required("sampling-rate", "Q", "probability that a record is drawn in a step; 1: the full batch, without amplification, accounted exactly"),
    .required("steps", "T", "steps in all: rounds times steps of a round"),
    .required("delta", "D", "δ, well below one over the number of records"),
]

let privacyCommands: [Command] = [
    Command(
        words: ["privacy", "epsilon"], summary: "what steps of Poisson-sampled Gaussian noise cost: ε by two accountants",
        options: mechanism + [.required("noise-multiplier", "S", "standard deviation of the noise over the clipping norm")]
    ) { invocation in try epsilon(invocation) },
    Command(
        words: ["privacy", "calibrate"], summary: "the least noise multiplier that keeps an ε",
        options: mechanism + [.required("epsilon", "E", "ε to keep")]
    ) { invocation in try calibrate(invocation) },
    Command(
        words: ["privacy", "plan"], summary: "what a study plan promises and costs, the noise that other ε take, and what noise costs in accuracy",
        operands: ["PLAN|SCENARIO"],
        options: [
            .value("rows", "FILE", "public rows of the plan's schema to estimate the accuracy on (default: rows made from the schema)"),
            .flag("no-estimate", "leave the accuracy out, which takes a training for each ε"),
            .value("seed", "N", "seed of rows, batches and noise of the estimate (default 1)"),
        ]
    ) { invocation in try plan(invocation) },
]


private func epsilon(_ invocation: Invocation) throws {
    let terms = try Terms(invocation)
    let sigma = try number(invocation, "noise-multiplier", in: PrivacyLimits.noiseMultiplier, "from 0.01 to 1000000")
    let spent = try terms.spent(noiseMultiplier: sigma)
    Output(invocation).answer(
        ["rdp": .number(spent.renyi), "pld": .number(spent.loss)],
        """
        ε \(decimals(spent.renyi)) by Rényi divergences (what budgets go by)
        ε \(decimals(spent.loss)) by privacy loss distributions (what reports state)
        at δ \(ecmaScript(terms.delta)), one record more or less\(terms.samplingRate == 1 ? "; full batch: no amplification" : "")
        """)
}

private func calibrate(_ invocation: Invocation) throws {
    let terms = try Terms(invocation)
    let target = try number(invocation, "epsilon", in: PrivacyLimits.epsilon, "from 0.0001 to 10000")
    let calibration = NoiseCalibration(samplingRate: terms.samplingRate, steps: terms.steps, delta: terms.delta)
    let (renyi, loss): (Double, Double)
    do throws(PrivacyParameterError) {
        renyi = try calibration.noiseMultiplier(epsilon: target)
        loss = try calibration.noiseMultiplier(epsilon: target, by: .loss)
    } catch {
        throw Failure(.usage, "privacy.parameter", "--epsilon: \(error)")
    }
    let spent = try terms.spent(noiseMultiplier: renyi)
    Output(invocation).answer(
        ["noiseMultiplier": .number(renyi), "rdp": .number(renyi), "pld": .number(loss)],
        """
        noise multiplier \(decimals(renyi)) keeps ε \(ecmaScript(target)) by Rényi divergences (what budgets go by); it then is \(decimals(spent.loss)) by privacy loss
        noise multiplier \(decimals(loss)) keeps it by privacy loss distributions (what reports state)
        """)
}

private func plan(_ invocation: Invocation) throws {
    let bytes = try DurableFile.read(invocation.operands[0], maxBytes: Plan.bytesMax)
    // A scenario names a plan and what it changes in it.
    let isScenario = (try? JSONValue.parse(bytes, dialect: .json5))?["consilium"]?.stringValue == "scenario/1"
    let plan = try isScenario ? Scenario(path: invocation.operands[0]).plan() : Plan(parsing: bytes)
    guard let guarantee = plan.privacy.guarantee else {
        Output(invocation).answer(["mode": .null], "Study \(plan.study): no differential privacy. The plan says so, and each consent repeats it.")
        return
    }
    let promise = try PlanPromise(plan, guarantee)
    let choices = try promise.choices()
    let accuracy = invocation.has("no-estimate") ? nil : try estimate(promise, choices, invocation)
    Output(invocation).answer(promise.json(choices, accuracy), promise.text(choices, accuracy))
}

/// AUC on stand-in rows: with next to no noise, with the plan's, with that of each tier.
private struct AccuracyEstimate {
    var rows: Int
    var isSynthetic: Bool
    var quiet: Double
    var planned: Double
    var choices: [Double?]
}

private func estimate(
    _ promise: PlanPromise, _ choices: [(epsilon: Double, noiseMultiplier: Double?)], _ invocation: Invocation
) throws -> AccuracyEstimate {
    let seed = UInt64(try invocation.integer("seed", in: 0...Int(Int32.max), default: 1))
    let rows = try invocation["rows"].map { path in
        try Ingest.read(csv: DurableFile.read(path, maxBytes: 1 << 30), schema: promise.plan.schema).table
    }
    let rehearsal = try PrivacyRehearsal(promise.plan, publicRows: rows, seed: seed)
    let progress = Progress("Estimating accuracy", total: 2 + choices.count, unit: "trainings")
    var done = 0
    func auc(_ sigma: Double?) throws -> Double {
        defer {
            done += 1
            progress.update(done)
        }
        return try rehearsal.auc(noiseMultiplier: sigma)
    }
    let quiet = try auc(nil)
    let planned = try auc(promise.noiseMultiplier)
    let tiers = try choices.map { choice in try choice.noiseMultiplier.map { try auc($0) } }
    progress.finish()
    return AccuracyEstimate(rows: rehearsal.rows, isSynthetic: rehearsal.isSynthetic, quiet: quiet, planned: planned, choices: tiers)
}

/// A plan's guarantee in numbers.
private struct PlanPromise {
    let plan: Plan
    let guarantee: PrivacyPlan.Guarantee
    let noiseMultiplier: Double
    let renyi: Double
    /// Nil for noise on whole numbers, for which only the Rényi bound is proved.
    let loss: Double?

    init(_ plan: Plan, _ guarantee: PrivacyPlan.Guarantee) throws {
        guard let whole = try plan.privacyStatement(rounds: plan.training.rounds, dropped: 0, cohort: 0...0, ledgers: [:]) else {
            throw Failure(.data, "privacy", "the plan promises nothing that could be accounted for")
        }
        self.plan = plan
        self.guarantee = guarantee
        (noiseMultiplier, renyi, loss) = (whole.noiseMultiplier, whole.renyi, whole.loss)
    }

    /// σ for the ε of each budget tier, Gaussian noise, with the plan's steps.
    func choices() throws -> [(epsilon: Double, noiseMultiplier: Double?)] {
        let calibration = NoiseCalibration(samplingRate: guarantee.samplingRate, steps: plan.privateSteps, delta: guarantee.delta)
        return PrivacyBudget.Tier.allCases.map { tier in
            (tier.epsilon, try? calibration.noiseMultiplier(epsilon: tier.epsilon))
        }
    }

    /// Length of a step's noise, where a batch of equal gradients (of a site: a whole update) at the clipping norm would have
    /// length 1: at a site, or in the mean over the smallest cohort where the noise is on the sum.
    private func noiseLength(_ sigma: Double) -> Double {
        let parameters = Double(plan.family.parameterCount(inputs: plan.modelInputs))
        let sites = guarantee.mode == .recordLocal ? 1 : Double(plan.cohort.sitesMin)
        return sigma * parameters.squareRoot() / (guarantee.expectedBatch * sites)
    }

    func json(_ choices: [(epsilon: Double, noiseMultiplier: Double?)], _ accuracy: AccuracyEstimate?) -> JSONValue {
        [
            "study": .string(plan.study), "mode": .string(guarantee.mode.rawValue), "unit": .string(guarantee.unit.rawValue),
            "neighbouring": "add-or-remove-one", "trust": .string(plan.privacyTrust(guarantee.mode)), "rdp": .number(renyi),
            "pld": loss.map { .number($0) } ?? .null, "delta": .number(guarantee.delta),
            "samplingRate": .number(guarantee.samplingRate), "noiseMultiplier": .number(noiseMultiplier),
            "steps": .integer(Int64(plan.privateSteps)), "clippingNorm": .number(guarantee.clippingNorm),
            "noiseLength": .number(noiseLength(noiseMultiplier)),
            "accuracy": accuracy.map {
                [
                    "rows": .integer(Int64($0.rows)), "standIn": .bool($0.isSynthetic), "aucWithoutNoise": .number($0.quiet),
                    "auc": .number($0.planned), "cost": .number($0.quiet - $0.planned),
                ]
            } ?? .null,
            "choices": .array(
                choices.indices.map { index in
                    let choice = choices[index]
                    return [
                        "epsilon": .number(choice.epsilon), "noiseMultiplier": choice.noiseMultiplier.map { .number($0) } ?? .null,
                        "auc": accuracy?.choices[index].map { .number($0) } ?? .null,
                        "noiseLength": choice.noiseMultiplier.map { .number(noiseLength($0)) } ?? .null,
                    ]
                }),
        ]
    }

    func text(_ choices: [(epsilon: Double, noiseMultiplier: Double?)], _ accuracy: AccuracyEstimate?) -> String {
        var text = """
            Study \(plan.study): \(guarantee.mode.rawValue), one \(guarantee.unit.rawValue) more or less
            \(plan.privacyTrust(guarantee.mode))
            A run of \(plan.training.rounds) rounds, \(plan.privateSteps) steps, costs ε \(decimals(renyi)) at δ \(ecmaScript(guarantee.delta))
            """
        if let loss { text += " (\(decimals(loss)) by privacy loss distributions)" }
        text += ".\nRepeated attempts cost again. Sampling rate \(ecmaScript(guarantee.samplingRate)), noise multiplier \(ecmaScript(noiseMultiplier)), clipping norm \(ecmaScript(guarantee.clippingNorm))."
        text += "\nA step's noise is \(decimals(noiseLength(noiseMultiplier))) times as long as the longest mean gradient."
        if let accuracy {
            let source = accuracy.isSynthetic ? "rows made from the schema (a public file of the same kind tells more: --rows)" : "public rows"
            text += "\nExpected on \(accuracy.rows) \(source): AUC \(places(accuracy.planned)), with next to no noise \(places(accuracy.quiet)): the noise costs \(places(accuracy.quiet - accuracy.planned))."
        }
        text += "\nNoise for other ε:"
        for (index, choice) in choices.enumerated() {
            let noise = choice.noiseMultiplier.map { "noise multiplier \(decimals($0)), noise length \(decimals(noiseLength($0)))" + (accuracy?.choices[index].map { ", AUC \(places($0))" } ?? "") }
            text += "\n  ε \(ecmaScript(choice.epsilon)): \(noise ?? "cannot be kept at this δ")"
        }
        return text
    }
}

private func places(_ value: Double) -> String { decimal(value, places: 3) }

/// Rounded up to six decimals, for people.
private func decimals(_ value: Double) -> String { ecmaScript((value * 1e6).rounded(.up) / 1e6) }

/// What both commands are told about the mechanism.
private struct Terms {
    let samplingRate: Double
    let steps: Int
    let delta: Double

    init(_ invocation: Invocation) throws {
        samplingRate = try number(invocation, "sampling-rate", in: PrivacyLimits.samplingRate, "from 1e-9 to 1")
        steps = try invocation.integer("steps", in: 1...PrivacyLimits.stepsMax, default: 1)
        delta = try number(invocation, "delta", in: PrivacyLimits.delta, "from 1e-20 to 0.5")
    }

    func spent(noiseMultiplier: Double) throws -> (renyi: Double, loss: Double) {
        let event = try PrivacyEvent.poissonGaussian(samplingRate: samplingRate, noiseMultiplier: noiseMultiplier, steps: steps)
        return (
            try RenyiAccountant([event]).total.epsilon(delta: delta).value, try LossAccountant([event]).epsilon(delta: delta)
        )
    }
}

func number(_ invocation: Invocation, _ name: String, in range: ClosedRange<Double>, _ words: String) throws -> Double {
    guard let number = Double(try invocation.require(name)), range.contains(number) else {
        throw Failure(.usage, "usage", "--\(name) must be a number \(words)")
    }
    return number
}
