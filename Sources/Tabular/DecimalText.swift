/// Decimal numbers as data files write them: `1`, `1.0`, `1e+05`, `-.5`, `5.`.
///
/// Hexadecimal, `inf`, `nan`, digit grouping and decimal commas are not numbers here. The result is the
/// nearest Double, so equal numbers parse equal however they are written.
package enum DecimalText {
    /// The number written in `text[range]`, or nil when it is not one or too large for a Double.
    /// No allocation for up to 19 digits and small exponents (practically all data).
    package static func parse(_ text: borrowing Span<UInt8>, in range: Range<Int>) -> Double? {
        var index = range.lowerBound
        let end = range.upperBound
        guard index < end else { return nil }
        let negative = text[index] == 0x2D
        if negative || text[index] == 0x2B { index += 1 }

        var mantissa: UInt64 = 0
        var digits = 0  // digits seen at all
        var significant = 0  // digits in the mantissa, leading zeros not counted
        var scale = 0  // digits after the point
        var pointSeen = false
        while index < end {
            let byte = text[index]
            if byte == 0x2E {
                if pointSeen { return nil }
                pointSeen = true
            } else if byte >= 0x30 && byte <= 0x39 {
                digits += 1
                if pointSeen { scale += 1 }
                if mantissa > 0 || byte != 0x30 { significant += 1 }
                if significant <= 19 { mantissa = mantissa &* 10 &+ UInt64(byte &- 0x30) }
            } else {
                break
            }
            index += 1
        }
        guard digits > 0 else { return nil }

        var exponent = 0
        if index < end {
            guard text[index] == 0x65 || text[index] == 0x45 else { return nil }
            index += 1
            guard index < end else { return nil }
            let negativeExponent = text[index] == 0x2D
            if negativeExponent || text[index] == 0x2B { index += 1 }
            guard index < end else { return nil }
            while index < end {
                let byte = text[index]
                guard byte >= 0x30 && byte <= 0x39 else { return nil }
                exponent = min(exponent * 10 + Int(byte &- 0x30), 100_000)
                index += 1
            }
            if negativeExponent { exponent = -exponent }
        }

        let power = exponent - scale
        if mantissa <= 1 << 53 && significant <= 19 && abs(power) <= 22 {
            // Both factors are exact Doubles, so one operation rounds once (Clinger 1990).
            let value =
                power < 0
                ? Double(mantissa) / powersOfTen[-power] : Double(mantissa) * powersOfTen[power]
            return negative ? -value : value
        }
        var copy: [UInt8] = []
        for position in range { copy.append(text[position]) }
        guard let value = Double(String(decoding: copy, as: UTF8.self)), value.isFinite else {
            return nil
        }
        return value
    }

    /// The number written in `text`, spaces around it allowed.
    package static func parse(_ text: String) -> Double? {
        let bytes = Array(text.utf8)
        let span = bytes.span
        return parse(span, in: trimmed(span, 0..<span.count))
    }

    /// `range` without spaces and tabs at its ends.
    package static func trimmed(_ text: borrowing Span<UInt8>, _ range: Range<Int>) -> Range<Int> {
        var lower = range.lowerBound
        var upper = range.upperBound
        while lower < upper, text[lower] == 0x20 || text[lower] == 0x09 { lower += 1 }
        while lower < upper, text[upper - 1] == 0x20 || text[upper - 1] == 0x09 { upper -= 1 }
        return lower..<upper
    }

    private static let powersOfTen: [Double] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
    ]
}
