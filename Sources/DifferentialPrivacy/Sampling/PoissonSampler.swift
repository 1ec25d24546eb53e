/// Batches as the accountants mean them: each unit is in a batch with probability q, independently of all others and of
/// all other batches. The size of a batch varies; it is Binomial(units, q).
///
/// Amplification by sampling holds for this sampler and for no shuffled or fixed-size one (Chua et al. 2024), so
/// it is the only one there is. `protocol/differential-privacy.md` §3.
package struct PoissonSampler: Equatable, Sendable {
    /// q · 2^64, rounded down; nil for q = 1.
    private let threshold: UInt64?

    /// - Parameter samplingRate: q, above 0 and at most 1. The sampler's rate is q rounded down to a multiple of 2^-64.
    package init(samplingRate: Double) {
        precondition(samplingRate > 0 && samplingRate <= 1, "a sampling rate is above 0 and at most 1")
        threshold = samplingRate == 1 ? nil : UInt64(samplingRate * 0x1p64)
    }

    /// The units of one batch, ascending. `indices` is emptied first.
    ///
    /// - Parameter units: how many there are, numbered from 0. Costs two random bytes a unit.
    package func draw(units: Int, into indices: inout [Int], _ stream: inout NoiseStream) {
        indices.removeAll(keepingCapacity: true)
        guard let threshold else {
            indices.append(contentsOf: 0..<units)
            return
        }
        // The top 16 bits decide nearly always; the other 48 are drawn when they are equal.
        let top = threshold >> 48
        let rest = threshold & 0xffff_ffff_ffff
        var unit = 0
        while unit < units {
            var word = stream.word()
            let end = min(unit + 4, units)
            while unit < end {
                let high = word & 0xffff
                if high <= top, high < top || stream.word() >> 16 < rest { indices.append(unit) }
                word >>= 16
                unit += 1
            }
        }
    }
}
