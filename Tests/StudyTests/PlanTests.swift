import Codec
import Cryptography
import Models
import Study
import Tabular
import Testing

/// `protocol/plan.md` §1 and §2: what a plan is, and that its hash does not depend on how it was typed.
@Suite struct PlanTests {
    @Test func thereArePlansToRead() { #expect(ScenarioPlans.names.count >= 4) }

    @Test(arguments: ScenarioPlans.names) func readsThePlansOfTheScenarios(_ name: String) throws {
        let file = try #require(ScenarioPlans.all.first { $0.name == name })
        let plan = try Plan(parsing: file.text)
        #expect(isName(plan.study))
        #expect(!plan.gates.isEmpty && plan.cohort.sitesMin >= 3)
        #expect(try plan.evaluationLayout().count > 0)
    }

    @Test(arguments: ScenarioPlans.names) func canonicalFormReadsBackToItself(_ name: String) throws
    {
        let file = try #require(ScenarioPlans.all.first { $0.name == name })
        let plan = try Plan(parsing: file.text)
        let canonical = plan.canonicalBytes
        let again = try Plan(parsing: canonical)
        #expect(again == plan)
        #expect(again.canonicalBytes == canonical)
        #expect(again.hash == plan.hash && plan.hash == SHA256.hash(canonical))
        // The canonical form is plain JSON, and JCS of itself.
        #expect(try JSONValue.parse(canonical, dialect: .strict).canonicalBytes() == canonical)
    }

    @Test func hashDoesNotDependOnLayout() throws {
        let file = try #require(ScenarioPlans.all.first { $0.name == "heart-disease.json5" })
        let expected = try Plan(parsing: file.text).hash
        let value = try JSONValue.parse(file.text, dialect: .json5)
        #expect(try Plan(parsing: value.prettyBytes()).hash == expected)
        #expect(try Plan(parsing: value.canonicalBytes()).hash == expected)
        let commented = Array("\u{FEFF}/* first */\n".utf8) + file.text + Array("// last".utf8)
        #expect(try Plan(parsing: commented).hash == expected)
    }

    /// Computed with another program from the documents as they stand in `protocol/plan.md`. A change of
    /// the canonical form breaks every consent that was ever signed: it has to be meant.
    @Test func knownAnswer() throws {
        #expect(
            try plan(fullPlan).hash.hex
                == "1229e293c111e0475b9789cc28df8eefbc5b47506236522e19ad0673859185a3")
        #expect(
            try Plan(parsing: Array(ScenarioPlans.minimal.utf8)).hash.hex
                == "33525dd49a1cbafef66bfe84a6bcb4e3c0c701fa1cd75f3053b3e2361504f745")
    }

    @Test func defaultsAreWrittenOut() throws {
        let plan = try Plan(parsing: Array(ScenarioPlans.minimal.utf8))
        #expect(plan.training.updateBound == 4 && plan.training.seed == 1)
        #expect(
            plan.training.local
                == LocalTraining(optimizer: .adam(learningRate: 0.01), epochs: 1, batchSize: 32))
        #expect(plan.training.server == .fedAvg(learningRate: 1))
        #expect(
            plan.cohort.sitesMin == 3 && plan.cohort.sitesMax == 64 && plan.cohort.colluders == 1)
        #expect(plan.cohort.rowsPerSiteMax == 100_000 && plan.cohort.attempts == 2)
        #expect(plan.cohort.messageSeconds == 20 && plan.cohort.trainingSeconds == 600)
        #expect(
            plan.evaluation.bins == 1000 && plan.evaluation.threshold == 0.5
                && plan.evaluation.everyRounds == 0)
        #expect(plan.deployment.automatic && plan.deployment.siteGates.isEmpty)
        #expect(plan.family == .logisticRegression(l2: 0, perSiteIntercept: false))
        // Whoever writes the defaults out agrees to the same thing as whoever leaves them out.
        #expect(try Plan(parsing: plan.json.prettyBytes()).hash == plan.hash)
        #expect(plan.json["cohort"]?["attempts"] == 2)
    }

    @Test func canonicalFormIsTheFullDocument() throws {
        #expect(try plan(fullPlan).canonicalBytes == fullPlan.canonicalBytes())
    }

    @Test func everyValueIsPartOfTheHash() throws {
        let original = try plan(fullPlan).hash
        let changes: [(String, JSONValue)] = [
            ("study", "heart-2"), ("title", "Another"), ("owner", "Another"),
            ("purpose", "Another"),
            ("mustNotBeUsedFor", ["Insurance", "Employment"]), ("assumptions", []),
            ("schema.features[0].range", [18, 111]), ("schema.features[1].sensitive", false),
            ("schema.label.positive", ["greaterThan": 1]), ("schema.badRowShareMax", 0.3),
            ("model.l2", 0.02), ("model.perSiteIntercept", false), ("training.rounds", 21),
            ("training.local.epochs", 3), ("training.local.proximalMu", 0.5),
            ("training.server.learningRate", 0.5),
            ("training.updateBound", 5), ("training.seed", 2), ("cohort.sitesMin", 4),
            ("cohort.sitesMax", 5),
            ("cohort.colluders", 1), ("cohort.rowsPerSiteMax", 1999), ("cohort.messageSeconds", 11),
            ("cohort.trainingSeconds", 61), ("cohort.attempts", 3), ("split.heldOutShare", 0.25),
            ("evaluation.bins", 999), ("evaluation.threshold", 0.4), ("evaluation.everyRounds", 4),
            ("gates[0].atLeast", 0.79), ("gates[1].metric", "brier"),
            ("deployment.automatic", false),
            ("deployment.siteGates[0].atLeast", 6),
        ]
        var hashes: Set<Digest> = [original]
        for (path, value) in changes where path != "cohort.colluders" {
            #expect(
                hashes.insert(try plan(fullPlan.with(path, value)).hash).inserted,
                "\(path) is not in the hash")
        }
        // Two values that belong together.
        let larger = fullPlan.with("cohort.colluders", 2).with("cohort.sitesMin", 4)
        #expect(hashes.insert(try plan(larger).hash).inserted)
    }

    @Test func readsEverySplitRule() throws {
        let numbers = fullPlan.with(
            "split", ["rule": "row-number", "split": 3, "datasetKeys": ["basel": "heart/b"]])
        #expect(
            try plan(numbers).split == .rowNumberRule(datasetKeys: ["basel": "heart/b"], split: 3))
        let lists = fullPlan.with(
            "split", ["rule": "row-lists", "sites": ["basel": ["train": [0, 2], "heldOut": [1]]]])
        #expect(try plan(lists).split == .rowLists(["basel": .init(train: [0, 2], heldOut: [1])]))
        for document in [numbers, lists] {
            let read = try plan(document)
            #expect(try Plan(parsing: read.canonicalBytes) == read)
        }
    }

    @Test func countsTheRoundsOfARun() throws {
        // statistics + training + evaluations on the way + the last evaluation
        for (rounds, every, total) in [
            (20, 5, 25), (20, 0, 22), (20, 20, 22), (21, 20, 24), (1, 0, 3), (1, 1, 3), (7, 2, 12),
        ] {
            let read = try plan(
                fullPlan.with("training.rounds", .integer(Int64(rounds))).with(
                    "evaluation.everyRounds", .integer(Int64(every))))
            #expect(read.roundsPerRun == total, "\(rounds) rounds, curve every \(every)")
        }
    }

    @Test func namesTheGroupsOfSensitiveFeatures() throws {
        let groups = try plan(fullPlan).sensitiveGroups
        #expect(groups.map(\.name) == ["sex=f", "sex=m"])
        #expect(groups.map(\.feature) == [1, 1] && groups.map(\.category) == [0, 1])
    }

    @Test func syntaxErrorsNameLineAndColumn() {
        let error = failure {
            _ = try Plan(parsing: Array("{\n  study: 'a',\n  study: 'b',\n}".utf8))
        }
        #expect(error?.code == .planInvalid)
        #expect(error?.description.contains("line 3, column 3") == true)
    }

    @Test func refusesADocumentOverTheLimit() throws {
        let large =
            Array(repeating: UInt8(ascii: " "), count: Plan.bytesMax) + fullPlan.canonicalBytes()
        #expect(failure { _ = try Plan(parsing: large) }?.code == .planInvalid)
    }

    /// The canonical form is what travels: it must pass the same limit, or nodes would refuse what the
    /// coordinator published.
    @Test func refusesAPlanWhoseCanonicalFormIsOverTheLimit() throws {
        // 28 kB of features that become 140 kB with their defaults, beside rows that nearly fill the rest.
        func document(rows count: Int) -> [UInt8] {
            let features = (0..<1000).map { "{name:'f\($0)',kind:'binary'}" }.joined(separator: ",")
            let rows = (0..<count).map { "\(100_000_000 + $0)" }.joined(separator: ",")
            let rest = String(
                decoding: fullPlan.with("split", nil).with("schema.features", []).canonicalBytes(),
                as: UTF8.self)
            return Array(
                (rest.replacing("\"features\":[]", with: "\"features\":[\(features)]").dropLast()
                    + ",split:{rule:'row-lists',sites:{a:{train:[\(rows)],heldOut:[]}}}}").utf8)
        }
        #expect(document(rows: 98_000).count < Plan.bytesMax)
        #expect(throws: Never.self) { try Plan(parsing: document(rows: 80_000)) }
        let error = failure { _ = try Plan(parsing: document(rows: 98_000)) }
        #expect(error?.code == .planInvalid)
        #expect(error?.problem.contains("all defaults") == true)
    }
}

extension ScenarioPlans {
    /// Nothing that has a default.
    static let minimal = """
        {
            consilium: "plan/1", study: "s", title: "t", owner: "o", purpose: "p",
            mustNotBeUsedFor: ["x"], assumptions: [], task: "binary-classification",
            schema: {
                features: [{ name: "a", kind: "binary" }],
                label: { column: "y", positive: { equals: [1] } },
            },
            model: { family: "logisticRegression" },
            training: { rounds: 1, local: { optimizer: "adam", learningRate: 0.01 }, server: { optimizer: "fedAvg" } },
            privacy: { secureAggregation: true, withoutDifferentialPrivacy: true },
            split: { rule: "keyed-hash", heldOutShare: 0.2 },
            gates: [{ metric: "auc", atLeast: 0.5 }],
        }
        """
}
