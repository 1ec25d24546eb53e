// Scenarios in one process: benchmarks of what a federation learns, with the full secure aggregation.

import Codec
import Coordinator
import Cryptography
import SiteNode
import Storage
import Study
import Tabular
import Telemetry

/// Runs a scenario's federation in memory.
package struct MemoryScenario {
    package let scenario: Scenario
    package let plan: Plan
    package let dataDirectory: String?

    /// - Parameter dataDirectory: where real files are looked for.
    package init(_ scenario: Scenario, dataDirectory: String?) throws {
        self.scenario = scenario
        plan = try scenario.plan()
        self.dataDirectory = dataDirectory
    }

    /// The result of one split.
    package struct Outcome: Sendable {
        package var split: Int?
        package var run: RunHistory
    }

    /// All splits of the scenario, one federation each.
    ///
    /// - Throws: `ScenarioError` when a run fails.
    package func run(orderSeed: UInt64? = nil) throws -> (source: ScenarioData.Source, outcomes: [Outcome]) {
        var outcomes: [Outcome] = []
        var source = ScenarioData.Source.files
        for split in scenario.splits.isEmpty ? [nil] : scenario.splits.map(Optional.some) {
            var plan = plan
            if let split, case .rowNumberRule(let keys, _) = plan.split { plan.split = .rowNumberRule(datasetKeys: keys, split: split) }
            var scenario = scenario
            if let split { scenario.partition?.split = split }
            let data = try ScenarioData(scenario, plan: plan, directory: dataDirectory)
            source = data.source
            outcomes.append(Outcome(split: split, run: try run(data, split: split, orderSeed: orderSeed ?? scenario.seed)))
        }
        return (source, outcomes)
    }

    private func run(_ data: ScenarioData, split: Int?, orderSeed: UInt64) throws -> RunHistory {
        let sites = scenario.siteNames.map { name -> (name: String, data: any SiteData) in
            let rows = data.rows[name] ?? []
            // Read once; every run of the federation sees the same rows.
            let cache = Locked<SiteDataset?>(nil)
            let key = SHA256.hash(Array("split/\(scenario.seed)/\(name)".utf8)).bytes
            return (
                name,
                MemorySiteData(site: name) { plan, site in
                    if let known = cache.withLock({ $0 }) { return known }
                    let source = try Ingest.read(csv: rows, schema: plan.schema)
                    let made = try SiteDataset(source: source, feedback: [], plan: plan, site: site, splitKey: key)
                    cache.withLock { $0 = made }
                    return made
                }
            )
        }
        let federation = try MemoryFederation(name: scenario.federation, sites: sites, seed: scenario.seed, orderSeed: orderSeed)
        try federation.agree(on: data.plan)
        let secure = data.plan.roundsPerRun
        let title = split.map { "\(scenario.title), split \($0)" } ?? scenario.title
        let progress = Progress(title, total: secure, unit: "rounds")
        let run = try federation.run(study: data.plan.study) { history in
            let done = history.rounds.count { $0.ended != nil && $0.abortCode == nil }
            progress.update(done, note: history.rounds.last { $0.loss != nil }.map { "loss \(decimal($0.loss ?? 0, places: 4))" } ?? "")
        }
        guard run.status == .released || run.status == .gatesMissed else {
            throw ScenarioError.failed(step: "run", run.reason ?? "the run ended without a model")
        }
        progress.finish(note: run.metrics["auc"].map { "AUC \(decimal($0, places: 4))" } ?? "")
        return run
    }
}
