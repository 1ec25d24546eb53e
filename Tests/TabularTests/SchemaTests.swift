import Codec
import Tabular
import Testing

/// A complete schema document, as protocol/data.md §2 shows it.
let clinicDocument: JSONValue = [
    "features": [
        [
            "name": "age", "kind": "numeric", "unit": "years", "range": [0, 120], "integer": true,
            "sensitive": true,
        ],
        ["name": "sex", "kind": "binary", "codes": ["f", "m"], "sensitive": true],
        [
            "name": "pain", "column": "cp", "kind": "categorical", "categories": [1, 2, 3, 4],
            "missing": "own-category",
        ],
        [
            "name": "chol", "kind": "numeric", "unit": "mg/dl", "range": [0, 700],
            "missing": "impute-with-indicator",
            "missingCodes": [0, "unknown"],
        ],
        [
            "name": "ecg", "kind": "categorical", "categories": ["normal", "st", "hypertrophy"],
            "dropFirstCategory": true,
            "missing": "impute",
        ],
        ["name": "fbs", "kind": "binary", "missing": "impute-with-indicator"],
    ],
    "label": ["column": "num", "positive": ["greaterThan": 0], "range": [0, 4]],
]

/// `document` with the value at `path` replaced, or removed when `value` is nil.
func changed(_ document: JSONValue, _ path: [String], _ value: JSONValue?) -> JSONValue {
    guard let key = path.first else { return value ?? .null }
    let rest = Array(path.dropFirst())
    switch document {
    case .array(var items):
        guard let index = Int(key), index < items.count else { return document }
        items[index] = changed(items[index], rest, value)
        return .array(items)
    case .object(var object):
        object[key] = rest.isEmpty ? value : changed(object[key] ?? .object([:]), rest, value)
        return .object(object)
    default:
        return document
    }
}

@Suite struct SchemaTests {
    @Test func readsADocument() throws {
        #expect(try Schema(json: clinicDocument) == clinic)
    }

    @Test func roundTripsThroughItsDocument() throws {
        var other = clinic
        other.subjectColumn = "patient"
        other.delimiter = 0x09
        other.hasHeader = false
        other.columns = ["age", "sex", "cp", "chol", "ecg", "fbs", "num", "patient", "rest"]
        other.otherColumns = .ignore
        other.rowFilter = .complete
        other.badRowShareMax = 0.05
        other.preprocessing = Preprocessing(standardise: .all, clip: 6)
        other.label = Label(
            column: "num", positive: .equals(["yes", "1"]), negative: ["no", "0"],
            description: "outcome")
        for schema in [clinic, other] {
            #expect(try Schema(json: schema.json) == schema)
            let parsed = try JSONValue.parse(schema.json.canonicalBytes(), dialect: .strict)
            #expect(try Schema(json: parsed) == schema)
        }
    }

    @Test(
        arguments: [
            (["features"], [], "schema.features", "names no feature"),
            (
                ["features", "1", "name"], "age", "schema.features[1].name",
                "age is the name of an earlier feature"
            ),
            (
                ["features", "1", "column"], "age", "schema.features[1].column",
                "age is already the column of an earlier feature"
            ),
            (["features", "0", "name"], "", "schema.features[0].name", "is empty"),
            (
                ["features", "0", "name"], "a\nb", "schema.features[0].name",
                "holds control characters or starts or ends with a space"
            ),
            (
                ["features", "0", "range"], [120, 0], "schema.features[0].range",
                "is empty: the lower bound must be below the upper bound"
            ),
            (
                ["features", "0", "range"], [5, 5], "schema.features[0].range",
                "is empty: the lower bound must be below the upper bound"
            ),
            (
                ["features", "0", "range"], [1], "schema.features[0].range",
                "must be two numbers, the lower and the upper bound"
            ),
            (
                ["features", "0", "range"], ["0", "9"], "schema.features[0].range",
                "must be two numbers, the lower and the upper bound"
            ),
            (
                ["features", "0", "range"], [0, 1e300], "schema.features[0].range",
                "must have finite bounds of at most 1e15"
            ),
            (
                ["features", "0", "range"], [0.5, 100], "schema.features[0].range",
                "must have whole bounds for an integer feature"
            ),
            (
                ["features", "0", "kind"], "number", "schema.features[0].kind",
                "must be numeric, categorical or binary"
            ),
            (
                ["features", "0", "missing"], "own-category", "schema.features[0].missing",
                "own-category is only for categorical features"
            ),
            (
                ["features", "0", "missing"], "guess", "schema.features[0].missing",
                "must be one of refuse, impute, impute-with-indicator, own-category"
            ),
            (
                ["features", "1", "missing"], "own-category", "schema.features[1].missing",
                "own-category is only for categorical features"
            ),
            (
                ["features", "1", "codes"], ["f"], "schema.features[1].codes",
                "must be two codes: the one for 0 and the one for 1"
            ),
            (
                ["features", "1", "codes"], ["1", "1.0"], "schema.features[1].codes[1]",
                "1.0 is listed twice"
            ),
            (
                ["features", "2", "categories"], ["1"], "schema.features[2].categories",
                "needs at least two categories"
            ),
            (
                ["features", "2", "categories"], [1, 2, 1], "schema.features[2].categories[2]",
                "1 is listed twice"
            ),
            (
                ["features", "2", "categories"], ["1", "2", "1e0"],
                "schema.features[2].categories[2]", "1e0 is listed twice"
            ),
            (
                ["features", "2", "categories"], ["1", "?"], "schema.features[2].categories",
                "? is also a missing code"
            ),
            (
                ["features", "2", "categories"], ["1", ""], "schema.features[2].categories[1]",
                "is empty"
            ),
            (
                ["features", "2", "categories"], ["1", true], "schema.features[2].categories[1]",
                "must be a text or a number"
            ),
            (
                ["features", "2", "missingCodes"], ["4.0"], "schema.features[2].categories",
                "4 is also a missing code"
            ),
            (
                ["features", "3", "missingCodes"], ["0", "0.0"],
                "schema.features[3].missingCodes[1]", "0.0 is listed twice"
            ),
            (["label", "column"], "age", "schema.label.column", "the label age is also a feature"),
            (
                ["label", "column"], "pain", "schema.label.column",
                "the label pain is also a feature"
            ),
            (
                ["label", "positive"], ["greaterThan": 4], "schema.label.positive.greaterThan",
                "leaves only one class inside the range"
            ),
            (["label", "negative"], ["0"], "schema.label.negative", "is only for equals"),
            (
                ["label", "positive"], ["equals": ["yes"]], "schema.label.range",
                "is only for greaterThan"
            ),
            (
                ["label"], ["column": "y", "positive": ["equals": []]],
                "schema.label.positive.equals", "names no value"
            ),
            (
                ["label"], ["column": "y", "positive": ["equals": ["1"]], "negative": ["1.0"]],
                "schema.label.negative", "1 is also a positive value"
            ),
            (
                ["subjectColumn"], "age", "schema.subjectColumn",
                "age is also a feature or the label"
            ),
            (
                ["subjectColumn"], "num", "schema.subjectColumn",
                "num is also a feature or the label"
            ),
            (["delimiter"], ",,", "schema.delimiter", "must be one character such as , ; | or tab"),
            (["delimiter"], "\"", "schema.delimiter", "must be one character such as , ; | or tab"),
            (["delimiter"], "5", "schema.delimiter", "must be one character such as , ; | or tab"),
            (["delimiter"], ".", "schema.delimiter", "must be one character such as , ; | or tab"),
            (
                ["columns"], ["age"], "schema.columns",
                "is only for files without header (header: false)"
            ),
            (
                ["header"], false, "schema.columns",
                "must list the columns in file order when header is false"
            ),
            (["otherColumns"], "drop", "schema.otherColumns", "must be one of refuse, ignore"),
            (["rowFilter"], "some", "schema.rowFilter", "must be one of all, complete"),
        ] as [([String], JSONValue, String, String)])
    func refusesContradictionsNamingThePath(
        _ place: [String], _ value: JSONValue, _ path: String, _ problem: String
    ) {
        let error = failure { _ = try Schema(json: changed(clinicDocument, place, value)) }
        #expect(error == .schema(path: path, problem: problem))
    }

    @Test(
        arguments: [
            (["colour"], "red"), (["features", "0", "colour"], "red"),
            (["label", "colour"], "red"),
            (["label", "positive", "lessThan"], 3), (["preprocessing"], ["colour": "red"]),
            (["features", "0", "categories"], ["a", "b"]),
            (["features", "2", "range"], [0, 1]),
        ] as [([String], JSONValue)])
    func refusesUnknownKeys(_ place: [String], _ value: JSONValue) {
        #expect(failure { _ = try Schema(json: changed(clinicDocument, place, value)) } != nil)
    }

    @Test(arguments: [
        ["features"], ["label"], ["features", "0", "name"], ["features", "0", "kind"],
        ["features", "0", "range"],
        ["features", "2", "categories"], ["label", "column"], ["label", "positive"],
    ])
    func refusesWhatIsLeftOut(_ place: [String]) {
        #expect(failure { _ = try Schema(json: changed(clinicDocument, place, nil)) } != nil)
    }

    @Test(
        arguments: [
            (["badRowShareMax"], 2), (["badRowShareMax"], -1), (["preprocessing"], ["clip": 0]),
            (["features"], "all"), (["features", "0"], 7),
            (["features", "0", "integer"], "yes"), (["header"], 1),
        ] as [([String], JSONValue)])
    func refusesValuesOutOfBounds(_ place: [String], _ value: JSONValue) {
        #expect(failure { _ = try Schema(json: changed(clinicDocument, place, value)) } != nil)
    }

    @Test func holdsTheColumnListToTheSameRulesAsAHeader() {
        let headerless = changed(clinicDocument, ["header"], false)
        let lacking = changed(headerless, ["columns"], ["age", "sex", "cp", "chol", "ecg", "num"])
        #expect(
            failure { _ = try Schema(json: lacking) }
                == .schema(path: "schema.columns", problem: "lacks the column \"fbs\""))
        let more = changed(
            headerless, ["columns"], ["age", "sex", "cp", "chol", "ecg", "fbs", "num", "zip"])
        #expect(
            failure { _ = try Schema(json: more) }?.description.contains(
                "\"zip\" that the schema does not mention") == true)
        #expect(failure { _ = try Schema(json: changed(more, ["otherColumns"], "ignore")) } == nil)
    }

    @Test func limitsCounts() {
        let feature: JSONValue = ["name": "f", "kind": "binary"]
        let many = JSONValue.array(
            (0...TabularLimits.featuresMax).map { changed(feature, ["name"], .string("f\($0)")) })
        #expect(
            failure { _ = try Schema(json: changed(clinicDocument, ["features"], many)) } != nil)
        let categories = JSONValue.array(
            (0...TabularLimits.categoriesMax).map { .string("c\($0)") })
        #expect(
            failure {
                _ = try Schema(
                    json: changed(clinicDocument, ["features", "2", "categories"], categories))
            } != nil)
        #expect(
            failure {
                _ = try Schema(
                    json: changed(
                        clinicDocument, ["features", "0", "name"],
                        .string(String(repeating: "n", count: 129))))
            } != nil)
    }

    /// Mutated documents: a schema that passes its own checks, or an error with a path. Never a trap.
    @Test func survivesDamagedDocuments() {
        var numbers = SeededNumbers(41)
        let words: [JSONValue] = [
            .null, true, 0, 1, -1, 1e308, 1e-308, "", "?", "age", "numeric", "binary",
            "categorical", "refuse", "impute",
            [], ["1"], ["1", "2"], [0, 1], [1, 0], .object([:]), ["equals": ["1"]], "tab",
            "own-category", false, "num",
        ]
        let places: [[String]] = [
            ["features"], ["features", "0"], ["features", "0", "kind"],
            ["features", "2", "categories"], ["features", "3", "range"],
            ["features", "3", "missingCodes"], ["features", "1", "codes"],
            ["features", "1", "missing"], ["label"], ["label", "positive"],
            ["label", "range"], ["label", "column"], ["label", "negative"], ["subjectColumn"],
            ["delimiter"], ["header"], ["columns"],
            ["otherColumns"], ["rowFilter"], ["badRowShareMax"], ["preprocessing"],
            ["preprocessing", "clip"], ["features", "0", "name"],
            ["features", "0", "integer"], ["features", "4", "dropFirstCategory"],
        ]
        var accepted = 0
        for _ in 0..<5000 {
            var document = clinicDocument
            for _ in 0..<Int.random(in: 1...3, using: &numbers) {
                document = changed(
                    document, places.randomElement(using: &numbers)!,
                    words.randomElement(using: &numbers)!)
            }
            do {
                let schema = try Schema(json: document)
                accepted += 1
                #expect(try Schema(json: schema.json) == schema)
                _ = SiteStatistics.layout(schema)
            } catch {
                #expect(error.description.hasPrefix("schema"))
            }
        }
        #expect(accepted > 50)
    }
}
