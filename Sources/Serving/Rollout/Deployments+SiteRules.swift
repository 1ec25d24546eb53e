// A version without a plan, held against the site's own rules on rows that come as a file.

import Codec
import Cryptography
import Models
import Study
import Tabular

extension Deployments {
    /// Proposes other rules, or puts them in force where nobody has to agree.
    package func propose(_ rules: SiteRules, by actor: Actor) throws(ServingError) {
        try changes.withLock { () throws(ServingError) in try change(.rulesProposed(rules), by: actor) }
    }

    /// A person's yes to proposed rules.
    package func confirmRules(_ digest: Digest, by actor: Actor) throws(ServingError) {
        try changes.withLock { () throws(ServingError) in try change(.rulesConfirmed(digest), by: actor) }
    }

    /// Measures a version on labelled rows and notes the result, held against the site's rules.
    /// - Parameter csv: a file with a header line that names the features' columns and the label's.
    /// - Throws: `ServingError.gates` for a version that a plan governs, another file than the rules name, rows that do not fit.
    package func evaluate(_ digest: Digest, csv: [UInt8], by actor: Actor) throws(ServingError) {
        let state = current
        guard let version = state.versions[digest] else { throw .unknownVersion }
        guard version.rules.plan == nil else {
            throw .gates(problem: "a plan governs this version: it is measured on the rows that the plan says (node evaluate without --rows)")
        }
        let file = SHA256.hash(csv)
        if let wanted = state.siteRules?.heldOut, wanted != file {
            throw .gates(problem: "this is not the file that the site's rules name (heldOut)")
        }
        let model = try load(digest)
        let rows = try Self.rows(csv, model.package.schema)
        let counts = try model.histogram(rows)
        var beside: [String: Double]?
        if let live = live.models[version.model], live.package.digest != digest {
            beside = live.package.schema.features == model.package.schema.features ? try live.histogram(rows).metrics.named : [:]
        }
        let evaluation = Evaluation(
            metrics: counts.metrics.named, findings: state.siteRules?.deployment.accept(counts, live: beside) ?? [], heldOut: file, time: clock.now())
        try note(evaluation, of: digest, by: actor)
    }

    private static func rows(_ csv: [UInt8], _ schema: Schema) throws(ServingError) -> Table {
        var schema = schema
        (schema.hasHeader, schema.columns, schema.otherColumns) = (true, [], .ignore)
        do {
            let dataset = try Ingest.read(csv: csv, schema: schema, lenient: true)
            guard dataset.quarantine.count == 0, dataset.table.rowCount > 0 else {
                let problem = dataset.quarantine.count > 0 ? "\(dataset.quarantine.count) rows do not fit: \(dataset.quarantine.summary)" : "there are none"
                throw ServingError.gates(problem: "a version is measured on rows that all fit its schema; \(problem)")
            }
            return dataset.table
        } catch let error as ServingError {
            throw error
        } catch {
            throw .gates(problem: "the rows cannot be read: \(error)")
        }
    }
}

extension DeployedModel {
    /// Bins of the histogram: fine enough that the ranks of a thousand rows are kept.
    private static let bins = 1000
    private static let thresholdMin = 1e-9

    /// What labelled rows say of the version as it serves here, by groups of sensitive features too.
    func histogram(_ rows: Table) throws(ServingError) -> EvaluationHistogram {
        let groups = package.schema.features.enumerated().flatMap { index, feature -> [(name: String, feature: Int, category: Int)] in
            guard feature.sensitive, let codes = feature.codes else { return [] }
            return codes.enumerated().map { ("\(feature.name)=\($0.element)", index, $0.offset) }
        }
        do {
            // A layout has no threshold of 0 or 1, which a site may set: every row and no row is positive then.
            let layout = try EvaluationLayout(
                bins: Self.bins, threshold: min(max(threshold, Self.thresholdMin), 1 - Self.thresholdMin), groups: groups.map(\.name))
            return try EvaluationHistogram(
                layout: layout, scores: (0..<rows.rowCount).map { Float(score(rows.row($0).values).probability) }, labels: rows.labels,
                groups: groups.map { group in rows.columns[group.feature].map { $0 == Double(group.category) } })
        } catch {
            throw .gates(problem: "the rows cannot be counted: \(error)")
        }
    }
}
