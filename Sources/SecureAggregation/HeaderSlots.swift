// The sixteen words in front of every payload. They are summed like the payload and let both sides
// check that masks cancelled, and read the total weight, loss and clipped share without any site's own
// number being seen. `protocol/secure-aggregation.md` §4.2.
//
//     0–3    the constant 1: must sum to the number of survivors
//     4–6    weight in limbs of 16 bits, lowest first: exact for fewer than 2^16 sites
//     7      share of clipped elements × 2^16
//     8–9    loss × ω × 2^24 in limbs of 16 bits
//     10–15  zero

/// Layout of the header, for one site's values and for sums of them.
package struct HeaderSlots: Equatable, Sendable {
    /// Words of a header.
    package static let count = 16
    /// Number of this layout in the vector specification.
    static let layout: UInt8 = 1
    /// Losses are clamped to [0, 255].
    package static let lossMax = 255.0

    var words: [UInt32]

    /// One site's header.
    init(weight: UInt64, maximumWeight: UInt64, clippedShare: Double, loss: Double) {
        words = [UInt32](repeating: 0, count: Self.count)
        for slot in 0..<4 { words[slot] = 1 }
        for limb in 0..<3 { words[4 + limb] = UInt32((weight >> UInt64(16 * limb)) & 0xFFFF) }
        words[7] = UInt32((clippedShare * exp2(16)).rounded(.toNearestOrEven))
        let factor = Double(weight) / Double(maximumWeight)
        let scaled = UInt64(
            (min(max(loss, 0), Self.lossMax) * factor * exp2(24)).rounded(.toNearestOrEven))
        words[8] = UInt32(scaled & 0xFFFF)
        words[9] = UInt32(scaled >> 16)
    }

    init(words: [UInt32]) {
        precondition(words.count == Self.count, "a header has 16 words")
        self.words = words
    }

    /// Σw.
    var totalWeight: UInt64 { (0..<3).reduce(0) { $0 + UInt64(words[4 + $1]) << UInt64(16 * $1) } }

    /// Mean over sites of the share of clipped elements, 0 to 1.
    func clippedShare(survivors: Int) -> Double { Double(words[7]) / exp2(16) / Double(survivors) }

    /// Weighted mean of the losses.
    func weightedLoss(maximumWeight: UInt64) -> Double {
        let sum = Double(UInt64(words[8]) + UInt64(words[9]) << 16) / exp2(24)
        return sum * Double(maximumWeight) / Double(totalWeight)
    }

    /// Whether a sum over `survivors` sites can be one of honest headers: every check that the words allow.
    func isPlausibleSum(survivors: Int, maximumWeight: UInt64) -> Bool {
        let sites = UInt64(survivors)
        return words[0..<4].allSatisfy { $0 == UInt32(survivors) }
            && words[4..<7].allSatisfy { UInt64($0) <= sites * 0xFFFF }
            && UInt64(words[7]) <= sites << 16
            && words[8..<10].allSatisfy { UInt64($0) <= sites * 0xFFFF }
            && words[10...].allSatisfy { $0 == 0 }
            && totalWeight >= sites
            && totalWeight <= sites.multipliedReportingOverflow(by: maximumWeight).partialValue
    }
}
