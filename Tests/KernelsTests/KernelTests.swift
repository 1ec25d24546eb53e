import Kernels
import Testing

/// Every fast form against its naive twin, over sizes around the width of the lanes.
@Suite struct KernelTests {
    static let paths = KernelPath.allCases.filter(\.isAvailable)
    static let sizes = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100]

    static func numbers(_ count: Int, _ seed: UInt64) -> [Float] {
        var generator = SeededGenerator(seed: seed)
        return (0..<count).map { _ in 2 * generator.unitFloat() - 1 }
    }

    static func expectClose(_ a: [Float], _ b: [Float], _ tolerance: Float = 2e-5, _ what: Comment)
    {
        #expect(a.count == b.count, what)
        let worst = zip(a, b).map { abs($0 - $1) / max(1, abs($1)) }.max() ?? 0
        #expect(worst <= tolerance, what)
    }

    @Test(arguments: paths) func dotProductMatchesNaive(path: KernelPath) {
        for size in [0] + Self.sizes + [4096] {
            let (a, b) = (Self.numbers(size, 1), Self.numbers(size, 2))
            Self.expectClose(
                [dot(a.span, b.span, path: path)], [NaiveKernels.dot(a.span, b.span)], 1e-4,
                "\(size) values")
        }
    }

    @Test(arguments: paths) func addScaledMatchesNaive(path: KernelPath) {
        for size in Self.sizes {
            let x = Self.numbers(size, 3)
            var fast = Self.numbers(size, 4)
            var naive = fast
            var fastSpan = fast.mutableSpan
            addScaled(0.37, x.span, to: &fastSpan, path: path)
            var naiveSpan = naive.mutableSpan
            NaiveKernels.addScaled(0.37, x.span, to: &naiveSpan)
            Self.expectClose(fast, naive, 1e-6, "\(size) values")
        }
    }

    @Test(arguments: paths) func forwardMatchesNaive(path: KernelPath) {
        for (inputs, outputs, rows) in Self.shapes {
            for rectified in [false, true] {
                let x = Self.numbers(rows * inputs, 5)
                let (weights, bias) = (Self.numbers(outputs * inputs, 6), Self.numbers(outputs, 7))
                var fast = [Float](repeating: 9, count: rows * outputs)
                var naive = fast
                var fastSpan = fast.mutableSpan
                denseForward(
                    rows: rows, x.span, weights: weights.span, bias: bias.span, into: &fastSpan,
                    rectified: rectified, path: path)
                var naiveSpan = naive.mutableSpan
                NaiveKernels.denseForward(
                    rows: rows, x.span, weights: weights.span, bias: bias.span, into: &naiveSpan,
                    rectified: rectified)
                Self.expectClose(fast, naive, 2e-5, "\(rows) rows, \(inputs) to \(outputs)")
                if rectified { #expect(fast.allSatisfy { $0 >= 0 }) }
            }
        }
    }

    @Test(arguments: paths) func packedForwardMatchesNaiveAndTakesRowsAlone(path: KernelPath) {
        for (inputs, outputs, rows) in Self.shapes {
            for rectified in [false, true] {
                let x = Self.numbers(rows * inputs, 5)
                let (weights, bias) = (Self.numbers(outputs * inputs, 6), Self.numbers(outputs, 7))
                let layer = PackedLayer(weights: weights, bias: bias)
                #expect(layer.inputs == inputs && layer.outputs == outputs)
                // One more number behind the rows, which stays.
                var fast = [Float](repeating: 9, count: rows * outputs + 1)
                var naive = [Float](repeating: 9, count: rows * outputs)
                var fastSpan = fast.mutableSpan
                layer.forward(rows: rows, x.span, into: &fastSpan, rectified: rectified, path: path)
                var naiveSpan = naive.mutableSpan
                NaiveKernels.denseForward(
                    rows: rows, x.span, weights: weights.span, bias: bias.span, into: &naiveSpan, rectified: rectified)
                #expect(fast.removeLast() == 9, "\(rows) rows, \(inputs) to \(outputs)")
                Self.expectClose(fast, naive, 2e-5, "\(rows) rows, \(inputs) to \(outputs)")
                if rectified { #expect(fast.allSatisfy { $0 >= 0 }) }
                for row in 0..<rows {
                    var alone = [Float](repeating: 9, count: outputs)
                    var aloneSpan = alone.mutableSpan
                    let one = Array(x[row * inputs..<(row + 1) * inputs])
                    layer.forward(rows: 1, one.span, into: &aloneSpan, rectified: rectified, path: path)
                    #expect(alone == Array(fast[row * outputs..<(row + 1) * outputs]), "row \(row) of \(rows), \(inputs) to \(outputs)")
                }
            }
        }
    }

    @Test(arguments: paths) func backwardMatchesNaive(path: KernelPath) {
        for (inputs, outputs, rows) in Self.shapes {
            let (x, dy) = (Self.numbers(rows * inputs, 8), Self.numbers(rows * outputs, 9))
            let weights = Self.numbers(outputs * inputs, 10)
            let (startWeights, startBiases) = (
                Self.numbers(outputs * inputs, 11), Self.numbers(outputs, 12)
            )
            var (fastWeights, fastBiases, fastInputs) = (
                startWeights, startBiases, [Float](repeating: 0, count: rows * inputs)
            )
            var (naiveWeights, naiveBiases, naiveInputs) = (startWeights, startBiases, fastInputs)
            do {
                var weightSpan = fastWeights.mutableSpan
                var biasSpan = fastBiases.mutableSpan
                denseBackwardWeights(
                    rows: rows, dy.span, x.span, weightGradient: &weightSpan,
                    biasGradient: &biasSpan, path: path)
                var inputSpan = fastInputs.mutableSpan
                denseBackwardInputs(
                    rows: rows, outputs: outputs, dy.span, weights: weights.span,
                    activations: x.span, into: &inputSpan, path: path)
            }
            do {
                var weightSpan = naiveWeights.mutableSpan
                var biasSpan = naiveBiases.mutableSpan
                NaiveKernels.denseBackwardWeights(
                    rows: rows, dy.span, x.span, weightGradient: &weightSpan,
                    biasGradient: &biasSpan)
                var inputSpan = naiveInputs.mutableSpan
                NaiveKernels.denseBackwardInputs(
                    rows: rows, outputs: outputs, dy.span, weights: weights.span,
                    activations: x.span, into: &inputSpan)
            }
            Self.expectClose(
                fastWeights, naiveWeights, 5e-5, "weights, \(rows) rows, \(inputs) to \(outputs)")
            Self.expectClose(
                fastBiases, naiveBiases, 5e-5, "biases, \(rows) rows, \(inputs) to \(outputs)")
            Self.expectClose(
                fastInputs, naiveInputs, 5e-5, "inputs, \(rows) rows, \(inputs) to \(outputs)")
        }
    }

    @Test(arguments: paths) func stepsMatchNaive(path: KernelPath) {
        for size in Self.sizes {
            let gradient = Self.numbers(size, 13)
            let start = Self.numbers(size, 14)
            let (first, second) = (Self.numbers(size, 15), Self.numbers(size, 16).map { $0 * $0 })
            var fast = [start, first, start, first, second]
            var naive = fast
            for _ in 0..<3 {
                do {
                    var (velocity, parameters) = (fast[1], fast[0])
                    var velocitySpan = velocity.mutableSpan
                    var parameterSpan = parameters.mutableSpan
                    momentumStep(
                        rate: 0.1, momentum: 0.9, gradient: gradient.span, velocity: &velocitySpan,
                        parameters: &parameterSpan, path: path)
                    (fast[1], fast[0]) = (velocity, parameters)
                    (velocity, parameters) = (naive[1], naive[0])
                    var naiveVelocity = velocity.mutableSpan
                    var naiveParameters = parameters.mutableSpan
                    NaiveKernels.momentumStep(
                        rate: 0.1, momentum: 0.9, gradient: gradient.span, velocity: &naiveVelocity,
                        parameters: &naiveParameters)
                    (naive[1], naive[0]) = (velocity, parameters)
                }
                fast = Self.adam(fast, gradient, path)
                naive = Self.adam(naive, gradient, nil)
            }
            for index in fast.indices {
                Self.expectClose(fast[index], naive[index], 1e-5, "\(size) values, vector \(index)")
            }
        }
    }

    /// One Adam step over vectors 2 to 4; naive when `path` is nil.
    static func adam(_ vectors: [[Float]], _ gradient: [Float], _ path: KernelPath?) -> [[Float]] {
        var (parameters, first, second) = (vectors[2], vectors[3], vectors[4])
        var parameterSpan = parameters.mutableSpan
        var firstSpan = first.mutableSpan
        var secondSpan = second.mutableSpan
        if let path {
            adamStep(
                rate: 0.01, correction: 1.5, beta1: 0.9, beta2: 0.99, epsilon: 1e-6,
                gradient: gradient.span, first: &firstSpan,
                second: &secondSpan, parameters: &parameterSpan, path: path)
        } else {
            NaiveKernels.adamStep(
                rate: 0.01, correction: 1.5, beta1: 0.9, beta2: 0.99, epsilon: 1e-6,
                gradient: gradient.span, first: &firstSpan,
                second: &secondSpan, parameters: &parameterSpan)
        }
        return [vectors[0], vectors[1], parameters, first, second]
    }

    static let shapes: [(Int, Int, Int)] = [1, 3, 8, 13, 30, 33, 64].flatMap { inputs in
        [1, 2, 3, 4, 5, 16, 33].flatMap { outputs in [1, 2, 7, 32].map { (inputs, outputs, $0) } }
    }

    @Test(arguments: paths) func sameInputsGiveTheSameBits(path: KernelPath) {
        let (a, b) = (Self.numbers(1000, 20), Self.numbers(1000, 21))
        let once = dot(a.span, b.span, path: path)
        #expect((0..<20).allSatisfy { _ in dot(a.span, b.span, path: path) == once })
    }

    @Test func saysWhichFormRuns() {
        #expect(KernelPath.baseline.isAvailable)
        #expect(KernelPath.best.isAvailable)
        if !KernelPath.wide.isAvailable {
            print("this processor has no AVX2 and FMA: only the baseline kernels were tested")
        }
    }

    @Test(arguments: paths) func rowsAreWithinTheirBoundsOrNot(path: KernelPath) {
        for width in [1, 3, 4, 5, 30] {
            let (lower, upper) = ((0..<width).map { Double($0) }, (0..<width).map { Double($0) + 2 })
            for rows in [0, 1, 3] {
                let inside = (0..<rows * width).map { Double($0 % width) + Double($0 % 3) }
                #expect(areWithin(inside, lower: lower, upper: upper, path: path))
                for place in inside.indices {
                    for wrong in [-0.001, 2.001, .infinity, -.infinity, .nan] {
                        var outside = inside
                        outside[place] = Double(place % width) + wrong
                        #expect(!areWithin(outside, lower: lower, upper: upper, path: path), "\(place) of \(rows) rows of \(width)")
                    }
                }
            }
        }
    }

    @Test(arguments: paths) func standardisedRowsAreCutAndFilled(path: KernelPath) {
        for width in [1, 3, 4, 5, 30] {
            let columns = (0..<width).map { (imputed: Double($0) + 0.5, centre: Double($0) / 7, scale: 0.3 + Double($0)) }
            let clip = 4.0
            var rows = Self.numbers(3 * width, 13).map { Double($0) * 9 }
            for index in stride(from: 0, to: rows.count, by: 4) { rows[index] = [.nan, -1e300, 1e300, 0][index / 4 % 4] }
            let inputs = Standardisation(columns, clip: clip).inputs(rows, path: path)
            let expected = rows.enumerated().map { index, value in
                let column = columns[index % width]
                return Float(min(clip, max(-clip, ((value.isNaN ? column.imputed : value) - column.centre) / column.scale)))
            }
            #expect(inputs.map(\.bitPattern) == expected.map(\.bitPattern))
            #expect(Standardisation(columns, clip: clip).inputs([], path: path) == [])
        }
    }
}
