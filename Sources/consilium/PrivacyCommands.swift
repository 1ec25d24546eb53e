// What a promise costs and what keeps it, before anybody has a plan. `protocol/differential-privacy.md` §3.

import Codec
import DifferentialPrivacy
import Storage
import Study

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
        words: ["privacy", "plan"], summary: "what a study plan promises and costs, and the noise that other ε would take",
        operands: ["PLAN"]
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
    let plan = try Plan(parsing: DurableFile.read(invocation.operands[0], maxBytes: Plan.bytesMax))
    guard let guarantee = plan.privacy.guarantee else {
        Output(invocation).answer(["mode": .null], "Study \(plan.study): no differential privacy. The plan says so, and each consent repeats it.")
        return
    }
    let promise = try PlanPromise(plan, guarantee)
    let choices = try promise.choices()
    Output(invocation).answer(promise.json(choices), promise.text(choices))
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
        guard let sigma = try plan.noiseMultiplier(), let event = try plan.privacyEvent(noiseMultiplier: sigma),
            let renyi = try plan.renyiEpsilon(noiseMultiplier: sigma)
        else { throw Failure(.data, "privacy", "the plan promises nothing that could be accounted for") }
        self.plan = plan
        self.guarantee = guarantee
        self.renyi = renyi
        noiseMultiplier = sigma
        if case .gaussian = event.noise { loss = try LossAccountant([event]).epsilon(delta: guarantee.delta) } else { loss = nil }
    }

    /// σ for the ε of each budget tier, Gaussian noise, with the plan's steps.
    func choices() throws -> [(epsilon: Double, noiseMultiplier: Double?)] {
        let calibration = NoiseCalibration(samplingRate: guarantee.samplingRate, steps: plan.privateSteps, delta: guarantee.delta)
        return PrivacyBudget.Tier.allCases.map { tier in
            (tier.epsilon, try? calibration.noiseMultiplier(epsilon: tier.epsilon))
        }
    }

    /// Length of a step's noise, where a batch of equal gradients at the clipping norm would have length 1: at a site, or in
    /// the mean over the smallest cohort where sites share the noise.
    private func noiseLength(_ sigma: Double) -> Double {
        let parameters = Double(plan.family.parameterCount(inputs: plan.modelInputs))
        let sites = guarantee.mode == .recordDistributed ? Double(plan.cohort.sitesMin) : 1
        return sigma * parameters.squareRoot() / (guarantee.expectedBatch * sites)
    }

    func json(_ choices: [(epsilon: Double, noiseMultiplier: Double?)]) -> JSONValue {
        [
            "study": .string(plan.study), "mode": .string(guarantee.mode.rawValue), "unit": .string(guarantee.unit.rawValue),
            "neighbouring": "add-or-remove-one", "trust": .string(guarantee.mode.trust(plan)), "rdp": .number(renyi),
            "pld": loss.map { .number($0) } ?? .null, "delta": .number(guarantee.delta),
            "samplingRate": .number(guarantee.samplingRate), "noiseMultiplier": .number(noiseMultiplier),
            "steps": .integer(Int64(plan.privateSteps)), "clippingNorm": .number(guarantee.clippingNorm),
            "noiseLength": .number(noiseLength(noiseMultiplier)),
            "choices": .array(
                choices.map { choice in
                    [
                        "epsilon": .number(choice.epsilon), "noiseMultiplier": choice.noiseMultiplier.map { .number($0) } ?? .null,
                        "noiseLength": choice.noiseMultiplier.map { .number(noiseLength($0)) } ?? .null,
                    ]
                }),
        ]
    }

    func text(_ choices: [(epsilon: Double, noiseMultiplier: Double?)]) -> String {
        var text = """
            Study \(plan.study): \(guarantee.mode.rawValue), one \(guarantee.unit.rawValue) more or less
            \(guarantee.mode.trust(plan))
            A run of \(plan.training.rounds) rounds, \(plan.privateSteps) steps, costs ε \(decimals(renyi)) at δ \(ecmaScript(guarantee.delta))
            """
        if let loss { text += " (\(decimals(loss)) by privacy loss distributions)" }
        text += ".\nRepeated attempts cost again. Sampling rate \(ecmaScript(guarantee.samplingRate)), noise multiplier \(ecmaScript(noiseMultiplier)), clipping norm \(ecmaScript(guarantee.clippingNorm))."
        text += "\nA step's noise is \(decimals(noiseLength(noiseMultiplier))) times as long as the longest mean gradient.\nNoise for other ε:"
        for choice in choices {
            let noise = choice.noiseMultiplier.map { "noise multiplier \(decimals($0)), noise length \(decimals(noiseLength($0)))" }
            text += "\n  ε \(ecmaScript(choice.epsilon)): \(noise ?? "cannot be kept at this δ")"
        }
        return text
    }
}

extension PrivacyGuarantee {
    /// Whom a member of the data has to trust, as reports print it.
    fileprivate func trust(_ plan: Plan) -> String {
        switch self {
        case .recordLocal: "Nobody outside the site has to be trusted."
        case .recordDistributed, .siteDistributed:
            "Holds against the coordinator together with at most \(plan.cohort.colluders) sites; secure aggregation and \(plan.honestSites) other sites have to work as specified."
        case .central: "The coordinator is trusted: it sees sums without noise."
        }
    }
}

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

private func number(_ invocation: Invocation, _ name: String, in range: ClosedRange<Double>, _ words: String) throws -> Double {
    guard let number = Double(try invocation.require(name)), range.contains(number) else {
        throw Failure(.usage, "usage", "--\(name) must be a number \(words)")
    }
    return number
}
