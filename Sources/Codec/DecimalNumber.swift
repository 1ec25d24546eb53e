// Decimal text → the nearest double, ties to even. Digits are gathered as an integer w and a power of
// ten e, and the value is w · 10^e:
//   * w ≤ 2^53 and |e| ≤ 22: both are exact doubles, one operation rounds once (Clinger 1990);
//   * |e| ≤ 19: w · 10^e or w / 10^e in 128-bit integers, rounded once by hand;
//   * anything else (about no number that people or programs write): the C library's strtod.

/// A number in the grammar of RFC 8259, or of JSON5 without hexadecimal, taken apart.
struct DecimalNumber {
    /// Digits that fit any `UInt64`.
    static let digitsMax = 19

    private(set) var isNegative = false
    /// Written without point and exponent.
    private(set) var isWhole = true
    private(set) var digits: UInt64 = 0
    private(set) var exponent = 0
    /// Digits other than zero were left out of `digits`.
    private(set) var isCut = false
    private var significant = 0

    /// Reads a number from `position`, which is moved behind it, or to the culprit.
    init(_ bytes: Span<UInt8>, at position: inout Int, isJSON5: Bool) throws(JSONProblem) {
        if byte(bytes, position) == 0x2d || (isJSON5 && byte(bytes, position) == 0x2b) {
            isNegative = bytes[position] == 0x2d
            position += 1
        }
        let start = position
        gather(bytes, &position, isFraction: false)
        let whole = position - start
        if whole > 1, bytes[start] == 0x30 {
            position = start
            throw JSONProblem("a number starts with a superfluous zero; remove it")
        }
        var fraction = 0
        if byte(bytes, position) == 0x2e, whole > 0 || isJSON5 {
            isWhole = false
            position += 1
            let point = position
            gather(bytes, &position, isFraction: true)
            fraction = position - point
            guard fraction > 0 || (isJSON5 && whole > 0) else {
                throw JSONProblem("digits are expected after the decimal point")
            }
        }
        guard whole > 0 || fraction > 0 else { throw JSONProblem("a number is expected here") }
        if byte(bytes, position) | 0x20 == 0x65 { try power(bytes, &position) }
    }

    private func byte(_ bytes: Span<UInt8>, _ index: Int) -> UInt8 {
        index < bytes.count ? bytes[index] : 0
    }

    private mutating func gather(_ bytes: Span<UInt8>, _ position: inout Int, isFraction: Bool) {
        while position < bytes.count {
            let digit = bytes[position] &- 0x30
            guard digit < 10 else { return }
            position += 1
            if significant < DecimalNumber.digitsMax {
                digits = digits &* 10 &+ UInt64(digit)
                if digits != 0 { significant += 1 }
                if isFraction { exponent -= 1 }
            } else {
                if digit != 0 { isCut = true }
                if !isFraction { exponent += 1 }
            }
        }
    }

    private mutating func power(_ bytes: Span<UInt8>, _ position: inout Int) throws(JSONProblem) {
        isWhole = false
        position += 1
        let isMinus = byte(bytes, position) == 0x2d
        if isMinus || byte(bytes, position) == 0x2b { position += 1 }
        let start = position
        var value = 0
        while position < bytes.count, bytes[position] &- 0x30 < 10 {
            // Far beyond what a double holds, far below what an `Int` holds.
            value = min(value * 10 + Int(bytes[position] - 0x30), 1_000_000)
            position += 1
        }
        guard position > start else { throw JSONProblem("digits are expected in the exponent") }
        exponent += isMinus ? -value : value
    }

    /// The value as an integer: written as one, and it fits. Minus zero is not one.
    var integer: Int64? {
        guard isWhole, exponent == 0, !isCut, !(digits == 0 && isNegative) else { return nil }
        if isNegative { return digits <= 1 << 63 ? Int64(truncatingIfNeeded: 0 &- digits) : nil }
        return Int64(exactly: digits)
    }

    /// The nearest double; nil when the way over 128 bits does not decide it.
    var double: Double? {
        guard !isCut else { return nil }
        guard digits != 0 else { return isNegative ? -0.0 : 0.0 }
        let magnitude: Double
        if digits <= 1 << 53, abs(exponent) < doublePowers.count {
            let power = doublePowers[abs(exponent)]
            magnitude = exponent < 0 ? Double(digits) / power : Double(digits) * power
        } else if abs(exponent) < integerPowers.count {
            let power = integerPowers[abs(exponent)]
            magnitude = exponent < 0 ? quotient(digits, power) : product(digits, power)
        } else {
            return nil
        }
        return isNegative ? -magnitude : magnitude
    }
}

/// The nearest double of a text that `DecimalNumber` accepted, by strtod; infinite when too large.
func longDouble(_ text: ArraySlice<UInt8>) -> Double {
    Double(String(decoding: text, as: UTF8.self)) ?? .infinity
}

private func product(_ left: UInt64, _ right: UInt64) -> Double {
    let (high, low) = left.multipliedFullWidth(by: right)
    guard high != 0 else { return Double(low) }
    let shift = UInt64(high.leadingZeroBitCount)
    return rounded(
        high << shift | low >> (64 - shift), isInexact: low << shift != 0, power: 64 - Int(shift))
}

private func quotient(_ dividend: UInt64, _ divisor: UInt64) -> Double {
    let (up, down) = (dividend.leadingZeroBitCount, divisor.leadingZeroBitCount)
    let (top, bottom) = (dividend << UInt64(up), divisor << UInt64(down))
    // The leading bit of both is set; halving a larger dividend keeps the quotient in 64 bits, its own
    // leading bit set.
    let halved = top >= bottom
    let (bits, rest) = bottom.dividingFullWidth(halved ? (top >> 1, top << 63) : (top, 0))
    return rounded(bits, isInexact: rest != 0, power: down - up - (halved ? 63 : 64))
}

/// `bits · 2^power` to the nearest double, `bits` with its leading bit set, the result a normal number.
private func rounded(_ bits: UInt64, isInexact: Bool, power: Int) -> Double {
    var significand = bits >> 11
    let rest = bits & 0x7ff
    if rest > 0x400 || (rest == 0x400 && (isInexact || significand & 1 == 1)) { significand += 1 }
    // Adding to the exponent field multiplies by a power of two.
    return Double(
        bitPattern: Double(significand).bitPattern &+ UInt64(bitPattern: Int64(power + 11)) << 52)
}

/// 10^0…10^22, the powers that are exact doubles.
private let doublePowers: [Double] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
]

/// 10^0…10^19, the powers that are 64-bit integers.
private let integerPowers: [UInt64] = [
    1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000,
    10_000_000_000,
    100_000_000_000, 1_000_000_000_000, 10_000_000_000_000, 100_000_000_000_000,
    1_000_000_000_000_000,
    10_000_000_000_000_000, 100_000_000_000_000_000, 1_000_000_000_000_000_000,
    10_000_000_000_000_000_000,
]
