import Cryptography
import Telemetry
import Testing

@testable import Serving

@Suite struct DeploymentStateTests {
    private func digest(_ number: UInt8) -> Digest { SHA256.hash([number]) }
    private func at(_ time: Int64) -> Timestamp { Timestamp(milliseconds: time) }

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
        #expect(state.versions[digest(2)]?.status == .superseded)
        #expect(throws: ServingError.nothingToRollBack) {
            try state.check(.rolledBack(model: "heart"))
        }
        #expect(throws: ServingError.unknownModel) { try state.check(.rolledBack(model: "other")) }
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
        #expect(throws: ServingError.unknownVersion) { try state.check(.madeLive(digest(7))) }
        #expect(throws: ServingError.unknownVersion) {
            try state.check(.evaluated(digest(7), metrics: [:]))
        }
        state.apply(.madeLive(digest(7)), at: at(9))
        state.apply(.rolledBack(model: "heart"), at: at(9))
        state.apply(.installed(digest(1), model: "heart", version: 1), at: at(9))
        #expect(state == before)
        state.apply(.madeLive(digest(1)), at: at(9))
        #expect(throws: ServingError.self) { try state.check(.madeLive(digest(1))) }
    }
}
