// Vector loops over spans, in front of `CKernels`.

import CKernels

/// Sum of a[i] · b[i]. Both spans have the same count.
package func dot(_ a: Span<Float>, _ b: Span<Float>, path: KernelPath = .best) -> Float {
    precondition(a.count == b.count, "a dot product of \(a.count) and \(b.count) values")
    // Reason: both pointers are valid for the count checked above.
    return unsafe a.withUnsafeBufferPointer { a in
        unsafe b.withUnsafeBufferPointer { b in
            unsafe ck_dot(path.flag, a.count, a.baseAddress, b.baseAddress)
        }
    }
}

/// y += scale · x. Both spans have the same count.
package func addScaled(
    _ scale: Float, _ x: Span<Float>, to y: inout MutableSpan<Float>, path: KernelPath = .best
) {
    precondition(x.count == y.count, "adding \(x.count) values to \(y.count)")
    // Reason: both pointers are valid for the count checked above.
    unsafe x.withUnsafeBufferPointer { x in
        unsafe y.withUnsafeMutableBufferPointer { y in
            unsafe ck_axpy(path.flag, x.count, scale, x.baseAddress, y.baseAddress)
        }
    }
}

/// velocity = momentum · velocity + gradient; parameters −= rate · velocity.
package func momentumStep(
    rate: Float, momentum: Float, gradient: Span<Float>, velocity: inout MutableSpan<Float>,
    parameters: inout MutableSpan<Float>, path: KernelPath = .best
) {
    precondition(
        gradient.count == velocity.count && gradient.count == parameters.count,
        "a step over unequal vectors")
    // Reason: the three pointers are valid for the count checked above.
    unsafe gradient.withUnsafeBufferPointer { gradient in
        unsafe velocity.withUnsafeMutableBufferPointer { velocity in
            unsafe parameters.withUnsafeMutableBufferPointer { parameters in
                unsafe ck_momentum_step(
                    path.flag, gradient.count, rate, momentum, gradient.baseAddress,
                    velocity.baseAddress,
                    parameters.baseAddress)
            }
        }
    }
}

/// One step of Adam; `rate` and `correction` carry the bias corrections of step t: rate / (1 − β₁ᵗ) and 1 / (1 − β₂ᵗ).
package func adamStep(
    rate: Float, correction: Float, beta1: Float, beta2: Float, epsilon: Float,
    gradient: Span<Float>,
    first: inout MutableSpan<Float>, second: inout MutableSpan<Float>,
    parameters: inout MutableSpan<Float>,
    path: KernelPath = .best
) {
    let count = gradient.count
    precondition(
        first.count == count && second.count == count && parameters.count == count,
        "a step over unequal vectors")
    // Reason: the four pointers are valid for the count checked above.
    unsafe gradient.withUnsafeBufferPointer { gradient in
        unsafe first.withUnsafeMutableBufferPointer { first in
            unsafe second.withUnsafeMutableBufferPointer { second in
                unsafe parameters.withUnsafeMutableBufferPointer { parameters in
                    unsafe ck_adam_step(
                        path.flag, count, rate, correction, beta1, beta2, epsilon,
                        gradient.baseAddress,
                        first.baseAddress, second.baseAddress, parameters.baseAddress)
                }
            }
        }
    }
}
