/// The discrete Gaussian over the whole numbers: P(x) ∝ exp(−x² / 2σ²), sampled exactly.
///
/// Algorithm 3 of Canonne, Kamath and Steinke 2020 in integer arithmetic: a discrete Laplace proposal, accepted by
/// a coin of odds exp(−(|x| − σ²/t)² / 2σ²). No floating-point number takes part, so what is released cannot
/// say more than the distribution does (Mironov 2012). About 0.2 µs a draw. `protocol/differential-privacy.md` §3.
package struct DiscreteGaussian: Equatable, Sendable {
    /// Largest numerator of σ²; also the largest σ² itself.
    package static let numeratorMax: UInt64 = 1 << 50
    /// Largest denominator of σ².
    package static let denominatorMax: UInt64 = 1 << 20
    /// Proposals this many scales out are refused unseen. Their odds of acceptance are below exp(−1900).
    private static let proposalScales: UInt64 = 64

    private let numerator: UInt64
    private let denominator: UInt64
    /// t = ⌊σ⌋ + 1, the scale of the proposal.
    private let scale: UInt64
    /// 2 · numerator · denominator · t².
    private let exponentDenominator: UInt128

    /// σ² = numerator / denominator.
    ///
    /// - Parameters:
    ///   - numerator: 1 ... `numeratorMax`.
    ///   - denominator: 1 ... `denominatorMax`.
    package init(varianceNumerator numerator: UInt64, denominator: UInt64 = 1) {
        precondition(
            (1...DiscreteGaussian.numeratorMax).contains(numerator)
                && (1...DiscreteGaussian.denominatorMax).contains(denominator),
            "the variance of a discrete Gaussian is a fraction of at most 2^50 over at most 2^20")
        self.numerator = numerator
        self.denominator = denominator
        scale = DiscreteGaussian.integerRoot(numerator / denominator) + 1
        exponentDenominator =
            2 * UInt128(numerator) * UInt128(denominator) * UInt128(scale) * UInt128(scale)
    }

    /// σ² as a number, rounded up to a fraction: never less noise than asked for.
    ///
    /// - Parameter variance: above 0 and at most 2^50.
    package init(variance: Double) {
        precondition(
            variance > 0 && variance <= Double(DiscreteGaussian.numeratorMax),
            "the variance of a discrete Gaussian is above 0 and at most 2^50")
        var denominator = DiscreteGaussian.denominatorMax
        while variance * Double(denominator) > Double(DiscreteGaussian.numeratorMax) {
            denominator /= 2
        }
        self.init(
            varianceNumerator: UInt64((variance * Double(denominator)).rounded(.up)),
            denominator: denominator)
    }

    /// σ², exactly what is sampled.
    package var variance: Double { Double(numerator) / Double(denominator) }

    /// One draw.
    package func draw(_ stream: inout NoiseStream) -> Int64 {
        while true {
            guard let proposal = proposal(&stream) else { continue }
            let distance =
                UInt128(proposal.magnitude) * UInt128(denominator) * UInt128(scale)
            let mean = UInt128(numerator)
            let difference = distance > mean ? distance - mean : mean - distance
            if stream.isExponential(difference * difference, exponentDenominator) {
                return proposal
            }
        }
    }

    /// Adds one draw to each element.
    package func add(to values: inout MutableSpan<Int64>, _ stream: inout NoiseStream) {
        #if !CONSILIUM_NO_NOISE_AUDIT
            for index in 0..<values.count { values[index] += draw(&stream) }
        #endif
    }

    /// Algorithm 2 of the paper: a draw of P(x) ∝ exp(−|x| / t), or nil for a try that came to nothing.
    @inline(__always)
    private func proposal(_ stream: inout NoiseStream) -> Int64? {
        let remainder = stream.below(scale)
        guard stream.isExponential(UInt128(remainder), UInt128(scale)) else { return nil }
        var multiple: UInt64 = 0
        while stream.isExponential(1, 1) {
            multiple += 1
            guard multiple < DiscreteGaussian.proposalScales else { return nil }
        }
        let magnitude = Int64(remainder + scale * multiple)
        guard stream.word() & 1 == 1 else { return magnitude }
        return magnitude == 0 ? nil : -magnitude
    }

    /// ⌊√value⌋ for values below 2^51, whose roots `Double` has exactly or just above; corrected in integers.
    private static func integerRoot(_ value: UInt64) -> UInt64 {
        var root = UInt64(Double(value).squareRoot())
        while root * root > value { root -= 1 }
        while (root + 1) * (root + 1) <= value { root += 1 }
        return root
    }
}
