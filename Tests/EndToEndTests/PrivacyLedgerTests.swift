// The privacy ledger of real processes: what is spent stays spent over studies, restarts, crashes and restored directories.

import Codec
import Glibc
import Simulation
import Storage
import Testing

@Suite(.serialized, .enabled(if: Program.isThere)) struct PrivacyLedgerTests {
    private func status(_ federation: TestFederation, _ site: String) throws -> JSONValue {
        let result = try Program.run(["privacy", "status", "--dir", federation.directory(site), "--json"], in: federation.scratch)
        guard result.code == 0 else { throw ScenarioError.failed(step: "privacy status", result.text) }
        return try JSONValue.parse(Array(result.text.utf8), dialect: .strict)
    }

    private func spent(_ status: JSONValue) -> Double {
        status["accounts"]?.arrayValue?.first?["spent"]?.stringValue.flatMap(Double.init) ?? -1
    }

    private func connected(_ federation: TestFederation, _ site: String) throws -> Bool {
        let node = try federation.operators(at: site)
        return try holds(within: 10) { try node.call("GET", "/v1/node")["coordinator"]?.stringValue == "connected" }
    }

    @Test func twoStudiesExhaustABudgetAndNeitherARestartNorAnOldCopyBringsItBack() throws {
        let federation = try TestFederation(rounds: 1, epsilon: 2.2, studies: ["heart-second"])
        try federation.agree()
        try federation.consent(to: "heart-second")
        let (directory, backup) = (federation.directory("va"), federation.scratch.path + "/va-yesterday")
        federation.stopNode("va")
        try copy(directory, backup)
        try federation.startNode("va")
        #expect(try connected(federation, "va"))
        for study in [federation.study, "heart-second"] {
            let run = try federation.finish(federation.startRun(study))
            #expect(run["status"]?.stringValue == "released", "\(run["reason"]?.stringValue ?? "")")
            #expect(run["privacy"]?["mode"] == "record-local" && run["privacy"]?["trust"]?.stringValue?.contains("Nobody outside") == true)
        }
        let before = try status(federation, "va")
        #expect(spent(before) > 2.2 && spent(before) < 3, "\(spent(before))")
        #expect(before["accounts"]?.arrayValue?.first?["studies"]?.arrayValue?.count == 2)

        func refused(_ what: Comment) throws {
            let run = try federation.finish(federation.startRun())
            #expect(run["status"]?.stringValue == "failed", what)
            for site in federation.names where site != "va" || federation.nodes["va"] != nil {
                let after = try status(federation, site)
                let sentence = after["lastRefusal"]?["sentence"]?.stringValue ?? ""
                // The sum, spelled out.
                #expect(after["lastRefusal"]?["code"] == "privacy.budget", what)
                for part in ["study heart-disease", "study heart-second", "together", "the budget is 3.000"] {
                    #expect(sentence.contains(part), "\(what): \(sentence)")
                }
            }
        }
        try refused("third run")
        #expect(try spent(status(federation, "va")) == spent(before), "a refused run costs nothing")
        for site in federation.names {
            federation.stopNode(site)
            try federation.startNode(site)
            #expect(try connected(federation, site))
        }
        try refused("after a restart")
        #expect(try spent(status(federation, "va")) == spent(before))

        federation.stopNode("va")
        try restore(directory, from: backup)
        try federation.startNode("va")
        let node = try federation.operators(at: "va")
        var failure: String?
        let isStopped = try holds(within: 15) {
            failure = try node.call("GET", "/v1/node")["log"]?["failure"]?.stringValue
            return failure != nil
        }
        #expect(isStopped && failure?.contains("old copy") == true, "\(failure ?? "no failure")")
        let last = try federation.finish(federation.startRun())
        #expect(last["status"]?.stringValue == "failed")
        #expect((last["rounds"]?.arrayValue ?? []).allSatisfy { !($0["participants"]?.arrayValue ?? []).contains("va") })
    }

    /// The site's process dies around its writes of a run: what left was charged, and what was charged stays.
    @Test func aSiteKilledBetweenItsRecordsHasPaidForWhatLeft() throws {
        let isLong = unsafe getenv("CONSILIUM_LONG") != nil
        let federation = try TestFederation(rounds: 1, epsilon: 0.1)
        try federation.agree()
        func charges() throws -> Int { try status(federation, "va")["accounts"]?.arrayValue?.first?["studies"]?.arrayValue?.first?["charges"]?.intValue ?? 0 }
        var (known, died, tried, number) = (try charges(), 0, 0, 1)
        search: while number < 200 {
            for moment in KillShim.Moment.allCases {
                let arm = federation.scratch.fresh("arm")
                guard let variables = try KillShim.variables(write: number, moment, port: federation.federationPort(), arm: arm, in: federation.scratch) else { return }
                federation.stopNode("va")
                try federation.startNode("va", variables: variables)
                #expect(try connected(federation, "va"))
                try DurableFile.writeAtomically([], to: arm)
                let run = try federation.finish(federation.startRun())
                let isDead = !(federation.nodes["va"]?.isRunning ?? false)
                tried += 1
                died += isDead ? 1 : 0
                // It may still die of a later write: it is asked as a new process.
                federation.stopNode("va")
                try federation.startNode("va")
                let what: Comment = "\(moment.rawValue) write \(number): \(run["reason"]?.stringValue ?? "")"
                #expect(run["status"]?.stringValue == "released", what)
                let training = (run["rounds"]?.arrayValue ?? []).filter { $0["kind"]?.stringValue == "training" }
                let took = training.contains { ($0["participants"]?.arrayValue ?? []).contains("va") }
                let now = try charges()
                #expect(now >= known + (took ? 1 : 0) && now <= known + training.count, what)
                known = now
                if !isDead, moment == .before { break search }
            }
            number += isLong ? 1 : 9
        }
        print("a site killed between its ledger's records: \(tried) runs, it died in \(died), \(known) charges")
        #expect(died > 0 && number < 200)
        federation.stop()
        #expect(try federation.verify("va").code == 0)
    }
}
