import Coordinator
import SiteNode
import Study
import Tabular
import Testing

@testable import Simulation

/// What runs cost is charged at the nodes, over all studies of a dataset, and a run that does not fit is refused.
@Suite struct PrivacyBudgetTests {
    private static func plan(_ study: String, mode: String, epsilon: Double) throws -> Plan {
        let isLocal = mode == "record-local"
        let lists = ["one", "three", "two"].map { "\($0): { train: [\((2..<40).map(String.init).joined(separator: ", "))], heldOut: [0, 1] }" }
        let text = """
            {
                consilium: "plan/1", study: "\(study)", title: "Budget", owner: "Simulation", purpose: "Spending.",
                mustNotBeUsedFor: ["Anything else."], assumptions: [], task: "binary-classification",
                schema: { features: [{ name: "a", kind: "binary" }], label: { column: "y", positive: { equals: [1] } } },
                model: { family: "logisticRegression" },
                training: {
                    rounds: 2, local: { optimizer: "sgd", learningRate: \(isLocal ? 0.1 : 1) }, server: { optimizer: "fedAvg" }, updateBound: 64,
                },
                privacy: {
                    secureAggregation: true, mode: "\(mode)", epsilon: \(epsilon), delta: 1e-5, clippingNorm: 1, samplingRate: 0.5,
                    expectedBatch: 20, stepsPerRound: \(isLocal ? 3 : 1), statisticsOutsideGuarantee: "Test.", evaluationOutsideGuarantee: "Test.",
                },
                split: { rule: "row-lists", sites: { \(lists.joined(separator: ", ")) } },
                gates: [{ metric: "rows", atLeast: 1 }],
            }
            """
        return try Plan(parsing: Array(text.utf8))
    }

    private static func federation(budget: Double) throws -> MemoryFederation {
        let rows = Array(("a,y\n" + (0..<40).map { "\($0 % 2),\($0 / 2 % 2)\n" }.joined()).utf8)
        var policy = SitePolicy.floors
        policy.privacyBudget = budget
        return try MemoryFederation(
            name: "budget",
            sites: ["one", "three", "two"].map { name in
                (
                    name,
                    MemorySiteData(site: name) { plan, site in
                        try SiteDataset(
                            source: Ingest.read(csv: rows, schema: plan.schema), feedback: [], plan: plan, site: site, splitKey: [1])
                    }
                )
            }, policy: policy, seed: 5, orderSeed: 5)
    }

    @Test func twoStudiesSpendOneBudgetAndTheThirdRunIsRefused() throws {
        let federation = try Self.federation(budget: 2.4)
        try federation.agree(on: Self.plan("first", mode: "record-local", epsilon: 1.5))
        #expect(try federation.run(study: "first").status == .released)
        try federation.agree(on: Self.plan("second", mode: "record-distributed", epsilon: 1.5))
        #expect(try federation.run(study: "second").status == .released)
        let before = try #require(federation.privacyLedger(of: "one")?.accounts().first)
        #expect(before.studies.map(\.study) == ["first", "second"] && before.studies.map(\.charges) == [2, 2])
        #expect(before.spent > 1.5 && before.spent < 2.4 && before.budget?.epsilon == 2.4)

        let third = try federation.run(study: "first")
        #expect(third.status == .failed, "\(third.status)")
        let after = try #require(federation.privacyLedger(of: "one")?.accounts().first)
        #expect(after == before, "a refused run costs nothing")
    }

    /// The same backup does no harm where no budget was spent: it is the ledger that peers hold against it.
    @Test(arguments: [true, false]) func aSiteOnYesterdaysDiskIsRefusedByItsPeers(isPrivate: Bool) throws {
        let federation = try Self.federation(budget: 8)
        var plan = try Self.plan("first", mode: "record-local", epsilon: 1)
        if !isPrivate { (plan.privacy.guarantee, plan.privacy.withoutDifferentialPrivacy) = (nil, true) }
        try federation.agree(on: plan)
        let yesterday = try #require(federation.disk(of: "one"))
        #expect(try federation.run(study: "first").status == .released)
        federation.restore(yesterday)
        let run = try federation.run(study: "first")
        #expect((run.status == .failed) == isPrivate, "\(run.status) \(run.reason ?? "")")
    }

    @Test func aPlanThatNeverFitsGetsNoConsent() throws {
        let federation = try Self.federation(budget: 1)
        do {
            try federation.agree(on: Self.plan("first", mode: "record-local", epsilon: 2))
            Issue.record("consented")
        } catch let error as NodeError {
            #expect(error.code == "privacy.budget")
            #expect(error.description.contains("the budget is 1.000"), "\(error)")
        }
    }

    @Test func exactSumsOverPrivateRowsAreOnRecord() throws {
        let federation = try Self.federation(budget: 3)
        try federation.agree(on: Self.plan("first", mode: "record-local", epsilon: 1))
        let start = try #require(federation.privacyLedger(of: "two")?.head.sequence)
        _ = try federation.run(study: "first")
        // Statistics, two training rounds of three records each, evaluation.
        #expect(federation.privacyLedger(of: "two")?.head.sequence == start + 1 + 2 * 3 + 1)
    }
}
