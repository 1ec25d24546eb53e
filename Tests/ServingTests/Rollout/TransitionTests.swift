import Codec
import Cryptography
import Study
import Telemetry
import Testing

@testable import Serving

/// Every status × every event × every role: what may happen, written out a second time.
@Suite struct TransitionTests {
    typealias Status = DeploymentState.Status
    typealias Event = DeploymentState.Event

    static let rules = DeploymentRules(needsEvaluation: true, allowsOverride: true)
    static let good = Evaluation(metrics: ["auc": 0.9], time: at(2))
    static let bad = Evaluation(
        metrics: ["auc": 0.5], findings: [AcceptanceFinding(gate: "auc", value: 0.5, atLeast: 0.8, passed: false)], time: at(2))

    /// Version 2 in a status, beside version 1, which is live unless version 2 is.
    static func state(_ status: Status) -> DeploymentState {
        var state = DeploymentState()
        state.apply(.installed(digest(1), model: "heart", version: 1), at: at(1))
        state.apply(.madeLive(digest(1)), at: at(1))
        state.apply(.installed(digest(2), model: "heart", version: 2, rules: rules), at: at(1))
        if status == .candidate { return state }
        state.apply(.evaluated(digest(2), status == .refused ? bad : good), at: at(2))
        switch status {
        case .candidate, .evaluated, .refused: break
        case .approved: state.apply(approval(state), by: .person("ada"), at: at(3))
        case .shadow: state.apply(.shadowed(digest(2)), at: at(3))
        case .canary: state.apply(.canaried(digest(2), CanaryPlan()), at: at(3))
        case .standby: state.apply(.stoodBy(digest(2)), at: at(3))
        case .live: state.apply(.madeLive(digest(2)), at: at(3))
        case .superseded:
            state.apply(.madeLive(digest(2)), at: at(3))
            state.apply(.madeLive(digest(1)), at: at(4))
        case .suspended: state.apply(.suspended(digest(2), reason: "leak"), at: at(3))
        case .retired: state.apply(.retired(digest(2)), at: at(3))
        }
        return state
    }

    static func approval(_ state: DeploymentState) -> Event {
        let version = state.versions[digest(2)]
        return .approved(
            digest(2), configuration: version?.configuration ?? digest(0), evidence: version?.evidence ?? digest(0), expires: at(100_000))
    }

    /// Event, and where it leads from each status; a status that is not named refuses it.
    static func table(_ state: DeploymentState) -> [(event: Event, to: [Status: Status])] {
        let same = Dictionary(uniqueKeysWithValues: Status.allCases.map { ($0, $0) })
        func all(to status: Status, but refused: Set<Status>) -> [Status: Status] {
            same.filter { !refused.contains($0.key) }.mapValues { _ in status }
        }
        var measured = same.filter { $0.key != .suspended }
        for status in [Status.candidate, .refused, .approved] { measured[status] = .evaluated }
        var missed = measured
        for status in [Status.candidate, .evaluated, .refused, .approved] { missed[status] = .refused }
        var approved = same.filter { ![.refused, .suspended, .live, .candidate].contains($0.key) }
        for status in [Status.evaluated, .approved] { approved[status] = .approved }
        return [
            (.evaluated(digest(2), Evaluation(metrics: ["auc": 0.91], time: at(6))), measured),
            (.evaluated(digest(2), bad), missed),
            (.configured(digest(2), SiteSettings(intercept: 0.25)), same.filter { $0.key != .suspended }.merging([.approved: .evaluated]) { $1 }),
            (.overridden(digest(2), reason: "known shift"), [.refused: .evaluated]),
            (approval(state), approved),
            (.restaged(digest(2)), [.refused: .candidate, .suspended: .candidate, .retired: .candidate]),
            (.shadowed(digest(2)), [.evaluated: .shadow, .approved: .shadow, .standby: .shadow, .superseded: .shadow]),
            (
                .canaried(digest(2), CanaryPlan()),
                [.evaluated: .canary, .approved: .canary, .shadow: .canary, .standby: .canary, .superseded: .canary]
            ),
            (.advanced(digest(2), step: 1, report: .null), [.canary: .canary]),
            (.stoodBy(digest(2)), [.evaluated: .standby, .approved: .standby, .shadow: .standby, .superseded: .standby]),
            (.unstaged(digest(2), report: nil), [.shadow: .evaluated, .canary: .evaluated, .standby: .evaluated]),
            (.madeLive(digest(2)), all(to: .live, but: [.candidate, .refused, .live, .suspended])),
            (.suspended(digest(2), reason: "x"), all(to: .suspended, but: [.refused, .suspended, .retired])),
            (.retired(digest(2)), all(to: .retired, but: [.retired])),
        ]
    }

    @Test(arguments: Status.allCases) func everyEventFromEveryStatus(_ status: Status) throws {
        let start = Self.state(status)
        #expect(start.versions[digest(2)]?.status == status)
        for (event, to) in Self.table(start) {
            // An approval that stands already is another matter, see ApprovalTests.
            let actor = event.isForNode ? Actor.site : Actor.person("eve", [.operator, .overseer])
            let target = to[status]
            var state = start
            if let target {
                #expect(throws: Never.self, "\(event.name) from \(status)") { try state.check(event, by: actor, at: at(9)) }
                state.apply(event, by: actor, at: at(9))
                #expect(state.versions[digest(2)]?.status == target, "\(event.name) from \(status)")
            } else {
                let error = #expect(throws: ServingError.self, "\(event.name) from \(status)") { try state.check(event, by: actor, at: at(9)) }
                if let sources = event.sources, !sources.contains(status) {
                    #expect(error == .transition(event: event.name, status: status))
                }
                state.apply(event, by: actor, at: at(9))
                #expect(state == start, "\(event.name) from \(status)")
            }
            // Whatever happens, one version of the model is live at most, and the history says the same.
            let live = state.versions.values.filter { $0.status == .live }
            #expect(live.count <= 1)
            #expect(state.live("heart", at: at(9)) == live.first?.digest)
        }
    }

    static let authority: [(event: Event, who: String)] = [
        (.evaluated(digest(2), good), "node operator"), (.configured(digest(2), SiteSettings(intercept: 1)), "node operator"),
        (.installed(digest(3), model: "heart", version: 3), "node operator"),
        (.shadowed(digest(2)), "node operator"), (.canaried(digest(2), CanaryPlan()), "node operator"),
        (.stoodBy(digest(2)), "node operator"), (.madeLive(digest(2)), "node operator"), (.retired(digest(2)), "node operator"),
        (.suspended(digest(2), reason: "x"), "node operator overseer"), (.stopped(reason: "x"), "overseer"),
    ]

    @Test(arguments: authority) func everyEventByEveryRole(_ event: Event, _ who: String) {
        let state = Self.state(.evaluated)
        let allowed = Set(who.split(separator: " ").map(String.init))
        func isRefused(_ actor: Actor) -> Bool {
            do throws(ServingError) {
                try state.check(event, by: actor, at: at(9))
                return false
            } catch {
                return error == .role(event: event.name)
            }
        }
        #expect(isRefused(.site) == !allowed.contains("node"))
        for role in AccessRole.allCases {
            #expect(isRefused(.person("p", [role])) == !allowed.contains(role.rawValue), "\(event.name) by \(role)")
        }
        #expect(isRefused(.person("p", [])))
    }

    @Test func nobodyOverridesWhereThePolicyAllowsNone() {
        var state = DeploymentState()
        state.apply(.installed(digest(2), model: "heart", version: 2, rules: DeploymentRules(needsEvaluation: true)), at: at(1))
        state.apply(.evaluated(digest(2), Self.bad), at: at(2))
        #expect(state.versions[digest(2)]?.status == .refused)
        let overseer = Actor.person("eve", [.overseer])
        #expect(throws: ServingError.self) { try state.check(.overridden(digest(2), reason: "please"), by: overseer, at: at(3)) }
        let error = #expect(throws: ServingError.self) { try state.check(.madeLive(digest(2))) }
        #expect(error == .transition(event: "promote", status: .refused))
        // The refusal says which bound and by how much.
        #expect(state.versions[digest(2)]?.evaluation?.refusal == "auc is 0.500000, must be at least 0.800000, missed by 0.300000")
    }

    /// An entry has room for so many findings; those that are missed are what has to be explained.
    @Test func manyFindingsKeepThoseThatAreMissedAndFitIntoAnEntry() throws {
        let name = String(repeating: "n", count: 100)
        let findings = (0..<80).map {
            AcceptanceFinding(gate: "truePositiveRate gap of \(name)", value: 0.1 + Double($0) / 3, atMost: 0.1234567890123, passed: $0 < 70)
        }
        let evaluation = Evaluation(metrics: ["auc": 0.9], findings: findings, time: at(2))
        #expect(evaluation.findings.count == Evaluation.findingsMax && !evaluation.passed)
        #expect(evaluation.findings.count { !$0.passed } == 10)
        let stored = try AuditLogStored(Event.evaluated(digest(2), evaluation).entry(by: .site, site: "basel", state: Self.state(.candidate), at: at(7)))
        #expect(Event(stored) == .evaluated(digest(2), evaluation))
    }

    @Test func rulesAndEventsComeBackFromTheirEntries() throws {
        let events: [Event] = Self.table(Self.state(.evaluated)).map(\.event) + [
            .installed(digest(3), model: "heart", version: 3, rules: Self.rules, intercept: -0.5), .rolledBack(model: "heart"),
            .rolledBack(model: "heart", report: ["reason": "x"]), .madeLive(digest(2), report: ["rows": 4]), .stopped(reason: "why"),
            .started(reason: "fixed"),
        ]
        for event in events {
            let entry = event.entry(by: .person("ada"), site: "basel", state: Self.state(.evaluated), at: at(7))
            let stored = try AuditLogStored(entry)
            #expect(Event(stored) == event && Event.time(stored) == at(7), "\(event)")
        }
    }
}
