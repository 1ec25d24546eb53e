// What a completed round yields, at the coordinator and, re-checked, at every node.

import Cryptography

/// The sum over the survivors, and nothing about any one of them.
package struct AggregateSum: Equatable, Sendable {
    package let spec: VectorSpec
    /// Σq per element: exact integers.
    package private(set) var signedSums: [Int32]
    /// Σw.
    package let totalWeight: UInt64
    /// Manifest indices of the sites in the sum, ascending.
    package let survivors: [UInt32]
    /// Manifest indices of all sites that advertised, ascending.
    package let roster: [UInt32]
    /// Mean over sites of the share of elements that were clipped.
    package let clippedShare: Double
    /// Weighted mean of the sites' losses.
    package let weightedLoss: Double

    init(
        spec: VectorSpec, header: HeaderSlots, payload: [UInt32], survivors: [UInt32],
        roster: [UInt32]
    ) {
        self.spec = spec
        signedSums = payload.map { Int32(bitPattern: $0) }
        totalWeight = header.totalWeight
        self.survivors = survivors
        self.roster = roster
        clippedShare = header.clippedShare(survivors: survivors.count)
        weightedLoss = header.weightedLoss(maximumWeight: spec.maximumWeight)
    }

    /// The same round with other integers: the sum after the coordinator's noise.
    ///
    /// - Parameter sums: one per element of the specification.
    package func replacing(signedSums sums: [Int32]) -> AggregateSum {
        precondition(sums.count == signedSums.count, "a sum of another length")
        var copy = self
        copy.signedSums = sums
        return copy
    }

    /// The weighted mean per element: S·2^−f·W_max/Σw.
    ///
    /// Error against the exact weighted mean of the clipped values: at most n/(2Σω)·2^−f and one rounding.
    package var weightedMean: [Double] {
        scaled(by: Double(spec.maximumWeight) / Double(totalWeight))
    }

    /// ``weightedMean`` as floats, for model updates.
    package var weightedMeanFloats: [Float] { weightedMean.map(Float.init) }

    /// Σ ω·c per element: S·2^−f. With every weight at W_max this is the plain sum.
    package var weightedSum: [Double] { scaled(by: 1) }

    private func scaled(by factor: Double) -> [Double] {
        var output: [Double] = []
        output.reserveCapacity(signedSums.count)
        var element = 0
        for tensor in spec.tensors {
            let scale = exp2(-tensor.fractionBits)
            for _ in 0..<tensor.count {
                output.append(Double(signedSums[element]) * scale * factor)
                element += 1
            }
        }
        return output
    }
}
