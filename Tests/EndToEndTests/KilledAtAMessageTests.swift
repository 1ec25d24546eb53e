// A site's process dies before, during or after each of its messages of a run: the run completes with the others, or
// ends cleanly where they are too few. `CONSILIUM_LONG=1` tries every write; the short form every eleventh.

import Codec
import Glibc
import Simulation
import Storage
import Testing

@Suite(.serialized, .enabled(if: Program.isThere)) struct KilledAtAMessageTests {
    private let isLong = unsafe getenv("CONSILIUM_LONG") != nil

    /// Runs the plan while the site's process dies at its `number`-th write.
    ///
    /// - Returns: the run, and whether the process died; nil when the tools are not there.
    private func trial(_ federation: TestFederation, _ site: String, _ number: Int, _ moment: KillShim.Moment) throws -> (run: JSONValue, died: Bool)? {
        let arm = federation.scratch.fresh("arm")
        guard let variables = try KillShim.variables(write: number, moment, port: federation.federationPort(), arm: arm, in: federation.scratch) else { return nil }
        federation.stopNode(site)
        try federation.startNode(site, variables: variables)
        let node = try federation.operators(at: site)
        #expect(try holds(within: 10) { try node.call("GET", "/v1/node")["coordinator"]?.stringValue == "connected" })
        try DurableFile.writeAtomically([], to: arm)
        let run = try federation.finish(federation.startRun())
        return (run, !(federation.nodes[site]?.isRunning ?? false))
    }

    private func participants(_ round: JSONValue) -> Int { round["participants"]?.arrayValue?.count ?? 0 }

    @Test func theRunCompletesWithTheOthers() throws {
        let federation = try TestFederation(rounds: 1)
        try federation.agree()
        var (tried, died, number) = (0, 0, 1)
        search: while true {
            for moment in KillShim.Moment.allCases {
                guard let result = try trial(federation, "va", number, moment) else { return }
                tried += 1
                let what: Comment = "\(moment.rawValue) write \(number): \(result.run["reason"]?.stringValue ?? "")"
                #expect(result.run["status"]?.stringValue == "released", what)
                let completed = (result.run["rounds"]?.arrayValue ?? []).filter { $0["ended"] != .null && $0["abort"] == .null }
                #expect(completed.count == 3 && completed.allSatisfy { participants($0) >= 3 }, what)
                if result.died { died += 1 } else if moment == .before { break search }
            }
            number += isLong ? 1 : 11
            #expect(number < 200, "the process never lives through a run")
            if number >= 200 { break }
        }
        print("a site killed at its messages: \(tried) runs, it died in \(died)")
        #expect(died > 0)
        federation.stop()
        for party in ["coordinator"] + federation.names { #expect(try federation.verify(party).code == 0) }
    }

    @Test func withTooFewOthersTheRunEndsAndTheNextOneWorks() throws {
        let federation = try TestFederation(sites: Array(StandInHospitals.sites.prefix(3)), rounds: 1)
        try federation.agree()
        for (number, moment) in [(2, .before), (4, .during), (6, .after)] as [(Int, KillShim.Moment)] {
            guard let result = try trial(federation, "switzerland", number, moment) else { return }
            #expect(result.died)
            // Three sites tolerate no loss after the shares are out, and three are the least.
            let status = result.run["status"]?.stringValue
            #expect(status == "failed" && result.run["reason"]?.stringValue?.isEmpty == false, "\(number): \(status ?? "")")
        }
        federation.stopNode("switzerland")
        try federation.startNode("switzerland")
        let node = try federation.operators(at: "switzerland")
        #expect(try holds(within: 10) { try node.call("GET", "/v1/node")["coordinator"]?.stringValue == "connected" })
        #expect(try federation.finish(federation.startRun())["status"]?.stringValue == "released")
    }
}
