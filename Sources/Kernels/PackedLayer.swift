// A dense layer laid out for scoring: the same sums as `denseForward`, two to three times as fast for the small layers of
// tabular models, at the price of a copy of the weights. For weights that stay; training changes its own with every step.

import CKernels

/// Weights and biases in blocks of eight outputs: block, input, output within the block. What the last block lacks is zeros.
package struct PackedLayer: Sendable {
    /// Numbers of a row that goes in, and of one that comes out.
    package let inputs: Int, outputs: Int
    private let weights: [Float]
    private let bias: [Float]

    private static let width = 8

    /// - Parameters:
    ///   - weights: outputs × inputs, row-major.
    ///   - bias: one for each output.
    package init(weights: [Float], bias: [Float]) {
        (inputs, outputs) = (layerInputs(weights.count, bias.count), bias.count)
        let blocks = (outputs + Self.width - 1) / Self.width
        var packed = [Float](repeating: 0, count: blocks * inputs * Self.width)
        for output in 0..<outputs {
            let (block, lane) = (output / Self.width, output % Self.width)
            for input in 0..<inputs { packed[(block * inputs + input) * Self.width + lane] = weights[output * inputs + input] }
        }
        self.weights = packed
        self.bias = bias + [Float](repeating: 0, count: blocks * Self.width - outputs)
    }

    /// y = x · weightsᵀ + bias, negative results cut to 0 when `rectified`. Each row comes out the same, bit by bit, whatever
    /// other rows go through with it.
    /// - Parameters:
    ///   - x: rows × inputs, or more.
    ///   - y: rows × outputs, or more.
    package func forward(rows: Int, _ x: Span<Float>, into y: inout MutableSpan<Float>, rectified: Bool, path: KernelPath = .best) {
        precondition(
            rows >= 0 && x.count >= rows * inputs && y.count >= rows * outputs, "the layer and its rows differ in size")
        // Reason: the C loops read and write exactly the sizes checked above, and the packed ones.
        unsafe x.withUnsafeBufferPointer { x in
            unsafe y.withUnsafeMutableBufferPointer { y in
                unsafe ck_packed_forward(
                    path.flag, rows, inputs, outputs, x.baseAddress, weights, bias, y.baseAddress, rectified)
            }
        }
    }
}
