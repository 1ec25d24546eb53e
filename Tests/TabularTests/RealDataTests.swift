import Codec
import Cryptography
import Glibc
import Tabular
import Testing

/// The public datasets, read as their READMEs describe them. Skipped where the folder is absent.
@Suite struct RealDataTests {
    static let heartColumns = [
        "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak",
        "slope", "ca", "thal", "num",
    ]

    static var heart: Schema {
        func number(_ name: String, _ range: ClosedRange<Double>, _ codes: [String] = []) -> Feature
        {
            Feature(
                name: name, kind: .numeric(unit: nil, range: range, integer: false),
                missing: .imputeWithIndicator, missingCodes: codes)
        }
        func category(_ name: String, _ codes: [String]) -> Feature {
            Feature(
                name: name, kind: .categorical(categories: codes, dropFirst: false),
                missing: .ownCategory)
        }
        func flag(_ name: String) -> Feature {
            Feature(name: name, kind: .binary(zero: "0", one: "1"), missing: .imputeWithIndicator)
        }
        return Schema(
            features: [
                number("age", 18...110), flag("sex"), category("cp", ["1", "2", "3", "4"]),
                number("trestbps", 50...260, ["0"]),
                number("chol", 50...700, ["0"]), flag("fbs"), category("restecg", ["0", "1", "2"]),
                number("thalach", 40...250),
                flag("exang"), number("oldpeak", -5...10), category("slope", ["1", "2", "3"]),
                number("ca", 0...9),
                category("thal", ["3", "6", "7"]),
            ],
            label: Label(column: "num", positive: .greaterThan(0), range: 0...4),
            hasHeader: false, columns: heartColumns)
    }

    private func heart(_ site: String, _ folder: String, _ schema: Schema = RealDataTests.heart)
        throws -> Dataset
    {
        try Ingest.read(.file("\(folder)/heart-disease/processed.\(site).data"), schema: schema)
    }

    @Test func readsTheFourHospitals() throws {
        guard let folder = dataFolder() else { return }
        var heldOut = 0
        for (site, rows, positive, duplicates, zeros) in [
            ("cleveland", 303, 139, 0, 0), ("hungarian", 294, 106, 1, 0),
            ("switzerland", 123, 115, 0, 123), ("va", 200, 149, 1, 49),
        ] {
            let dataset = try heart(site, folder)
            #expect(
                dataset.table.rowCount == rows && dataset.quarantine.count == 0,
                "\(site): \(dataset.quarantine.summary)")
            #expect(dataset.report.positiveCount == positive)
            #expect(dataset.report.duplicateCount == duplicates)
            #expect(dataset.report.columns[4].zeroCount == zeros)
            #expect(dataset.report.columns[4].zeroFinding == (zeros > 0 ? .declaredMissing : nil))
            #expect(dataset.report.columns[3].zeroCount == (site == "va" ? 1 : 0))
            let split = try dataset.table.split(
                .rowNumberRule(datasetKey: "heart-disease/\(site)", split: 0))
            heldOut += split.test.count
            if site == "switzerland" { #expect(dataset.report.columns[5].missingCount == 75) }
        }
        #expect(heldOut == 176)
    }

    @Test func flagsZeroCholesterolThatTheSchemaForgot() throws {
        guard let folder = dataFolder() else { return }
        var schema = RealDataTests.heart
        schema.features[4].missingCodes = []
        schema.features[4].kind = .numeric(unit: nil, range: 0...700, integer: false)
        let report = try heart("va", folder, schema).report
        #expect(report.columns[4].zeroFinding == .farFromOthers)
        schema.features[4].kind = .numeric(unit: nil, range: 50...700, integer: false)
        let error = failure { _ = try heart("va", folder, schema) }
        #expect(
            error
                == .tooManyBadRows(
                    bad: 49, rows: 200, shareMax: 0.2,
                    summary: "chol is outside the range 50 to 700 (49 rows)"))
    }

    /// The FLamby view: 13 inputs, 740 complete rows, its exact train and test rows.
    @Test func makesTheFLambyView() throws {
        guard let folder = dataFolder() else { return }
        var schema = RealDataTests.heart
        schema.features.removeLast(3)
        for index in schema.features.indices {
            schema.features[index].missing = .refuse
            schema.features[index].missingCodes = []
            if case .categorical(let categories, _) = schema.features[index].kind {
                schema.features[index].kind = .categorical(categories: categories, dropFirst: true)
            }
        }
        schema.features[3].kind = .numeric(unit: nil, range: 0...260, integer: false)
        schema.features[4].kind = .numeric(unit: nil, range: 0...700, integer: false)
        schema.otherColumns = .ignore
        schema.rowFilter = .complete
        schema.preprocessing.standardise = .all

        var listBytes: [UInt8] = []
        try DataSource.file("\(folder)/heart-disease/flamby-split.json").read { listBytes += $0 }
        let lists = try JSONValue.parse(listBytes, dialect: .strict)
        func list(_ site: String, _ side: String) -> [Int] {
            lists[site]?[side]?.arrayValue?.compactMap(\.intValue) ?? []
        }

        for (site, rows, train, test) in [
            ("cleveland", 303, 199, 104), ("hungarian", 261, 172, 89), ("switzerland", 46, 30, 16),
            ("va", 130, 85, 45),
        ] {
            let table = try heart(site, folder, schema).table
            #expect(table.rowCount == rows)
            let split = try table.split(
                .rowLists(train: list(site, "train"), test: list(site, "test")))
            #expect(
                split.train.count == train && split.test.count == test && split.unused.isEmpty
                    && split.absent.isEmpty)
            let statistics = try GlobalStatistics(of: table.subset(split.train))
            let preprocessor = try Preprocessor(schema: schema, statistics: statistics)
            #expect(
                preprocessor.columnNames == [
                    "age", "sex", "cp=2", "cp=3", "cp=4", "trestbps", "chol", "fbs", "restecg=1",
                    "restecg=2", "thalach", "exang", "oldpeak",
                ])
            let matrix = try preprocessor.transform(table.subset(split.train))
            for column in 0..<matrix.columns {
                let values: [Double] = (0..<matrix.rows).map {
                    Double(matrix[row: $0, column: column])
                }
                if Set(values).count == 1 { continue }
                let mean: Double = values.reduce(0, +) / Double(values.count)
                let squares: Double = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
                let variance = squares / Double(values.count)
                #expect(
                    abs(mean) < 1e-5 && abs(variance - 1) < 1e-3,
                    "\(site) \(preprocessor.columnNames[column])")
            }
        }
    }

    @Test func readsTaiwanCreditDefaults() throws {
        guard let folder = dataFolder() else { return }
        func number(_ name: String, _ range: ClosedRange<Double>) -> Feature {
            Feature(name: name, kind: .numeric(unit: nil, range: range, integer: true))
        }
        var features = [
            number("LIMIT_BAL", 0...2_000_000),
            Feature(name: "SEX", kind: .binary(zero: "1", one: "2"), sensitive: true),
            Feature(
                name: "EDUCATION",
                kind: .categorical(categories: (0...6).map { "\($0)" }, dropFirst: false)),
            Feature(
                name: "MARRIAGE",
                kind: .categorical(categories: (0...3).map { "\($0)" }, dropFirst: false),
                sensitive: true),
            number("AGE", 18...120),
        ]
        features += [0, 2, 3, 4, 5, 6].map { number("PAY_\($0)", -2...9) }
        features += (1...6).map { number("BILL_AMT\($0)", -1_000_000...2_000_000) }
        features += (1...6).map { number("PAY_AMT\($0)", 0...2_000_000) }
        var schema = Schema(
            features: features,
            label: Label(
                column: "default.payment.next.month", positive: .equals(["1"]), negative: ["0"]),
            otherColumns: .ignore)
        let source = DataSource.file("\(folder)/taiwan-credit-default/UCI_Credit_Card.csv")
        let dataset = try Ingest.read(source, schema: schema)
        #expect(dataset.table.rowCount == 30_000 && dataset.report.positiveCount == 6_636)
        #expect(dataset.report.duplicateCount == 35)
        #expect(dataset.report.columns[1].codeCounts.map(\.count) == [11_888, 18_112])
        #expect(
            dataset.report.columns[2].codeCounts.enumerated().filter {
                [0, 5, 6].contains($0.offset)
            }.reduce(0) { $0 + $1.element.count } == 345)
        let split = try dataset.table.split(
            .rowNumberRule(datasetKey: "taiwan-credit-default", split: 0))
        #expect(
            split.test.count == 6_027 && split.test.prefix(8) == [2, 3, 16, 19, 45, 48, 50, 56])

        // 1e+05 is a limit of 100000, and the same file through a command is the same dataset.
        #expect(dataset.table.columns[0].contains(100_000))
        let command = DataSource.command(
            ["cat", "\(folder)/taiwan-credit-default/UCI_Credit_Card.csv"], timeoutSeconds: 60)
        #expect(
            try Ingest.read(command, schema: schema).table.fingerprint == dataset.table.fingerprint)

        schema.otherColumns = .refuse
        #expect(
            failure { _ = try Ingest.read(source, schema: schema) }?.description.contains("\"ID\"")
                == true)
    }

    @Test func readsTheBankMarketingFileWithItsSemicolons() throws {
        guard let folder = dataFolder() else { return }
        let schema = Schema(
            features: [
                Feature(name: "age", kind: .numeric(unit: "years", range: 0...120, integer: true)),
                Feature(
                    name: "default", kind: .binary(zero: "no", one: "yes"),
                    missing: .imputeWithIndicator, missingCodes: ["unknown"]),
                Feature(
                    name: "euribor3m", kind: .numeric(unit: "%", range: 0...10, integer: false)),
            ],
            label: Label(column: "y", positive: .equals(["yes"]), negative: ["no"]),
            delimiter: 0x3B, otherColumns: .ignore)
        let dataset = try Ingest.read(
            .file("\(folder)/bank-marketing/bank-additional-full.csv"), schema: schema)
        #expect(dataset.table.rowCount == 41_188 && dataset.report.positiveCount == 4_640)
        let split = try dataset.table.split(.rowNumberRule(datasetKey: "bank-marketing", split: 0))
        #expect(split.test.count == 8_232)
    }

    @Test func readsTheTumoursWithTheirSubjects() throws {
        guard let folder = dataFolder() else { return }
        let columns = ["id", "diagnosis"] + (0..<30).map { "m\($0)" }
        let schema = Schema(
            features: columns.dropFirst(2).map {
                Feature(name: $0, kind: .numeric(unit: nil, range: 0...5000, integer: false))
            },
            label: Label(column: "diagnosis", positive: .equals(["M"]), negative: ["B"]),
            subjectColumn: "id",
            hasHeader: false, columns: columns)
        let dataset = try Ingest.read(
            .file("\(folder)/breast-cancer-wisconsin/wdbc.data"), schema: schema)
        #expect(dataset.table.rowCount == 569 && dataset.report.positiveCount == 212)
        #expect(Set(dataset.table.unitKeys).count == 569)
        let split = try dataset.table.split(
            .rowNumberRule(datasetKey: "breast-cancer-wisconsin", split: 0))
        #expect(split.test.count == 114)
    }
}
