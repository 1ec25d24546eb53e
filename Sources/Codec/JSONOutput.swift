// `JSONValue` → text. The canonical form is RFC 8785 (JCS): no white space, keys sorted by UTF-16 code
// units, shortest escapes, numbers as ECMAScript prints them. `protocol/canonical-json.md`.

extension JSONValue {
    /// The canonical bytes: equal values give equal bytes, on every machine.
    package func canonicalBytes() -> [UInt8] {
        var output: [UInt8] = []
        write(into: &output, indent: nil)
        return output
    }

    /// For people: sorted keys, two spaces a level, a newline at the end.
    package func prettyBytes() -> [UInt8] {
        var output: [UInt8] = []
        write(into: &output, indent: 0)
        output.append(0x0a)
        return output
    }

    private func write(into output: inout [UInt8], indent: Int?) {
        switch self {
        case .null: output += Array("null".utf8)
        case .bool(let value): output += Array((value ? "true" : "false").utf8)
        case .integer(let value):
            // ECMAScript knows doubles only; whole numbers beyond 2^53 are written in full here.
            output += Array(String(value).utf8)
        case .number(let value): output += Array(ecmaScript(value).utf8)
        case .string(let text): writeString(text, into: &output)
        case .array(let elements):
            writeList(elements, 0x5b, 0x5d, into: &output, indent: indent) { element, output, indent in
                element.write(into: &output, indent: indent)
            }
        case .object(let members):
            let keys = members.keys.sorted { $0.utf16.lexicographicallyPrecedes($1.utf16) }
            writeList(keys, 0x7b, 0x7d, into: &output, indent: indent) { key, output, indent in
                writeString(key, into: &output)
                output.append(0x3a)
                if indent != nil { output.append(0x20) }
                (members[key] ?? .null).write(into: &output, indent: indent)
            }
        }
    }
}

private func writeList<Element>(
    _ elements: [Element], _ open: UInt8, _ close: UInt8, into output: inout [UInt8], indent: Int?,
    _ write: (Element, inout [UInt8], Int?) -> Void
) {
    output.append(open)
    for (index, element) in elements.enumerated() {
        if index > 0 { output.append(0x2c) }
        newLine(indent.map { $0 + 1 }, into: &output)
        write(element, &output, indent.map { $0 + 1 })
    }
    if !elements.isEmpty { newLine(indent, into: &output) }
    output.append(close)
}

private func newLine(_ indent: Int?, into output: inout [UInt8]) {
    guard let indent else { return }
    output.append(0x0a)
    output += [UInt8](repeating: 0x20, count: indent * 2)
}

private func writeString(_ text: String, into output: inout [UInt8]) {
    output.append(0x22)
    for byte in text.utf8 {
        switch byte {
        case 0x22, 0x5c:
            output.append(0x5c)
            output.append(byte)
        case 0x08: output += [0x5c, 0x62]
        case 0x09: output += [0x5c, 0x74]
        case 0x0a: output += [0x5c, 0x6e]
        case 0x0c: output += [0x5c, 0x66]
        case 0x0d: output += [0x5c, 0x72]
        case 0..<0x20:
            let digits = Array("0123456789abcdef".utf8)
            output += [0x5c, 0x75, 0x30, 0x30, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        default: output.append(byte)
        }
    }
    output.append(0x22)
}

/// A finite number as ECMAScript's Number::toString prints it (shortest digits that read back).
package func ecmaScript(_ value: Double) -> String {
    precondition(value.isFinite, "JSON holds finite numbers only")
    if value == 0 { return "0" }
    // Swift prints the shortest digits too, in another layout: take them apart.
    let (digits, exponent) = shortestDigits(value.magnitude)
    let sign = value < 0 ? "-" : ""
    let count = digits.count
    let text: String
    switch exponent {
    case count...21 where exponent >= count:
        text = String(decoding: digits + [UInt8](repeating: 0x30, count: exponent - count), as: UTF8.self)
    case 1...21:
        text = String(decoding: digits[..<exponent] + [0x2e] + digits[exponent...], as: UTF8.self)
    case -5...0:
        text = String(decoding: Array("0.".utf8) + [UInt8](repeating: 0x30, count: -exponent) + digits, as: UTF8.self)
    default:
        let fraction = count > 1 ? [0x2e] + digits[1...] : []
        let power = exponent - 1
        text = String(decoding: [digits[0]] + fraction, as: UTF8.self) + "e" + (power < 0 ? "-" : "+") + String(abs(power))
    }
    return sign + text
}

/// Digits d₁d₂… and an exponent e with value = 0.d₁d₂… · 10^e.
private func shortestDigits(_ value: Double) -> (digits: [UInt8], exponent: Int) {
    var mantissa: [UInt8] = []
    var exponent = 0
    var pointAt: Int?
    var bytes = Array("\(value)".utf8)
    if let mark = bytes.firstIndex(of: 0x65) {
        exponent = Int(String(decoding: bytes[(mark + 1)...], as: UTF8.self)) ?? 0
        bytes = Array(bytes[..<mark])
    }
    for byte in bytes {
        if byte == 0x2e { pointAt = mantissa.count } else { mantissa.append(byte) }
    }
    exponent += pointAt ?? mantissa.count
    let zeros = mantissa.prefix { $0 == 0x30 }.count
    mantissa.removeFirst(zeros)
    exponent -= zeros
    while mantissa.last == 0x30 { mantissa.removeLast() }
    return (mantissa, exponent)
}
