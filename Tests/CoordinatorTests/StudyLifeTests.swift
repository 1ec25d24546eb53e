// Plans, consents, runs, and the state as a restart finds it.

import AuditLog
import Codec
import Cryptography
import Messages
import Study
import Telemetry
import Testing

@testable import Coordinator

@Suite struct PublicationTests {
    @Test func aPlanReachesEveryMemberAndReplacesTheOneBefore() throws {
        let coordinator = try TestCoordinator()
        try coordinator.admit()
        let (first, second) = (try TestCoordinator.plan("First"), try TestCoordinator.plan("Second"))
        try coordinator.publish(first)
        #expect(coordinator.sent.map(\.site) == ["a", "b", "c", "d"])
        #expect(coordinator.refusal { try coordinator.publish(first) } == "plan.published")
        try coordinator.agree(first, sites: ["a"])
        coordinator.forgetSent()
        coordinator.clock.advance(seconds: 1)
        try coordinator.publish(second)
        #expect(coordinator.sent.filter { if case .planWithdrawn(first.hash) = $0.instruction { true } else { false } }.count == 4)
        #expect(coordinator.sent.filter { if case .planOffer = $0.instruction { true } else { false } }.count == 4)
        #expect(coordinator.core.federation.currentPlan(of: first.study)?.hash == second.hash)
        // The old one does not come back as if nothing had happened.
        do {
            try coordinator.publish(first)
            Issue.record("published twice")
        } catch let error as CoordinatorError { #expect(error.code == "plan.published" && error.description.contains("replaced")) }
        // A site that was away is told of the withdrawal it missed, then of the plan in force.
        let standing = coordinator.core.standingInstructions(for: "a")
        #expect(standing == [.planWithdrawn(planHash: first.hash), .planOffer(plan: second.canonicalBytes)])
        #expect(coordinator.core.standingInstructions(for: "b") == [.planOffer(plan: second.canonicalBytes)])
    }

    @Test func nothingIsPublishedThatMakesNoSense() throws {
        let coordinator = try TestCoordinator()
        try coordinator.admit()
        let before = coordinator.entries.count
        var contradiction = try TestCoordinator.plan()
        contradiction.cohort.sitesMax = 3
        contradiction.cohort.sitesMin = 4
        #expect(coordinator.refusal { try coordinator.publish(contradiction) } == "plan.contradiction")
        for bytes in [[], Array("{".utf8), Array("null".utf8), Array("{consilium: 'plan/2'}".utf8), [0xff, 0xfe]] {
            #expect(coordinator.refusal { _ = try coordinator.core.publish(bytes, by: "o", at: coordinator.clock.now()) } == "plan.invalid")
        }
        #expect(coordinator.entries.count == before && coordinator.sent.isEmpty)
    }

    @Test func noPlanIsReplacedDuringItsRun() throws {
        let coordinator = try TestCoordinator()
        try coordinator.admit()
        let plan = try TestCoordinator.plan()
        try coordinator.publish(plan)
        try coordinator.agree(plan)
        try coordinator.startRun()
        let other = try TestCoordinator.plan("Second")
        #expect(coordinator.refusal { try coordinator.publish(other) } == "run.active")
        #expect(coordinator.refusal { try coordinator.startRun() } == "run.active")
        coordinator.take(try coordinator.core.cancelRun(study: plan.study, by: "operator", at: coordinator.clock.now()))
        #expect(coordinator.refusal { try coordinator.publish(other) } == nil)
        #expect(coordinator.refusal { try coordinator.startRun() } == "run.cohort", "consents to the old plan count for nothing")
    }
}

@Suite struct ConsentTests {
    let coordinator: TestCoordinator
    let plan: Plan

    init() throws {
        coordinator = try TestCoordinator()
        plan = try TestCoordinator.plan()
        try coordinator.admit()
        try coordinator.publish(plan)
    }

    private func code(_ site: String, from sender: String? = nil, change: @escaping (inout Consent) -> Void) throws -> String? {
        let consent = try coordinator.consent(site, plan, change: change)
        return coordinator.refusal { try coordinator.report(.consent(consent.encoded), from: sender ?? site) }
    }

    @Test func aConsentMustBeTheSendersOwnAndFitThePlan() throws {
        let now = coordinator.clock.now().milliseconds
        #expect(try code("a") { $0.site = "b" } == "consent.site")
        #expect(try code("a", from: "b") { _ in } == "consent.invalid", "signed by another site's key")
        #expect(try code("a") { $0.planHash = SHA256.hash([1]) } == "consent.plan")
        #expect(try code("a") { $0.study = "other" } == "consent.plan")
        #expect(try code("a") { ($0.issued, $0.expires) = (now - 10, now) } == "consent.expired")
        #expect(try code("a") { $0.acceptsNoDifferentialPrivacy = false } == "consent.differential-privacy")
        #expect(coordinator.refusal { try coordinator.report(.consent([1, 2, 3]), from: "a") } == "consent.invalid")
        #expect(coordinator.count(.consentGiven) == 0)
        #expect(try code("a") { _ in } == nil)
    }

    @Test func everyBitOfAConsentIsSigned() throws {
        let encoded = try coordinator.consent("a", plan).encoded
        for position in stride(from: 0, to: encoded.count, by: 7) {
            var changed = encoded
            changed[position] ^= 1 << UInt8(position % 8)
            #expect(coordinator.refusal { try coordinator.report(.consent(changed), from: "a") } != nil)
        }
        #expect(coordinator.count(.consentGiven) == 0)
    }

    @Test func aRepeatedConsentIsLoggedOnceAndAWithdrawnOneIsGone() throws {
        let consent = try coordinator.consent("a", plan)
        for _ in 0..<5 { try coordinator.report(.consent(consent.encoded), from: "a") }
        #expect(coordinator.count(.consentGiven) == 1)
        for _ in 0..<3 { try coordinator.report(.consentWithdrawn(planHash: plan.hash), from: "a") }
        #expect(coordinator.count(.consentWithdrawn) == 1)
        #expect(coordinator.core.federation.consentingSites(to: plan.hash, at: coordinator.clock.now()).isEmpty)
        try coordinator.report(.consentWithdrawn(planHash: SHA256.hash([9])), from: "a")
        #expect(coordinator.count(.consentWithdrawn) == 1)
    }

    @Test func aConsentEndsByItself() throws {
        try coordinator.agree(plan)
        coordinator.clock.advance(seconds: 86_400)
        #expect(coordinator.core.federation.consentingSites(to: plan.hash, at: coordinator.clock.now()).isEmpty)
        #expect(coordinator.refusal { try coordinator.startRun() } == "run.cohort")
    }

    @Test func aStrangerIsNotHeard() throws {
        let consent = try coordinator.consent("a", plan)
        #expect(coordinator.refusal { try coordinator.report(.consent(consent.encoded), from: "stranger") } == "site.unknown")
    }
}

@Suite struct RunTests {
    private func opened(_ coordinator: TestCoordinator) -> [String] {
        coordinator.sent.compactMap { site, instruction in if case .roundOpen = instruction { site } else { nil } }
    }

    @Test func aRunNeedsAPlanAndACohort() throws {
        let coordinator = try TestCoordinator()
        let plan = try TestCoordinator.plan()
        try coordinator.admit()
        #expect(coordinator.refusal { try coordinator.startRun() } == "study.unknown")
        try coordinator.publish(plan)
        try coordinator.agree(plan, sites: ["a", "b"])
        #expect(coordinator.refusal { try coordinator.startRun() } == "run.cohort")
        #expect(coordinator.count(.runStarted) == 0)
        try coordinator.agree(plan, sites: ["c"])
        #expect(coordinator.refusal { try coordinator.startRun() } == nil)
        #expect(Set(opened(coordinator)) == ["a", "b", "c"], "a site that did not consent hears nothing")
        #expect(coordinator.refusal { _ = try coordinator.core.cancelRun(study: "other", by: "o", at: coordinator.clock.now()) } == "run.none")
    }

    @Test func silenceEndsARunAfterTheAttemptsOfThePlan() throws {
        let (coordinator, plan) = try TestCoordinator.ready()
        let run = try coordinator.startRun()
        var attempts = 1
        while let deadline = coordinator.core.nextDeadline {
            coordinator.clock.set(deadline)
            coordinator.forgetSent()
            coordinator.take(try coordinator.core.tick(at: coordinator.clock.now()))
            if !opened(coordinator).isEmpty { attempts += 1 }
        }
        #expect(attempts == plan.cohort.attempts)
        let history = try #require(coordinator.core.federation.runs[run])
        #expect(history.status == .failed && history.ended != nil && history.reason?.isEmpty == false)
        #expect(history.rounds.allSatisfy { $0.abortCode != nil && $0.participants.isEmpty })
        #expect(coordinator.count(.releaseSigned) == 0)
        #expect(coordinator.sent.filter { if case .runEnded(run, false) = $0.instruction { true } else { false } }.count == 4)
        #expect(coordinator.refusal { try coordinator.startRun() } == nil, "another run may start")
    }

    @Test func aRefusalOfTheOpenRoundIsNotWaitedFor() throws {
        let (coordinator, _) = try TestCoordinator.ready()
        try coordinator.startRun()
        let work = try #require(
            coordinator.sent.compactMap { _, instruction -> [UInt8]? in if case .roundOpen(let work, _, _, _) = instruction { work } else { nil } }.first)
        let hash = try RoundWork(parsing: work).hash
        // One refusal leaves three, two leave too few: the attempt ends long before its deadline.
        try coordinator.report(.refusal(subject: hash, code: "round.consent", sentence: "no"), from: "a")
        #expect(coordinator.count(.roundAborted) == 0)
        try coordinator.report(.refusal(subject: hash, code: "policy.budget", sentence: "no"), from: "b")
        try coordinator.report(.refusal(subject: hash, code: "policy.budget", sentence: "no"), from: "c")
        try coordinator.report(.refusal(subject: hash, code: "policy.budget", sentence: "no"), from: "d")
        #expect(coordinator.count(.roundAborted) == 1)
        #expect(coordinator.count(.instructionRefused) == 4)
    }

    @Test func aRevokedSiteIsNotInvitedAgain() throws {
        let (coordinator, _) = try TestCoordinator.ready()
        try coordinator.startRun()
        coordinator.take(try coordinator.core.revoke(site: "d", by: "operator", at: coordinator.clock.now()))
        coordinator.forgetSent()
        coordinator.clock.set(try #require(coordinator.core.nextDeadline))
        coordinator.take(try coordinator.core.tick(at: coordinator.clock.now()))
        #expect(Set(opened(coordinator)) == ["a", "b", "c"])
        let invited = coordinator.core.federation.runs.values.first?.rounds.last?.invited
        #expect(invited == ["a", "b", "c"])
    }

    @Test func strayReportsChangeNothing() throws {
        let (coordinator, _) = try TestCoordinator.ready()
        try coordinator.startRun()
        let before = coordinator.entries.count
        try coordinator.report(.aggregation(round: 77, message: [1, 2, 3]), from: "a")
        try coordinator.report(.versionVerdict(package: SHA256.hash([1]), accepted: true, code: "accepted"), from: "a")
        let round = try #require(coordinator.core.runs.values.first?.openRoundNumber)
        for message in [[], [0], [1], [UInt8](repeating: 7, count: 300)] {
            let code = coordinator.refusal { try coordinator.report(.aggregation(round: round, message: message), from: "a") }
            #expect(code?.hasPrefix("round.") == true)
        }
        #expect(coordinator.entries.count == before)
    }

    @Test func aRunThatNobodyDrivesIsClosedAtTheStart() throws {
        let (coordinator, plan) = try TestCoordinator.ready()
        let run = try coordinator.startRun()
        // The process dies: what is left is the log.
        coordinator.core = CoordinatorCore(
            federation: try coordinator.replayed(), signingKey: coordinator.core.signingKey, random: coordinator.random, log: coordinator.log,
            blobs: coordinator.core.blobs)
        #expect(coordinator.core.federation.runs[run]?.status == .running)
        coordinator.take(try coordinator.core.closeOrphanedRuns(at: coordinator.clock.now()))
        #expect(coordinator.core.federation.runs[run]?.status == .failed)
        #expect(try coordinator.core.closeOrphanedRuns(at: coordinator.clock.now()).isEmpty)
        let next = try coordinator.startRun()
        #expect(next != run && coordinator.core.federation.runs[next]?.status == .running)
        #expect(try coordinator.core.closeOrphanedRuns(at: coordinator.clock.now()).isEmpty, "the run under way is no orphan")
        #expect(coordinator.core.federation.runs[next]?.planHash == plan.hash)
        // Round numbers go up over restarts: no key of an old round fits a new one.
        let numbers = coordinator.core.federation.runOrder.compactMap { coordinator.core.federation.runs[$0]?.rounds.first?.number }
        #expect(numbers == numbers.sorted() && Set(numbers).count == numbers.count)
    }
}

@Suite struct ReplayTests {
    /// Everything that the state holds, in one order.
    private func summary(_ federation: Federation) -> [String] {
        var lines = ["name \(federation.name)", "order \(federation.runOrder)"]
        lines += [federation.manifest, federation.proposal].map { "list \($0.map { Hex.encode($0.encoded) } ?? "")" }
        lines += ["paused \(federation.pausedStudies.sorted())", "forks \(federation.forks.sorted())"]
        lines += federation.sites.values.map { "site \($0)" }
        lines += federation.invitations.map { "invitation \($0.key.hex) \($0.value)" }
        lines += federation.plans.values.map { plan in
            let consents = plan.consents.map { "\($0.key)=\($0.value.hash.hex)" }.sorted()
            return "plan \(plan.hash.hex) \(plan.published) \(String(describing: plan.withdrawn)) \(consents)"
        }
        lines += federation.runs.values.map { "run " + String(decoding: $0.json.canonicalBytes(), as: UTF8.self) }
        lines += federation.releases.map { release in
            let verdicts = release.verdicts.map { "\($0.key)=\($0.value)" }.sorted()
            return "release \(release.package.hex) \(release.version) \(verdicts)"
        }
        return lines.sorted()
    }

    /// A thousand things that operators and sites do, sensible and not: the log alone gives the same state.
    @Test(arguments: [1, 2, 3] as [UInt64]) func theLogAloneGivesTheState(_ seed: UInt64) throws {
        let coordinator = try TestCoordinator(seed: seed)
        let dice = SeededRandom(seed: seed).child("dice")
        let names = (0..<12).map { "site-\($0)" }
        var plans: [Plan] = []
        var tokens: [EnrolmentToken] = []
        for step in 0..<1200 {
            let site = names[Int(dice.uniform(below: UInt64(names.count)))]
            coordinator.clock.advance(seconds: 1 + Double(dice.uniform(below: 20)))
            let now = coordinator.clock.now()
            _ = try? {
                switch dice.uniform(below: 11) {
                case 0, 1: tokens.append(try coordinator.invite(site))
                case 2, 3: if let token = tokens.last { try coordinator.enrol(coordinator.request(token)) }
                case 4 where step > 900: coordinator.take(try coordinator.core.revoke(site: site, by: "o", at: now))
                case 5 where step % 3 == 0:
                    plans.append(try TestCoordinator.plan("Plan \(step)"))
                    try coordinator.publish(plans[plans.count - 1])
                case 6: try coordinator.admit([site])
                case 7: if let plan = plans.last { try coordinator.report(.consent(coordinator.consent(site, plan).encoded), from: site) }
                case 8: if let plan = plans.last { try coordinator.report(.consentWithdrawn(planHash: plan.hash), from: site) }
                case 9 where step % 5 == 0: try coordinator.signMembers()
                case 9: try coordinator.startRun()
                case 10 where step % 4 == 0: coordinator.take(try coordinator.core.cancelRun(study: "heart-disease", by: "o", at: now))
                default: coordinator.take(try coordinator.core.tick(at: now))
                }
            }()
            if step % 150 == 149 { #expect(try summary(coordinator.replayed()) == summary(coordinator.core.federation), "after step \(step)") }
        }
        #expect(coordinator.core.federation.sites.count > 2 && coordinator.entries.count > 30)
    }
}
