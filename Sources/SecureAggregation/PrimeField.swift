// Arithmetic modulo the Mersenne prime p = 2^61 − 1, without branches or table look-ups on the values.
// `protocol/secure-aggregation.md` §5.

/// An element of the field, always below `p`.
struct FieldElement: Equatable, Sendable {
    static let prime: UInt64 = (1 << 61) - 1
    static let zero = FieldElement(reduced: 0)
    static let one = FieldElement(reduced: 1)

    let value: UInt64

    /// - Parameter value: below `p`; the caller has checked.
    init(reduced value: UInt64) { self.value = value }

    /// Any 64-bit number, reduced.
    init(reducing value: UInt64) {
        self.value = Self.subtractPrimeOnce((value & Self.prime) &+ (value >> 61))
    }

    static func + (left: Self, right: Self) -> Self {
        Self(reduced: subtractPrimeOnce(left.value &+ right.value))
    }

    static func - (left: Self, right: Self) -> Self {
        Self(reduced: subtractPrimeOnce(left.value &+ (prime &- right.value)))
    }

    /// 2^61 ≡ 1, so the product's bits above 61 are added to those below; both parts are below p,
    /// one conditional subtraction ends it.
    static func * (left: Self, right: Self) -> Self {
        let product = left.value.multipliedFullWidth(by: right.value)
        let low = product.low & prime
        let high = (product.high &<< 3) | (product.low &>> 61)
        return Self(reduced: subtractPrimeOnce(low &+ high))
    }

    /// The multiplicative inverse by Fermat: x^(p−2). The exponent is public.
    ///
    /// The inverse of zero is zero; callers exclude it.
    var inverse: Self {
        var result = Self.one
        var square = self
        var exponent = Self.prime - 2
        while exponent > 0 {
            if exponent & 1 == 1 { result = result * square }
            square = square * square
            exponent >>= 1
        }
        return result
    }

    /// `value` mod p for `value` < 2p, by mask instead of branch.
    @inline(__always)
    private static func subtractPrimeOnce(_ value: UInt64) -> UInt64 {
        let difference = value &- prime
        // All ones when the subtraction borrowed, that is when value < p.
        let borrowed = 0 &- (difference &>> 63)
        return difference &+ (prime & borrowed)
    }
}
