import SiteNode
import Study
import Tabular
import Testing

@testable import Simulation

/// What noise costs on stand-in rows: little where there is little noise, everything where there is too much.
@Suite struct PrivacyRehearsalTests {
    private func plan(_ name: String) throws -> Plan { try Scenario(path: packageRoot + "/scenarios/benchmarks/" + name + ".json5").plan() }

    @Test(arguments: [("heart-private-3", 5000.0), ("taiwan-logistic-distributed-1", 400.0)]) func noiseCosts(name: String, much: Double) throws {
        var plan = try plan(name)
        plan.training.rounds = min(plan.training.rounds, 8)
        let rows = name.hasPrefix("heart") ? nil : StandInRows.table(plan.schema, rows: 1200, random: .init(seed: 5))
        let rehearsal = try PrivacyRehearsal(plan, publicRows: rows, seed: 3)
        let (quiet, loud) = (try rehearsal.auc(noiseMultiplier: nil), try rehearsal.auc(noiseMultiplier: much))
        #expect(quiet > 0.65 && loud < quiet - 0.05, "\(quiet) \(loud)")
        #expect(try rehearsal.auc(noiseMultiplier: nil) == quiet, "same seed, same figure")
        #expect(rehearsal.isSynthetic == (rows == nil))
    }

    @Test func publicRowsAreUsedWhereThereAreAny() throws {
        let plan = try plan("heart-private-3")
        let rows = StandInRows.table(plan.schema, rows: 400, random: .init(seed: 4))
        #expect(rows.rowCount == 400 && rows.positiveCount > 100 && rows.positiveCount < 300)
        let rehearsal = try PrivacyRehearsal(plan, publicRows: rows, seed: 3)
        #expect(!rehearsal.isSynthetic && rehearsal.rows == 400)
        #expect(try rehearsal.auc(noiseMultiplier: 1) > 0.6)
    }

    @Test func aPlanWithoutAGuaranteeHasNothingToRehearse() throws {
        var plan = try plan("heart-private-3")
        plan.privacy.guarantee = nil
        #expect(throws: ScenarioError.self) { try PrivacyRehearsal(plan, publicRows: nil, seed: 1) }
    }
}
