/// The same arithmetic as the fast kernels, one multiplication at a time and with nothing clever. It is what the
/// fast forms are tested against, and what to read to learn what they compute.
package enum NaiveKernels {
    /// Sum of a[i] · b[i], left to right.
    package static func dot(_ a: Span<Float>, _ b: Span<Float>) -> Float {
        var total: Float = 0
        for i in 0..<a.count { total += a[i] * b[i] }
        return total
    }

    /// y += scale · x.
    package static func addScaled(_ scale: Float, _ x: Span<Float>, to y: inout MutableSpan<Float>)
    {
        for i in 0..<x.count { y[i] += scale * x[i] }
    }

    /// y = x · weightsᵀ + bias, cut to 0 from below when `rectified`.
    package static func denseForward(
        rows: Int, _ x: Span<Float>, weights: Span<Float>, bias: Span<Float>,
        into y: inout MutableSpan<Float>,
        rectified: Bool
    ) {
        let outputs = bias.count
        let inputs = layerInputs(weights.count, outputs)
        for r in 0..<rows {
            for o in 0..<outputs {
                var total: Float = 0
                for i in 0..<inputs { total += x[r * inputs + i] * weights[o * inputs + i] }
                total += bias[o]
                y[r * outputs + o] = rectified && total < 0 ? 0 : total
            }
        }
    }

    /// weightGradient += dyᵀ · x, biasGradient += column sums of dy.
    package static func denseBackwardWeights(
        rows: Int, _ dy: Span<Float>, _ x: Span<Float>, weightGradient: inout MutableSpan<Float>,
        biasGradient: inout MutableSpan<Float>
    ) {
        let outputs = biasGradient.count
        let inputs = layerInputs(weightGradient.count, outputs)
        for r in 0..<rows {
            for o in 0..<outputs {
                for i in 0..<inputs {
                    weightGradient[o * inputs + i] += dy[r * outputs + o] * x[r * inputs + i]
                }
                biasGradient[o] += dy[r * outputs + o]
            }
        }
    }

    /// dx = dy · weights where `activations` is above 0, else 0.
    package static func denseBackwardInputs(
        rows: Int, outputs: Int, _ dy: Span<Float>, weights: Span<Float>,
        activations x: Span<Float>,
        into dx: inout MutableSpan<Float>
    ) {
        let inputs = layerInputs(weights.count, outputs)
        for r in 0..<rows {
            for i in 0..<inputs {
                var total: Float = 0
                for o in 0..<outputs { total += dy[r * outputs + o] * weights[o * inputs + i] }
                dx[r * inputs + i] = x[r * inputs + i] > 0 ? total : 0
            }
        }
    }

    /// velocity = momentum · velocity + gradient; parameters −= rate · velocity.
    package static func momentumStep(
        rate: Float, momentum: Float, gradient: Span<Float>, velocity: inout MutableSpan<Float>,
        parameters: inout MutableSpan<Float>
    ) {
        for i in 0..<gradient.count {
            velocity[i] = momentum * velocity[i] + gradient[i]
            parameters[i] -= rate * velocity[i]
        }
    }

    /// One step of Adam, with the corrections folded in as for `adamStep`.
    package static func adamStep(
        rate: Float, correction: Float, beta1: Float, beta2: Float, epsilon: Float,
        gradient: Span<Float>,
        first: inout MutableSpan<Float>, second: inout MutableSpan<Float>,
        parameters: inout MutableSpan<Float>
    ) {
        for i in 0..<gradient.count {
            let g = gradient[i]
            first[i] = beta1 * first[i] + (1 - beta1) * g
            second[i] = beta2 * second[i] + (1 - beta2) * g * g
            parameters[i] -= rate * first[i] / ((second[i] * correction).squareRoot() + epsilon)
        }
    }
}
