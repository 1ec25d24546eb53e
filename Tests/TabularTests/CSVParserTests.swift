import Tabular
import Testing

@Suite struct CSVParserTests {
    @Test(arguments: [
        ("a,b\n1,2\n", [["a", "b"], ["1", "2"]]),
        ("a,b\r\n1,2\r\n", [["a", "b"], ["1", "2"]]),
        ("a,b\r1,2\r", [["a", "b"], ["1", "2"]]),
        ("a,b\n1,2", [["a", "b"], ["1", "2"]]),
        ("\"a\",\"b\"\n", [["a", "b"]]),
        ("\"a,b\",c\n", [["a,b", "c"]]),
        ("\"a\"\"b\",c\n", [["a\"b", "c"]]),
        ("\"a\nb\",c\n", [["a\nb", "c"]]),
        ("\"a\r\nb\",c\r\n", [["a\r\nb", "c"]]),
        ("\"\"\"\"\n", [["\""]]),
        ("\"\"\n", [[""]]),
        ("\"\",\"\"\n", [["", ""]]),
        (",\n", [["", ""]]),
        (",,", [["", "", ""]]),
        ("a,\n", [["a", ""]]),
        ("a,", [["a", ""]]),
        ("a,\"\"", [["a", ""]]),
        ("\na\n\n\nb\n\n", [["a"], ["b"]]),
        ("\r\n\r\na\r\n", [["a"]]),
        (" a , b \n", [[" a ", " b "]]),
        ("\u{FEFF}a,b\n", [["a", "b"]]),
        ("\u{FEFF}\"a\",b\n", [["a", "b"]]),
        ("é,日本\n", [["é", "日本"]]),
        ("a\u{FEFF},b\n", [["a\u{FEFF}", "b"]]),
        ("", []), ("\n", []), ("\u{FEFF}", []), ("a", [["a"]]), ("é", [["é"]]), ("ab", [["ab"]]),
    ])
    func readsAndDoesNotCareHowTheBytesAreCut(_ csv: String, _ expected: [[String]]) throws {
        let whole = bytes(csv)
        let found = try records(whole)
        #expect(found.map(texts) == expected)
        #expect(found.allSatisfy { $0.defect == nil })
        for cut in 0...whole.count {
            #expect(try records(whole, cuts: [cut]) == found, "cut at \(cut)")
        }
        #expect(try records(whole, cuts: Array(0..<whole.count)) == found)
    }

    @Test func readsOtherDelimiters() throws {
        #expect(
            try records(bytes("a;\"b;c\"\n1,5;2\n"), delimiter: 0x3B).map(texts) == [
                ["a", "b;c"], ["1,5", "2"],
            ])
        #expect(try records(bytes("a\tb c\n"), delimiter: 0x09).map(texts) == [["a", "b c"]])
    }

    @Test func tellsTheLineOnWhichARecordStarts() throws {
        let found = try records(bytes("a\n\"x\ny\r\nz\"\n\nb\r\nc\rd\n"))
        #expect(found.map(\.line) == [1, 2, 6, 7, 8])
    }

    @Test(arguments: [
        ("a\"b,c\n1,2\n", 0, CSVProblem.strayQuote),
        ("x,a\"b\"\n1,2\n", 1, .strayQuote),
        ("\"a\"b,c\n1,2\n", 0, .textAfterQuote),
        ("x,\"a\" \n1,2\n", 1, .textAfterQuote),
        ("a,b\u{0}\n1,2\n", 1, .nulByte),
        ("a,\"\u{0}\"\n1,2\n", 1, .nulByte),
    ])
    func marksOneRecordAndGoesOn(_ csv: String, _ field: Int, _ problem: CSVProblem) throws {
        let found = try records(bytes(csv))
        #expect(found.map(\.defect) == [CSVDefect(field: field, problem: problem), nil])
        #expect(texts(found[1]) == ["1", "2"])
    }

    @Test(
        arguments: [
            [0xC3], [0xFF], [0xC0, 0xAF], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80], [0x80],
            [0xE2, 0x82],
        ] as [[UInt8]])
    func marksBytesThatAreNotUTF8(_ bad: [UInt8]) throws {
        let found = try records(bytes("a,") + bad + bytes("\nb,c\n"))
        #expect(found.map(\.defect) == [CSVDefect(field: 1, problem: .invalidUTF8), nil])
    }

    /// Two halves of a character in neighbouring fields are valid only when joined.
    @Test func marksACharacterCutByADelimiter() throws {
        let found = try records([0xC3, 0x2C, 0xA9, 0x0A])
        #expect(found[0].defect == CSVDefect(field: 0, problem: .invalidUTF8))
    }

    @Test func refusesAQuoteThatIsNeverClosed() {
        #expect(
            failure { _ = try records(bytes("a,b\n1,\"2\n3,4\n")) }
                == .csv(line: 2, column: 2, .unterminatedQuote))
        #expect(
            failure { _ = try records(bytes("\"")) } == .csv(line: 1, column: 1, .unterminatedQuote)
        )
    }

    @Test func refusesUTF16() {
        #expect(
            failure { _ = try records([0xFF, 0xFE, 0x61, 0x00]) }
                == .csv(line: 1, column: 1, .notUTF8Encoding))
        #expect(
            failure { _ = try records([0xFE, 0xFF, 0x00, 0x61], cuts: [1]) }
                == .csv(line: 1, column: 1, .notUTF8Encoding))
    }

    @Test func enforcesEveryLimitAndAcceptsItsEdge() throws {
        var limits = CSVLimits()
        (limits.fieldBytesMax, limits.recordBytesMax, limits.fieldsMax, limits.recordsMax) = (
            4, 6, 3, 2
        )
        #expect(try records(bytes("abcd,ef\n,,\n"), limits: limits).count == 2)
        #expect(
            failure { _ = try records(bytes("abcde\n"), limits: limits) }
                == .csv(line: 1, column: 1, .fieldTooLong(bytesMax: 4)))
        #expect(
            failure { _ = try records(bytes("x\n\"a\nbcde\n"), limits: limits) }
                == .csv(line: 2, column: 1, .fieldTooLong(bytesMax: 4)))
        #expect(
            failure { _ = try records(bytes("abc,def,g\n"), limits: limits) }
                == .csv(line: 1, column: 3, .recordTooLong(bytesMax: 6)))
        #expect(
            failure { _ = try records(bytes(",,,\n"), limits: limits) }
                == .csv(line: 1, column: 4, .tooManyFields(max: 3)))
        #expect(
            failure { _ = try records(bytes("a\nb\nc\n"), limits: limits) }
                == .csv(line: 3, column: 1, .tooManyRecords(max: 2)))
    }

    @Test func writesWhatItReads() throws {
        var numbers = SeededNumbers(11)
        let alphabet = [
            "a", "7", ",", ";", "\"", "\n", "\r", "\r\n", " ", "é", "日", "\u{FEFF}", "?", "\t",
        ]
        for round in 0..<400 {
            let delimiter: UInt8 = [0x2C, 0x3B, 0x09][round % 3]
            let rows = (0..<Int.random(in: 1...5, using: &numbers)).map { _ in
                (0..<Int.random(in: 1...5, using: &numbers)).map { _ in
                    (0..<Int.random(in: 0...6, using: &numbers)).map { _ in
                        alphabet.randomElement(using: &numbers)!
                    }.joined()
                }
            }
            var csv: [UInt8] = []
            for row in rows { CSVWriter.append(row, delimiter: delimiter, to: &csv) }
            let found = try records(csv, delimiter: delimiter)
            #expect(
                found.map { record in (0..<record.fieldCount).map { record.field($0) } }
                    == rows.map { $0.map { Array($0.utf8) } })
            for cut in 0...csv.count {
                #expect(try records(csv, delimiter: delimiter, cuts: [cut]) == found)
            }
        }
    }

    /// Any bytes at all: no trap, no hang, and the same outcome in one piece as byte by byte.
    @Test func survivesDamagedFiles() {
        var numbers = SeededNumbers(12)
        let good = bytes("age,\"name\",x\r\n1,\"a \"\"b\"\"\",é\n2,\"multi\nline\",?\n\n3,,\"\"\n")
        let interesting: [UInt8] = [
            0x22, 0x2C, 0x0A, 0x0D, 0x00, 0xEF, 0xBB, 0xBF, 0xFF, 0xC3, 0x61,
        ]
        for _ in 0..<3000 {
            var damaged = good
            for _ in 0..<Int.random(in: 1...8, using: &numbers) {
                let place = Int.random(in: 0..<max(damaged.count, 1), using: &numbers)
                switch Int.random(in: 0..<4, using: &numbers) {
                case 0 where !damaged.isEmpty:
                    damaged[place] = interesting.randomElement(using: &numbers)!
                case 1:
                    damaged.insert(
                        interesting.randomElement(using: &numbers)!, at: min(place, damaged.count))
                case 2 where !damaged.isEmpty: damaged.remove(at: place)
                default: damaged = Array(damaged.prefix(place))
                }
            }
            let whole = Result { () throws(TabularError) in try records(damaged) }
            let pieces = Result { () throws(TabularError) in
                try records(damaged, cuts: Array(0..<damaged.count))
            }
            #expect(whole == pieces)
        }
    }
}
