// Dense layers over spans, in front of `CKernels`.
//
// Matrices are row-major. `x` holds rows × inputs, `weights` outputs × inputs, `y` rows × outputs; blocks of rows may be
// longer than `rows` says, and only their beginning is used. Sizes are checked here, once per call, so the C loops
// need no checks. `NaiveKernels` is the same arithmetic in plain Swift.

import CKernels

/// y = x · weightsᵀ + bias, negative results cut to 0 when `rectified`. Costs rows × inputs × outputs multiplications.
package func denseForward(
    rows: Int, _ x: Span<Float>, weights: Span<Float>, bias: Span<Float>,
    into y: inout MutableSpan<Float>,
    rectified: Bool, path: KernelPath = .best
) {
    let outputs = bias.count
    let inputs = layerInputs(weights.count, outputs)
    precondition(
        rows >= 0 && x.count >= rows * inputs && y.count >= rows * outputs,
        "the layer and its rows differ in size")
    // Reason: the C loops read and write exactly the sizes checked above.
    unsafe x.withUnsafeBufferPointer { x in
        unsafe weights.withUnsafeBufferPointer { weights in
            unsafe bias.withUnsafeBufferPointer { bias in
                unsafe y.withUnsafeMutableBufferPointer { y in
                    unsafe ck_dense_forward(
                        path.flag, rows, inputs, outputs, x.baseAddress, weights.baseAddress,
                        bias.baseAddress,
                        y.baseAddress, rectified)
                }
            }
        }
    }
}

/// Adds the layer's gradients: weightGradient += dyᵀ · x, biasGradient += column sums of dy.
package func denseBackwardWeights(
    rows: Int, _ dy: Span<Float>, _ x: Span<Float>, weightGradient: inout MutableSpan<Float>,
    biasGradient: inout MutableSpan<Float>, path: KernelPath = .best
) {
    let outputs = biasGradient.count
    let inputs = layerInputs(weightGradient.count, outputs)
    precondition(
        rows >= 0 && x.count >= rows * inputs && dy.count >= rows * outputs,
        "the layer and its rows differ in size")
    // Reason: the C loops read and write exactly the sizes checked above.
    unsafe dy.withUnsafeBufferPointer { dy in
        unsafe x.withUnsafeBufferPointer { x in
            unsafe weightGradient.withUnsafeMutableBufferPointer { dw in
                unsafe biasGradient.withUnsafeMutableBufferPointer { db in
                    unsafe ck_dense_backward_weights(
                        path.flag, rows, inputs, outputs, dy.baseAddress, x.baseAddress,
                        dw.baseAddress, db.baseAddress)
                }
            }
        }
    }
}

/// dx = dy · weights, and 0 wherever the activation `x` (the rectified output of the layer below) is not above 0.
package func denseBackwardInputs(
    rows: Int, outputs: Int, _ dy: Span<Float>, weights: Span<Float>, activations x: Span<Float>,
    into dx: inout MutableSpan<Float>, path: KernelPath = .best
) {
    let inputs = layerInputs(weights.count, outputs)
    precondition(
        rows >= 0 && dy.count >= rows * outputs && x.count >= rows * inputs
            && dx.count >= rows * inputs,
        "the layer and its rows differ in size")
    // Reason: the C loops read and write exactly the sizes checked above.
    unsafe dy.withUnsafeBufferPointer { dy in
        unsafe weights.withUnsafeBufferPointer { weights in
            unsafe x.withUnsafeBufferPointer { x in
                unsafe dx.withUnsafeMutableBufferPointer { dx in
                    unsafe ck_dense_backward_inputs(
                        path.flag, rows, inputs, outputs, dy.baseAddress, weights.baseAddress,
                        x.baseAddress, dx.baseAddress)
                }
            }
        }
    }
}

func layerInputs(_ weights: Int, _ outputs: Int) -> Int {
    precondition(
        outputs > 0 && weights % outputs == 0,
        "\(weights) weights do not divide among \(outputs) outputs")
    return weights / outputs
}
