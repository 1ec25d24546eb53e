import Kernels

/// A model ready to predict: checked once, then rows go through without further checks of the parameters.
///
/// A row costs about inputs × first hidden width multiplications; under a microsecond for the tabular models of
/// this product. Safe to share between threads.
package struct Predictor: Sendable {
    let network: Network
    /// Added to the log-odds of every row: the site's own intercept, or 0.
    package let localIntercept: Float

    /// - Parameters:
    ///   - parameters: the model's numbers.
    ///   - family: the family they belong to.
    ///   - localIntercept: the site's own intercept, 0 where the family has none.
    ///   - path: which kernels run; tests force one.
    /// - Throws: `ModelsError.shape` or `.notFinite` when the parameters are not a model of this family.
    package init(
        _ parameters: ModelParameters, family: ModelFamily, localIntercept: Float = 0,
        path: KernelPath = .best
    ) throws(ModelsError) {
        let plan = try parameters.layers(of: family)
        guard localIntercept.isFinite else { throw .notFinite("the local intercept") }
        network = Network(plan: plan, tensors: parameters.tensors.map(\.values), path: path, isFixed: true)
        self.localIntercept = localIntercept
    }

    /// Columns of a row.
    package var inputs: Int { network.plan.inputs }

    /// Log-odds of the positive class for one row of `inputs` values.
    /// - Throws: `ModelsError.shape` for another count of values.
    package func logOdds(_ row: [Float]) throws(ModelsError) -> Float {
        guard row.count == inputs else {
            throw .shape("a row of \(row.count) values for a model of \(inputs) columns")
        }
        var current = row
        for (index, layer) in network.plan.layers.enumerated() {
            var next = [Float](repeating: 0, count: layer.outputs)
            network.run(layer: index, rows: 1, current, into: &next)
            current = next
        }
        return (current.count == 1 ? current[0] : current[1] - current[0]) + localIntercept
    }

    /// Probability of the positive class for one row of `inputs` values, in [0, 1].
    /// - Throws: `ModelsError.shape` for another count of values.
    package func probability(_ row: [Float]) throws(ModelsError) -> Float {
        sigmoid(try logOdds(row))
    }

    /// Log-odds of the positive class for each row.
    /// - Throws: `ModelsError.shape` when the matrix has other columns than the model.
    package func logOdds(_ matrix: FeatureMatrix) throws(ModelsError) -> [Float] {
        guard matrix.columns == inputs else {
            throw .shape("rows of \(matrix.columns) columns for a model of \(inputs) columns")
        }
        return try logOdds(rows: matrix.values)
    }

    /// Log-odds of the positive class for each of some rows of `inputs` values, one after another.
    /// - Throws: `ModelsError.shape` when they are not whole rows.
    package func logOdds(rows values: [Float]) throws(ModelsError) -> [Float] {
        guard values.count % inputs == 0 else {
            throw .shape("\(values.count) values for a model of \(inputs) columns")
        }
        let count = values.count / inputs
        if count == 1 { return [try logOdds(values)] }
        var result: [Float] = []
        result.reserveCapacity(count)
        var work = Network.Workspace(
            network.plan, rowsMax: min(256, max(1, count)), withDeltas: false)
        for start in stride(from: 0, to: count, by: work.rowsMax) {
            let rows = min(work.rowsMax, count - start)
            work.activations[0].replaceSubrange(
                0..<rows * inputs, with: values[start * inputs..<(start + rows) * inputs])
            network.forward(rows: rows, &work)
            for row in 0..<rows { result.append(network.logOdds(row, work) + localIntercept) }
        }
        return result
    }

    /// Probability of the positive class for each row, in [0, 1].
    /// - Throws: `ModelsError.shape` when the matrix has other columns than the model.
    package func probabilities(_ matrix: FeatureMatrix) throws(ModelsError) -> [Float] {
        try logOdds(matrix).map(sigmoid)
    }
}

/// Probability of the positive class for each row; for one use. Keep a `Predictor` for many.
/// - Throws: `ModelsError` when parameters, family and rows do not fit one another.
package func predict(
    _ parameters: ModelParameters, family: ModelFamily, _ matrix: FeatureMatrix,
    localIntercept: Float = 0
) throws(ModelsError) -> [Float] {
    try Predictor(parameters, family: family, localIntercept: localIntercept).probabilities(matrix)
}
