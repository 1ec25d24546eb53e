// `JSONValue` → text. The canonical form is RFC 8785 (JCS): no white space, keys sorted by UTF-16 code
// units, shortest escapes, numbers as ECMAScript prints them. `protocol/canonical-json.md`.

extension JSONValue {
    /// The canonical bytes: equal values give equal bytes, on every machine. Cost: a few nanoseconds a byte.
    package func canonicalBytes() -> [UInt8] {
        var output = JSONOutput(isPretty: false)
        output.write(self)
        return output.bytes
    }

    /// For people: sorted keys, two spaces a level, a newline at the end.
    package func prettyBytes() -> [UInt8] {
        var output = JSONOutput(isPretty: true)
        output.write(self)
        output.bytes.append(0x0a)
        return output.bytes
    }
}

private struct JSONOutput {
    let isPretty: Bool
    var bytes: [UInt8] = []
    private var level = 0

    init(isPretty: Bool) { self.isPretty = isPretty }

    mutating func write(_ value: JSONValue) {
        switch value {
        case .null: bytes.append(contentsOf: "null".utf8)
        case .bool(let value): bytes.append(contentsOf: (value ? "true" : "false").utf8)
        case .integer(let value): bytes.append(contentsOf: String(value).utf8)
        case .number(let value): bytes.append(contentsOf: ecmaScript(value).utf8)
        case .string(let text): write(text)
        case .array(let elements): write(elements)
        case .object(let members): write(members)
        }
    }

    private mutating func write(_ elements: [JSONValue]) {
        bytes.append(0x5b)
        level += 1
        for (index, element) in elements.enumerated() {
            if index > 0 { bytes.append(0x2c) }
            newLine()
            write(element)
        }
        level -= 1
        if !elements.isEmpty { newLine() }
        bytes.append(0x5d)
    }

    private mutating func write(_ members: [String: JSONValue]) {
        bytes.append(0x7b)
        level += 1
        let sorted = members.sorted { utf16Precedes($0.key, $1.key) }
        for (index, member) in sorted.enumerated() {
            if index > 0 { bytes.append(0x2c) }
            newLine()
            write(member.key)
            bytes.append(0x3a)
            if isPretty { bytes.append(0x20) }
            write(member.value)
        }
        level -= 1
        if !members.isEmpty { newLine() }
        bytes.append(0x7d)
    }

    private mutating func newLine() {
        guard isPretty else { return }
        bytes.append(0x0a)
        bytes.append(contentsOf: repeatElement(0x20, count: level * 2))
    }

    private mutating func write(_ text: String) {
        bytes.append(0x22)
        if text.utf8.contains(where: { $0 < 0x20 || $0 == 0x22 || $0 == 0x5c }) {
            for byte in text.utf8 { writeEscaped(byte) }
        } else {
            bytes.append(contentsOf: text.utf8)
        }
        bytes.append(0x22)
    }

    private mutating func writeEscaped(_ byte: UInt8) {
        let letter: UInt8
        switch byte {
        case 0x22, 0x5c: letter = byte
        case 0x08: letter = 0x62
        case 0x09: letter = 0x74
        case 0x0a: letter = 0x6e
        case 0x0c: letter = 0x66
        case 0x0d: letter = 0x72
        case 0..<0x20:
            bytes.append(contentsOf: "\\u00".utf8)
            bytes.append(contentsOf: Hex.encode([byte]).utf8)
            return
        default:
            bytes.append(byte)
            return
        }
        bytes.append(0x5c)
        bytes.append(letter)
    }
}

/// Order by UTF-16 code units. UTF-8 bytes give the same order except that surrogates, which stand for
/// characters of four bytes (lead 0xF0 and up), come before U+E000…U+FFFF (lead 0xEE and 0xEF).
private func utf16Precedes(_ left: String, _ right: String) -> Bool {
    let (leftBytes, rightBytes) = (left.utf8Span.span, right.utf8Span.span)
    for index in 0..<min(leftBytes.count, rightBytes.count)
    where leftBytes[index] != rightBytes[index] {
        let (a, b) = (leftBytes[index], rightBytes[index])
        if a >= 0xee, b >= 0xee, (a >= 0xf0) != (b >= 0xf0) { return a >= 0xf0 }
        return a < b
    }
    return leftBytes.count < rightBytes.count
}

/// A finite number as ECMAScript's Number::toString prints it (shortest digits that read back).
package func ecmaScript(_ value: Double) -> String {
    precondition(value.isFinite, "JSON holds finite numbers only")
    if let whole = Int64(exactly: value), abs(value) <= 9_007_199_254_740_992 {
        return String(whole)
    }
    // Swift prints the same shortest digits, and in the same layout where it prints no exponent.
    let text = value.description
    if !text.utf8.contains(0x65), !text.hasSuffix(".0") { return text }
    let (digits, exponent) = shortestDigits(Array(value.magnitude.description.utf8))
    return (value < 0 ? "-" : "") + String(decoding: layOut(digits, exponent), as: UTF8.self)
}

/// ECMA-262 §6.1.6.1.20: the digits d₁…dₖ of 0.d₁…dₖ · 10^exponent, with a point or an exponent.
private func layOut(_ digits: [UInt8], _ exponent: Int) -> [UInt8] {
    let count = digits.count
    switch exponent {
    case count...21 where exponent >= count:
        return digits + [UInt8](repeating: 0x30, count: exponent - count)
    case 1...21: return digits[..<exponent] + [0x2e] + digits[exponent...]
    case -5...0: return Array("0.".utf8) + [UInt8](repeating: 0x30, count: -exponent) + digits
    default:
        let power = exponent - 1
        let fraction = count > 1 ? [0x2e] + digits[1...] : []
        return [digits[0]] + fraction + Array("e\(power < 0 ? "-" : "+")\(abs(power))".utf8)
    }
}

/// The digits and the exponent of a printed positive number: `1.5e-07` → (15, -6), as 0.15 · 10^-6.
private func shortestDigits(_ text: [UInt8]) -> (digits: [UInt8], exponent: Int) {
    let mark = text.firstIndex(of: 0x65) ?? text.count
    var exponent = Int(String(decoding: text[mark...].dropFirst(), as: UTF8.self)) ?? 0
    let point = text[..<mark].firstIndex(of: 0x2e) ?? mark
    exponent += point
    var digits = text[..<mark].filter { $0 != 0x2e }
    let zeros = digits.prefix { $0 == 0x30 }.count
    digits.removeFirst(zeros)
    exponent -= zeros
    while digits.last == 0x30 { digits.removeLast() }
    return (digits, exponent)
}
