import AuditLog
import Coordinator
import Cryptography
import DifferentialPrivacy
import ModelPackage
import Models
import SiteNode
import Study
import Tabular
import Testing

@testable import Simulation

/// What runs cost is charged at the nodes, over all studies of a dataset, and a run that does not fit is refused.
@Suite struct PrivacyBudgetTests {
    private static let names = ["four", "one", "three", "two"]

    private static func plan(_ study: String, mode: String, unit: String? = nil, epsilon: Double, rounds: Int = 2, sites: Int = 3) throws -> Plan {
        let (isLocal, isSite) = (mode == "record-local", unit == "site" || mode == "site-distributed")
        let lists = names.map { "\($0): { train: [\((2..<40).map(String.init).joined(separator: ", "))], heldOut: [0, 1] }" }
        let drawn = isSite ? "" : "samplingRate: 0.5, expectedBatch: \(unit == "subject" ? 10 : 20),"
        let text = """
            {
                consilium: "plan/1", study: "\(study)", title: "Budget", owner: "Simulation", purpose: "Spending.",
                mustNotBeUsedFor: ["Anything else."], assumptions: [], task: "binary-classification",
                schema: { features: [{ name: "a", kind: "binary" }], label: { column: "y", positive: { equals: [1] } }, subjectColumn: "who" },
                model: { family: "logisticRegression" },
                training: {
                    rounds: \(rounds), local: { optimizer: "sgd", learningRate: \(isLocal || isSite ? 0.1 : 1) }, server: { optimizer: "fedAvg" },
                    updateBound: \(isSite ? 1000 : 64),
                },
                cohort: { sitesMin: \(sites) },
                privacy: {
                    secureAggregation: true, mode: "\(mode)", \(unit.map { "unit: \"\($0)\"," } ?? "") epsilon: \(epsilon), delta: 1e-5, clippingNorm: 1,
                    \(drawn) stepsPerRound: \(isLocal ? 3 : 1), statisticsOutsideGuarantee: "Test.", evaluationOutsideGuarantee: "Test.",
                },
                split: { rule: "row-lists", sites: { \(lists.joined(separator: ", ")) } },
                gates: [{ metric: "rows", atLeast: 1 }],
            }
            """
        return try Plan(parsing: Array(text.utf8))
    }

    private static func federation(budget: Double, sites: Int = 3, budgetKeys: [VerifyingKey] = []) throws -> MemoryFederation {
        let rows = Array(("a,y,who\n" + (0..<40).map { "\($0 % 2),\($0 / 2 % 2),p\($0 / 2)\n" }.joined()).utf8)
        var policy = SitePolicy.floors
        (policy.privacyBudget, policy.budgetKeys) = (budget, budgetKeys)
        return try MemoryFederation(
            name: "budget",
            sites: names.suffix(sites).map { name in
                (
                    name,
                    MemorySiteData(site: name) { plan, site in
                        try SiteDataset(
                            source: Ingest.read(csv: rows, schema: plan.schema), feedback: [], plan: plan, site: site, splitKey: [1])
                    }
                )
            }, policy: policy, seed: 5, orderSeed: 5)
    }

    /// Every mode and unit runs to a release that says what was promised, with whom to trust.
    @Test(arguments: [
        ("record-local", "record"), ("record-local", "subject"), ("record-distributed", "record"), ("record-distributed", "subject"),
        ("central", "record"), ("central", "subject"), ("central", "site"), ("site-distributed", "site"),
    ])
    func everyModeRunsAndSaysWhatItPromised(mode: String, unit: String) throws {
        let federation = try Self.federation(budget: 10)
        // Three sites carry whole-site noise only because one weak round is asked for.
        let isSite = unit == "site"
        let plan = try Self.plan("first", mode: mode, unit: unit, epsilon: isSite ? 10 : 3, rounds: isSite ? 1 : 2)
        try federation.agree(on: plan)
        let run = try federation.run(study: "first")
        #expect(run.status == .released, "\(run.reason ?? "")")
        let package = try #require(federation.installed["two"]?.last?.package)
        let statement = try #require(package.manifest.provenance.privacy)
        #expect(statement.mode.rawValue == mode && statement.unit.rawValue == unit && statement.renyi <= (isSite ? 10 : 3))
        #expect(statement.trust == plan.privacyTrust(statement.mode) && statement.rounds == plan.training.rounds && statement.cohortMin == 3)
        #expect(statement.json == run.privacy && statement.ledgers.count == 3)
        let training = package.manifest.provenance.rounds.filter { $0.kind == "training" }
        #expect(training.allSatisfy { $0.rows == nil } && !training.isEmpty, "every site counts the same: the weights are no counts of rows")
        let account = try #require(federation.privacyLedger(of: "one")?.accounts().first)
        #expect(account.unit.rawValue == unit && account.spent > 0 && abs(account.spent - statement.renyi) < 0.01)
    }

    /// The coordinator's noise is in what the nodes follow, so that no node and no log holds an exact sum of gradients.
    @Test func inModeCentralTheModelThatEverybodyFollowsIsNoisy() throws {
        func weights(_ epsilon: Double, _ seed: Int) throws -> [Float] {
            let federation = try Self.federation(budget: 10)
            try federation.agree(on: Self.plan("study\(seed)", mode: "central", unit: "record", epsilon: epsilon))
            #expect(try federation.run(study: "study\(seed)").status == .released)
            return try #require(federation.installed["one"]?.last?.package.parameters.flattened)
        }
        let (strong, weak) = (try weights(0.05, 1), try weights(10, 2))
        #expect(zip(strong, weak).contains { abs($0 - $1) > 1 }, "noise of ε 0.05 moves weights by several units")
    }

    @Test func aSiteOnYesterdaysDiskIsLeftOutAndToldWhyAndTheOthersGoOn() throws {
        let federation = try Self.federation(budget: 8, sites: 4)
        try federation.agree(on: Self.plan("first", mode: "record-local", epsilon: 1))
        let yesterday = try #require(federation.disk(of: "one"))
        #expect(try federation.run(study: "first").status == .released)
        federation.restore(yesterday)
        let run = try federation.run(study: "first")
        #expect(run.status == .released, "\(run.reason ?? "")")
        #expect(run.rounds.filter { $0.kind == "training" }.allSatisfy { $0.participants == ["four", "three", "two"] })
        let restored = try #require(federation.disk(of: "one"))
        #expect(restored.state.isLedgerBehind)
        #expect(federation.entries.contains { $0.type == .siteSuspected && $0.details["code"] == .string("ledger-head-regressed") && $0.details["site"] == .string("one") })
    }

    @Test func aBudgetIsRaisedByTwoOfThePolicysKeys() throws {
        let keys = (0..<3).map { SigningKey.generate(random: SeededRandom(seed: UInt64($0))) }
        let federation = try Self.federation(budget: 2, budgetKeys: keys.prefix(2).map(\.publicKey))
        try federation.agree(on: Self.plan("first", mode: "record-local", epsilon: 1.5))
        var core = try #require(federation.disk(of: "one"))
        let account = try #require(core.state.ledger.accounts().first)
        let change = BudgetChange(dataset: account.dataset, unit: .record, budget: try PrivacyBudget(epsilon: 8, delta: 1e-5))
        func approvals(_ signers: [SigningKey]) -> [BudgetApproval] {
            signers.map { BudgetApproval(key: $0.publicKey.bytes, signature: $0.sign(change.signedBytes(after: core.state.ledger.head))) }
        }
        for signers in [[keys[0]], [keys[0], keys[2]], []] {
            let signed = approvals(signers)
            #expect(throws: NodeError.self) { _ = try core.setBudget(change, approvals: signed, by: "operator", at: federation.clock.now()) }
        }
        let signed = approvals([keys[0], keys[1]])
        let actions = try core.setBudget(change, approvals: signed, by: "operator", at: federation.clock.now())
        #expect(actions.count == 1 && core.state.ledger.accounts().first?.budget?.epsilon == 8)
        let higher = BudgetChange(dataset: account.dataset, unit: .record, budget: try PrivacyBudget(epsilon: 9, delta: 1e-5))
        #expect(throws: NodeError.self, "signatures are good for one change") {
            _ = try core.setBudget(higher, approvals: signed, by: "operator", at: federation.clock.now())
        }
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

    @Test func aDeltaAboveWhatTheSitesRowsAllowGetsNoConsent() throws {
        let rows = Array(("a,y,who\n" + (0..<20_002).map { "\($0 % 2),\($0 / 2 % 2),p\($0)\n" }.joined()).utf8)
        let federation = try MemoryFederation(
            name: "delta",
            sites: ["one", "three", "two"].map { name in
                (
                    name,
                    MemorySiteData(site: name) { plan, site in
                        var plan = plan
                        plan.split = .keyedHash(heldOutShare: 0.1)
                        return try SiteDataset(source: Ingest.read(csv: rows, schema: plan.schema), feedback: [], plan: plan, site: site, splitKey: [1])
                    }
                )
            }, policy: .floors, seed: 5, orderSeed: 5)
        do {
            try federation.agree(on: Self.plan("first", mode: "record-local", epsilon: 2))
            Issue.record("consented to a delta of 1e-5 over 18,000 rows")
        } catch let error as NodeError { #expect(error.code == "privacy.delta", "\(error)") }
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
