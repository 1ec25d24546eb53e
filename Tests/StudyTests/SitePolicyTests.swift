import Codec
import Cryptography
import Study
import Testing

/// `protocol/plan.md` §4: the site decides, and a mistyped rule is never a missing one.
@Suite struct SitePolicyTests {
    static func policy(_ text: String) throws(StudyError) -> SitePolicy {
        try SitePolicy(parsing: Array(text.utf8))
    }

    @Test func anEmptyFileIsTheDefault() throws {
        #expect(try SitePolicyTests.policy("{}") == SitePolicy())
        let policy = SitePolicy()
        #expect(policy.sitesMin == 5 && policy.colluders == nil && policy.honestMin == 3 && policy.rowsMin == 20)
        #expect(policy.allowedTasks == [.binaryClassification] && policy.allowedStudies.isEmpty)
        #expect(
            policy.allowWithoutDifferentialPrivacy && policy.roundBudget == 10_000
                && policy.weightShareMax == 0.5)
        #expect(policy.attemptsMax == 2 && policy.trustedQuorum == 0 && policy.governanceKeys.isEmpty)
        #expect((3...12).map { policy.colluders(sites: $0) } == [1, 1, 1, 1, 2, 2, 2, 3, 3, 3])
    }

    @Test func theFileThatIsWrittenForPeopleReadsBack() throws {
        #expect(try SitePolicy(parsing: SitePolicy().documented) == SitePolicy())
        #expect(try SitePolicy(parsing: SitePolicy.floors.documented) == SitePolicy.floors)
        var policy = SitePolicy()
        (policy.sitesMin, policy.colluders, policy.roundBudget, policy.rowsMin) = (4, 2, 7, 100)
        (policy.allowedTasks, policy.allowedStudies) = ([], ["heart-1", "credit"])
        (policy.allowWithoutDifferentialPrivacy, policy.weightShareMax) = (false, 0.25)
        (policy.honestMin, policy.attemptsMax, policy.trustedSites, policy.trustedQuorum) = (4, 1, ["a", "b"], 2)
        (policy.governanceKeys, policy.governanceThreshold) = ((0..<3).map { SigningKey.generate(random: SeededRandom(seed: $0)).publicKey }, 2)
        #expect(try SitePolicy(parsing: policy.documented) == policy)
        (policy.governanceKeys, policy.governanceThreshold) = ([], 0)
        #expect(try SitePolicy(parsing: policy.documented) == policy)
    }

    @Test func readsEveryRule() throws {
        let policy = try SitePolicyTests.policy(
            """
            {   // A careful site.
                sitesMin: 5, colluders: 2, allowedTasks: ["binary-classification"], allowedStudies: ["heart-1"],
                allowWithoutDifferentialPrivacy: false, roundBudget: 0, rowsMin: 1, weightShareMax: 0.5,
            }
            """)
        #expect(
            policy.sitesMin == 5 && policy.colluders == 2 && policy.allowedStudies == ["heart-1"])
        #expect(
            !policy.allowWithoutDifferentialPrivacy && policy.roundBudget == 0
                && policy.weightShareMax == 0.5)
    }

    static let refused: [(text: String, path: String)] = [
        // Hard floors and ceilings.
        ("{sitesMin: 2}", "sitesMin"), ("{sitesMin: 0}", "sitesMin"),
        ("{sitesMin: 1025}", "sitesMin"),
        ("{colluders: 0}", "colluders"), ("{colluders: 513}", "colluders"),
        ("{weightShareMax: 0.91}", "weightShareMax"), ("{weightShareMax: 1}", "weightShareMax"),
        ("{weightShareMax: 0}", "weightShareMax"),
        ("{honestMin: 1}", "honestMin"), ("{attemptsMax: 0}", "attemptsMax"), ("{attemptsMax: 6}", "attemptsMax"),
        ("{trustedQuorum: 1}", "trustedQuorum"), (#"{trustedSites: ["a"], trustedQuorum: 2}"#, "trustedQuorum"),
        (#"{trustedSites: ["A"]}"#, "trustedSites[0]"), (#"{governanceKeys: ["00"], governanceThreshold: 1}"#, "governanceKeys[0]"),
        ("{rowsMin: 0}", "rowsMin"), ("{roundBudget: -1}", "roundBudget"),
        ("{roundBudget: 1000001}", "roundBudget"),
        // Words and names that this version does not know.
        (#"{allowedTasks: ["regression"]}"#, "allowedTasks[0]"),
        (#"{allowedTasks: ["binary-classification", "Binary-Classification"]}"#, "allowedTasks[1]"),
        (#"{allowedTasks: [1]}"#, "allowedTasks[0]"),
        (#"{allowedTasks: "binary-classification"}"#, "allowedTasks"),
        (#"{allowedStudies: ["Heart"]}"#, "allowedStudies[0]"),
        (#"{allowedStudies: ["a", ""]}"#, "allowedStudies[1]"),
        (#"{allowedStudies: ["*"]}"#, "allowedStudies[0]"),
        // Types and spelling.
        (#"{sitesMin: "3"}"#, "sitesMin"),
        ("{allowWithoutDifferentialPrivacy: 0}", "allowWithoutDifferentialPrivacy"),
        ("{siteMin: 5}", "siteMin"), ("{allowWithoutDP: false}", "allowWithoutDP"),
        ("[]", ""), ("", ""), ("{sitesMin: 3, sitesMin: 5}", ""), ("{", ""),
    ]

    @Test(arguments: refused.indices) func refusesAFile(_ index: Int) {
        let (text, path) = SitePolicyTests.refused[index]
        let error = failure { _ = try SitePolicyTests.policy(text) }
        #expect(error?.code == .policyInvalid, "\(text)")
        #expect(error?.path == path, "\(text): \(error?.description ?? "accepted")")
    }

    @Test func refusesALongFile() {
        let text = "{" + String(repeating: " ", count: SitePolicy.bytesMax) + "}"
        #expect(failure { _ = try SitePolicyTests.policy(text) }?.code == .policyInvalid)
    }

    @Test func changedBytesNeverTrap() {
        var numbers = SeededNumbers(3)
        let text = SitePolicy().documented
        for _ in 0..<3000 {
            var changed = text
            for _ in 0...Int(numbers.next() % 3) {
                changed[Int(numbers.next() % UInt64(changed.count))] = UInt8(
                    truncatingIfNeeded: numbers.next())
            }
            guard let policy = try? SitePolicy(parsing: changed) else { continue }
            #expect(policy.sitesMin >= 3 && policy.colluders ?? 1 >= 1 && policy.honestMin >= 2 && policy.weightShareMax <= 0.9)
        }
    }

    // MARK: - Plans against the policy

    static func code(
        _ plan: Plan, roundsUsed: Int = 0, _ change: (inout SitePolicy) -> Void = { _ in }
    ) -> String? {
        var policy = SitePolicy.floors
        change(&policy)
        do {
            try policy.check(plan, roundsUsed: roundsUsed)
            return nil
        } catch {
            return error.code
        }
    }

    @Test func thePolicyOfFewSitesTakesThePlansOfTheScenarios() throws {
        for file in ScenarioPlans.all {
            #expect(SitePolicyTests.code(try Plan(parsing: file.text)) == nil, "\(file.name)")
        }
    }

    @Test func eachRefusalHasItsCode() throws {
        let plan = try plan(fullPlan)
        #expect(SitePolicyTests.code(plan) == nil)
        #expect(SitePolicyTests.code(plan) { $0.allowedTasks = [] } == "policy.task")
        #expect(SitePolicyTests.code(plan) { $0.allowedStudies = ["other"] } == "policy.study")
        #expect(SitePolicyTests.code(plan) { $0.allowedStudies = ["other", "heart-1"] } == nil)
        #expect(SitePolicyTests.code(plan) { $0.sitesMin = 4 } == "policy.cohort")
        #expect(SitePolicyTests.code(plan) { $0.colluders = 2 } == "policy.colluders")
        #expect(SitePolicyTests.code(plan) { $0.honestMin = 3 } == "policy.honest")
        #expect(
            SitePolicyTests.code(plan) { $0.allowWithoutDifferentialPrivacy = false }
                == "policy.differential-privacy")
        // No document can say so, but a plan value could: the policy does not count on the parser.
        var open = plan
        open.privacy.secureAggregation = false
        #expect(SitePolicyTests.code(open) == "policy.secure-aggregation")
    }

    @Test func theBudgetCountsToTheLastRound() throws {
        let plan = try plan(fullPlan)
        #expect(plan.roundsPerRun == 25)
        #expect(SitePolicyTests.code(plan) { $0.roundBudget = 24 } == "policy.budget")
        #expect(SitePolicyTests.code(plan) { $0.roundBudget = 25 } == nil)
        #expect(SitePolicyTests.code(plan, roundsUsed: 9_975) == nil)
        #expect(SitePolicyTests.code(plan, roundsUsed: 9_976) == "policy.budget")
    }

    /// In the middle of a run the budget is counted round by round, the terms still hold.
    @Test func termsAreCheckedApartFromTheBudget() throws {
        let plan = try plan(fullPlan)
        var policy = SitePolicy.floors
        policy.roundBudget = 0
        #expect(throws: Never.self) { try policy.checkTerms(plan) }
        policy.allowWithoutDifferentialPrivacy = false
        do {
            try policy.checkTerms(plan)
            Issue.record("accepted")
        } catch {
            #expect(error.code == "policy.differential-privacy")
            #expect(!error.description.isEmpty)
        }
    }

    @Test func stricterPlansPass() throws {
        let strict = try plan(fullPlan.with("cohort.sitesMin", 8).with("cohort.colluders", 3))
        #expect(SitePolicyTests.code(strict) { ($0.sitesMin, $0.colluders) = (8, 3) } == nil)
        #expect(SitePolicyTests.code(strict) { ($0.sitesMin, $0.colluders) = (3, 1) } == nil)
        #expect(
            SitePolicyTests.code(strict) { ($0.sitesMin, $0.colluders) = (9, 3) } == "policy.cohort"
        )
    }
}
