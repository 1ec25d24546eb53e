// What a promise costs and what keeps it, before anybody has a plan. `protocol/differential-privacy.md` §3.

import Codec
import DifferentialPrivacy

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
