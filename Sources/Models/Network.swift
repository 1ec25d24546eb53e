import Glibc
import Kernels

/// A model laid out for computing: its tensors' values and the plan of its layers. Training, prediction and
/// attribution all run on it, so there is one forward pass in the program.
struct Network: Sendable {
    let plan: LayerPlan
    /// Weights of layer l at 2l, its biases at 2l + 1.
    var tensors: [[Float]]
    /// The layers laid out for scoring; empty while the tensors change.
    private let packed: [PackedLayer]
    let path: KernelPath

    /// - Parameter isFixed: whether the tensors will never change, so that it pays to lay them out for speed.
    init(plan: LayerPlan, tensors: [[Float]], path: KernelPath, isFixed: Bool = false) {
        (self.plan, self.tensors, self.path) = (plan, tensors, path)
        packed = isFixed ? plan.layers.indices.map { PackedLayer(weights: tensors[2 * $0], bias: tensors[2 * $0 + 1]) } : []
    }

    /// Working memory for blocks of rows: `activations[0]` holds the rows, `activations[l]` the output of layer l.
    struct Workspace {
        let rowsMax: Int
        var activations: [[Float]]
        var deltas: [[Float]]

        init(_ plan: LayerPlan, rowsMax: Int, withDeltas: Bool) {
            self.rowsMax = rowsMax
            activations = plan.widths.map { [Float](repeating: 0, count: rowsMax * $0) }
            deltas = withDeltas ? activations : []
        }

        /// Copies rows of a matrix into the workspace, at most `rowsMax`.
        mutating func gather(_ matrix: FeatureMatrix, _ rows: ArraySlice<Int>) {
            let columns = matrix.columns
            let all = matrix.values
            let values = all.span
            var block = activations[0].mutableSpan
            var position = 0
            for row in rows {
                let start = row * columns
                for column in 0..<columns { block[position + column] = values[start + column] }
                position += columns
            }
        }
    }

    /// Runs the first `rows` rows of `activations[0]` through all layers.
    func forward(rows: Int, _ work: inout Workspace) {
        for index in plan.layers.indices {
            let input = work.activations[index]
            run(layer: index, rows: rows, input, into: &work.activations[index + 1])
        }
    }

    /// Runs rows through one layer.
    /// - Parameter rectified: nil for what the layer does: all but the last one are.
    func run(layer index: Int, rows: Int, _ input: [Float], into output: inout [Float], rectified: Bool? = nil) {
        let rectified = rectified ?? !plan.layers[index].isLast
        var target = output.mutableSpan
        if !packed.isEmpty { return packed[index].forward(rows: rows, input.span, into: &target, rectified: rectified, path: path) }
        let (weights, biases) = (tensors[2 * index], tensors[2 * index + 1])
        denseForward(rows: rows, input.span, weights: weights.span, bias: biases.span, into: &target, rectified: rectified, path: path)
    }

    /// Adds the gradients of all tensors to `gradient`, given the loss's derivatives by the last layer's outputs in the
    /// last `deltas`.
    func backward(rows: Int, _ work: inout Workspace, gradient: inout [[Float]]) {
        for index in stride(from: plan.layers.count - 1, through: 0, by: -1) {
            let (delta, input) = (work.deltas[index + 1], work.activations[index])
            var biases = gradient[2 * index + 1]
            gradient[2 * index + 1] = []
            addGradient(rows: rows, delta, input, weights: &gradient[2 * index], biases: &biases)
            gradient[2 * index + 1] = biases
            if index > 0 { propagate(index, rows: rows, delta, input, into: &work.deltas[index]) }
        }
    }

    /// Derivatives by the inputs of layer `index`, passed on where its input activations are above 0.
    func propagate(
        _ index: Int, rows: Int, _ delta: [Float], _ activations: [Float], into below: inout [Float]
    ) {
        let weights = tensors[2 * index]
        var target = below.mutableSpan
        denseBackwardInputs(
            rows: rows, outputs: plan.layers[index].outputs, delta.span, weights: weights.span,
            activations: activations.span, into: &target, path: path)
    }

    private func addGradient(
        rows: Int, _ delta: [Float], _ input: [Float], weights: inout [Float], biases: inout [Float]
    ) {
        var weightSpan = weights.mutableSpan
        var biasSpan = biases.mutableSpan
        denseBackwardWeights(
            rows: rows, delta.span, input.span, weightGradient: &weightSpan,
            biasGradient: &biasSpan, path: path)
    }

    /// Log-odds of row `row` of a block that went through `forward`.
    func logOdds(_ row: Int, _ work: borrowing Workspace) -> Float {
        let outputs = work.activations[plan.layers.count]
        return plan.outputs == 1 ? outputs[row] : outputs[2 * row + 1] - outputs[2 * row]
    }
}

/// 1 / (1 + e⁻ᶻ), without overflow at either end.
func sigmoid(_ z: Float) -> Float {
    if z >= 0 { return 1 / (1 + expf(-z)) }
    let e = expf(z)
    return e / (1 + e)
}

/// −log of the probability that log-odds `z` give to the class `isPositive`: log(1 + e^∓z), without overflow.
func logLoss(logOdds z: Double, isPositive: Bool) -> Double {
    let signed = isPositive ? -z : z
    return max(signed, 0) + log1p(exp(-abs(signed)))
}
