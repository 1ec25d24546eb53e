import Codec
import Tabular
import Testing

@Suite struct RowValidationTests {
    let rules = RowRules(clinic)
    let good: [String: FieldInput] = [
        "age": .number(63), "sex": .text("m"), "pain": .number(2), "chol": .number(233.5),
        "ecg": .text("st"), "fbs": .bool(true),
    ]

    private func violations(_ changes: [String: FieldInput?]) -> [Violation] {
        var values = good
        for (name, value) in changes { values[name] = value }
        do {
            _ = try rules.validate(named: values)
            return []
        } catch {
            return error.violations
        }
    }

    @Test func acceptsAGoodRowInSchemaOrder() throws {
        let row = try clinic.validate(named: good)
        #expect(row.values == [63, 1, 1, 233.5, 1, 1])
        #expect(row.value(0, in: clinic) == .number(63))
        #expect(row.value(2, in: clinic) == .category(1))
    }

    @Test(arguments: [
        ("age", FieldInput.missing, Violation.Rule.missing),
        ("age", .text("?"), .missing),
        ("age", .text("63"), .wrongType),
        ("age", .bool(true), .wrongType),
        ("age", .number(-1), .outOfRange(lower: 0, upper: 120)),
        ("age", .number(121), .outOfRange(lower: 0, upper: 120)),
        ("age", .number(1e300), .outOfRange(lower: 0, upper: 120)),
        ("age", .number(.nan), .notFinite),
        ("age", .number(.infinity), .notFinite),
        ("age", .number(63.5), .notWhole),
        ("sex", .text("x"), .unseenCategory),
        ("sex", .text("M"), .unseenCategory),
        ("sex", .number(1), .unseenCategory),
        ("sex", .missing, .missing),
        ("pain", .number(5), .unseenCategory),
        ("pain", .number(2.5), .unseenCategory),
        ("pain", .bool(true), .wrongType),
        ("pain", .number(.nan), .notFinite),
        ("ecg", .text("flat"), .unseenCategory),
        ("chol", .text("high"), .wrongType),
        ("fbs", .number(2), .unseenCategory),
    ])
    func refusesNamingFeatureAndRule(_ name: String, _ input: FieldInput, _ rule: Violation.Rule) {
        #expect(violations([name: input]) == [Violation(name, rule)])
    }

    @Test(arguments: [
        ("pain", FieldInput.text("2.0"), 1.0), ("pain", .text("2"), 1), ("pain", .text(" 2 "), 1),
        ("pain", .number(2), 1),
        ("fbs", .text("1.0"), 1), ("fbs", .bool(false), 0), ("sex", .bool(true), 1),
        ("age", .number(0), 0), ("age", .number(120), 120),
    ])
    func readsEqualCodesAlike(_ name: String, _ input: FieldInput, _ value: Double) throws {
        var values = good
        values[name] = input
        let index = try #require(clinic.featureIndex(name))
        #expect(try rules.validate(named: values).values[index] == value)
    }

    @Test(arguments: [
        ("chol", FieldInput.number(0)), ("chol", .number(-0.0)), ("chol", .text("unknown")),
        ("chol", .text("")),
        ("chol", .text("0.00")), ("chol", .missing), ("pain", .missing), ("pain", .text("?")),
        ("ecg", .text(" ")), ("fbs", .missing),
    ])
    func readsMissingCodesAsMissing(_ name: String, _ input: FieldInput) throws {
        var values = good
        values[name] = input
        let index = try #require(clinic.featureIndex(name))
        #expect(try rules.validate(named: values).values[index].isNaN)
        #expect(try rules.validate(named: values).value(index, in: clinic) == .missing)
    }

    @Test func readsJSONValuesAsInputs() {
        let values: [JSONValue] = [nil, true, 3, 2.5, "x", [1], ["a": 1]]
        #expect(
            values.map { FieldInput($0) } == [
                .missing, .bool(true), .number(3), .number(2.5), .text("x"), nil, nil,
            ])
    }

    @Test func namesEveryViolationUnknownNamesFirst() {
        let found = violations([
            "age": .number(300), "zeta": .number(1), "alpha": .missing,
            "sex": Optional<FieldInput>.none,
        ])
        #expect(
            found == [
                Violation("alpha", .unknownFeature), Violation("zeta", .unknownFeature),
                Violation("age", .outOfRange(lower: 0, upper: 120)), Violation("sex", .missing),
            ])
    }

    @Test func neverRepeatsAValue() {
        let secret = "Jane Doe 1961-02-03"
        let found = violations([
            "age": .text(secret), "sex": .text(secret), "ecg": .text(secret),
            "pain": .number(987_654_321),
        ])
        #expect(found.count == 4)
        let text = RowRefused(found).description
        #expect(!text.contains("Jane") && !text.contains("987"))
    }

    @Test func shortensNamesThatAreNoNames() {
        let long = String(repeating: "x", count: 10_000)
        #expect(
            violations([long: .number(1)]) == [Violation("(unprintable name)", .unknownFeature)])
        #expect(
            violations(["a\nb": .number(1)]) == [Violation("(unprintable name)", .unknownFeature)])
    }

    @Test func keepsAtMostSoManyViolations() {
        var many: [String: FieldInput?] = [:]
        for index in 0..<1000 { many["extra\(index)"] = .some(.number(1)) }
        #expect(violations(many).count == TabularLimits.violationsPerRowMax)
    }

    @Test func buildsRowsOneAfterAnother() throws {
        var builder = RowBuilder(rules)
        func set(_ name: String, _ input: FieldInput) throws {
            let bytes = Array(name.utf8)
            let span = bytes.span
            let index = rules.featureIndex(span, in: 0..<span.count)
            builder.set(input, at: try #require(index))
        }
        for (name, value) in good { try set(name, value) }
        #expect(try builder.finish() == clinic.validate(named: good))
        builder.reset()
        for (name, value) in good where name != "age" { try set(name, value) }
        #expect(throws: RowRefused([Violation("age", .missing)])) { _ = try builder.finish() }
        builder.reset()
        for (name, value) in good { try set(name, value) }
        try set("age", .number(64))
        #expect(throws: RowRefused([Violation("age", .givenTwice)])) { _ = try builder.finish() }
        builder.reset()
        let isComplete = builder.complete()
        #expect(!isComplete)
        #expect(builder.violations == [Violation("age", .missing), Violation("sex", .missing)])
    }

    @Test func findsEveryFeatureByNameAndNoOther() {
        var schema = clinic
        schema.features = (0..<500).map {
            Feature(name: "feature \($0)", kind: .binary(zero: "0", one: "1"))
        }
        let rules = RowRules(schema)
        for (index, feature) in schema.features.enumerated() {
            #expect(rules.featureIndex(named: feature.name) == index)
        }
        for name in ["", "feature", "feature 500", "Feature 1", "feature 1 "] {
            #expect(rules.featureIndex(named: name) == nil)
        }
    }

    @Test func refusesMissingWhenOnlyCompleteRowsCount() {
        var schema = clinic
        schema.rowFilter = .complete
        var values = good
        values["chol"] = .missing
        #expect(throws: RowRefused([Violation("chol", .missing)])) {
            _ = try schema.validate(named: values)
        }
    }
}

@Suite struct LabelTests {
    private func read(_ label: Label, _ input: FieldInput) -> Bool? {
        var schema = clinic
        schema.label = label
        return try? RowRules(schema).readLabel(input)
    }

    @Test(
        arguments: [
            (FieldInput.number(0), false), (.number(1), true), (.number(4), true),
            (.text("2.0"), true), (.text(" 0 "), false),
            (.bool(true), true), (.bool(false), false), (.number(5), nil), (.number(-1), nil),
            (.text("yes"), nil), (.missing, nil),
            (.text("?"), nil), (.number(.nan), nil),
        ] as [(FieldInput, Bool?)])
    func comparesWithABound(_ input: FieldInput, _ expected: Bool?) {
        #expect(
            read(Label(column: "num", positive: .greaterThan(0), range: 0...4), input) == expected)
    }

    @Test(
        arguments: [
            (FieldInput.text("M"), true), (.text("B"), false), (.text("m"), nil),
            (.text("7.0"), true), (.number(7), true),
            (.text("0"), false), (.number(1), nil), (.text(""), nil), (.bool(true), true),
        ] as [(FieldInput, Bool?)])
    func comparesWithListedValues(_ input: FieldInput, _ expected: Bool?) {
        #expect(
            read(Label(column: "d", positive: .equals(["M", "7"]), negative: ["B", "0"]), input)
                == expected)
    }

    @Test func takesAnythingElseAsNegativeWhenNothingIsListed() {
        let label = Label(column: "y", positive: .equals(["yes"]))
        #expect(read(label, .text("yes")) == true)
        #expect(read(label, .text("no")) == false)
        #expect(read(label, .text("?")) == nil)
    }

    /// The short cut for rows of numbers says yes only to what the builder takes as it stands.
    @Test func plainRowsAreThoseThatTheBuilderTakes() throws {
        func feature(_ name: String, _ range: ClosedRange<Double>, integer: Bool, codes: [String] = []) -> Feature {
            Feature(name: name, kind: .numeric(unit: nil, range: range, integer: integer), missingCodes: codes)
        }
        let label = Label(column: "y", positive: .greaterThan(0), range: 0...1)
        let rules = RowRules(Schema(features: [feature("a", -2...2, integer: false), feature("b", 0...3, integer: true)], label: label))
        let numbers: [Double] = [-3, -2, -1.5, -0.0, 0, 0.5, 1, 2, 2.5, 3, 4, .nan, .infinity, -.infinity, .leastNonzeroMagnitude]
        var plain = 0
        for a in numbers {
            for b in numbers {
                var builder = RowBuilder(rules)
                if !a.isNaN { builder.set(number: a, at: 0) }
                if !b.isNaN { builder.set(number: b, at: 1) }
                let isValid = builder.complete()
                guard rules.arePlainRows([a, b]) else {
                    #expect(!isValid || a.bitPattern == (-0.0).bitPattern || b.bitPattern == (-0.0).bitPattern, "\(a) \(b)")
                    continue
                }
                plain += 1
                #expect(isValid && builder.values.map(\.bitPattern) == [a.bitPattern, b.bitPattern], "\(a) \(b)")
            }
        }
        #expect(plain > 20)
        // A number that may mean missing needs a closer look, and so do codes.
        let coded = RowRules(Schema(features: [feature("a", 0...9, integer: false, codes: ["7"])], label: label))
        #expect(!coded.arePlainRows([1]))
        let binary = RowRules(Schema(features: [Feature(name: "a", kind: .binary(zero: "0", one: "1"))], label: label))
        #expect(!binary.arePlainRows([1]))
    }
}
