import Kernels

/// Sums of clipped gradients over the units of a batch, as whole numbers of a lattice.
///
/// For a unit of one row the gradient is never written out to find its norm: per layer it is the outer product of the
/// derivatives δ by the layer's outputs and the inputs a, so its squared norm is |δ|² (|a|² + 1) with the bias (Goodfellow
/// 2015). δ is then scaled and the products are rounded as they are summed. The gradient of a unit with several
/// rows is their sum, written out, clipped as one.
struct ClippedGradients {
    private let plan: LayerPlan
    private let lattice: GradientLattice
    /// Σ of the rounded gradients so far, tensor by tensor.
    private(set) var sums: [[Int64]]

    private var work: Network.Workspace
    private var partial: [[UInt32]]
    private var squares: [Double]
    private var deltaSquares: [Double]
    private var inputSquares: [Double]
    private var scales: [Float]
    private var gradient: [[Float]]

    private static let rowsMax = 256

    init(_ plan: LayerPlan, lattice: GradientLattice) {
        self.plan = plan
        self.lattice = lattice
        sums = plan.layers.flatMap {
            [[Int64](repeating: 0, count: $0.weights.count), [Int64](repeating: 0, count: $0.biases.count)]
        }
        partial = sums.map { [UInt32](repeating: 0, count: $0.count) }
        gradient = sums.map { [Float](repeating: 0, count: $0.count) }
        work = Network.Workspace(plan, rowsMax: ClippedGradients.rowsMax, withDeltas: true)
        squares = [Double](repeating: 0, count: ClippedGradients.rowsMax)
        deltaSquares = squares
        inputSquares = squares
        scales = [Float](repeating: 0, count: ClippedGradients.rowsMax)
    }

    /// Back to a sum of nothing.
    mutating func clear() {
        for tensor in sums.indices {
            var sum = sums[tensor].mutableSpan
            for index in 0..<sum.count { sum[index] = 0 }
        }
    }

    /// Gives the sums to `body` to add noise to.
    mutating func withSums(_ body: (inout MutableSpan<Int64>) -> Void) {
        for tensor in sums.indices {
            var sum = sums[tensor].mutableSpan
            body(&sum)
        }
    }

    /// Adds units of one row each.
    mutating func add(rows: [Int], of matrix: FeatureMatrix, _ network: Network) {
        for start in stride(from: 0, to: rows.count, by: ClippedGradients.rowsMax) {
            let block = rows[start..<min(start + ClippedGradients.rowsMax, rows.count)]
            differentiate(block, of: matrix, network)
            propagate(rows: block.count, network)
            scale(rows: block.count, network.path)
            for layer in plan.layers.indices { sum(layer: layer, rows: block.count, network.path) }
            flush()
        }
    }

    /// Adds one unit of several rows.
    mutating func add(unit rows: [Int], of matrix: FeatureMatrix, _ network: Network) {
        for tensor in gradient.indices {
            var slope = gradient[tensor].mutableSpan
            for index in 0..<slope.count { slope[index] = 0 }
        }
        for start in stride(from: 0, to: rows.count, by: ClippedGradients.rowsMax) {
            let block = rows[start..<min(start + ClippedGradients.rowsMax, rows.count)]
            differentiate(block, of: matrix, network)
            network.backward(rows: block.count, &work, gradient: &gradient)
        }
        var squared = 0.0
        for tensor in gradient {
            let slope = tensor.span
            for index in 0..<slope.count { squared += Double(slope[index]) * Double(slope[index]) }
        }
        let scale = lattice.scale(squaredNorm: squared)
        guard scale > 0 else { return }
        for tensor in gradient.indices {
            let slopes = gradient[tensor]
            let slope = slopes.span
            var sum = sums[tensor].mutableSpan
            for index in 0..<sum.count {
                sum[index] += Int64((Double(slope[index]) * scale).rounded(.toNearestOrEven))
            }
        }
    }

    /// Runs rows through the network and writes the derivatives of their log losses into the last deltas.
    private mutating func differentiate(_ block: ArraySlice<Int>, of matrix: FeatureMatrix, _ network: Network) {
        work.gather(matrix, block)
        network.forward(rows: block.count, &work)
        let last = plan.layers.count
        for (index, row) in block.enumerated() {
            let delta = sigmoid(network.logOdds(index, work)) - matrix.labels[row]
            if plan.outputs == 1 {
                work.deltas[last][index] = delta
            } else {
                work.deltas[last][2 * index] = -delta
                work.deltas[last][2 * index + 1] = delta
            }
        }
    }

    private mutating func propagate(rows: Int, _ network: Network) {
        for layer in stride(from: plan.layers.count - 1, to: 0, by: -1) {
            let (delta, input) = (work.deltas[layer + 1], work.activations[layer])
            network.propagate(layer, rows: rows, delta, input, into: &work.deltas[layer])
        }
    }

    /// Finds each row's norm over all layers and scales its deltas.
    private mutating func scale(rows: Int, _ path: KernelPath) {
        for row in 0..<rows { squares[row] = 0 }
        for layer in plan.layers.indices {
            let (deltas, inputs) = (work.deltas[layer + 1], work.activations[layer])
            ClippedGradients.square(rows: rows, columns: plan.widths[layer + 1], deltas, into: &deltaSquares, path)
            ClippedGradients.square(rows: rows, columns: plan.widths[layer], inputs, into: &inputSquares, path)
            for row in 0..<rows { squares[row] += deltaSquares[row] * (inputSquares[row] + 1) }
        }
        for row in 0..<rows {
            let scale = lattice.scale(squaredNorm: squares[row])
            scales[row] = Float(scale)
            if scale == 0 { silence(row) }
        }
        let factors = scales
        for layer in plan.layers.indices {
            var deltas = work.deltas[layer + 1].mutableSpan
            scaleRows(rows: rows, columns: plan.widths[layer + 1], by: factors.span, &deltas, path: path)
        }
    }

    private static func square(rows: Int, columns: Int, _ x: [Float], into squares: inout [Double], _ path: KernelPath) {
        var span = squares.mutableSpan
        rowSquares(rows: rows, columns: columns, x.span, into: &span, path: path)
    }

    /// Takes a row whose gradient is not finite out of the sum: 0 · ∞ would not.
    private mutating func silence(_ row: Int) {
        for (index, width) in plan.widths.enumerated() {
            for column in row * width..<(row + 1) * width {
                work.activations[index][column] = 0
                work.deltas[index][column] = 0
            }
        }
    }

    private mutating func sum(layer: Int, rows: Int, _ path: KernelPath) {
        var biases = partial[2 * layer + 1]
        partial[2 * layer + 1] = []
        let (deltas, inputs) = (work.deltas[layer + 1], work.activations[layer])
        do {
            var weightSums = partial[2 * layer].mutableSpan
            var biasSums = biases.mutableSpan
            latticeGradient(
                rows: rows, deltas.span, inputs.span,
                weightSums: &weightSums, biasSums: &biasSums, path: path)
        }
        partial[2 * layer + 1] = biases
    }

    /// Moves the 32-bit sums of a block into the 64-bit ones.
    private mutating func flush() {
        for tensor in sums.indices {
            var sum = sums[tensor].mutableSpan
            var part = partial[tensor].mutableSpan
            for index in 0..<sum.count {
                sum[index] += Int64(Int32(bitPattern: part[index]))
                part[index] = 0
            }
        }
    }
}
