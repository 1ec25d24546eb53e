import Kernels

/// How the columns of one row made its prediction, in log-odds.
///
///     logOdds = baseValue + sum of values + residual
///
/// The base value is the model's log-odds for the background: the mean row of the training data. For a logistic
/// regression a value is coefficient × (x − mean) and the residual is rounding only. For a perceptron the values are
/// integrated gradients (Sundararajan et al. 2017) along the straight line from the background to the row; the
/// residual is what the finite sum leaves of their completeness, and is reported, not hidden.
package struct Contributions: Equatable, Sendable {
    /// One per column, log-odds.
    package let values: [Float]
    /// Log-odds of the background row, the site's own intercept included.
    package let baseValue: Float
    /// Log-odds of the row, the site's own intercept included.
    package let logOdds: Float
    /// logOdds − baseValue − sum of values.
    package let residual: Float
    /// Whether the values are exact (a linear model) or integrated numerically.
    package let isExact: Bool
}

extension Predictor {
    /// Contributions of each column of one row.
    ///
    /// - Parameters:
    ///   - row: `inputs` values.
    ///   - background: the mean of the training rows, `inputs` values.
    /// - Throws: `ModelsError.shape` when a count differs.
    /// - Cost: for a perceptron about 256 predictions.
    package func contributions(_ row: [Float], background: [Float]) throws(ModelsError)
        -> Contributions
    {
        let (top, base) = (try logOdds(row), try logOdds(background))
        let isExact = network.plan.layers.count == 1
        let slopes = isExact ? linearSlopes() : meanGradient(from: background, to: row)
        let values = row.indices.map { slopes[$0] * (row[$0] - background[$0]) }
        return Contributions(
            values: values, baseValue: base, logOdds: top,
            residual: top - base - values.reduce(0, +), isExact: isExact)
    }

    private func linearSlopes() -> [Float] {
        let weights = network.tensors[0]
        guard network.plan.outputs == 2 else { return weights }
        return (0..<inputs).map { weights[inputs + $0] - weights[$0] }
    }

    /// Mean over the path of the gradient of the log-odds by the inputs, at the midpoints of equal steps.
    private func meanGradient(from background: [Float], to row: [Float]) -> [Float] {
        let steps = ModelsLimits.attributionSteps
        var work = Network.Workspace(network.plan, rowsMax: steps, withDeltas: true)
        for step in 0..<steps {
            let share = (Float(step) + 0.5) / Float(steps)
            for column in 0..<inputs {
                work.activations[0][step * inputs + column] =
                    background[column] + share * (row[column] - background[column])
            }
        }
        network.forward(rows: steps, &work)
        let last = network.plan.layers.count
        for index in work.deltas[last].indices {
            work.deltas[last][index] = network.plan.outputs == 2 && index % 2 == 0 ? -1 : 1
        }
        for index in stride(from: last - 1, through: 0, by: -1) {
            // The inputs are not rectified: ones let every gradient through.
            let gate =
                index == 0 ? [Float](repeating: 1, count: steps * inputs) : work.activations[index]
            let delta = work.deltas[index + 1]
            network.propagate(index, rows: steps, delta, gate, into: &work.deltas[index])
        }
        return (0..<inputs).map { column in
            var total: Float = 0
            for step in 0..<steps { total += work.deltas[0][step * inputs + column] }
            return total / Float(steps)
        }
    }
}
