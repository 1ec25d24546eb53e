// A whole federation in one process, from one seed.

import Codec
import Coordinator
import Cryptography
import Models
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
    var calibrates = false

    func make() throws -> (federation: MemoryFederation, plan: Plan) {
        let scenario = try Scenario(path: packageRoot + "/scenarios/four-hospitals.json5")
        var plan = try MemoryScenario(scenario, dataDirectory: nil).plan
        plan.training.rounds = rounds
        plan.evaluation.everyRounds = 0
        plan.evaluation.calibrates = calibrates
        let sites = StandInHospitals.sites.map { name -> (name: String, data: any SiteData) in
            (name, MemorySiteData(site: name) { plan, site in try Self.dataset(plan, site) })
        }
        let federation = try MemoryFederation(name: "test", sites: sites, seed: seed, orderSeed: orderSeed, faults: faults)
        try federation.agree(on: plan)
        return (federation, plan)
    }

    /// The stand-in rows of a site.
    static func dataset(_ plan: Plan, _ site: String) throws -> SiteDataset {
        let csv = Array((StandInHospitals.file(for: site, seed: 11) ?? "").utf8)
        return try SiteDataset(source: Ingest.read(csv: csv, schema: plan.schema), feedback: [], plan: plan, site: site, splitKey: Array(site.utf8))
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

    /// Nobody sees a site's rows, and yet the two numbers are those of all held-out rows together.
    @Test func aPlanThatCalibratesReleasesWhatAllHeldOutRowsSayTogether() throws {
        var setup = StandInFederation(rounds: 8)
        setup.calibrates = true
        let (federation, plan) = try setup.make()
        let run = try federation.run(study: plan.study)
        #expect(run.status == .released, "\(run.reason ?? "")")
        let package = try #require(federation.installed.values.first?.first?.package)
        let calibration = try #require(package.manifest.calibration)
        #expect(federation.installed.values.allSatisfy { $0.map(\.package.digest) == [package.digest] })
        let histograms = try StandInHospitals.sites.map { site in
            try LocalWork(plan: plan, site: site, dataset: StandInFederation.dataset(plan, site))
                .histogram(plan.evaluationLayout(), package.preprocessor, package.parameters)
        }
        let pooled = try #require(histograms.dropFirst().reduce(histograms[0]) { $0 + $1 }.calibration)
        #expect(abs(calibration.slope - pooled.slope) < 0.01 && abs(calibration.intercept - pooled.intercept) < 0.01, "\(calibration) \(pooled)")
        // Without the word in the plan there is none.
        let (plain, other) = try StandInFederation(rounds: 1).make()
        _ = try plain.run(study: other.study)
        #expect(plain.installed.values.flatMap { $0 }.allSatisfy { $0.package.manifest.calibration == nil })
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
