import Kernels
import Testing

/// The loops of private training against their naive twins, in every form that this processor has.
@Suite struct LatticeKernelTests {
    private let shapes = [(1, 1, 1), (3, 7, 4), (17, 8, 5), (64, 30, 64), (33, 64, 32), (200, 19, 1), (512, 9, 3)]

    private func values(_ count: Int, _ scale: Float, _ generator: inout SeededGenerator) -> [Float] {
        (0..<count).map { _ in scale * (2 * generator.unitFloat() - 1) }
    }

    @Test func sumsOfRoundedProductsAreTheNaiveOnes() {
        var generator = SeededGenerator(seed: 5)
        for (rows, inputs, outputs) in shapes {
            // Products of few bits: both forms see the same number, ties (halves) included.
            let x = (0..<rows * inputs).map { _ in Float(generator.below(64)) - 32 }
            let dy = (0..<rows * outputs).map { _ in (Float(generator.below(1 << 16)) - 0x1p15) / 2 }
            var (weights, biases) = ([UInt32](repeating: 3, count: inputs * outputs), [UInt32](repeating: 7, count: outputs))
            var (naiveWeights, naiveBiases) = (weights, biases)
            do {
                var w = naiveWeights.mutableSpan
                    var b = naiveBiases.mutableSpan
                NaiveKernels.latticeGradient(rows: rows, dy.span, x.span, weightSums: &w, biasSums: &b)
            }
            for path in KernelPath.allCases where path.isAvailable {
                (weights, biases) = ([UInt32](repeating: 3, count: inputs * outputs), [UInt32](repeating: 7, count: outputs))
                do {
                    var w = weights.mutableSpan
                    var b = biases.mutableSpan
                    latticeGradient(rows: rows, dy.span, x.span, weightSums: &w, biasSums: &b, path: path)
                }
                #expect(weights == naiveWeights && biases == naiveBiases, "\(path), \(rows) rows, \(inputs) × \(outputs)")
            }
        }
    }

    @Test func roundingIsToTheNearestUpToTheLargestProduct() {
        for path in KernelPath.allCases where path.isAvailable {
            for value in [0, 0.49, 0.5, 1.5, 2.5, -0.5, -1.5, 1000.25, 2_097_151.5, -2_097_152, 4_194_303, -4_194_303] as [Float] {
                var (weights, biases) = ([UInt32](repeating: 0, count: 9), [UInt32](repeating: 0, count: 1))
                do {
                    var w = weights.mutableSpan
                    var b = biases.mutableSpan
                    latticeGradient(rows: 1, [value].span, [Float](repeating: 1, count: 9).span, weightSums: &w, biasSums: &b, path: path)
                }
                let expected = Int32(value.rounded(.toNearestOrEven))
                #expect(biases[0] == UInt32(bitPattern: expected) && weights.allSatisfy { Int32(bitPattern: $0) == expected }, "\(value)")
            }
        }
    }

    @Test func squaresOfRowsAreExactEnoughToBoundANorm() {
        var generator = SeededGenerator(seed: 6)
        for (rows, columns, _) in shapes {
            let x = values(rows * columns, 3, &generator)
            var naive = [Double](repeating: 0, count: rows)
            do {
                var span = naive.mutableSpan
                NaiveKernels.rowSquares(rows: rows, columns: columns, x.span, into: &span)
            }
            for path in KernelPath.allCases where path.isAvailable {
                var squares = [Double](repeating: -1, count: rows)
                do {
                    var span = squares.mutableSpan
                    rowSquares(rows: rows, columns: columns, x.span, into: &span, path: path)
                }
                #expect(zip(squares, naive).allSatisfy { abs($0 - $1) <= 1e-13 * $1 })
            }
        }
    }

    @Test func scalingRowsScalesEachByItsOwn() {
        for path in KernelPath.allCases where path.isAvailable {
            var x = (0..<3 * 11).map { Float($0) }
            do {
                var span = x.mutableSpan
                scaleRows(rows: 2, columns: 11, by: ([2, -0.5] as [Float]).span, &span, path: path)
            }
            let factors: [Float] = [2, -0.5, 1]
            let expected = (0..<33).map { factors[$0 / 11] * Float($0) }
            #expect(x == expected)
        }
    }
}
