import Cryptography
import Study
import Telemetry
import Testing

@testable import Serving

func digest(_ number: UInt8) -> Digest { SHA256.hash([number]) }
func at(_ time: Int64) -> Timestamp { Timestamp(milliseconds: time) }

extension Actor {
    static let site = Actor.node("basel")
    static func person(_ name: String, _ roles: Set<AccessRole> = [.operator]) -> Actor {
        Actor(name: "key:\(name)", person: name, roles: roles)
    }
}

extension DeploymentState {
    mutating func apply(_ event: Event, at time: Timestamp) { apply(event, by: .site, at: time) }
    func check(_ event: Event) throws(ServingError) { try check(event, by: .site, at: at(1000)) }
}

@Suite struct DeploymentStateTests {
    private func twoVersions() -> DeploymentState {
        var state = DeploymentState()
        state.apply(.installed(digest(1), model: "heart", version: 1), at: at(1))
        state.apply(.installed(digest(2), model: "heart", version: 2), at: at(2))
        return state
    }

    @Test func installedVersionsAreCandidatesUntilMadeLive() {
        var state = twoVersions()
        #expect(state.live("heart") == nil)
        #expect(state.versions(of: "heart").map(\.version) == [2, 1])
        #expect(state.versions.values.allSatisfy { $0.status == .candidate })
        state.apply(.madeLive(digest(1)), at: at(3))
        #expect(state.live("heart")?.version == 1)
        #expect(state.liveModels == ["heart"])
    }

    @Test func rollbackBringsTheVersionBeforeBack() throws {
        var state = twoVersions()
        state.apply(.madeLive(digest(1)), at: at(3))
        state.apply(.madeLive(digest(2)), at: at(4))
        #expect(state.versions[digest(1)]?.status == .superseded)
        #expect(state.rollbackTarget("heart") == digest(1))
        state.apply(.rolledBack(model: "heart"), at: at(5))
        #expect(state.live("heart")?.version == 1)
        #expect(state.versions[digest(2)]?.status == .superseded && state.versions[digest(2)]?.wasRolledBack == true)
        #expect(throws: ServingError.nothingToRollBack) {
            try state.check(.rolledBack(model: "heart"))
        }
        #expect(throws: ServingError.unknownModel) { try state.check(.rolledBack(model: "other")) }
    }

    @Test func rollbackPassesOverVersionsThatWereTakenOut() {
        var state = twoVersions()
        state.apply(.installed(digest(3), model: "heart", version: 3), at: at(3))
        for number: UInt8 in 1...3 { state.apply(.madeLive(digest(number)), at: at(3 + Int64(number))) }
        state.apply(.suspended(digest(2), reason: "leak"), at: at(8))
        #expect(state.rollbackTarget("heart") == digest(1))
        // The live one itself is taken out: nothing answers until the one before comes back.
        state.apply(.suspended(digest(3), reason: "leak"), at: at(9))
        #expect(state.live("heart") == nil && state.live("heart", at: at(9)) == nil)
        state.apply(.rolledBack(model: "heart"), at: at(10))
        #expect(state.live("heart")?.version == 1)
    }

    @Test func rollbackEndsACanaryBeforeItTouchesTheLiveVersion() {
        var state = twoVersions()
        state.apply(.madeLive(digest(1)), at: at(3))
        state.apply(.canaried(digest(2), CanaryPlan()), at: at(4))
        state.apply(.rolledBack(model: "heart", report: ["reason": "errors"]), at: at(5))
        #expect(state.live("heart")?.version == 1)
        #expect(state.versions[digest(2)]?.status == .suspended && state.versions[digest(2)]?.reason == "errors")
    }

    @Test func aCanaryStepsToItsEndAndAnotherSwitchEndsIt() {
        var state = twoVersions()
        state.apply(.installed(digest(3), model: "heart", version: 3), at: at(2))
        state.apply(.madeLive(digest(1)), at: at(3))
        state.apply(.canaried(digest(2), CanaryPlan()), at: at(4))
        #expect(throws: ServingError.self) { try state.check(.canaried(digest(3), CanaryPlan())) }
        #expect(throws: ServingError.self) { try state.check(.advanced(digest(2), step: 2, report: .null)) }
        for step in 1..<4 { state.apply(.advanced(digest(2), step: step, report: .null), at: at(4 + Int64(step))) }
        #expect(state.versions[digest(2)]?.canary?.share == 0.5)
        #expect(throws: ServingError.self) { try state.check(.advanced(digest(2), step: 4, report: .null)) }
        state.apply(.madeLive(digest(3)), at: at(9))
        #expect(state.versions[digest(2)]?.status == .candidate && state.versions[digest(2)]?.canary == nil)
    }

    @Test func tellsWhatWasLiveAtEveryTime() {
        var state = twoVersions()
        state.apply(.madeLive(digest(1)), at: at(10))
        state.apply(.madeLive(digest(2)), at: at(20))
        state.apply(.rolledBack(model: "heart"), at: at(30))
        let answers = [5, 10, 19, 20, 29, 30, 99].map { state.live("heart", at: at(Int64($0))) }
        #expect(answers == [nil, digest(1), digest(1), digest(2), digest(2), digest(1), digest(1)])
    }

    @Test func modelsDoNotDisturbEachOther() {
        var state = twoVersions()
        state.apply(.installed(digest(9), model: "credit", version: 1), at: at(3))
        state.apply(.madeLive(digest(1)), at: at(4))
        state.apply(.madeLive(digest(9)), at: at(5))
        #expect(state.live("heart")?.digest == digest(1))
        #expect(state.live("credit")?.digest == digest(9))
    }

    @Test func eventsThatDoNotFitAreRefusedAndChangeNothing() {
        var state = twoVersions()
        let before = state
        let evaluation = Evaluation(metrics: [:], time: at(9))
        #expect(throws: ServingError.unknownVersion) { try state.check(.madeLive(digest(7))) }
        #expect(throws: ServingError.unknownVersion) { try state.check(.evaluated(digest(7), evaluation)) }
        state.apply(.madeLive(digest(7)), at: at(9))
        state.apply(.rolledBack(model: "heart"), at: at(9))
        state.apply(.installed(digest(1), model: "heart", version: 1), at: at(9))
        #expect(state == before)
        state.apply(.madeLive(digest(1)), at: at(9))
        #expect(throws: ServingError.transition(event: "promote", status: .live)) { try state.check(.madeLive(digest(1))) }
    }
}
