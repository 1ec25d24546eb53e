// The power fails, the disk fills, a site is cut off: who is left goes on, and nothing that was acknowledged is lost.

import Codec
import Glibc
import HTTP
import Simulation
import Storage
import Testing

@Suite(.serialized, .enabled(if: Program.isThere)) struct FaultTests {
    private func rounds(_ run: JSONValue) -> [JSONValue] { run["rounds"]?.arrayValue ?? [] }
    private func ended(_ run: JSONValue) -> Int { rounds(run).count { $0["ended"] != .null } }
    private func participants(_ round: JSONValue?) -> Int { round?["participants"]?.arrayValue?.count ?? 0 }

    private func verifyAll(_ federation: TestFederation) throws {
        for party in ["coordinator"] + federation.names {
            let result = try federation.verify(party)
            #expect(result.code == 0, "\(party): \(result.text)")
        }
    }

    @Test func aNodeThatDiesInARunIsMissedOnceAndCanComeBack() throws {
        let federation = try TestFederation(rounds: 30)
        try federation.agree()
        let name = try federation.startRun()
        _ = try federation.follow(name) { ended($0) >= 3 }
        federation.kill("switzerland")
        let start = monotonicSeconds()
        let before = ended(try federation.follow(name) { _ in true })
        // Eight rounds without it: one waits for its deadline, the others do not.
        _ = try federation.follow(name) { ended($0) >= before + 8 }
        #expect(monotonicSeconds() - start < 12, "\(monotonicSeconds() - start) s for eight rounds without a dead site")
        try federation.startNode("switzerland")
        let run = try federation.finish(name)
        #expect(run["status"]?.stringValue == "released", "\(run["reason"]?.stringValue ?? "")")
        #expect(rounds(run).contains { participants($0) == 3 })
        #expect(participants(rounds(run).last) == 4, "a node that is back takes part again")
        #expect(try federation.waitForVersion(1, at: federation.names))
        federation.stop()
        try verifyAll(federation)
    }

    @Test func aNodeThatIsDeadAtTheReleaseFetchesItWhenItIsBack() throws {
        let federation = try TestFederation(rounds: 4)
        try federation.agree()
        let name = try federation.startRun()
        _ = try federation.follow(name) { ended($0) >= 2 }
        federation.kill("va")
        let run = try federation.finish(name)
        #expect(run["status"]?.stringValue == "released", "\(run["reason"]?.stringValue ?? "")")
        try federation.startNode("va")
        #expect(try federation.waitForVersion(1, at: ["va"]))
        let hasVerdict = try holds(within: 5) {
            try federation.operators().call("GET", "/v1/releases")["releases"]?.arrayValue?.last?["verdicts"]?.objectValue?.count == 4
        }
        #expect(hasVerdict)
    }

    @Test func aCoordinatorThatDiesInARunClosesItAndRunsAnother() throws {
        let federation = try TestFederation(sites: Array(StandInHospitals.sites.prefix(3)), rounds: 12)
        try federation.agree()
        let name = try federation.startRun()
        _ = try federation.follow(name) { ended($0) >= 4 }
        federation.killCoordinator()
        try federation.startCoordinator()
        let closed = try federation.follow(name, seconds: 1) { _ in true }
        #expect(closed["status"]?.stringValue == "failed")
        #expect(closed["reason"]?.stringValue?.contains("stopped") == true)
        #expect(ended(closed) >= 4, "what was acknowledged before is still there")
        let second = try federation.finish(federation.startRun())
        #expect(second["status"]?.stringValue == "released", "\(second["reason"]?.stringValue ?? "")")
        #expect(try federation.waitForVersion(1, at: federation.names))
        federation.stop()
        try verifyAll(federation)
    }

    @Test func aRevokedSiteIsCutOffWithinFiveSeconds() throws {
        let federation = try TestFederation(rounds: 8)
        try federation.agree()
        let site = "switzerland"
        let node = try federation.operators(at: site)
        func isConnected() throws -> Bool { try node.call("GET", "/v1/node")["coordinator"]?.stringValue == "connected" }
        #expect(try holds(within: 5) { try isConnected() })
        // Its poll has been open for a while.
        usleep(500_000)
        let start = monotonicSeconds()
        let revoked = try Program.run(["coordinator", "revoke", "--dir", federation.directory("coordinator"), "--site", site], in: federation.scratch)
        #expect(revoked.code == 0, "\(revoked.text)")
        #expect(try holds(within: 5) { try !isConnected() })
        print("revoked site cut off after \(monotonicSeconds() - start) s, command included")
        // It keeps trying and stays out.
        usleep(1_500_000)
        #expect(try !isConnected())
        let members = try federation.operators().call("GET", "/v1/federation")["sites"]?.arrayValue ?? []
        #expect(members.first { $0["name"]?.stringValue == site }?["connected"]?.boolValue == false)
        // The others train without it, and do not wait for it.
        let name = try federation.startRun()
        _ = try federation.follow(name) { ended($0) >= 2 }
        let again = try Program.run(["coordinator", "revoke", "--dir", federation.directory("coordinator"), "--site", site], in: federation.scratch)
        #expect(again.code == 65 && again.text.contains("already"), "\(again.text)")
        let run = try federation.finish(name)
        #expect(run["status"]?.stringValue == "released", "\(run["reason"]?.stringValue ?? "")")
        #expect(rounds(run).allSatisfy { participants($0) == 3 })
    }

    @Test func aSiteRevokedInARunDoesNotHoldItUp() throws {
        let federation = try TestFederation(rounds: 10)
        try federation.agree()
        let name = try federation.startRun()
        _ = try federation.follow(name) { ended($0) >= 2 }
        _ = try federation.operators().call("POST", "/v1/sites/va/revoke")
        let start = monotonicSeconds()
        let run = try federation.finish(name)
        #expect(run["status"]?.stringValue == "released", "\(run["reason"]?.stringValue ?? "")")
        #expect(monotonicSeconds() - start < 12, "\(monotonicSeconds() - start) s")
        #expect(participants(rounds(run).last) == 3)
    }

    @Test func aNodeServesWithoutItsCoordinatorAlsoAfterARestart() throws {
        let federation = try TestFederation(sites: Array(StandInHospitals.sites.prefix(3)), rounds: 1)
        try federation.agree()
        try federation.train()
        federation.stopCoordinator()
        federation.kill("va")
        federation.kill("cleveland")
        try federation.startNode("cleveland")
        let client = try federation.client("cleveland", key: federation.key(at: "cleveland", roles: ["predict"]))
        let body: JSONValue = ["row": .object(TestFederation.row), "explain": true]
        let answer = try client.call("POST", "/v1/predict", body: body.canonicalBytes())
        #expect(answer["predictions"]?.arrayValue?.first?["id"]?.stringValue?.isEmpty == false)
        #expect(try federation.operators(at: "cleveland").call("GET", "/v1/node")["coordinator"]?.stringValue != "connected")
        // A consent withdrawn meanwhile reaches the coordinator when it is back.
        _ = try federation.operators(at: "cleveland").call("POST", "/v1/node/studies/\(federation.study)/withdraw")
        try federation.startCoordinator()
        let isTold = try holds(within: 10) {
            try federation.operators().call("GET", "/v1/plans")["plans"]?.arrayValue?.last?["consents"]?.arrayValue?.count == 2
        }
        #expect(isTold)
    }

    /// SIGTERM: waiting polls are let go, files are closed, the code is 0, and nothing is repaired at the next start.
    @Test func aProcessThatIsAskedToStopStopsAtOnce() throws {
        let federation = try TestFederation(sites: ["va"])
        let node = try federation.operators(at: "va")
        #expect(try holds(within: 5) { try node.call("GET", "/v1/node")["coordinator"]?.stringValue == "connected" })
        for child in [federation.coordinator, try #require(federation.nodes["va"])] {
            let start = monotonicSeconds()
            Glibc.kill(child.identifier, SIGTERM)
            #expect(child.wait() == 0)
            #expect(monotonicSeconds() - start < 3, "\(monotonicSeconds() - start) s")
        }
        for party in ["coordinator", "va"] {
            #expect(!DurableFile.exists(federation.directory(party) + "/endpoint.json"))
            #expect(try federation.verify(party).json?["counts"]?["log.recovered"] == nil)
        }
        try federation.startCoordinator()
        try federation.startNode("va")
    }

    @Test func joiningAndPollingThroughAProxy() throws {
        let federation = try TestFederation(sites: [])
        let proxy = try ConnectProxy()
        try federation.join("cleveland", extra: ["--proxy", "http://127.0.0.1:\(proxy.port)"])
        #expect(proxy.targets == ["127.0.0.1:\(try federation.federationPort())"])
        try federation.startNode("cleveland")
        let node = try federation.operators(at: "cleveland")
        #expect(try holds(within: 5) { try node.call("GET", "/v1/node")["coordinator"]?.stringValue == "connected" })
        #expect(proxy.targets.count >= 2)
        // By the usual variable, and a proxy that does not open the way.
        let closed = try ConnectProxy(refusing: "403 Forbidden")
        let token = try federation.invite("va")
        let refused = try Program.run(
            try federation.joinArguments("va", token: token), in: federation.scratch, variables: ["https_proxy=http://127.0.0.1:\(closed.port)"])
        #expect(refused.code == 69 && refused.text.contains("proxy") && refused.text.contains("403"), "\(refused.code) \(refused.text)")
        let exempt = try Program.run(
            try federation.joinArguments("va", token: token), in: federation.scratch,
            variables: ["https_proxy=http://127.0.0.1:\(closed.port)", "no_proxy=127.0.0.1"])
        #expect(exempt.code == 0, "\(exempt.text)")
    }
}
