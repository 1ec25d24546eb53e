/// Documents that RFC 8259 allows and forbids; the shapes are those of the JSONTestSuite (Seriot 2016).
enum JSONSamples {
    struct Bad: CustomStringConvertible {
        let text: [UInt8]
        let why: String
        var description: String { why }
    }

    static let good: [[UInt8]] = [
        "null", "true", "false", "0", "-0", "-1", "1.5", "1e5", "1E+5", "1e-5", "0.0", "-0.0e-0",
        "\"\"", "[]", "{}", " [ ] ",
        "{\"a\":1}", "{\"a\":{\"b\":[1,2,{\"c\":null}]}}", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\"",
        "\"\\ud83d\\ude00\"", "\"é😀\u{2028}\"",
        "[1,2,3]", "\t\r\n1\t\r\n", "\"\u{7f}\"", "123456789012345678901234567890", "1e-400",
        "[[[[[]]]]]", "\"\\u0000\"", "{\"\":0}",
    ].map { Array($0.utf8) }

    static let bad: [Bad] =
        [
            ("", "nothing"), (" ", "only space"), ("nul", "cut word"), ("True", "capital"),
            ("nullx", "long word"), ("+1", "plus"), ("01", "leading zero"),
            ("-", "sign only"), ("1.", "bare point"), (".5", "no digit before the point"),
            ("1e", "no exponent"), ("1e+", "no exponent digits"), ("0x10", "hexadecimal"),
            ("NaN", "NaN"), ("Infinity", "infinity"), ("-Infinity", "minus infinity"),
            ("1e400", "beyond double"), ("1 2", "two values"), ("-01", "leading zero after sign"),
            ("[1,]", "trailing comma"), ("[,1]", "leading comma"), ("[1 2]", "no comma"),
            ("[1", "not closed"), ("[", "opened only"), ("]", "closed only"),
            ("[1}", "mixed brackets"),
            ("{\"a\":1,}", "trailing comma in object"), ("{a:1}", "unquoted key"),
            ("{'a':1}", "single quotes"), ("{\"a\"}", "no value"), ("{\"a\" 1}", "no colon"),
            ("{\"a\":}", "no value after colon"),
            ("{\"a\":1,\"a\":2}", "duplicate"), ("{\"a\":1,\"\\u0061\":2}", "duplicate by escape"),
            ("{1:1}", "number as key"), ("{,}", "comma only"), ("[1,,2]", "two commas"),
            ("\"", "quote only"), ("\"a", "text not closed"), ("\"\\", "escape cut"),
            ("\"\\x41\"", "JSON5 escape"), ("\"\\u12\"", "short escape"),
            ("\"\\u12g4\"", "escape not hexadecimal"),
            ("\"\\ud800\"", "lone high surrogate"), ("\"\\udc00\"", "lone low surrogate"),
            ("\"\\ud800\\u0041\"", "high surrogate and letter"),
            ("\"\\ud800\\ud800\"", "two high surrogates"),
            ("\"\n\"", "line feed in text"), ("\"\t\"", "tab in text"),
            ("\"\u{0}\"", "zero in text"), ("//c\n1", "comment"), ("1/**/", "comment behind"),
            ("'a'", "single-quoted"), ("\u{feff}1", "byte order mark"),
            ("[1]x", "leftover"), ("\u{a0}1", "no-break space"), ("--1", "two signs"),
            ("1.2.3", "two points"), ("1e5.5", "fractional exponent"), ("\u{0}", "zero byte"),
            ("1\u{0}", "zero byte behind"),
        ].map { Bad(text: Array($0.0.utf8), why: $0.1) } + [
            Bad(text: [0x22, 0xff, 0x22], why: "no UTF-8"),
            Bad(text: [0x22, 0xc0, 0xaf, 0x22], why: "overlong UTF-8"),
            Bad(text: [0x22, 0xed, 0xa0, 0x80, 0x22], why: "surrogate in UTF-8"),
            Bad(text: [0x22, 0xe2, 0x82, 0x22], why: "UTF-8 cut"),
            Bad(text: [0x22, 0xf4, 0x90, 0x80, 0x80, 0x22], why: "beyond Unicode"),
        ]

    /// One document with each byte left out, doubled, and replaced by each byte that means something.
    static let mutations: [[UInt8]] = {
        let base = Array("{\"a\":[1.5e-3,true,null,\"x\\u00e9\\n\"],\"b\":{\"c\":-0}}".utf8)
        var all: [[UInt8]] = []
        for index in base.indices {
            all.append(Array(base[..<index] + base[(index + 1)...]))
            all.append(Array(base[...index] + base[index...]))
            all.append(Array(base[..<index]))
            for byte in Array("{}[]:,\"\\0-+.eu \u{1}".utf8) + [0x80, 0xff] {
                var copy = base
                copy[index] = byte
                all.append(copy)
            }
        }
        return all
    }()
}
