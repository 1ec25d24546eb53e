// A whole federation in one process, from one seed.

import Codec
import Coordinator
import Cryptography
import SiteNode
import Study
import Tabular
import Testing

@testable import Simulation

/// Root of the checkout, from this file's place.
let packageRoot = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

/// The four hospitals with stand-in rows and a short plan.
struct StandInFederation {
    var rounds = 3
    var seed: UInt64 = 7
    var orderSeed: UInt64 = 1
    var faults = MemoryFederation.Faults()

    func make() throws -> (federation: MemoryFederation, plan: Plan) {
        let scenario = try Scenario(path: packageRoot + "/scenarios/four-hospitals.json5")
        var plan = try MemoryScenario(scenario, dataDirectory: nil).plan
        plan.training.rounds = rounds
        plan.evaluation.everyRounds = 0
        let sites = StandInHospitals.sites.map { name -> (name: String, data: any SiteData) in
            let csv = Array((StandInHospitals.file(for: name, seed: 11) ?? "").utf8)
            return (
                name,
                MemorySiteData(site: name) { plan, site in
                    try SiteDataset(
                        source: Ingest.read(csv: csv, schema: plan.schema), feedback: [], plan: plan, site: site, splitKey: Array(site.utf8))
                }
            )
        }
        let federation = try MemoryFederation(name: "test", sites: sites, seed: seed, orderSeed: orderSeed, faults: faults)
        try federation.agree(on: plan)
        return (federation, plan)
    }
}

@Suite struct WholeFederationTests {
    @Test func fourHospitalsTrainOneModelAndEachInstallsIt() throws {
        let (federation, plan) = try StandInFederation(rounds: 8).make()
        let run = try federation.run(study: plan.study)
        #expect(run.status == .released, "\(run.reason ?? "")")
        #expect(run.version == 1)
        #expect((run.metrics["auc"] ?? 0) > 0.8)
        #expect(run.rounds.allSatisfy { $0.participants.count == 4 })
        #expect(federation.installed.count == 4)
        let digests = Set(federation.installed.values.flatMap { $0.map(\.package.digest) })
        #expect(digests.count == 1)
    }

    @Test func sameSeedGivesTheSameModelInAnyOrderOfArrival() throws {
        var digests: Set<String> = []
        for order in 1...4 {
            let (federation, plan) = try StandInFederation(orderSeed: UInt64(order)).make()
            _ = try federation.run(study: plan.study)
            for entry in federation.entries where entry.type == .roundStart {
                if entry.details["kind"] == "evaluation" { digests.insert(entry.details["model"]?.stringValue ?? "") }
            }
        }
        #expect(digests.count == 1)
    }

    @Test(arguments: Array(0...18)) func aSiteThatDiesAtAnyMessageDoesNotStopTheOthers(messages: Int) throws {
        var setup = StandInFederation(rounds: 1)
        setup.faults.dies = ["switzerland": messages + 2]
        let (federation, plan) = try setup.make()
        let run = try federation.run(study: plan.study)
        #expect(run.status != .running)
        #expect(run.status == .released || run.status == .gatesMissed, "\(run.reason ?? "")")
        let last = try #require(run.rounds.last)
        #expect(last.participants.count >= 3)
    }

    @Test func twoDeadSitesOfFourEndTheRunCleanly() throws {
        var setup = StandInFederation(rounds: 2)
        setup.faults.dies = ["switzerland": 4, "va": 4]
        let (federation, plan) = try setup.make()
        let run = try federation.run(study: plan.study)
        #expect(run.status == .failed)
        #expect(federation.installed.isEmpty)
    }

    @Test func aSecondRunStartsAfterAFailedOne() throws {
        let (federation, plan) = try StandInFederation(rounds: 2).make()
        let first = try federation.run(study: plan.study)
        let second = try federation.run(study: plan.study)
        #expect(first.identifier != second.identifier)
        #expect(second.status == first.status)
    }
}
