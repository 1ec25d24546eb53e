import Kernels

/// How the columns of one row made its prediction, in log-odds.
///
///     logOdds = baseValue + sum of values + residual
///
/// The base value is the model's log-odds for the background: the mean row of the training data. For a logistic
/// regression a value is coefficient × (x − mean). For a perceptron the values are integrated gradients (Sundararajan et
/// al. 2017) along the straight line from the background to the row. With ReLU the log-odds are linear on pieces of
/// that line, so the integral is a finite sum; the residual is rounding, but for networks of so many pieces that equal
/// steps stand for them. It is reported, not hidden.
package struct Contributions: Equatable, Sendable {
    /// One per column, log-odds.
    package let values: [Float]
    /// Log-odds of the background row, the site's own intercept included.
    package let baseValue: Float
    /// Log-odds of the row, the site's own intercept included.
    package let logOdds: Float
    /// logOdds − baseValue − sum of values.
    package let residual: Float
    /// Whether the values are those of a linear model.
    package let isExact: Bool
}

extension Predictor {
    /// Contributions of each column of one row.
    ///
    /// - Parameters:
    ///   - row: `inputs` values.
    ///   - background: the mean of the training rows, `inputs` values.
    /// - Throws: `ModelsError.shape` when a count differs.
    /// - Cost: for a perceptron a few predictions per hidden output that the path crosses.
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

    /// Mean over the path of the gradient of the log-odds by the inputs: the gradient of each piece on which the network is
    /// linear, at its middle, weighted by its length.
    private func meanGradient(from background: [Float], to row: [Float]) -> [Float] {
        let bounds = pieces(from: background, to: row)
        let pieces = bounds.count - 1
        var work = Network.Workspace(network.plan, rowsMax: pieces, withDeltas: true)
        for piece in 0..<pieces {
            place((bounds[piece] + bounds[piece + 1]) / 2, piece, background, row, into: &work.activations[0])
        }
        network.forward(rows: pieces, &work)
        let last = network.plan.layers.count
        for index in work.deltas[last].indices {
            work.deltas[last][index] = network.plan.outputs == 2 && index % 2 == 0 ? -1 : 1
        }
        for index in stride(from: last - 1, through: 0, by: -1) {
            // The inputs are not rectified: ones let every gradient through.
            let gate =
                index == 0 ? [Float](repeating: 1, count: pieces * inputs) : work.activations[index]
            let delta = work.deltas[index + 1]
            network.propagate(index, rows: pieces, delta, gate, into: &work.deltas[index])
        }
        return (0..<inputs).map { column in
            var total: Float = 0
            for piece in 0..<pieces { total += work.deltas[0][piece * inputs + column] * (bounds[piece + 1] - bounds[piece]) }
            return total
        }
    }

    /// Where along the path, from 0 to 1, some hidden output starts or stops being above 0, ends included. Found layer by layer:
    /// between the bounds of the layers before it, what goes into a layer is linear.
    private func pieces(from background: [Float], to row: [Float]) -> [Float] {
        var bounds: [Float] = [0, 1]
        for (index, layer) in network.plan.layers.dropLast().enumerated() {
            let sums = sums(of: index, at: bounds, background, row)
            var found: [Float] = []
            for piece in 0..<bounds.count - 1 {
                let (start, end) = (bounds[piece], bounds[piece + 1])
                for output in 0..<layer.outputs {
                    let (low, high) = (sums[piece * layer.outputs + output], sums[(piece + 1) * layer.outputs + output])
                    guard (low < 0) != (high < 0) else { continue }
                    let share = start + (end - start) * (low / (low - high))
                    if share > start, share < end { found.append(share) }
                }
            }
            guard bounds.count + found.count <= ModelsLimits.attributionPiecesMax else {
                return (0...ModelsLimits.attributionSteps).map { Float($0) / Float(ModelsLimits.attributionSteps) }
            }
            let sorted = (bounds + found).sorted()
            bounds = [0] + zip(sorted.dropFirst(), sorted).filter { $0 > $1 }.map(\.0)
        }
        return bounds
    }

    /// What goes into the outputs of a layer, before they are rectified, at points along the path.
    private func sums(of layer: Int, at shares: [Float], _ background: [Float], _ row: [Float]) -> [Float] {
        var values = [Float](repeating: 0, count: shares.count * inputs)
        for (point, share) in shares.enumerated() { place(share, point, background, row, into: &values) }
        for index in 0...layer {
            var next = [Float](repeating: 0, count: shares.count * network.plan.layers[index].outputs)
            network.run(layer: index, rows: shares.count, values, into: &next, rectified: index < layer)
            values = next
        }
        return values
    }

    /// Writes a point of the path.
    private func place(_ share: Float, _ point: Int, _ background: [Float], _ row: [Float], into values: inout [Float]) {
        for column in 0..<inputs { values[point * inputs + column] = background[column] + share * (row[column] - background[column]) }
    }
}
