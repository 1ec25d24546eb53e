// Deny by default: what a node does without, against and after a consent.

import AuditLog
import Codec
import Cryptography
import Messages
import SecureAggregation
import Study
import Telemetry
import Testing

@testable import SiteNode

@Suite struct NodeConsentTests {
    let node: TestNode
    let plan: Plan

    init() throws {
        node = try TestNode()
        plan = try TestNode.plan()
    }

    @Test func withAConsentInForceTheRoundIsJoined() throws {
        try node.agree(plan)
        _ = try node.openRound(plan)
        #expect(node.aggregationMessages == 1 && node.refusals.isEmpty, "the control of all the refusals below")
    }

    @Test func withoutAConsentNothingLeaves() throws {
        _ = try node.openRound(plan)
        #expect(node.refusals == ["round.plan"])
        try node.hear(.planOffer(plan: plan.canonicalBytes))
        _ = try node.openRound(plan, number: 2)
        #expect(node.refusals == ["round.plan", "round.consent"])
        #expect(node.aggregationMessages == 0)
        #expect(node.rows.reads.withLock { $0.isEmpty }, "not even read")
        // A version of a study that nobody here consented to is not looked at.
        try node.release(node.package(plan))
        #expect(node.verdicts.isEmpty && node.installed.isEmpty)
    }

    @Test func aConsentThatExpiredCountsForNothing() throws {
        try node.hear(.planOffer(plan: plan.canonicalBytes))
        try node.consent(.init(sitesMin: 3, validDays: 1, acceptsNoDifferentialPrivacy: true))
        node.clock.advance(seconds: 86_400)
        _ = try node.openRound(plan)
        try node.release(node.package(plan))
        #expect(node.refusals == ["round.consent-expired"])
        #expect(node.aggregationMessages == 0 && node.installed.isEmpty && node.verdicts.isEmpty)
        #expect(node.core.standingReports(at: node.clock.now()).isEmpty)
    }

    @Test func aConsentThatWasTakenBackCountsForNothing() throws {
        try node.agree(plan)
        _ = try node.openRound(plan)
        node.take(try node.core.withdrawConsent(to: plan.study, by: "operator", at: node.clock.now()))
        #expect(node.sent.last == .consentWithdrawn(planHash: plan.hash))
        #expect(!node.core.hasWork)
        _ = try node.openRound(plan, number: 2)
        try node.release(node.package(plan))
        #expect(node.refusals == ["round.consent"] && node.installed.isEmpty)
        #expect(node.aggregationMessages == 1)
        // A coordinator that was away is told again, after a restart as well.
        try node.restart()
        #expect(node.core.standingReports(at: node.clock.now()) == [.consentWithdrawn(planHash: plan.hash)])
        #expect(node.refusal { node.take(try node.core.withdrawConsent(to: plan.study, by: "o", at: node.clock.now())) } == "consent.none")
    }

    @Test func theRoundsOfAConsentAreCountedAlsoOverARestart() throws {
        try node.hear(.planOffer(plan: plan.canonicalBytes))
        try node.consent(.init(sitesMin: 3, roundsMax: 2, acceptsNoDifferentialPrivacy: true))
        try charge(2)
        try node.restart()
        _ = try node.openRound(plan, number: 9)
        #expect(node.refusals == ["round.consent-rounds"] && node.aggregationMessages == 0)
        // A new consent is a new decision.
        try node.consent(.init(sitesMin: 3, roundsMax: 5, acceptsNoDifferentialPrivacy: true))
        _ = try node.openRound(plan, number: 10)
        #expect(node.aggregationMessages == 1)
    }

    @Test func theSitesOwnBudgetIsForAllPlans() throws {
        var policy = SitePolicy.floors
        policy.roundBudget = plan.roundsPerRun
        try node.restart(policy: policy)
        try node.agree(plan)
        try charge(plan.roundsPerRun)
        try node.restart(policy: policy)
        _ = try node.openRound(plan, number: 100)
        #expect(node.refusals == ["policy.budget"] && node.aggregationMessages == 0)
        #expect(node.refusal { try node.consent() } == "policy.budget")
    }

    /// Entries of masked vectors that left, as a real round writes them.
    private func charge(_ count: Int) throws {
        for number in 1...UInt64(count) {
            let record = LatchRecord.masked(
                task: "heart-disease/r/statistics", round: number, attempt: 1, modelHash: SHA256.hash([UInt8(number % 250)]), context: SHA256.hash([1, UInt8(number % 250)]))
            let details: [String: JSONValue] = [
                "run": "r", "number": .integer(Int64(number)), "plan": .string(plan.hash.hex), "record": .string(Hex.encode(record.encoded)), "charged": true,
            ]
            node.take([.log(LogEntry(.aggregationLatch, actor: "a", role: "node", details: details))])
        }
    }

    @Test func rowsThatChangedNeedANewConsent() throws {
        try node.agree(plan)
        node.rows.rows.withLock { $0 += 1 }
        _ = try node.openRound(plan)
        #expect(node.refusals == ["round.dataset-changed"] && node.aggregationMessages == 0)
        try node.consent()
        _ = try node.openRound(plan, number: 2)
        #expect(node.aggregationMessages == 1)
    }

    @Test func rowsThatCannotBeReadAreRefusedInWords() throws {
        try node.agree(plan)
        node.rows.rows.withLock { $0 = 0 }
        _ = try node.openRound(plan)
        #expect(node.refusals == ["node.data"] && node.aggregationMessages == 0)
        #expect(node.refusal { try node.consent() } == "node.data")
    }

    @Test func consentsThatMakeNoSenseAreNotSigned() throws {
        #expect(node.refusal { try node.consent() } == "consent.no-plan")
        try node.hear(.planOffer(plan: plan.canonicalBytes))
        #expect(node.refusal { try node.consent(.init(sitesMin: 3)) } == "consent.differential-privacy")
        #expect(node.refusal { try node.consent(.init(sitesMin: 2, acceptsNoDifferentialPrivacy: true)) } == "policy.cohort")
        #expect(node.refusal { try node.consent(.init(sitesMin: 4, acceptsNoDifferentialPrivacy: true)) } == "consent.cohort")
        node.rows.rows.withLock { $0 = 10 }
        #expect(node.refusal { try node.consent() } == "policy.rows")
        #expect(node.sent.isEmpty && node.entries.count { $0.entry.type == .consentGiven } == 0)
    }

    @Test func aWithdrawnPlanIsOver() throws {
        try node.agree(plan)
        try node.hear(.planWithdrawn(planHash: plan.hash))
        _ = try node.openRound(plan)
        #expect(node.refusals == ["round.plan"] && node.aggregationMessages == 0)
        try node.release(node.package(plan))
        #expect(node.installed.isEmpty)
        #expect(node.refusal { try node.consent() } == "consent.no-plan")
        // Twice is once.
        let entries = node.entries.count
        try node.hear(.planWithdrawn(planHash: plan.hash))
        try node.hear(.planWithdrawn(planHash: SHA256.hash([1])))
        #expect(node.entries.count == entries)
    }

    @Test func consentsAreSaidAgainAfterARestart() throws {
        try node.agree(plan)
        try node.restart()
        guard case .consent(let encoded)? = node.core.standingReports(at: node.clock.now()).first else { throw NodeError.corrupt("standing") }
        let consent = try SignedConsent(encoded: encoded, signer: node.memberKeys[0].publicKey)
        #expect(consent.consent.planHash == plan.hash)
        _ = try node.openRound(plan)
        #expect(node.aggregationMessages == 1)
    }

    @Test func withoutTheDiskTheConsentIsNotActedOn() throws {
        try node.hear(.planOffer(plan: plan.canonicalBytes))
        // The core signs, the shell fails to write and takes the core back to what the log holds.
        _ = try node.core.consent(to: plan.study, terms: .init(sitesMin: 3, acceptsNoDifferentialPrivacy: true), by: "operator", at: node.clock.now())
        var durable = NodeState()
        for (entry, time) in node.entries { try durable.apply(entry, at: time, blobs: node.core.blobs) }
        node.core.fallBack(to: durable)
        _ = try node.openRound(plan)
        #expect(node.refusals == ["round.consent"] && node.aggregationMessages == 0)
        #expect(node.core.standingReports(at: node.clock.now()).isEmpty)
    }
}

@Suite struct PolicyTests {
    private func stricter(_ change: (inout SitePolicy) -> Void) -> SitePolicy {
        var policy = SitePolicy.floors
        change(&policy)
        return policy
    }

    /// Refused at the offer, and again at the round when the policy became stricter after the consent.
    @Test func aPlanOutsideThePolicyIsRefusedWhateverTheCoordinatorSays() throws {
        let plan = try TestNode.plan()
        let cases: [(policy: SitePolicy, code: String)] = [
            (stricter { $0.sitesMin = 4 }, "policy.cohort"), (stricter { $0.colluders = 2 }, "policy.colluders"),
            (stricter { $0.allowedTasks = [] }, "policy.task"), (stricter { $0.allowedStudies = ["other"] }, "policy.study"),
            (stricter { $0.allowWithoutDifferentialPrivacy = false }, "policy.differential-privacy"),
        ]
        for (policy, code) in cases {
            let node = try TestNode(policy: policy)
            try node.hear(.planOffer(plan: plan.canonicalBytes))
            #expect(node.refusals == [code])
            #expect(node.refusal { try node.consent() } == code)
            let later = try TestNode()
            try later.agree(plan)
            try later.restart(policy: policy)
            _ = try later.openRound(plan)
            #expect(later.refusals == [code] && later.aggregationMessages == 0)
            try later.release(later.package(plan))
            #expect(later.installed.isEmpty && later.verdicts.map(\.code) == [code])
        }
        let node = try TestNode(policy: stricter { $0.rowsMin = 1000 })
        try node.hear(.planOffer(plan: plan.canonicalBytes))
        #expect(node.refusal { try node.consent() } == "policy.rows")
    }

    /// The descriptor is the coordinator's word alone: it cannot undercut plan, consent or policy.
    @Test func aDescriptorThatUndercutsThePlanIsRefused() throws {
        var plan = try TestNode.plan()
        plan.cohort.sitesMin = 4
        let changes: [(String, (inout RoundDescriptor) -> Void)] = [
            ("smaller cohort", { $0.cohort = CohortTerms(minimum: 3, maximum: 4, threshold: .colluders(1)) }),
            ("other order", { $0.configurationHash = SHA256.hash([1]) }),
            ("other family", { $0.architectureHash = SHA256.hash([1]) }),
            ("wider clip", { $0.vector = VectorSpec(tensors: [TensorSpec(name: "statistics", count: 10, clip: 100, cohortMax: 4)], maximumWeight: 2000) }),
        ]
        for (what, change) in changes {
            let node = try TestNode()
            try node.agree(plan)
            _ = try node.openRound(plan, change: change)
            #expect(node.aggregationMessages == 0, "\(what)")
            #expect(node.entries.contains { $0.entry.type == .roundAborted }, "\(what)")
        }
        let node = try TestNode()
        try node.agree(plan)
        _ = try node.openRound(plan)
        #expect(node.aggregationMessages == 1)
    }

    @Test func anOpeningBySomebodyElseIsRefused() throws {
        let node = try TestNode()
        let plan = try TestNode.plan()
        try node.agree(plan)
        _ = try node.openRound(plan, key: node.memberKeys[1])
        #expect(node.aggregationMessages == 0)
        // Garbage in every part.
        let work = RoundWork(kind: .statistics, run: "r", planHash: plan.hash, number: 5, step: 0)
        for (start, opening) in [([], []), ([1, 2, 3], [4]), ([UInt8](repeating: 0, count: 500), [UInt8](repeating: 1, count: 500))] as [([UInt8], [UInt8])] {
            try node.hear(.roundOpen(work: work.canonicalBytes, start: start, opening: opening, results: []))
        }
        #expect(throws: MessageError.self) { try node.hear(.roundOpen(work: [1], start: [], opening: [], results: [])) }
        for message in [[], [1], [UInt8](repeating: 9, count: 100)] as [[UInt8]] { try node.hear(.aggregation(round: 1, message: message)) }
        #expect(node.aggregationMessages == 0)
    }

    @Test func aCohortBelowThreeIsNeverJoined() throws {
        let node = try TestNode()
        let plan = try TestNode.plan()
        try node.agree(plan)
        _ = try node.openRound(plan, sites: 2, change: { $0.cohort = CohortTerms(minimum: 2, maximum: 2, threshold: .colluders(0)) })
        #expect(node.aggregationMessages == 0)
    }

    @Test func aPlanThatCannotBeReadIsRefused() throws {
        let node = try TestNode()
        for bytes in [[], Array("{".utf8), Array("{\"consilium\":\"plan/2\"}".utf8)] as [[UInt8]] { try node.hear(.planOffer(plan: bytes)) }
        #expect(node.refusals.count == 3 && node.entries.isEmpty)
    }

    @Test func aPolicyFileThatIsDamagedIsNamed() throws {
        #expect(try SitePolicy(parsing: SitePolicy().documented) == SitePolicy())
        for (text, field) in [("{sitesMin: 2}", "sitesMin"), ("{wibble: 1}", "wibble"), ("{weightShareMax: 1.5}", "weightShareMax"), ("{allowedTasks: ['x']}", "allowedTasks")] {
            let error = #expect(throws: StudyError.self) { try SitePolicy(parsing: Array(text.utf8)) }
            #expect(error.map { "\($0)".contains(field) } == true)
        }
    }
}
