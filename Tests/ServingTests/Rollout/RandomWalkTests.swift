import AuditLog
import Codec
import Cryptography
import Study
import Telemetry
import Testing

@testable import Serving

/// Anything anybody may try, in any order: what must always hold, and that the log alone leads to the same state.
@Suite struct RandomWalkTests {
    private typealias Event = DeploymentState.Event

    private struct Chance {
        var numbers: SequentialTestTests.Numbers
        mutating func below(_ count: Int) -> Int { Int(numbers.next() * Double(count)) }
        mutating func one<Item>(of items: [Item]) -> Item { items[below(items.count)] }
    }

    private func rules(_ chance: inout Chance) -> DeploymentRules {
        var rollout = RolloutPlan()
        (rollout.approvals, rollout.approvalHours) = (chance.below(3), 1)
        return DeploymentRules(
            rollout: rollout, needsEvaluation: chance.below(2) == 0, isAutomatic: chance.below(2) == 0, allowsOverride: chance.below(2) == 0,
            plan: chance.below(2) == 0 ? digest(99) : nil)
    }

    private func event(_ state: DeploymentState, _ time: Int64, _ chance: inout Chance) -> Event {
        let number = UInt8(chance.below(6))
        let (version, model) = (digest(number), number < 4 ? "heart" : "lung")
        let known = state.versions[version]
        switch chance.below(17) {
        case 0: return .installed(version, model: model, version: Int(number), rules: rules(&chance), intercept: Double(chance.below(3)))
        case 1: return .evaluated(version, chance.below(3) == 0 ? TransitionTests.bad : Evaluation(metrics: ["auc": 0.9], time: at(time)))
        case 2: return .overridden(version, reason: "known")
        case 3, 4, 5:
            let isWrong = chance.below(8) == 0
            return .approved(
                version, configuration: known?.configuration ?? digest(7), evidence: isWrong ? digest(8) : known?.evidence ?? digest(9),
                expires: at(time + Int64(chance.below(4_000_000))))
        case 6: return .restaged(version)
        case 7: return .shadowed(version)
        case 8: return .canaried(version, CanaryPlan(chance.below(2) == 0 ? .canary : .ab))
        case 9: return .advanced(version, step: (known?.canary?.step ?? 0) + chance.below(2), report: ["rows": 3])
        case 10: return .stoodBy(version)
        case 11: return .unstaged(version, report: chance.below(2) == 0 ? nil : ["rows": 3])
        case 12: return .madeLive(version)
        case 13: return .rolledBack(model: chance.one(of: ["heart", "lung", "none"]), report: nil)
        case 14: return chance.below(2) == 0 ? .suspended(version, reason: "leak") : .retired(version)
        case 15:
            var settings = SiteSettings(intercept: Double(chance.below(9)) / 7 - 0.5)
            if chance.below(2) == 0 { settings.threshold = Double(chance.below(100)) / 99 }
            if chance.below(3) == 0 { settings.abstain = 0.1...(0.2 + Double(chance.below(7)) / 10) }
            if chance.below(3) == 0 { settings.calibration = .init(slope: 1.0 / 3, intercept: -0.1) }
            return .configured(version, settings)
        default: return chance.below(2) == 0 ? .stopped(reason: "drift") : .started(reason: "fixed")
        }
    }

    private func holds(_ state: DeploymentState, _ time: Int64) {
        for model in state.models {
            for role in [DeploymentState.Status.live, .canary, .shadow, .standby] {
                #expect(state.versions.values.count { $0.model == model && $0.status == role } <= 1, "two versions are \(role)")
            }
            let live = state.versions.values.first { $0.model == model && $0.status == .live }
            #expect(state.live(model)?.digest == live?.digest && state.live(model, at: at(time)) == live?.digest)
            // Periods follow one another and only the last one is open.
            let periods = state.history[model] ?? []
            for (before, after) in zip(periods, periods.dropFirst()) {
                #expect(before.until.map { $0 <= after.since } == true)
            }
            #expect((periods.last.map { $0.until == nil } ?? false) == (live != nil))
        }
        for version in state.versions.values {
            #expect((version.canary != nil) == (version.status == .canary))
        }
    }

    /// Every version that is put to use had what its rules ask for at that moment.
    private func wasCleared(_ event: Event, _ before: DeploymentState, _ time: Int64) {
        guard event.usesVersion, let version = event.digest.flatMap({ before.versions[$0] }) else { return }
        let people = Set(version.standingApprovals(at: version.canary?.begun ?? at(time)).map(\.person))
        #expect(people.count >= version.rules.rollout.approvals && people.isDisjoint(with: version.submitters))
        #expect(!version.rules.needsEvaluation || version.override != nil || version.evaluation?.passed == true)
    }

    @Test(arguments: 0..<60) func whateverIsTriedTheRulesHoldAndTheLogSaysTheSame(_ seed: Int) throws {
        var chance = Chance(numbers: .init(UInt64(seed) &* 77 &+ 5))
        var state = DeploymentState()
        var journal = DeploymentJournal()
        let actors = ["ada", "ben", "cleo"].map { Actor.person($0, [.operator, .overseer]) } + [.site, .person("dora", [.predict, .auditor])]
        var (time, taken) = (Int64(1000), 0)
        for _ in 0..<300 {
            time += Int64(chance.below(500_000))
            let (event, actor) = (event(state, time, &chance), chance.one(of: actors))
            do throws(ServingError) { try state.check(event, by: actor, at: at(time)) } catch {
                continue
            }
            let entry = try AuditLogStored(event.entry(by: actor, site: "basel", state: state, at: at(time)), at: at(time + 5))
            wasCleared(event, state, time)
            state.apply(event, by: actor, at: at(time))
            journal.take(entry)
            taken += 1
            holds(state, time)
        }
        #expect(taken > 20)
        #expect(journal.state == state)
        #expect(journal.state(at: at(time)) == state)
    }

    /// Entries that another program wrote, or a later version of this one: read or passed over, never a crash.
    @Test func strangeEntriesArePassedOver() throws {
        var chance = Chance(numbers: .init(3))
        let values: [JSONValue] = [.null, true, -1, 0, 7, 1_000_000, "", "x", "canary", "standby", "{", "[]", ["a": 1], [1], .string(digest(1).hex)]
        let types: [EntryType] = [
            .deploymentStaged, .deploymentApproved, .deploymentOverridden, .deploymentUnstaged, .deploymentLive, .deploymentRolledBack,
            .deploymentSuspended, .deploymentRetired, .gatesChecked, .configurationChanged, .servingStopped, .servingStarted,
        ]
        let keys = ["role", "again", "version", "step", "plan", "rules", "intercept", "metrics", "findings", "scope", "configuration", "evidence", "expires", "at", "report", "reason", "person"]
        var journal = DeploymentJournal()
        for _ in 0..<4000 {
            var entry = LogEntry(chance.one(of: types), actor: "x", role: "node", site: "basel")
            if chance.below(4) > 0 { entry.payloadDigest = digest(UInt8(chance.below(3))) }
            if chance.below(4) > 0 { entry.model = "heart" }
            if chance.below(3) == 0 { entry.details["scope"] = "site" }
            for _ in 0..<chance.below(6) { entry.details[chance.one(of: keys)] = chance.one(of: values) }
            journal.take(try AuditLogStored(entry))
        }
        #expect(journal.state.models.count <= 1)
        _ = journal.state.answerable(at: at(9), model: nil)
    }
}
