// A complex transform of a power of two. Forward leaves the result in bit-reversed order and inverse expects it so:
// products of spectra do not care, and no permutation is needed. Cooley and Tukey 1965, Gentleman and Sande 1966.

import Glibc

/// Twiddle factors of one size. Memory: 8 bytes a point; a transform of 2^19 points takes some 30 ms.
struct FourierTransform {
    /// A power of two.
    let count: Int
    private let cosines: [Double]
    private let sines: [Double]

    init(count: Int) {
        precondition(count >= 2 && count & (count - 1) == 0, "a transform's size is a power of two")
        self.count = count
        var (cosines, sines) = ([Double](repeating: 1, count: count / 2), [Double](repeating: 0, count: count / 2))
        // Angles stay below an eighth of the circle, where both functions are as exact as a double allows.
        let eighth = count / 8
        for k in 0..<count / 2 {
            let (quarter, rest) = count < 8 ? (0, k) : (k / (2 * eighth), k % (2 * eighth))
            var (c, s) = (0.0, 0.0)
            if count < 8 || rest <= eighth {
                let angle = 2 * Double.pi * Double(rest) / Double(count)
                (c, s) = (cos(angle), sin(angle))
            } else {
                let angle = 2 * Double.pi * Double(2 * eighth - rest) / Double(count)
                (c, s) = (sin(angle), cos(angle))
            }
            (cosines[k], sines[k]) = quarter == 0 ? (c, s) : (-s, c)
        }
        self.cosines = cosines
        self.sines = sines
    }

    /// Σ x_n e^(−2πikn/N) at the bit-reversal of k.
    func forward(_ real: inout [Double], _ imaginary: inout [Double]) {
        var real = real.mutableSpan
        var imaginary = imaginary.mutableSpan
        let (cosines, sines) = (cosines.span, sines.span)
        var half = count / 2
        while half >= 1 {
            let stride = count / (2 * half)
            var start = 0
            while start < count {
                for k in 0..<half {
                    let (i, j) = (start + k, start + k + half)
                    let (a, b) = (real[i], imaginary[i])
                    let (c, d) = (real[j], imaginary[j])
                    real[i] = a + c
                    imaginary[i] = b + d
                    let (x, y) = (a - c, b - d)
                    let (wr, wi) = (cosines[k * stride], -sines[k * stride])
                    real[j] = x * wr - y * wi
                    imaginary[j] = x * wi + y * wr
                }
                start += 2 * half
            }
            half /= 2
        }
    }

    /// The inverse of `forward` times `count`.
    func inverse(_ real: inout [Double], _ imaginary: inout [Double]) {
        var real = real.mutableSpan
        var imaginary = imaginary.mutableSpan
        let (cosines, sines) = (cosines.span, sines.span)
        var half = 1
        while half < count {
            let stride = count / (2 * half)
            var start = 0
            while start < count {
                for k in 0..<half {
                    let (i, j) = (start + k, start + k + half)
                    let (wr, wi) = (cosines[k * stride], sines[k * stride])
                    let (x, y) = (real[j] * wr - imaginary[j] * wi, real[j] * wi + imaginary[j] * wr)
                    let (a, b) = (real[i], imaginary[i])
                    real[i] = a + x
                    imaginary[i] = b + y
                    real[j] = a - x
                    imaginary[j] = b - y
                }
                start += 2 * half
            }
            half *= 2
        }
    }
}
