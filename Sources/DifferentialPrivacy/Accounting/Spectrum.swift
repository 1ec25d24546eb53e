// Composition by multiplying spectra, with a bound of the round-off. A transform's errors are some units in the last
// place of a vector whose sum is 1, so a power of a spectral value z is off by count · error / |z| of itself.

import Glibc

enum Spectrum {
    struct Ring {
        var values: [Double]
        /// Bound of the round-off of each value.
        var error: Double
        /// log of E[e^(tilt·loss)] over all steps.
        var logMass: Double
    }

    static func compose(_ grids: [(grid: LossGrid, count: Int)], size: Int, tilt: Double, spacing: Double) -> Ring {
        let transform = FourierTransform(count: size)
        let digits = Double(size.trailingZeroBitCount)
        // Round-off of one transform of values whose sum is 1.
        let forwardError = 8 * Double.ulpOfOne * digits
        var real = [Double](repeating: 1, count: size)
        var imaginary = [Double](repeating: 0, count: size)
        var relative = [Double](repeating: 0, count: size)
        var logMass = 0.0
        for (grid, count) in grids {
            let cumulant = grid.cumulant(at: tilt, spacing: spacing)
            logMass += Double(count) * cumulant
            var one = [Double](repeating: 0, count: size)
            var other = one
            grid.fold(into: &one, tilt: tilt, cumulant: cumulant, spacing: spacing)
            transform.forward(&one, &other)
            multiply(&real, &imaginary, &relative, by: one, other, count, forwardError)
        }
        var (error, energy) = (0.0, 0.0)
        for index in 0..<size {
            let square = real[index] * real[index] + imaginary[index] * imaginary[index]
            error += square.squareRoot() * relative[index]
            energy += square
        }
        transform.inverse(&real, &imaginary)
        let scale = 1 / Double(size)
        for index in 0..<size { real[index] *= scale }
        return Ring(
            values: real, error: error * scale + forwardError * energy.squareRoot() * scale, logMass: logMass)
    }

    /// Multiplies by the power `count` of a spectrum, and notes by how much each product may be wrong.
    private static func multiply(
        _ real: inout [Double], _ imaginary: inout [Double], _ relative: inout [Double],
        by one: [Double], _ other: [Double], _ count: Int, _ forwardError: Double
    ) {
        var real = real.mutableSpan
        var imaginary = imaginary.mutableSpan
        var relative = relative.mutableSpan
        let (one, other) = (one.span, other.span)
        for index in 0..<real.count {
            var (x, y) = (one[index], other[index])
            let magnitude = (x * x + y * y).squareRoot()
            relative[index] += Double(count) * (forwardError / max(magnitude, 1e-300) + 4 * Double.ulpOfOne)
            var (a, b) = (real[index], imaginary[index])
            var left = count
            while left > 0 {
                if left & 1 == 1 { (a, b) = (a * x - b * y, a * y + b * x) }
                (x, y) = (x * x - y * y, 2 * x * y)
                left >>= 1
            }
            (real[index], imaginary[index]) = (a, b)
        }
    }
}
