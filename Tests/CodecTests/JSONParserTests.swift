import Testing

@testable import Codec

@Suite struct JSONParserTests {
    private func strict(_ text: String, limits: JSONLimits = .default) throws(JSONError)
        -> JSONValue
    {
        try JSONValue.parse(Array(text.utf8), dialect: .strict, limits: limits)
    }

    private func json5(_ text: String) throws(JSONError) -> JSONValue {
        try JSONValue.parse(Array(text.utf8), dialect: .json5)
    }

    @Test(arguments: JSONSamples.good) func acceptsWhatRFC8259Allows(_ text: [UInt8]) throws {
        let value = try JSONValue.parse(text, dialect: .strict)
        #expect(try JSONValue.parse(text, dialect: .json5) == value)
    }

    @Test(arguments: JSONSamples.bad) func refusesWhatRFC8259Forbids(_ sample: JSONSamples.Bad) {
        #expect(throws: JSONError.self) { try JSONValue.parse(sample.text, dialect: .strict) }
    }

    @Test func readsAllOfJSON5ThatPeopleWrite() throws {
        let text = """
            \u{feff}// a plan
            {
              name: 'heart "study"', /* inside */ $odd_1: "it's",
              "list": [1, +2, .5, 5., -.5e1, 0x1F, -0Xff, ],
              text: 'two \\
            lines\\x41\\v\\0', 'quoted': "\\'",\u{a0}
              nested: { on: true, off: false, none: null, },\u{2028}
            }  // end
            """
        let expected: JSONValue = [
            "name": "heart \"study\"", "$odd_1": "it's", "list": [1, 2, 0.5, 5.0, -5.0, 31, -255],
            "text": "two linesA\u{0b}\u{0}", "quoted": "'",
            "nested": ["on": true, "off": false, "none": nil],
        ]
        #expect(try json5(text) == expected)
    }

    @Test(arguments: [
        "NaN", "Infinity", "-Infinity", "+NaN", "{a:1,a:2}", "{a:1,'a':2}", "/* open", "/ 1",
        "[1,,]", "[,]", "{,}", "0x", "0xg", "0x1.5", "0xfffffffffffffffff", ".", "+", "1.e", "- 1",
        "00", "01", "{1a:1}", "{a-b:1}", "'a\nb'", "'\\1'", "'\\00'", "'\\xg0'", "'\\u{41}'",
        "'\\ud800'", "\"a'", "undefined", "[1 /* */ 2]", "+0x", "1e400", "{é:1}", "//", "",
    ])
    func refusesInJSON5(_ text: String) {
        #expect(throws: JSONError.self) { try json5(text) }
    }

    @Test func keepsItsLimits() throws {
        let nested = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
        _ = try strict(nested)
        #expect(throws: JSONError.self) { try strict("[\(nested)]") }
        #expect(throws: JSONError.self) { try strict(String(repeating: "[", count: 1_000_000)) }
        _ = try strict("[1,2,3]", limits: JSONLimits(valuesMax: 4))
        #expect(throws: JSONError.self) { try strict("[1,2,3]", limits: JSONLimits(valuesMax: 3)) }
        _ = try strict("\"abcd\"", limits: JSONLimits(stringBytesMax: 4))
        for text in ["\"abcde\"", "\"abcd\\n\"", "\"\\n\\n\\n\\n\\n\"", "{\"abcde\":1}"] {
            #expect(throws: JSONError.self) {
                try strict(text, limits: JSONLimits(stringBytesMax: 4))
            }
        }
        #expect(throws: JSONError.self) {
            try JSONValue.parse(
                Array("{abcde:1}".utf8), dialect: .json5, limits: JSONLimits(stringBytesMax: 4))
        }
        #expect(throws: JSONError.self) { try strict("[1,2]", limits: JSONLimits(bytesMax: 4)) }
        #expect(throws: JSONError.self) { try strict("1" + String(repeating: "0", count: 400)) }
    }

    @Test(arguments: [
        ("{\n  \"a\": 1,\n  \"a\": 2\n}", 3, 3), ("[1,\n2,\n]", 3, 1), ("\"a\\qb\"", 1, 4),
        ("[nul]", 1, 2), ("[1", 1, 3), ("1 1", 1, 3), ("{\"a\" 1}", 1, 6), ("\n\n  01", 3, 3),
    ])
    func saysWhere(_ text: String, _ line: Int, _ column: Int) {
        do {
            _ = try strict(text)
            Issue.record("accepted")
        } catch {
            #expect(error.line == line && error.column == column, "\(error)")
        }
    }

    /// No error repeats what the document holds.
    @Test func errorsHoldNothingOfTheInput() {
        for text in [
            "{\"secret77\":1,\"secret77\":2}", "secret77", "\"secret77", "[\"secret77\" 1]",
            "{secret77 1}", "7777secret77", "'\\qsecret77'",
        ] {
            for dialect in [JSONDialect.strict, .json5] {
                do { _ = try JSONValue.parse(Array(text.utf8), dialect: dialect) } catch {
                    #expect(
                        !error.description.contains("secret77")
                            && !error.description.contains("7777"))
                }
            }
        }
    }

    /// Whatever the bytes, the parser returns or throws; and what it returns survives a round trip.
    @Test func survivesMutations() throws {
        for text in JSONSamples.mutations {
            for dialect in [JSONDialect.strict, .json5] {
                guard let value = try? JSONValue.parse(text, dialect: dialect) else { continue }
                let canonical = value.canonicalBytes()
                let again = try JSONValue.parse(canonical, dialect: .strict)
                #expect(again.canonicalBytes() == canonical)
                #expect(
                    try JSONValue.parse(value.prettyBytes(), dialect: .json5).canonicalBytes()
                        == canonical)
            }
        }
    }

    @Test func accessorsGiveNilForOtherKinds() throws {
        let value = try strict("{\"n\":3.0,\"i\":7,\"t\":\"x\",\"b\":true,\"l\":[1],\"big\":1e300}")
        #expect(
            value["n"]?.intValue == 3 && value["i"]?.doubleValue == 7
                && value["t"]?.stringValue == "x")
        #expect(
            value["b"]?.boolValue == true && value["l"]?.arrayValue?.count == 1
                && value["none"] == nil)
        #expect(
            value["t"]?.intValue == nil && value["big"]?.intValue == nil
                && value["i"]?.stringValue == nil && value["i"]?["x"] == nil)
    }
}
