// Coins with exact odds, in integers. Canonne, Kamath and Steinke 2020, algorithm 1, on top of a coin whose odds are
// a fraction. Nothing is rounded, and running time depends on the coins only.

extension NoiseStream {
    /// True with probability numerator / denominator, exactly.
    ///
    /// A uniform real number is drawn 64 bits at a time and compared with the fraction, until it is known
    /// to lie on one side; further digits are needed once in 2^64 / denominator draws at most.
    ///
    /// - Parameter denominator: below 2^127 and above 0.
    @inline(__always)
    mutating func isBelow(_ numerator: UInt128, of denominator: UInt128) -> Bool {
        var numerator = numerator
        let denominatorHigh = denominator >> 64
        let denominatorLow = denominator & UInt128(UInt64.max)
        while true {
            // word / 2^64 against numerator / denominator, that is word · denominator against numerator · 2^64.
            let word = UInt128(word())
            let low = word &* denominatorLow
            let product = word &* denominatorHigh &+ (low >> 64)
            if product >= numerator { return false }
            let difference = numerator &- product
            if difference > denominatorHigh &+ 1 { return true }
            // The next digits decide: the rest of the fraction, scaled up by the 2^64 that were drawn.
            let rest = (difference << 64) &- (low & UInt128(UInt64.max))
            if rest >= denominator { return true }
            numerator = rest
        }
    }

    /// True with probability exp(−numerator / denominator), exactly.
    ///
    /// - Parameters: numerator / denominator is 0 or more; both are below 2^116.
    mutating func isExponential(_ numerator: UInt128, _ denominator: UInt128) -> Bool {
        var numerator = numerator
        while numerator > denominator {
            guard isUnitExponential(1, 1) else { return false }
            numerator &-= denominator
        }
        return isUnitExponential(numerator, denominator)
    }

    /// As `isExponential`, for a fraction in 0 ... 1: the first k at which a coin of odds fraction / k fails is odd.
    @inline(__always)
    private mutating func isUnitExponential(_ numerator: UInt128, _ denominator: UInt128) -> Bool {
        var k: UInt128 = 1
        // The chance to come to k is at most 1 / k!, so k · denominator stays below 2^127 for ever.
        while isBelow(numerator, of: denominator &* k) { k &+= 1 }
        return k & 1 == 1
    }

    /// A whole number in 0 ..< bound, by multiplication and rejection (Lemire 2019).
    @inline(__always)
    mutating func below(_ bound: UInt64) -> UInt64 {
        let unfair = (0 &- bound) % bound
        while true {
            let (high, low) = word().multipliedFullWidth(by: bound)
            if low >= unfair { return high }
        }
    }
}
