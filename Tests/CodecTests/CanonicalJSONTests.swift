import Testing

@testable import Codec

@Suite struct CanonicalJSONTests {
    private func canonical(_ text: String) throws -> String {
        String(
            decoding: try JSONValue.parse(Array(text.utf8), dialect: .strict).canonicalBytes(),
            as: UTF8.self)
    }

    /// RFC 8785, appendix B: bits of a double and its text.
    @Test(
        arguments: [
            (0x0000_0000_0000_0000, "0"), (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"), (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"), (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"), (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"), (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] as [(UInt64, String)])
    func printsNumbersAsRFC8785(_ bits: UInt64, _ text: String) {
        #expect(ecmaScript(Double(bitPattern: bits)) == text)
    }

    @Test(arguments: [
        ("1e30", "1e+30"), ("4.50", "4.5"), ("2e-3", "0.002"),
        ("0.000000000000000000000000001", "1e-27"),
        ("333333333.33333329", "333333333.3333333"), ("1E-6", "0.000001"), ("1e-7", "1e-7"),
        ("1e21", "1e+21"), ("1e20", "100000000000000000000"),
        ("-0", "0"), ("-0.0", "0"), ("10.0", "10"), ("9007199254740991", "9007199254740991"),
        ("-1.5e2", "-150"),
    ])
    func normalisesNumbers(_ text: String, _ expected: String) throws {
        #expect(try canonical(text) == expected)
        #expect(try canonical(expected) == expected)
    }

    /// RFC 8785 §3.2.2 and §3.2.3.
    @Test func reproducesTheExamplesOfRFC8785() throws {
        let first = #"""
            { "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
              "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false] }
            """#
        #expect(
            try canonical(first)
                == #"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#
        )
        let second = #"""
            { "\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
              "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis" }
            """#
        let value = try JSONValue.parse(Array(second.utf8), dialect: .strict)
        let text = String(decoding: value.canonicalBytes(), as: UTF8.self)
        let order = [
            "Carriage Return", "One", "Control", "Latin Small", "Euro Sign", "Emoji", "Hebrew",
        ]
        let places = order.compactMap { text.range(of: $0) }
        #expect(places.count == order.count && places == places.sorted())
    }

    @Test func escapesWhatMustBeAndNothingElse() throws {
        let all = JSONValue.string(
            String(decoding: (0...0x7f).map { UInt8($0) }, as: UTF8.self) + "\u{2028}é😀")
        let bytes = all.canonicalBytes()
        #expect(try JSONValue.parse(bytes, dialect: .strict) == all)
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(
            text.hasPrefix(
                #""\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e"#))
        #expect(text.hasSuffix("\u{7f}\u{2028}é😀\""))
    }

    @Test func isAFixedPointForEveryGoodDocument() throws {
        for text in JSONSamples.good {
            let once = try JSONValue.parse(text, dialect: .strict).canonicalBytes()
            let twice = try JSONValue.parse(once, dialect: .strict).canonicalBytes()
            #expect(once == twice)
        }
    }

    @Test func writesIntegersBeyondDoublesInFull() throws {
        #expect(try canonical("9223372036854775807") == "9223372036854775807")
        #expect(try canonical("9007199254740993") == "9007199254740993")
        #expect(try canonical("[9223372036854775808]") == "[9223372036854776000]")
    }

    @Test func prettyTextHasTheSameMeaning() throws {
        let value: JSONValue = ["b": [1, 2.5, nil], "a": ["x": true], "empty": [], "none": [:]]
        let expected = """
            {
              "a": {
                "x": true
              },
              "b": [
                1,
                2.5,
                null
              ],
              "empty": [],
              "none": {}
            }

            """
        #expect(String(decoding: value.prettyBytes(), as: UTF8.self) == expected)
        #expect(try JSONValue.parse(value.prettyBytes(), dialect: .strict) == value)
    }
}

extension String {
    /// Offset of a part, for the order of keys.
    fileprivate func range(of part: String) -> Int? {
        let (whole, part) = (Array(utf8), Array(part.utf8))
        return (0...(whole.count - part.count)).first { whole[$0...].starts(with: part) }
    }
}
