import Glibc
import Testing

@testable import Codec

@Suite struct NumberTests {
    private func read(_ text: String) throws -> Double {
        var reader = try JSONReader(Array(text.utf8))
        let value = try reader.number()
        try reader.finish()
        return value
    }

    /// Halfway cases, limits and famous traps; values from Python (the compiler itself rounds some twice).
    @Test(arguments: [
        ("9007199254740993", 9007199254740992.0), ("9007199254740995", 9007199254740996.0),
        ("0.1", 0.1), ("1e23", 1e23),
        ("8.5e22", 8.5e22), ("1.7976931348623157e308", 1.7976931348623157e308),
        ("4.9406564584124654e-324", Double.leastNonzeroMagnitude),
        ("2.2250738585072011e-308", Double.leastNormalMagnitude.nextDown),
        ("2.2250738585072014e-308", Double.leastNormalMagnitude),
        ("2.4703282292062328e-324", Double.leastNonzeroMagnitude), ("1e-400", 0),
        ("0.000000000000000000000000000001", 1e-30),
        ("18446744073709551615", 18446744073709551616.0),
        ("18446744073709551616", 18446744073709551616.0),
        ("9007199254740992.5000000000000000001", 9007199254740992.0),
        ("9007199254740993.0000000000000000000000001", 9007199254740994.0),
        ("123456789012345678901234567890e-20", 1234567890.1234567),
        ("1000000000000000000000000000000", 1e30), ("0.30000000000000004", 0.30000000000000004),
        ("7205759403792793199999e-5", 72_057_594_037_927_928),
        ("0e999999999999", 0),
        ("0.0000000000000000000000000000000000000000000000000000000000001e61", 1),
    ])
    func readsTheNearestDouble(_ text: String, _ value: Double) throws {
        #expect(try read(text) == value)
        #expect(try read("-" + text) == -value)
    }

    /// Random digits, points and exponents over the whole fast path, against the C library.
    @Test func agreesWithTheCLibrary() throws {
        var state: UInt64 = 0x9e37_79b9_7f4a_7c15
        func next(_ below: UInt64) -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 33) % below
        }
        for round in 0..<60_000 {
            var text = String(next(9) + 1)
            for _ in 0..<next(22) { text += String(next(10)) }
            if round % 3 > 0 { text += "." + String(next(1000)) + String(next(1_000_000_000)) }
            if round % 2 > 0 { text += "e" + String(Int(next(50)) - 25) }
            if round % 1000 == 0 { text += String(repeating: "7", count: 40) }
            let value = try read(text)
            #expect(value.bitPattern == (unsafe strtod(text, nil)).bitPattern, "\(text)")
        }
    }

    /// Every double reads back from its shortest text.
    @Test func readsBackWhatItWrites() throws {
        var state: UInt64 = 1
        for _ in 0..<60_000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let value = Double(bitPattern: state ^ state >> 29)
            guard value.isFinite else { continue }
            #expect(try read(ecmaScript(value)) == value)
            let near = Double(state >> 11) * 1e-12
            #expect(try read(ecmaScript(near)) == near)
        }
    }

    @Test func tellsIntegersFromNumbers() throws {
        func parse(_ text: String) throws -> JSONValue {
            try JSONValue.parse(Array(text.utf8), dialect: .strict)
        }
        #expect(try parse("9223372036854775807") == .integer(.max))
        #expect(try parse("-9223372036854775808") == .integer(.min))
        #expect(try parse("9223372036854775808") == .number(9_223_372_036_854_775_808))
        #expect(try parse("-9223372036854775809") == .number(-9_223_372_036_854_775_808))
        #expect(try parse("10000000000000000000") == .number(1e19))
        #expect(try parse("100000000000000000000000") == .number(1e23))
        #expect(try parse("1.0") == .number(1))
        #expect(try parse("1e2") == .number(100))
        guard case .number(let zero) = try parse("-0") else {
            Issue.record("minus zero became an integer")
            return
        }
        #expect(zero.sign == .minus)
    }
}
