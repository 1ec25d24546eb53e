// The promise of `protocol/secure-aggregation.md` §4.1, held coordinate by coordinate; CONSILIUM_LONG=1 prints the
// table of the specification with 20,000 of them for every n.

import Cryptography
import Testing

@testable import SecureAggregation

@Suite("Fixed point error") struct FixedPointErrorTests {
    private static let coordinates = 20_000
    /// Values encoded in the short form, for each n.
    private static let valuesMax = 400_000

    /// Multiplicative congruential (Lehmer, modulus 2^61 − 1): millions of values, quickly also in a debug build.
    private struct Values {
        var state: FieldElement

        mutating func next() -> UInt64 {
            state = state * FieldElement(reduced: 437_799_614_237_992_725)
            return state.value
        }
    }

    @Test("the weighted mean errs by at most n/(2Σω)·2^−f", arguments: [3, 8, 32, 100, 500, 2000])
    func errorStaysWithinTheBound(_ n: Int) throws {
        let elements =
            TestSettings.isLong ? Self.coordinates : min(Self.coordinates, Self.valuesMax / n)
        let tensor = TensorSpec(name: "w", count: elements, clip: 1, cohortMax: n)
        let spec = VectorSpec(tensors: [tensor], maximumWeight: 1000)
        var random = Values(state: FieldElement(reduced: 1 + TestSettings.seed))
        var sums = [Int64](repeating: 0, count: elements)
        var exact = [Double](repeating: 0, count: elements)
        var weights: UInt64 = 0
        var values = [Float](repeating: 0, count: elements)
        for _ in 0..<n {
            let weight = 1 + random.next() % 1000
            weights += weight
            for index in 0..<elements {
                values[index] = Float(Double(random.next()) / 0x1p60 - 1)
            }
            let integers = try FixedPoint.encode(values, spec: spec, weight: weight).integers
            for index in 0..<elements {
                sums[index] += Int64(integers[index])
                exact[index] += Double(values[index]) * Double(weight)
            }
        }
        let factor = exp2(-tensor.fractionBits) * 1000 / Double(weights)
        var worst = 0.0
        for index in 0..<elements {
            worst = max(worst, abs(Double(sums[index]) * factor - exact[index] / Double(weights)))
        }
        let bound = Double(n) / (2 * Double(weights) / 1000) * exp2(-tensor.fractionBits)
        print(
            "fixed point n = \(n): f = \(tensor.fractionBits), bound \(bound), largest error \(worst) of \(elements) elements"
        )
        #expect(sums.allSatisfy { abs($0) <= Int64(Int32.max) })
        // The doubles that hold the exact mean have a rounding of their own.
        #expect(worst <= bound * 1.0001)
    }
}
