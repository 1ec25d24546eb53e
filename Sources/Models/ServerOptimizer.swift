import Glibc

/// What the coordinator does with the weighted mean of the sites' updates.
///
/// FedProx needs no case of its own: it is `fedAvg` here and `LocalTraining.proximalMu` at the sites.
package enum ServerOptimizer: Equatable, Sendable {
    /// parameters += learningRate · mean update (McMahan et al. 2017; learningRate 1 is their FedAvg).
    case fedAvg(learningRate: Double)
    /// Adam over the mean updates (Reddi et al. 2021, FedAdam): m and v decay by β₁ and β₂, and
    /// parameters += learningRate · m / (√v + ε).
    case fedAdam(learningRate: Double, beta1: Double, beta2: Double, epsilon: Double)

    /// What the step carries from one round to the next. Empty until the first step.
    package struct State: Equatable, Sendable {
        /// Running mean of updates, one per parameter (FedAdam only).
        package var first: [Float] = []
        /// Running mean of squared updates, one per parameter (FedAdam only).
        package var second: [Float] = []

        package init() {}
    }

    /// The parameters after a round.
    ///
    /// - Parameters:
    ///   - previous: parameters that the round began with, flattened.
    ///   - meanUpdate: weighted mean of the sites' changes, same order and count.
    ///   - state: carried from round to round of one run.
    /// - Throws: `ModelsError.shape` for unequal counts, `.notFinite` when the step leaves the finite numbers.
    package func apply(previous: [Float], meanUpdate: [Float], state: inout State)
        throws(ModelsError) -> [Float]
    {
        guard previous.count == meanUpdate.count else {
            throw .shape("an update of \(meanUpdate.count) values for \(previous.count) parameters")
        }
        var next = previous
        switch self {
        case .fedAvg(let rate):
            for index in next.indices { next[index] += Float(rate) * meanUpdate[index] }
        case .fedAdam(let rate, let beta1, let beta2, let epsilon):
            if state.first.isEmpty {
                state.first = [Float](repeating: 0, count: previous.count)
                state.second = state.first
            }
            guard state.first.count == previous.count, state.second.count == previous.count else {
                throw .shape(
                    "optimiser state of \(state.first.count) values for \(previous.count) parameters"
                )
            }
            let (b1, b2) = (Float(beta1), Float(beta2))
            for index in next.indices {
                let change = meanUpdate[index]
                state.first[index] = b1 * state.first[index] + (1 - b1) * change
                state.second[index] = b2 * state.second[index] + (1 - b2) * change * change
                next[index] +=
                    Float(rate) * state.first[index]
                    / (state.second[index].squareRoot() + Float(epsilon))
            }
        }
        guard next.allSatisfy(\.isFinite) else {
            throw .notFinite("a parameter after the server's step")
        }
        return next
    }
}

/// base to the power `exponent`, by repeated multiplication in double precision.
func power(_ base: Double, _ exponent: Int) -> Double { pow(base, Double(exponent)) }
