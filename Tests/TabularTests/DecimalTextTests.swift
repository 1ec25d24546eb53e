import Tabular
import Testing

@Suite struct DecimalTextTests {
    @Test(
        arguments: [
            ("1", 1), ("1.0", 1), ("+1", 1), ("-1", -1), ("1e+05", 100_000), ("1e5", 100_000),
            ("1E5", 100_000),
            ("100000", 100_000), (".5", 0.5), ("5.", 5), ("-.5e-1", -0.05), ("0", 0), ("0.0", 0),
            ("00012", 12),
            (" 7 ", 7), ("\t7", 7), ("1e-400", 0), ("0e999999999", 0),
            ("9007199254740993", 9_007_199_254_740_992), ("0.1", 0.1),
            ("1.7976931348623157e308", .greatestFiniteMagnitude),
            ("123456789012345678901234567890", 123_456_789_012_345_677_877_719_597_056),
            ("0.30000000000000004", 0.30000000000000004),
        ] as [(String, Double)])
    func readsNumbers(_ text: String, _ value: Double) {
        #expect(DecimalText.parse(text) == value)
    }

    @Test(arguments: [
        "", " ", ".", "+", "-", "e5", "1e", "1e+", "1.2.3", "1,5", "1 2", "0x10", "inf", "nan",
        "NaN", "Infinity",
        "1_000", "1e400", "-1e400", "１", "1e5.0", "--1", "1f", "?",
    ])
    func refusesWhatIsNoNumber(_ text: String) {
        #expect(DecimalText.parse(text) == nil)
    }

    /// The fast way equals the standard library's correctly rounded one.
    @Test func agreesWithTheStandardLibrary() {
        var numbers = SeededNumbers(21)
        for _ in 0..<20_000 {
            let digits = String(
                UInt64.random(in: 0...UInt64.max, using: &numbers)
                    >> UInt64.random(in: 0...63, using: &numbers))
            let point = Int.random(in: 0...digits.count, using: &numbers)
            let exponent = Int.random(in: -40...40, using: &numbers)
            let whole = point == 0 ? "0" : String(digits.prefix(point))
            let text = "\(whole).\(digits.dropFirst(point))0e\(exponent)"
            #expect(DecimalText.parse(text) == Double(text), "\(text)")
        }
        for _ in 0..<5_000 {
            let value = Double(bitPattern: UInt64.random(in: 0...UInt64.max, using: &numbers))
            if value.isFinite { #expect(DecimalText.parse("\(value)") == value) }
        }
    }
}
