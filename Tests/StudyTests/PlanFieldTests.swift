import Codec
import Study
import Testing

/// Every field wrong, missing, unknown: the error names the field and no value.
@Suite struct PlanFieldTests {
    /// Members that a plan cannot do without.
    static let required = [
        "consilium", "study", "title", "owner", "purpose", "mustNotBeUsedFor", "assumptions",
        "task", "schema",
        "schema.features", "schema.features[0].name", "schema.features[0].kind",
        "schema.features[0].range",
        "schema.features[2].categories", "schema.label", "schema.label.column",
        "schema.label.positive",
        "model", "model.family", "training", "training.rounds",
        "training.local", "training.local.optimizer", "training.local.learningRate",
        "training.server",
        "training.server.optimizer", "privacy", "privacy.secureAggregation", "split", "split.rule",
        "split.heldOutShare", "gates", "gates[0].metric",
    ]
    /// Members without which another rule bites than "is missing".
    static let contradictory = [
        "schema.label.positive.greaterThan", "privacy.withoutDifferentialPrivacy",
        "gates[0].atLeast", "gates[1].atMost", "deployment.siteGates[0].atLeast",
    ]

    static var members: [[Step]] {
        fullPlan.places.filter { if case .key = $0.last { true } else { false } }
    }

    @Test(arguments: required) func saysWhatIsMissing(_ path: String) {
        for absent in [nil, JSONValue.null] {
            let error = failure { _ = try plan(fullPlan.with(path, absent)) }
            #expect(error?.code == .planInvalid, "\(path)")
            #expect(
                error?.path.hasPrefix(path) == true, "\(path): \(error?.description ?? "accepted")")
        }
    }

    @Test func everythingElseHasADefault() throws {
        let needed = Set(
            PlanFieldTests.required + PlanFieldTests.contradictory + [
                "deployment.siteGates[0].metric", "gates[1].metric",
            ])
        for path in PlanFieldTests.members where !needed.contains(text(path)) {
            // What several kinds of feature share is listed once above.
            if [.key("name"), .key("kind")].contains(path.last), path.count == 4 { continue }
            let document = fullPlan.with(path[...], nil)
            let read = try? plan(document)
            #expect(
                read != nil,
                "\(text(path)) has no default: \(failure { _ = try plan(document) }?.description ?? "")"
            )
            if let read { #expect(try Plan(parsing: read.canonicalBytes).hash == read.hash) }
        }
    }

    @Test func refusesAWrongTypeAnywhere() {
        let samples: [JSONValue] = [true, 7, "x", ["x"], ["x": 1]]
        for path in fullPlan.places {
            guard let original = fullPlan[path[...]] else { continue }
            // A code of the schema may be a text or a number.
            let isCode =
                path.contains(.key("codes")) || path.contains(.key("categories"))
                || path.contains(.key("missingCodes"))
            for sample in samples
            where sample.kind != original.kind && !(isCode && sample.kind == 2) {
                let error = failure { _ = try plan(fullPlan.with(path[...], sample)) }
                guard let error else {
                    Issue.record("\(text(path)) accepts another type")
                    continue
                }
                // The error is about this field, or about the one it makes impossible.
                #expect(error.path.hasPrefix(text([path[0]])), "\(text(path)): \(error)")
                if path[0] != .key("schema") {
                    #expect(error.path.hasPrefix(text(path)), "\(text(path)): \(error)")
                }
            }
        }
    }

    @Test func refusesAnUnknownMemberAnywhere() {
        for path in [[]] + fullPlan.places where fullPlan[path[...]]?.kind == 5 {
            let place = path + [.key("zz-unknown")]
            let error = failure { _ = try plan(fullPlan.with(place[...], 1)) }
            #expect(error?.code == .planInvalid)
            #expect(
                error?.path == text(place), "\(error?.description ?? "accepted at \(text(path))")")
        }
    }

    /// Just outside each range, or a word that is not in the list.
    static let outside: [(String, [JSONValue])] = [
        ("consilium", ["plan/2", "plan/1 ", ""]),
        (
            "study",
            ["", "A", "a b", "../x", "a/b", "é", .string(String(repeating: "a", count: 57))]
        ),
        ("title", ["", " ", "\n", .string(String(repeating: "x", count: 201))]),
        ("owner", ["", .string(String(repeating: "x", count: 201))]),
        ("purpose", ["", .string(String(repeating: "x", count: 2001))]),
        ("mustNotBeUsedFor", [.array(.init(repeating: "x", count: 33))]),
        ("mustNotBeUsedFor[0]", [.string(String(repeating: "x", count: 4097))]),
        ("assumptions", [.array(.init(repeating: "x", count: 33))]),
        ("task", ["regression", ""]),
        ("model.family", ["forest"]), ("model.l2", [-0.001, 100.1]),
        ("training.rounds", [0, 1001, 1.5, -1]),
        ("training.local.optimizer", ["rmsprop"]), ("training.local.learningRate", [0, -1, 100.1]),
        ("training.local.momentum", [-0.1, 1]), ("training.local.epochs", [0, 1001]),
        ("training.local.batchSize", [0, 65_537]), ("training.local.proximalMu", [-1, 1001]),
        ("training.server.optimizer", ["fedProx"]), ("training.server.learningRate", [0, 10.1]),
        ("training.updateBound", [0, 1e-7, 1024.5]), ("training.seed", [-1, 2_147_483_648]),
        ("cohort.sitesMin", [2, 1025]), ("cohort.sitesMax", [2, 1025]),
        ("cohort.colluders", [0, 513]),
        ("cohort.rowsPerSiteMax", [0, 100_000_001]), ("cohort.messageSeconds", [0, 3601]),
        ("cohort.trainingSeconds", [0, 86_401]), ("cohort.attempts", [0, 6]),
        ("split.rule", ["random"]), ("split.heldOutShare", [0, 0.009, 0.91]),
        ("evaluation.bins", [9, 10_001]), ("evaluation.threshold", [0, 1]),
        ("evaluation.everyRounds", [-1, 1001]),
        ("gates", [.array(.init(repeating: ["metric": "auc", "atLeast": 0.5], count: 33))]),
        ("gates[0].metric", ["f1", "AUC"]), ("gates[0].atLeast", [-1e10, 1e10]),
        ("deployment.siteGates[0].metric", ["f1"]),
    ]

    @Test(arguments: outside) func refusesValuesOutsideTheRange(
        _ path: String, _ values: [JSONValue]
    ) {
        for value in values {
            let error = failure { _ = try plan(fullPlan.with(path, value)) }
            #expect(error?.code == .planInvalid, "\(path)")
            #expect(
                error?.path.hasPrefix(path) == true, "\(path): \(error?.description ?? "accepted")")
        }
    }

    /// The ends of each range.
    static let inside: [(String, [JSONValue])] = [
        ("study", ["a", "0-9", .string(String(repeating: "a", count: 56))]),
        ("title", [.string(String(repeating: "x", count: 200))]),
        ("model.l2", [0, 100]), ("training.rounds", [5, 1000]),
        ("training.local.learningRate", [1e-9, 100]),
        ("training.local.momentum", [0, 0.9999]), ("training.local.epochs", [1, 1000]),
        ("training.local.batchSize", [1, 65_536]), ("training.updateBound", [1e-6, 1024]),
        ("training.seed", [0, 2_147_483_647]), ("cohort.sitesMin", [3, 64]),
        ("cohort.sitesMax", [3, 1024]),
        ("cohort.rowsPerSiteMax", [1, 100_000_000]), ("cohort.messageSeconds", [1, 3600]),
        ("cohort.trainingSeconds", [1, 86_400]), ("cohort.attempts", [1, 5]),
        ("split.heldOutShare", [0.01, 0.9]),
        ("evaluation.bins", [10, 10_000]), ("evaluation.threshold", [0.0001, 0.9999]),
        ("evaluation.everyRounds", [0, 20]), ("gates[0].atLeast", [0, 1]), ("gates[1].atMost", [0]),
    ]

    @Test(arguments: inside) func acceptsTheEndsOfTheRange(_ path: String, _ values: [JSONValue])
        throws
    {
        for value in values {
            let read = try plan(fullPlan.with(path, value))
            #expect(try Plan(parsing: read.canonicalBytes) == read)
        }
    }

    @Test func refusesSplitsThatAreNotOne() {
        let lists: JSONValue = [
            "rule": "row-lists", "sites": ["basel": ["train": [0], "heldOut": [1]]],
        ]
        let numbers: JSONValue = ["rule": "row-number", "split": 0, "datasetKeys": ["basel": "b"]]
        let cases: [(JSONValue, String)] = [
            (lists.with("sites.basel.train", [-1]), "split.sites.basel.train"),
            (lists.with("sites.basel.train", [1.5]), "split.sites.basel.train"),
            (lists.with("sites.basel.train", ["1"]), "split.sites.basel.train"),
            (lists.with("sites.basel.heldOut", nil), "split.sites.basel.heldOut"),
            (lists.with("sites.basel.test", []), "split.sites.basel.test"),
            (lists.with("sites.basel", []), "split.sites.basel"),
            (lists.with("sites.BASEL", ["train": [0], "heldOut": []]), "split.sites"),
            (
                lists.with("sites.basel.train", .array((0...100_000).map { .integer($0) })),
                "split.sites.basel.train"
            ),
            (lists.with("heldOutShare", 0.2), "split.heldOutShare"),
            (numbers.with("split", -1), "split.split"),
            (numbers.with("split", nil), "split.split"),
            (numbers.with("datasetKeys", nil), "split.datasetKeys"),
            (numbers.with("datasetKeys.basel", 7), "split.datasetKeys.basel"),
            (numbers.with("datasetKeys.no site", "x"), "split.datasetKeys"),
        ]
        for (split, path) in cases {
            let error = failure { _ = try plan(fullPlan.with("split", split)) }
            #expect(
                error?.code == .planInvalid && error?.path == path,
                "\(path): \(error?.description ?? "accepted")")
        }
    }

    @Test func errorsHoldNoValue() {
        let secret = "zq-secret-value"
        for path in fullPlan.places where fullPlan[path[...]]?.kind == 3 {
            guard let error = failure({ _ = try plan(fullPlan.with(path[...], .string(secret))) })
            else { continue }
            // Names of columns and features are the schema's own words; they may be repeated.
            if path[0] == .key("schema") { continue }
            #expect(!error.description.contains(secret), "\(text(path))")
        }
    }
}
