import Codec
import Kernels
import Tabular
import Testing

@Suite struct PreprocessorTests {
    private let statistics = GlobalStatistics(
        rowCount: 100,
        features: [
            FeatureStatistics(mean: 50, variance: 100, missingShare: 0),
            FeatureStatistics(mean: 0, variance: 1, missingShare: 0, categoryShares: [0.25, 0.75]),
            FeatureStatistics(
                mean: 0, variance: 1, missingShare: 0.2, categoryShares: [0.1, 0.2, 0.5, 0]),
            FeatureStatistics(mean: 200, variance: 2500, missingShare: 0.1),
            FeatureStatistics(
                mean: 0, variance: 1, missingShare: 0.1, categoryShares: [0.2, 0.6, 0.1]),
            FeatureStatistics(mean: 0, variance: 1, missingShare: 0.5, categoryShares: [0.4, 0.1]),
        ],
        labelShare: 0.4)

    private func row(_ text: String) throws -> ValidRow {
        try clinicDataset(text + ",0\n").table.row(0)
    }

    @Test func namesColumnsInOrder() throws {
        #expect(
            try Preprocessor(schema: clinic, statistics: statistics).columnNames == [
                "age", "sex", "pain=1", "pain=2", "pain=3", "pain=4", "pain missing", "chol",
                "chol missing",
                "ecg=st", "ecg=hypertrophy", "fbs", "fbs missing",
            ])
    }

    @Test func standardisesNumbersAndEncodesCategories() throws {
        let preprocessor = try Preprocessor(schema: clinic, statistics: statistics)
        #expect(
            preprocessor.transform(try row("60,f,2,150,hypertrophy,1")) == [
                1, 0, 0, 1, 0, 0, 0, -1, 0, 0, 1, 1, 0,
            ])
        #expect(
            preprocessor.transform(try row("50,m,?,?,?,?")) == [
                0, 1, 0, 0, 0, 0, 1, 0, 1, 1, 0, 0, 1,
            ])
        #expect(
            preprocessor.transform(try row("50,m,4,200,normal,0")) == [
                0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
            ])
    }

    @Test func standardisesEveryColumnWhenAsked() throws {
        var schema = clinic
        schema.preprocessing.standardise = .all
        let preprocessor = try Preprocessor(schema: schema, statistics: statistics)
        let inputs = preprocessor.transform(try row("60,f,2,150,hypertrophy,1"))
        let sex = Float(-0.75 / (0.75 * 0.25).squareRoot())
        #expect(inputs[0] == 1 && inputs[1] == sex)
        #expect(inputs[3] == Float(0.8 / (0.2 * 0.8).squareRoot()))
        // pain=4 never occurs: centre 0, scale 1.
        #expect(inputs[5] == 0)
        // A missing ecg counts as "st", so that column is 1 in 70 % of the rows.
        #expect(inputs[9] == Float(-0.7 / (0.7 * (1 - 0.7)).squareRoot()))
    }

    @Test func clipsWhatLiesFarOut() throws {
        var known = statistics
        known.features[3].variance = 1
        var preprocessor = try Preprocessor(schema: clinic, statistics: known)
        #expect(preprocessor.transform(try row("50,m,1,700,st,1"))[7] == 10)
        #expect(preprocessor.transform(try row("50,m,1,1,st,1"))[7] == -10)
        var schema = clinic
        schema.preprocessing.clip = 3
        preprocessor = try Preprocessor(schema: schema, statistics: known)
        #expect(preprocessor.transform(try row("50,m,1,700,st,1"))[7] == 3)
    }

    @Test func staysFiniteForConstantAndUnobservedFeatures() throws {
        let table = try clinicDataset("63,m,1,?,st,1,0\n63,m,1,?,st,1,1\n").table
        let preprocessor = try Preprocessor(
            schema: clinic, statistics: try GlobalStatistics(of: table))
        for text in ["63,m,1,?,st,1", "0,f,4,700,normal,0", "120,m,?,1,?,?"] {
            #expect(
                preprocessor.transform(try row(text)).allSatisfy { $0.isFinite && abs($0) <= 10 })
        }
    }

    /// Training and serving go through different doors of the same object and must agree bit for bit.
    @Test func transformsATableExactlyAsRowByRow() throws {
        var numbers = SeededNumbers(61)
        let text = (0..<500).map { _ in
            "\(Int.random(in: 0...120, using: &numbers)),\(["m", "f"].randomElement(using: &numbers)!),"
                + "\(["1", "2", "3", "4", "?"].randomElement(using: &numbers)!),"
                + "\(["?", "0", "\(Double.random(in: 0.001...700, using: &numbers))"].randomElement(using: &numbers)!),"
                + "\(["normal", "st", "hypertrophy", ""].randomElement(using: &numbers)!),"
                + "\(["0", "1", "?"].randomElement(using: &numbers)!),\(Int.random(in: 0...4, using: &numbers))\n"
        }.joined()
        let table = try clinicDataset(text).table
        for standardise in Preprocessing.Standardise.allCases {
            var schema = clinic
            schema.preprocessing.standardise = standardise
            let preprocessor = try Preprocessor(
                schema: schema, statistics: try GlobalStatistics(of: table))
            let matrix = try preprocessor.transform(table)
            #expect(
                matrix.rows == 500 && matrix.columns == preprocessor.columnCount
                    && matrix.labels == table.labels)
            var buffer = [Float](repeating: 0, count: preprocessor.columnCount)
            for index in 0..<500 {
                let row = table.row(index)
                #expect(matrix.row(index) == preprocessor.transform(row))
                let values = row.values
                var span = buffer.mutableSpan
                preprocessor.transform(values.span, into: &span)
                #expect(buffer == matrix.row(index))
            }
            // The mean of the inputs is what the statistics promise.
            let expected = preprocessor.expectedInputs(try GlobalStatistics(of: table))
            for column in 0..<matrix.columns {
                let mean =
                    (0..<500).reduce(0.0) { $0 + Double(matrix[row: $1, column: column]) } / 500
                #expect(
                    abs(mean - Double(expected[column])) < 1e-5,
                    "\(preprocessor.columnNames[column])")
            }
        }
    }

    @Test func leavesLabelsOutWhenARowHasNone() throws {
        var table = try clinicDataset("63,m,1,233,st,1,1\n").table
        let preprocessor = try Preprocessor(schema: clinic, statistics: statistics)
        #expect(try preprocessor.transform(table).labels == [1])
        table.append(table.row(0), label: nil)
        #expect(try preprocessor.transform(table).labels == [])
        #expect(try preprocessor.transform(Table(schema: clinic)).rows == 0)
    }

    @Test func roundTripsThroughItsDocument() throws {
        var known = statistics
        known.features[0].mean = 54.43894389438944
        known.features[0].variance = 81.4
        let preprocessor = try Preprocessor(schema: clinic, statistics: known)
        #expect(try Preprocessor(json: preprocessor.json) == preprocessor)
        let parsed = try JSONValue.parse(preprocessor.json.canonicalBytes(), dialect: .strict)
        #expect(try Preprocessor(json: parsed) == preprocessor)
        #expect(failure { try preprocessor.check(clinic) } == nil)
    }

    @Test(
        arguments: [
            (["clip"], 0), (["clip"], nil), (["features"], ["age"]), (["features", "1"], "age"),
            (["columns"], []),
            (["columns", "0", "scale"], 0), (["columns", "0", "scale"], -1),
            (["columns", "0", "centre"], 1e300),
            (["columns", "0", "source"], "code"), (["columns", "0", "feature"], "zeta"),
            (["columns", "1", "feature"], "age"),
            (["columns", "0", "imputed"], nil), (["columns", "2", "category"], -1),
            (["columns", "2", "category"], 9999),
            (["columns", "2", "category"], 1), (["columns", "0", "feature"], "fbs"),
            (["columns", "0", "extra"], 1), (["extra"], 1),
            (["columns", "2", "whenMissing"], 2),
        ] as [([String], JSONValue?)])
    func refusesDamagedDocuments(_ place: [String], _ value: JSONValue?) throws {
        let document = try Preprocessor(schema: clinic, statistics: statistics).json
        let error = failure { _ = try Preprocessor(json: changed(document, place, value)) }
        #expect(error?.description.hasPrefix("preprocessor") == true)
    }

    @Test func refusesAnotherSchema() throws {
        let preprocessor = try Preprocessor(schema: clinic, statistics: statistics)
        var swapped = clinic
        swapped.features.swapAt(0, 1)
        #expect(failure { try preprocessor.check(swapped) } != nil)
        var narrower = clinic
        narrower.features[2].kind = .categorical(categories: ["1", "2"], dropFirst: false)
        #expect(
            failure { try preprocessor.check(narrower) }
                == .preprocessor(
                    path: "preprocessor.columns[4]", problem: "does not fit its feature's kind"))
        var numeric = clinic
        numeric.features[2].kind = .numeric(unit: nil, range: 0...9, integer: false)
        #expect(failure { try preprocessor.check(numeric) } != nil)
        var shorter = clinic
        shorter.features.removeLast()
        #expect(failure { _ = try Preprocessor(schema: shorter, statistics: statistics) } != nil)
        #expect(failure { _ = try Preprocessor(schema: narrower, statistics: statistics) } != nil)
    }
}
