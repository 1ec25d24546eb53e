import AuditLog
import Cryptography
import Study
import Telemetry
import Testing

@testable import Serving

/// An entry as a log gives it back.
func AuditLogStored(_ entry: LogEntry, at time: Timestamp = at(9)) throws -> StoredEntry {
    try StoredEntry(entry.encoded(seq: 0, time: time))
}

/// Four eyes: two people, neither the submitter, exactly these hashes, in time. Each way to cheat by name.
@Suite struct ApprovalTests {
    static func rules(_ approvals: Int = 2, hours: Int = 1) -> DeploymentRules {
        var rollout = RolloutPlan()
        (rollout.approvals, rollout.approvalHours) = (approvals, hours)
        return DeploymentRules(rollout: rollout, needsEvaluation: true)
    }

    private let hour: Int64 = 3_600_000
    private var state: DeploymentState = {
        var state = DeploymentState()
        state.apply(.installed(digest(1), model: "heart", version: 1, rules: ApprovalTests.rules()), by: .person("sam"), at: at(1))
        state.apply(.evaluated(digest(1), TransitionTests.good), at: at(2))
        return state
    }()

    private func approval(_ state: DeploymentState, expires: Timestamp) -> DeploymentState.Event {
        let version = state.versions[digest(1)]
        return .approved(
            digest(1), configuration: version?.configuration ?? digest(0), evidence: version?.evidence ?? digest(0), expires: expires)
    }

    private func approve(_ state: inout DeploymentState, _ actor: Actor, _ time: Int64 = 10) throws(ServingError) {
        let event = approval(state, expires: at(time + hour))
        try state.check(event, by: actor, at: at(time))
        state.apply(event, by: actor, at: at(time))
    }

    private func promote(_ state: DeploymentState, _ time: Int64 = 20) throws(ServingError) {
        try state.check(.madeLive(digest(1)), by: .person("op"), at: at(time))
    }

    private func refusal(_ body: () throws -> Void) -> String? {
        do { try body() } catch { return "\(error)" }
        return nil
    }

    @Test func twoPeopleLetAVersionThroughAndOneDoesNot() throws {
        var state = state
        #expect(refusal { try promote(state) }?.contains("needs 2 approvals and has 0") == true)
        try approve(&state, .person("ada"))
        #expect(state.versions[digest(1)]?.status == .evaluated)
        #expect(refusal { try promote(state) }?.contains("has 1") == true)
        try approve(&state, .person("ben", [.overseer]))
        #expect(state.versions[digest(1)]?.status == .approved)
        try promote(state)
        state.apply(.madeLive(digest(1)), by: .person("op"), at: at(20))
        #expect(state.history["heart"]?.last?.approvals.map(\.person) == ["ada", "ben"])
        #expect(state.history["heart"]?.last?.evidence == state.versions[digest(1)]?.evidence)
    }

    @Test func theSamePersonTwiceIsOnePerson() throws {
        var state = state
        try approve(&state, .person("ada"))
        #expect(refusal { try approve(&state, .person("ada")) }?.contains("approved the version already") == true)
        // Another key of the same person, and the same key under another name.
        #expect(throws: ServingError.self) { try approve(&state, Actor(name: "key:second", person: "ada", roles: [.operator])) }
        #expect(throws: ServingError.self) { try approve(&state, Actor(name: "key:ada", person: "bob", roles: [.operator])) }
        // Written into a log by other means it still counts once.
        state.apply(approval(state, expires: at(hour)), by: .person("ada"), at: at(11))
        #expect(throws: ServingError.self) { try promote(state) }
    }

    @Test func theSubmitterDoesNotApprove() {
        var state = state
        #expect(throws: ServingError.self) { try approve(&state, .person("sam")) }
        #expect(throws: ServingError.self) { try approve(&state, Actor(name: "key:other", person: "sam", roles: [.overseer])) }
        // Nor does whoever configured it.
        state.apply(.configured(digest(1), SiteSettings(intercept: 0.5)), by: .person("cleo"), at: at(3))
        #expect(throws: ServingError.self) { try approve(&state, .person("cleo")) }
        // Nor do both together, written into a log by other means.
        state.apply(approval(state, expires: at(hour)), by: .person("sam"), at: at(11))
        state.apply(approval(state, expires: at(hour)), by: .person("cleo"), at: at(11))
        #expect(throws: ServingError.self) { try promote(state) }
    }

    @Test func approvalsAreForExactlyTheHashesTheyName() throws {
        var approved = state
        try approve(&approved, .person("ada"))
        try approve(&approved, .person("ben"))
        // Another configuration, other evidence: the approvals stand for nothing any more.
        for change in [
            DeploymentState.Event.configured(digest(1), SiteSettings(intercept: 1)),
            .evaluated(digest(1), Evaluation(metrics: ["auc": 0.99], time: at(12))),
        ] {
            var state = approved
            state.apply(change, by: .site, at: at(13))
            #expect(state.versions[digest(1)]?.status == .evaluated)
            #expect(throws: ServingError.self) { try promote(state) }
        }
        let version = try #require(state.versions[digest(1)])
        for (configuration, evidence) in [(digest(7), version.evidence), (version.configuration, digest(7))] {
            let event = DeploymentState.Event.approved(digest(1), configuration: configuration, evidence: evidence, expires: at(100))
            #expect(throws: ServingError.self) { try state.check(event, by: .person("ada"), at: at(10)) }
        }
    }

    @Test func approvalsExpire() throws {
        var state = state
        try approve(&state, .person("ada"), 10)
        try approve(&state, .person("ben"), hour)
        try promote(state, hour)
        #expect(refusal { try promote(state, hour + 10) }?.contains("has 1") == true)
        // The first may say it again.
        try approve(&state, .person("ada"), hour + 20)
        try promote(state, hour + 30)
        // Neither already expired nor longer than the plan has it.
        for expires in [hour, 3 * hour] {
            #expect(throws: ServingError.self) {
                try state.check(approval(state, expires: at(expires)), by: .person("dora"), at: at(hour + 40))
            }
        }
    }

    @Test func anApprovalIsNotReplayedForAVersionThatBeganAnew() throws {
        var state = state
        let first = approval(state, expires: at(hour))
        try approve(&state, .person("ada"))
        try approve(&state, .person("ben"))
        state.apply(.suspended(digest(1), reason: "leak"), at: at(30))
        state.apply(.restaged(digest(1)), by: .person("op"), at: at(40))
        #expect(state.versions[digest(1)]?.approvals == [])
        state.apply(.evaluated(digest(1), TransitionTests.good), at: at(41))
        #expect(throws: ServingError.self) { try state.check(first, by: .person("dora"), at: at(42)) }
        #expect(throws: ServingError.self) { try promote(state, 43) }
        #expect(throws: ServingError.self) { try approve(&state, .person("op"), 44) }
    }

    @Test func nothingIsApprovedBeforeThereIsEvidence() {
        var state = DeploymentState()
        state.apply(.installed(digest(1), model: "heart", version: 1, rules: Self.rules()), at: at(1))
        #expect(throws: ServingError.self) { try approve(&state, .person("ada")) }
    }

    @Test func aVersionInUseIsNotConfiguredBehindItsApprovers() throws {
        var state = state
        try approve(&state, .person("ada"))
        try approve(&state, .person("ben"))
        state.apply(.madeLive(digest(1)), at: at(20))
        #expect(throws: ServingError.self) { try state.check(.configured(digest(1), SiteSettings(intercept: 3))) }
    }

    @Test func aCanaryGoesOnAfterTheApprovalsItWasBegunOnHaveExpired() throws {
        var state = state
        state.apply(.installed(digest(9), model: "heart", version: 9), at: at(3))
        state.apply(.madeLive(digest(9)), at: at(4))
        try approve(&state, .person("ada"))
        try approve(&state, .person("ben"))
        state.apply(.canaried(digest(1), CanaryPlan()), at: at(20))
        try state.check(.advanced(digest(1), step: 1, report: .null), by: .site, at: at(2 * hour))
        try promote(state, 2 * hour)
    }
}
