import Codec
import DifferentialPrivacy
import Study
import Testing

/// The privacy block: what is promised, what it costs, what cannot be.
@Suite struct PrivacyPlanTests {
    static let guarantee: JSONValue = [
        "secureAggregation": true, "withoutDifferentialPrivacy": false, "mode": "record-local", "unit": "record", "epsilon": 3, "delta": 1e-6,
        "clippingNorm": 1, "samplingRate": 0.05, "expectedBatch": 240, "stepsPerRound": 10,
        "statisticsOutsideGuarantee": "means over all sites", "evaluationOutsideGuarantee": "counts over all sites",
    ]
    static let local = fullPlan.with("privacy", guarantee).with(
        "training.local", ["optimizer": "sgd", "learningRate": 0.1, "momentum": 0.9, "proximalMu": 0.1])
    static let distributed = local.with("privacy.mode", "record-distributed").with("privacy.stepsPerRound", nil)
        .with("training.local", ["optimizer": "sgd", "learningRate": 1])

    static let central = distributed.with("privacy.mode", "central")
    /// Whole sites: 900 of them, few parameters, few rounds.
    static let site = fullPlan.with(
        "privacy",
        [
            "secureAggregation": true, "mode": "site-distributed", "epsilon": 8, "delta": 1e-5, "clippingNorm": 0.1,
            "statisticsOutsideGuarantee": "means over all sites", "evaluationOutsideGuarantee": "counts over all sites",
        ]
    ).with("cohort.sitesMin", 900).with("cohort.sitesMax", 1000).with("cohort.colluders", 100)
    static let centralSites = site.with("privacy.mode", "central").with("privacy.unit", "site")

    @Test func plansWithAGuaranteeReadBack() throws {
        for document in [Self.local, Self.distributed, Self.central, Self.site, Self.centralSites, Self.local.with("privacy.unit", "subject").with("schema.subjectColumn", "person"), Self.local.with("privacy.epsilon", nil).with("privacy.noiseMultiplier", 1.5)] {
            let read = try plan(document)
            #expect(try Plan(parsing: read.canonicalBytes) == read)
            #expect(read.privacy.guarantee != nil && !read.privacy.withoutDifferentialPrivacy)
        }
    }

    @Test func plansWithoutAGuaranteeKeepTheirForm() throws {
        let read = try plan(fullPlan)
        #expect(read.privacy.guarantee == nil)
        #expect(read.json["privacy"] == ["secureAggregation": true, "withoutDifferentialPrivacy": true])
        #expect(try read.noiseMultiplier() == nil)
    }

    @Test func theNoiseKeepsThePromiseAndIsNotMoreThanNeeded() throws {
        for document in [Self.local, Self.distributed, Self.central] {
            let read = try plan(document)
            let sigma = try #require(try read.noiseMultiplier())
            let epsilon = try #require(try read.renyiEpsilon(noiseMultiplier: sigma))
            #expect(epsilon <= 3 && epsilon > 2.98, "\(epsilon)")
            #expect((sigma * 1e4).rounded() / 1e4 == sigma)
        }
        #expect(try plan(Self.local).privateSteps == 200)
        #expect(try plan(Self.distributed).privateSteps == 20)
        #expect(try plan(Self.local.with("privacy.epsilon", nil).with("privacy.noiseMultiplier", 1.5)).noiseMultiplier() == 1.5)
    }

    /// What is changed, and the field that the error names.
    static let refused: [(name: String, plan: JSONValue, code: StudyError.Code, path: String)] = [
        ("both", local.with("privacy.noiseMultiplier", 1), StudyError.Code.planInvalid, "privacy.epsilon"),
        ("neither", local.with("privacy.epsilon", nil), .planInvalid, "privacy.epsilon"),
        ("an unknown mode", local.with("privacy.mode", "records"), .planInvalid, "privacy.mode"),
        ("an unknown unit", local.with("privacy.unit", "row"), .planInvalid, "privacy.unit"),
        ("no delta", local.with("privacy.delta", nil), .planInvalid, "privacy.delta"),
        ("a large delta", local.with("privacy.delta", 1e-4), .planInvalid, "privacy.delta"),
        ("no batch", local.with("privacy.expectedBatch", 0.5), .planInvalid, "privacy.expectedBatch"),
        ("statistics unsaid", local.with("privacy.statisticsOutsideGuarantee", " "), .planInvalid, "privacy.statisticsOutsideGuarantee"),
        ("evaluation unsaid", local.with("privacy.evaluationOutsideGuarantee", nil), .planInvalid, "privacy.evaluationOutsideGuarantee"),
        ("a guarantee and none", local.with("privacy.withoutDifferentialPrivacy", true), .planContradiction, "privacy.withoutDifferentialPrivacy"),
        ("epochs", local.with("training.local.epochs", 2), .planContradiction, "training.local"),
        ("batch size", local.with("training.local.batchSize", 64), .planContradiction, "training.local"),
        ("subjects without a column", local.with("privacy.unit", "subject").with("schema.subjectColumn", nil), .planContradiction, "privacy.unit"),
        ("sites one by one", local.with("privacy.unit", "site"), .planContradiction, "privacy.unit"),
        ("records under site noise", site.with("privacy.unit", "record").with("privacy.samplingRate", 0.1).with("privacy.expectedBatch", 9), .planContradiction, "privacy.unit"),
        ("sampled sites", site.with("privacy.samplingRate", 0.5), .planContradiction, "privacy.samplingRate"),
        ("few sites", site.with("cohort.sitesMin", 5).with("cohort.colluders", 1), .planContradiction, "privacy.unit"),
        ("central with local steps", central.with("privacy.stepsPerRound", 2), .planContradiction, "privacy.stepsPerRound"),
        ("central with epochs", central.with("training.local.epochs", 2), .planContradiction, "training.local"),
        ("central beyond the words of a sum", central.with("training.updateBound", 0.5), .planContradiction, "training.updateBound"),
        ("local steps", distributed.with("privacy.stepsPerRound", 2), .planContradiction, "privacy.stepsPerRound"),
        ("local momentum", distributed.with("training.local.momentum", 0.5), .planContradiction, "training.local"),
        ("a bound that cuts noise", distributed.with("training.updateBound", 0.5), .planContradiction, "training.updateBound"),
        ("too coarse", distributed.with("privacy.expectedBatch", 1e7).with("cohort.sitesMax", 1024), .planContradiction, "privacy.expectedBatch"),
        ("too little", local.with("privacy.epsilon", 0.01).with("privacy.samplingRate", 1).with("training.rounds", 1000).with("privacy.stepsPerRound", 100_000), .planContradiction, "privacy.epsilon"),
    ]

    @Test func refusesWhatCannotBePromised() {
        for (name, document, code, path) in Self.refused {
            let error = failure { _ = try plan(document) }
            #expect(error?.code == code && error?.path == path, "\(name): \(error.map { "\($0)" } ?? "accepted")")
        }
    }

    @Test func siteLevelNoiseIsRefusedWithNumbers() {
        let error = failure {
            _ = try plan(Self.site.with("training.rounds", 50).with("cohort.sitesMin", 10).with("cohort.sitesMax", 10).with("cohort.colluders", 3))
        }
        // 50 rounds at ε = 8, δ = 10⁻⁵: σ = 4.24 by the exact Gaussian, a little more by the Rényi bound.
        #expect(error?.path == "privacy.unit" && error?.problem.contains("noise of 4.") == true && error?.problem.contains("0.5") == true, "\(error?.problem ?? "")")
    }

    @Test func siteLevelNoiseOverManySitesKeepsItsPromise() throws {
        for document in [Self.site, Self.centralSites] {
            let read = try plan(document)
            let guarantee = try #require(read.privacy.guarantee)
            #expect(guarantee.unit == .site && guarantee.samplingRate == 1 && guarantee.expectedBatch == 1)
            let sigma = try #require(try read.noiseMultiplier())
            let epsilon = try #require(try read.renyiEpsilon(noiseMultiplier: sigma))
            #expect(epsilon <= 8 && epsilon > 7.9, "\(epsilon)")
        }
        #expect(try plan(Self.site).releaseNoise(fractionBits: 20) == nil)
        #expect(try plan(Self.centralSites).releaseNoise(fractionBits: 20) != nil && plan(Self.central).releaseNoise(fractionBits: 20) != nil)
    }

    @Test func aStatementCountsDroppedRoundsAndReadsBack() throws {
        for (document, hasLoss) in [(Self.local, true), (Self.distributed, false), (Self.central, false), (Self.site, false)] {
            let read = try plan(document)
            let whole = try #require(try read.privacyStatement(rounds: read.training.rounds, dropped: 0, cohort: 3...5, ledgers: ["a": "3:00"]))
            let dropped = try #require(try read.privacyStatement(rounds: read.training.rounds, dropped: 2, cohort: 3...5, ledgers: [:]))
            #expect(whole.renyi <= 8.0001 && dropped.renyi > whole.renyi && dropped.droppedRounds == 2)
            #expect((whole.loss != nil) == hasLoss && (whole.loss ?? 0) < whole.renyi)
            #expect(whole.steps == read.privateSteps && whole.outside.count == 2 && !whole.trust.isEmpty)
            #expect(try PrivacyStatement(JSONFields(whole.json, path: "")) == whole)
        }
        #expect(try plan(Self.central).privacyStatement(rounds: 1, dropped: 0, cohort: 3...3, ledgers: [:])?.trust.contains("The coordinator is trusted") == true)
        #expect(try plan(Self.local).privacyStatement(rounds: 0, dropped: 0, cohort: 0...0, ledgers: [:])?.renyi == 0)
        #expect(try plan(fullPlan).privacyStatement(rounds: 1, dropped: 0, cohort: 3...3, ledgers: [:]) == nil)
    }
}
