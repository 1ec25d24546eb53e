// The rows of a real site: its configured file or command, and what serving gathered.

import Cryptography
import Serving
import Study
import Tabular

/// Reads a study's rows afresh each time it is asked: once per run, per consent and per check.
final class FileSiteData: SiteData {
    private let directory: NodeDirectory
    private let feedback: @Sendable (Plan) throws -> [FedBackRow]

    init(_ directory: NodeDirectory, feedback: @escaping @Sendable (Plan) throws -> [FedBackRow]) {
        self.directory = directory
        self.feedback = feedback
    }

    func dataset(for plan: Plan, includingFeedback: Bool) throws -> SiteDataset {
        let source = try read(plan, lenient: false)
        return try SiteDataset(
            source: source, feedback: includingFeedback ? feedback(plan) : [], plan: plan, site: directory.configuration.site,
            splitKey: directory.splitKey)
    }

    /// Reads and validates; a lenient read reports even what training would refuse.
    func read(_ plan: Plan, lenient: Bool) throws -> Dataset {
        guard let source = directory.configuration.source(for: plan.study) else {
            throw NodeError.data(
                "no data source is configured for study \(plan.study): add it under `data` in \(directory.path)/config.json5")
        }
        do {
            return try Ingest.read(source, schema: plan.schema, lenient: lenient)
        } catch {
            throw NodeError.data("the rows of study \(plan.study) cannot be used: \(error)")
        }
    }
}
