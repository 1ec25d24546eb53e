// The rows that a node brings to a study, split once per run.

import Cryptography
import Study
import Tabular

/// The validated rows of a site for one plan.
package struct SiteDataset: Sendable {
    /// Rows that train.
    package var train: Table
    /// Rows that judge; never trained on.
    package var heldOut: Table
    /// Fingerprint of the source's rows, without those that serving gathered; what a consent names.
    package var sourceFingerprint: Digest
    /// Rows that came back from serving with an outcome.
    package var feedbackRows: Int
    /// What the source's rows are like.
    package var quality: QualityReport
    /// Rows of the source that were refused.
    package var quarantined: Int

    package init(
        train: Table, heldOut: Table, sourceFingerprint: Digest, feedbackRows: Int, quality: QualityReport, quarantined: Int
    ) {
        self.train = train
        self.heldOut = heldOut
        self.sourceFingerprint = sourceFingerprint
        self.feedbackRows = feedbackRows
        self.quality = quality
        self.quarantined = quarantined
    }
}

/// A row that serving gathered, with what turned out to be true.
package struct FedBackRow: Sendable {
    /// Its features, by the plan's schema.
    package var row: ValidRow
    /// The outcome.
    package var positive: Bool
    /// Whom it is about, when the caller said.
    package var subject: [UInt8]?

    /// - Parameters: see the properties.
    package init(row: ValidRow, positive: Bool, subject: [UInt8]? = nil) {
        (self.row, self.positive, self.subject) = (row, positive, subject)
    }
}

/// Where a node's core gets rows from. The shell reads files and commands; a simulation holds tables.
package protocol SiteData: AnyObject, Sendable {
    /// Loads and splits the rows for a plan.
    ///
    /// - Parameter includingFeedback: also the rows that serving gathered, if the consent allows.
    /// - Throws: `NodeError.data` in words for the site's data owner.
    func dataset(for plan: Plan, includingFeedback: Bool) throws -> SiteDataset
}

extension SitePolicy {
    /// Holds a dataset against the policy.
    func check(_ dataset: SiteDataset) throws(NodeError) {
        guard dataset.train.rowCount >= rowsMin else {
            throw .refused(
                code: "policy.rows", "this site has fewer training rows than its own policy wants (rowsMin \(rowsMin))")
        }
    }
}

extension SiteDataset {
    /// Splits validated rows by the plan's rule.
    ///
    /// - Parameters:
    ///   - source: the rows of the site's data source.
    ///   - feedback: rows that serving gathered. Where a person is the unit of privacy, those that name nobody are left out.
    ///   - splitKey: the site's secret key of the keyed hash.
    /// - Throws: `NodeError.data` when the rule does not fit the site or its rows.
    package init(
        source: Dataset, feedback: [FedBackRow], plan: Plan, site: String, splitKey: [UInt8]
    ) throws {
        var table = source.table
        let needsSubject = plan.privacy.guarantee?.unit == .subject
        let usable = feedback.filter { !needsSubject || !($0.subject ?? []).isEmpty }
        for item in usable {
            table.append(item.row, label: item.positive, subject: plan.schema.subjectColumn == nil ? nil : item.subject)
        }
        let rows: SplitRows
        do {
            rows = try table.split(SiteDataset.rule(plan.split, site: site, splitKey: splitKey))
        } catch let error as TabularError {
            throw NodeError.data("the rows cannot be split: \(error)")
        }
        self.init(
            train: table.subset(rows.train), heldOut: table.subset(rows.test),
            sourceFingerprint: source.table.fingerprint, feedbackRows: usable.count, quality: source.report,
            quarantined: source.quarantine.count)
    }

    private static func rule(_ split: SplitPlan, site: String, splitKey: [UInt8]) throws -> Split {
        switch split {
        case .keyedHash(let share):
            return .keyedHash(key: splitKey, testShare: share)
        case .rowNumberRule(let keys, let number):
            guard let key = keys[site] else { throw NodeError.data("the plan's split names no dataset key for this site") }
            return .rowNumberRule(datasetKey: key, split: number)
        case .rowLists(let lists):
            guard let list = lists[site] else { throw NodeError.data("the plan's split lists no rows for this site") }
            return .rowLists(train: list.train, test: list.heldOut)
        }
    }
}
