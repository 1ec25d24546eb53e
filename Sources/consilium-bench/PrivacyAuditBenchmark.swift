import Simulation
import Study
import Telemetry

/// Membership inference by canary on the whole pipeline. `consilium-bench privacy-audit [RUNS [SEED]]`; built with
/// `-Xswiftc -DCONSILIUM_NO_NOISE_AUDIT` it shows what the audit finds where noise is missing.
enum PrivacyAuditBenchmark {
    static func run(_ arguments: [String]) throws {
        let runs = arguments.first.flatMap { Int($0) } ?? 1000
        let seed = arguments.dropFirst().first.flatMap { UInt64($0) } ?? 1
        guard (8...100_000).contains(runs), arguments.count <= 2 else {
            throw ScenarioError.unusable("consilium-bench privacy-audit [RUNS [SEED]]: 8 to 100,000 runs")
        }
        let progress = Progress("Audit", total: runs, unit: "runs")
        let finding = try PrivacyAudit(runs: runs, seed: seed).run { progress.update($0) }
        progress.finish()
        print("\(runs) runs, seed \(seed), \(build)")
        print("recognised with the canary \(finding.recognised.with), without it \(finding.recognised.without), of \(finding.judged / 2) each")
        print("epsilon reported \(decimal(finding.reported, places: 3)), shown at least \(decimal(finding.lowerBound, places: 3)) with 95 % confidence")
        if let problem = problem(finding) { throw ScenarioError.failed(step: "audit", problem) }
    }

    #if CONSILIUM_NO_NOISE_AUDIT
        private static let build = "NOISE TAKEN OUT by the build"

        private static func problem(_ finding: PrivacyAudit.Finding) -> String? {
            finding.lowerBound > finding.reported ? nil : "the audit does not see that noise is missing"
        }
    #else
        private static let build = "noise as promised"

        private static func problem(_ finding: PrivacyAudit.Finding) -> String? {
            finding.lowerBound > finding.reported ? "the canary shows more than the plan reports" : nil
        }
    #endif
}
