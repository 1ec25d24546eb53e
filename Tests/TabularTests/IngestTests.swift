import Tabular
import Testing

@Suite struct IngestTests {
    @Test func keepsGoodRowsAndQuarantinesBadOnesWithLineColumnAndRule() throws {
        let dataset = try clinicDataset(
            """
            63,m,1,233,st,1,0
            200,m,1,233,st,1,0
            41,f,9,204,flat,0,1

            50,f,2
            56,m,2,0,?,?,4
            57,x,3,oops,st,0,
            58,f,3,"2"5,st,0,9
            59,f,3,250,st,0,9
            60,f,,unknown,normal,0.0,3.0

            """)
        #expect(dataset.table.rowNumbers == [0, 4, 8])
        #expect(dataset.table.labels == [0, 1, 1])
        #expect(dataset.table.columns[0] == [63, 56, 60])
        #expect(dataset.table.columns[3].map(\.isNaN) == [false, true, true])
        #expect(dataset.table.columns[4].map(\.isNaN) == [false, true, false])
        #expect(dataset.table.columns[5].map(\.isNaN) == [false, true, false])
        #expect(
            dataset.quarantine.rows == [
                QuarantinedRow(
                    dataRow: 1, line: 3,
                    violations: [Violation("age", .outOfRange(lower: 0, upper: 120))]),
                QuarantinedRow(
                    dataRow: 2, line: 4,
                    violations: [
                        Violation("cp", .unseenCategory), Violation("ecg", .unseenCategory),
                    ]),
                QuarantinedRow(
                    dataRow: 3, line: 6,
                    violations: [Violation("row", .fieldCount(expected: 7, found: 3))]),
                QuarantinedRow(
                    dataRow: 5, line: 8,
                    violations: [
                        Violation("sex", .unseenCategory), Violation("chol", .notANumber),
                        Violation("num", .missingLabel),
                    ]),
                QuarantinedRow(
                    dataRow: 6, line: 9,
                    violations: [Violation("chol", .malformed(.textAfterQuote))]),
                QuarantinedRow(
                    dataRow: 7, line: 10, violations: [Violation("num", .unreadableLabel)]),
            ])
        #expect(
            dataset.report.rowCount == 9 && dataset.report.acceptedCount == 3
                && dataset.report.quarantinedCount == 6)
        #expect(
            dataset.quarantine.rows[0].description == "line 3: age is outside the range 0 to 120")
    }

    @Test func readsTheSameTableHoweverTheBytesAreCut() throws {
        let csv = bytes(
            clinicHeader
                + "63,m,1,233,st,1,0\r\n\"41\",f,\"2\",204.5,\"st\",0,1\r\n200,f,2,1,st,0,1\n60,f,,?,normal,0,2"
        )
        let whole = try Ingest.read(csv: csv, schema: clinic, lenient: true)
        #expect(whole.table.rowCount == 3)
        for cut in 0...csv.count {
            var ingest = try Ingest(clinic)
            try ingest.feed(Array(csv[..<cut]))
            try ingest.feed(Array(csv[cut...]))
            let parts = try ingest.finishLenient()
            #expect(parts.table.fingerprint == whole.table.fingerprint)
            #expect(
                parts.quarantine == whole.quarantine
                    && parts.table.rowNumbers == whole.table.rowNumbers)
        }
    }

    @Test func readsColumnsInAnyOrderAndIgnoresOthersOnlyWhenTold() throws {
        let shuffled = "num,fbs,note,ecg,chol,cp,sex,age\n0,1,hello,st,233,1,m,63\n"
        #expect(
            failure { _ = try Ingest.read(csv: bytes(shuffled), schema: clinic) }
                == .header(
                    "holds the column \"note\" that the schema does not mention; correct the name, or set otherColumns to \"ignore\""
                ))
        var tolerant = clinic
        tolerant.otherColumns = .ignore
        let dataset = try Ingest.read(csv: bytes(shuffled), schema: tolerant)
        #expect(try dataset.table.row(0) == clinicDataset("63,m,1,233,st,1,0\n").table.row(0))
    }

    @Test func namesHeaderProblems() {
        func header(_ line: String) -> TabularError? {
            failure { _ = try Ingest.read(csv: bytes(line + "\n"), schema: clinic) }
        }
        #expect(header("age,sex,cp,chol,ecg,num") == .header("lacks the column \"fbs\""))
        #expect(header("age,age,sex,cp,chol,ecg,fbs,num") == .header("repeats the column \"age\""))
        #expect(header(" age ,sex,cp,chol,ecg,fbs,num") == .noRows)
        #expect(header("") == .header("is missing: the data source is empty"))
        #expect(header("age,\"se\"x,cp") == .csv(line: 1, column: 2, .textAfterQuote))
    }

    @Test func doesNotRepeatADataRowTakenForAHeader() throws {
        let error = try #require(
            failure {
                _ = try Ingest.read(csv: bytes("63,Jane Doe,1,233,st,1,0\n"), schema: clinic)
            })
        #expect(!error.description.contains("Jane") && !error.description.contains("63"))
        #expect(error.description.contains("header"))
    }

    @Test func refusesADatasetWithTooManyBadRows() throws {
        let rows = String(repeating: "63,m,1,233,st,1,0\n", count: 8)
        let two = String(repeating: "999,m,1,233,st,1,0\n", count: 2)
        #expect(try clinicDataset(rows + two, lenient: false).quarantine.count == 2)
        #expect(
            failure { _ = try clinicDataset(rows + two + two, lenient: false) }
                == .tooManyBadRows(
                    bad: 4, rows: 12, shareMax: 0.2,
                    summary: "age is outside the range 0 to 120 (4 rows)"))
        #expect(try clinicDataset(rows + two + two, lenient: true).quarantine.count == 4)
    }

    @Test func refusesASourceWithoutRows() {
        #expect(failure { _ = try clinicDataset("", lenient: false) } == .noRows)
        #expect(failure { _ = try clinicDataset("\n\n", lenient: false) } == .noRows)
    }

    @Test func leavesIncompleteRowsOutWithoutCallingThemBad() throws {
        var schema = clinic
        schema.rowFilter = .complete
        let csv =
            clinicHeader
            + "63,m,1,233,st,1,0\n?,m,1,233,st,1,0\n63,m,?,0,st,1,1\n63,m,?,0,st,1,9\n63,m,1,200,st,1,1\n"
        let dataset = try Ingest.read(csv: bytes(csv), schema: schema)
        #expect(dataset.table.rowNumbers == [0, 4])
        #expect(dataset.report.incompleteCount == 2 && dataset.quarantine.count == 1)
        #expect(dataset.quarantine.rows[0].dataRow == 3)
    }

    @Test func scoresRowsWithoutLabels() throws {
        let csv = "age,sex,cp,chol,ecg,fbs\n63,m,1,233,st,1\n"
        let dataset = try Ingest.read(csv: bytes(csv), schema: clinic, labelled: false)
        #expect(dataset.table.labels[0].isNaN && dataset.report.positiveCount == nil)
        let withLabel = try Ingest.read(
            csv: bytes(clinicHeader + "63,m,1,233,st,1,99\n"), schema: clinic, labelled: false)
        #expect(withLabel.table.rowCount == 1)
    }

    @Test func readsFilesWithoutHeader() throws {
        var schema = clinic
        schema.hasHeader = false
        schema.columns = ["age", "sex", "cp", "chol", "ecg", "fbs", "num"]
        let dataset = try Ingest.read(
            csv: bytes("63,m,1,233,st,1,0\n41,f,2,204,st,0,1\n"), schema: schema)
        #expect(dataset.table.rowNumbers == [0, 1])
        #expect(dataset.quarantine.count == 0)
    }

    @Test func keepsNothingOfASubjectButItsHash() throws {
        var schema = clinic
        schema.subjectColumn = "patient"
        let csv =
            "patient,age,sex,cp,chol,ecg,fbs,num\nP-1,63,m,1,233,st,1,0\nP-1,64,m,2,180,st,1,1\nP-2,63,m,1,233,st,1,0\n"
        let table = try Ingest.read(csv: bytes(csv), schema: schema).table
        #expect(table.unitKeys[0] == table.unitKeys[1] && table.unitKeys[0] != table.unitKeys[2])
        #expect(Set(table.rowKeys).count == 3)
        #expect(!"\(table)".contains("P-1"))
    }

    /// Mutated files: every outcome is a dataset or a described error, and all data rows are accounted for.
    @Test func survivesDamagedFilesAndCountsEveryRow() {
        var numbers = SeededNumbers(31)
        let good = bytes(
            clinicHeader + "63,m,1,233,st,1,0\n41,f,2,204,normal,0,1\n\"56\",m,3,0,?,?,4\n")
        let alphabet = bytes("0123456789,.\"\n\re+-?mf\u{0}") + [0xFF]
        for _ in 0..<3000 {
            var damaged = good
            for _ in 0..<Int.random(in: 1...6, using: &numbers) where !damaged.isEmpty {
                let place = Int.random(in: 0..<damaged.count, using: &numbers)
                switch Int.random(in: 0..<3, using: &numbers) {
                case 0: damaged[place] = alphabet.randomElement(using: &numbers)!
                case 1: damaged.insert(alphabet.randomElement(using: &numbers)!, at: place)
                default: damaged.remove(at: place)
                }
            }
            do {
                let dataset = try Ingest.read(csv: damaged, schema: clinic, lenient: true)
                let report = dataset.report
                #expect(
                    report.acceptedCount + report.quarantinedCount + report.incompleteCount
                        == report.rowCount)
                for row in 0..<dataset.table.rowCount {
                    #expect((0...120).contains(dataset.table.columns[0][row]))
                }
            } catch {
                #expect(!"\(error)".isEmpty)
            }
        }
    }
}

@Suite struct QualityReportTests {
    @Test func countsMissingDuplicatesConstantsAndClasses() throws {
        let report = try clinicDataset(
            """
            63,m,1,233,st,1,0
            63,m,1,233.0,st,1.0,0
            63,f,?,0,st,?,1
            63,f,2,180,?,0,2

            """
        ).report
        #expect(report.duplicateCount == 1)
        #expect(report.positiveCount == 2)
        #expect(report.columns.map(\.missingCount) == [0, 0, 1, 1, 1, 1])
        #expect(
            report.columns[0].isConstant && !report.columns[3].isConstant
                && report.columns[4].isConstant)
        #expect(report.columns[2].codeCounts.map(\.count) == [2, 1, 0, 0])
        #expect(
            report.columns[3].distribution?.minimum == 180
                && report.columns[3].distribution?.maximum == 233)
        #expect(report.columns[3].distribution?.median == 233)
        let text = report.text()
        #expect(text.contains("4 rows: 4 accepted, 0 refused, 1 exact duplicates"))
        #expect(text.contains("chol: 1 zeros, read as missing"))
        #expect(text.contains("age: the same value in every row"))
    }

    @Test func flagsZerosThatMeanNotMeasured() throws {
        var schema = clinic
        func finding(_ range: ClosedRange<Double>, _ codes: [String]) throws -> ColumnReport
            .ZeroFinding?
        {
            schema.features[3].kind = .numeric(unit: nil, range: range, integer: false)
            schema.features[3].missingCodes = codes
            let rows = (0..<40).map { "63,m,1,\($0 == 7 ? 0 : 180 + $0),st,1,\($0 % 2)\n" }.joined()
            return try Ingest.read(csv: bytes(clinicHeader + rows), schema: schema, lenient: true)
                .report.columns[3].zeroFinding
        }
        #expect(try finding(0...700, ["0"]) == .declaredMissing)
        #expect(try finding(0...700, ["0.0"]) == .declaredMissing)
        #expect(try finding(50...700, []) == .outsideRange)
        #expect(try finding(0...700, []) == .farFromOthers)
    }

    @Test func leavesOrdinaryZerosAlone() throws {
        let rows = (0..<40).map { "\($0 % 5),m,1,200,st,1,\($0 % 2)\n" }.joined()
        #expect(try clinicDataset(rows).report.columns[0].zeroFinding == nil)
    }

    @Test func interpolatesQuantiles() throws {
        let rows = [1, 2, 3, 4].map { "\($0),m,1,200,st,1,0\n" }.joined()
        let distribution = try #require(try clinicDataset(rows).report.columns[0].distribution)
        // numpy.quantile([1, 2, 3, 4], [.25, .5, .75])
        #expect(
            (distribution.lowerQuartile, distribution.median, distribution.upperQuartile) == (
                1.75, 2.5, 3.25
            ))
        #expect(distribution.mean == 2.5 && distribution.deviation == 1.25.squareRoot())
    }

    @Test func saysThatOneClassIsNotEnough() throws {
        let report = try clinicDataset("63,m,1,233,st,1,0\n64,m,1,233,st,1,0\n").report
        #expect(report.notes.contains { $0.contains("same label") })
    }

    @Test func listsReasonsByCountAndNeverAValue() throws {
        let report = try clinicDataset(
            "999,m,1,233,st,1,0\n998,m,1,Secret,st,1,0\n63,m,1,233,st,1,0\n"
        ).report
        #expect(report.reasons.map(\.count) == [2, 1])
        #expect(report.json["reasons"]?.arrayValue?.count == 2)
        #expect(report.json["examples"]?.arrayValue?.count == 2)
        let output = report.text() + String(decoding: report.json.canonicalBytes(), as: UTF8.self)
        #expect(!output.contains("Secret") && !output.contains("999"))
    }
}
