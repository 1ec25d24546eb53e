import Codec
import Study
import Testing

/// Plans that are well formed and still cannot work.
@Suite struct PlanContradictionTests {
    static func binaries(_ count: Int, sensitive: Bool = false) -> JSONValue {
        .array(
            (0..<count).map {
                ["name": .string("f\($0)"), "kind": "binary", "sensitive": .bool(sensitive)]
            })
    }

    static func categorical(_ name: String, _ codes: [String], sensitive: Bool = false) -> JSONValue
    {
        [
            "name": .string(name), "kind": "categorical",
            "categories": .array(codes.map { .string($0) }),
            "sensitive": .bool(sensitive),
        ]
    }

    static let lists: JSONValue = [
        "rule": "row-lists", "sites": ["basel": ["train": [0, 1], "heldOut": [2]]],
    ]
    static let codes256 = (0..<256).map { "c\($0)" }

    /// What is changed, and the field that the error names.
    static let cases: [(name: String, plan: JSONValue, path: String)] = [
        (
            "no secure aggregation", fullPlan.with("privacy.secureAggregation", false),
            "privacy.secureAggregation"
        ),
        (
            "privacy not opted out of", fullPlan.with("privacy.withoutDifferentialPrivacy", false),
            "privacy.withoutDifferentialPrivacy"
        ),
        (
            "privacy left out", fullPlan.with("privacy.withoutDifferentialPrivacy", nil),
            "privacy.withoutDifferentialPrivacy"
        ),
        ("more than the most", fullPlan.with("cohort.sitesMin", 65), "cohort.sitesMin"),
        ("one honest site", fullPlan.with("cohort.colluders", 2), "cohort.colluders"),
        ("all collude", fullPlan.with("cohort.colluders", 512), "cohort.colluders"),
        (
            "curve after the end", fullPlan.with("evaluation.everyRounds", 21),
            "evaluation.everyRounds"
        ),
        ("no gate", fullPlan.with("gates", []), "gates"),
        ("no ruled-out use", fullPlan.with("mustNotBeUsedFor", []), "mustNotBeUsedFor"),
        ("gate without bound", fullPlan.with("gates[0].atLeast", nil), "gates[0]"),
        ("gate upside down", fullPlan.with("gates[0].atMost", 0.7), "gates[0]"),
        ("AUC above 1", fullPlan.with("gates[0].atLeast", 1.01), "gates[0].atLeast"),
        (
            "accuracy above 1", fullPlan.with("gates[0]", ["metric": "accuracy", "atLeast": 2]),
            "gates[0].atLeast"
        ),
        (
            "Brier score above 1", fullPlan.with("gates[0]", ["metric": "brier", "atLeast": 2]),
            "gates[0].atLeast"
        ),
        ("loss below 0", fullPlan.with("gates[1].atMost", -0.1), "gates[1].atMost"),
        (
            "site gate above 1", fullPlan.with("deployment.siteGates[0].metric", "auc"),
            "deployment.siteGates[0].atLeast"
        ),
        (
            "no dataset key",
            fullPlan.with("split", ["rule": "row-number", "split": 0, "datasetKeys": [:]]),
            "split.datasetKeys"
        ),
        (
            "row on both sides", fullPlan.with("split", lists.with("sites.basel.heldOut", [2, 1])),
            "split.sites.basel"
        ),
        (
            "row twice", fullPlan.with("split", lists.with("sites.basel.train", [0, 1, 0])),
            "split.sites.basel.train"
        ),
        (
            "row held out twice",
            fullPlan.with("split", lists.with("sites.basel.heldOut", [2, 2])),
            "split.sites.basel.heldOut"
        ),
        (
            "nothing to train on", fullPlan.with("split", lists.with("sites.basel.train", [])),
            "split.sites.basel.train"
        ),
        (
            "more inputs than a model takes",
            fullPlan.with(
                "schema.features", .array((0..<65).map { categorical("f\($0)", codes256) })),
            "schema.features"
        ),
        (
            "more parameters than a round sums",
            fullPlan.with("schema.features", binaries(1000))
                .with("model", ["family": "perceptron", "hidden": [4096]]), "model"
        ),
        (
            "more groups than an evaluation counts",
            fullPlan.with("schema.features", binaries(33, sensitive: true)), "schema.features"
        ),
        (
            "two groups of one name",
            fullPlan.with(
                "schema.features",
                [
                    categorical("a", ["b=c", "d"], sensitive: true),
                    categorical("a=b", ["c", "e"], sensitive: true),
                ]),
            "schema.features"
        ),
    ]

    @Test(arguments: cases.indices) func refuses(_ index: Int) {
        let (name, document, path) = PlanContradictionTests.cases[index]
        let error = failure { _ = try plan(document) }
        let isGateWithoutBound = name == "gate without bound"
        #expect(error?.code == (isGateWithoutBound ? .planInvalid : .planContradiction), "\(name)")
        #expect(error?.path == path, "\(name): \(error?.description ?? "accepted")")
    }

    /// The largest that is still possible.
    @Test func acceptsTheLimits() throws {
        let groups = try plan(
            fullPlan.with("schema.features", PlanContradictionTests.binaries(32, sensitive: true)))
        #expect(groups.sensitiveGroups.count == 64)
        #expect(try groups.evaluationLayout().groups.count == 64)
        let inputs = try plan(
            fullPlan.with(
                "schema.features",
                .array(
                    (0..<64).map {
                        PlanContradictionTests.categorical(
                            "f\($0)", PlanContradictionTests.codes256)
                    })))
        #expect(inputs.family.parameterCount(inputs: 16_384) == 16_385)
        #expect(throws: Never.self) {
            try plan(fullPlan.with("cohort.sitesMin", 4).with("cohort.colluders", 2))
        }
        #expect(throws: Never.self) { try plan(fullPlan.with("cohort.sitesMax", 3)) }
        #expect(throws: Never.self) {
            try plan(fullPlan.with("gates[0]", ["metric": "auc", "atLeast": 1, "atMost": 1]))
        }
    }

    /// The schema's own contradictions arrive with their place (`protocol/data.md` §2).
    @Test func passesOnWhatTheSchemaRefuses() {
        for (path, value, place) in [
            ("schema.features", [] as JSONValue, "schema.features"),
            ("schema.features[0].range", [110, 18], "schema.features[0].range"),
            ("schema.features[1].name", "age", "schema.features[1].name"),
            ("schema.label.column", "cp", "schema.label.column"),
            ("schema.label.positive", ["greaterThan": 4], "schema.label.positive.greaterThan"),
            ("schema.features[2].missingCodes", ["1"], "schema.features[2].categories"),
        ] {
            let error = failure { _ = try plan(fullPlan.with(path, value)) }
            #expect(
                error?.code == .planInvalid && error?.path == place,
                "\(place): \(error?.description ?? "accepted")")
        }
    }
}
