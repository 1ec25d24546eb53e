// A verified package made ready to answer: name tables, rules, predictor, and the fixed parts of answers as bytes.

import AuditLog
import Codec
import Cryptography
import Glibc
import ModelPackage
import Models
import Tabular

/// One version as it serves. Immutable and shared by all threads; a switch replaces the reference.
package final class DeployedModel: Sendable {
    package let package: VerifiedPackage
    /// The site's own intercept, part of every score; 0 where the family has none.
    package let intercept: Double
    /// Probability from which a row is of the positive class: the site's, else the package's.
    package let threshold: Double
    /// Probabilities at which a person should decide, if there is such a band.
    let abstain: ClosedRange<Double>?
    /// How scores become calibrated probabilities, if that is known.
    let calibration: PackageManifest.Calibration?
    let rules: RowRules
    /// What the package says, at hand: its own accessors copy whole schemas.
    let name: String
    let version: Int
    let digest: Digest
    private let preprocessor: Preprocessor
    private let predictor: Predictor
    private let background: [Float]
    /// What `flags` looks at, in column order.
    let flagRules: [FlagRule]

    /// Feature names as JSON strings, in schema order.
    let quotedNames: [[UInt8]]
    /// `{"model":…,"predictions":[`
    let answerHead: [UInt8]
    /// `{"model_name":…,"model_version":…`
    let inferHead: [UInt8]
    /// `"digest":…,"version":…,"threshold":…`
    let inferParameters: [UInt8]
    /// The words for the two classes as JSON strings.
    let positiveClass: [UInt8]
    let negativeClass: [UInt8]
    /// The same without quotes.
    let positiveText: [UInt8]
    let negativeText: [UInt8]
    /// The package digest in hex.
    let digestHex: String
    /// What was set when a row was decided: SHA-256 over the canonical JSON of threshold, abstain band, calibration, site
    /// intercept and preprocessing.
    package let configurationDigest: Digest
    let configurationHex: String
    /// What requests that the live version answers without a pipeline have in common.
    let liveContext: DecisionContext
    /// How the details of their log entries begin.
    private let liveDetails: EntryDetails

    /// - Throws: `ModelsError` when the parameters do not fit the family, which verification excludes, or the
    ///   intercept is not finite.
    package init(_ package: VerifiedPackage, _ settings: SiteSettings = SiteSettings()) throws(ModelsError) {
        self.package = package
        threshold = settings.threshold ?? package.threshold
        abstain = settings.abstain ?? package.manifest.thresholds.abstain
        calibration = settings.calibration ?? package.manifest.calibration
        let intercept = package.family.perSiteIntercept ? Float(settings.intercept) : 0
        self.intercept = Double(intercept)
        (name, version, digest) = (package.name, package.version, package.digest)
        preprocessor = package.preprocessor
        flagRules = Self.flagRules(package.manifest)
        rules = RowRules(package.schema)
        predictor = try Predictor(
            package.parameters, family: package.family, localIntercept: intercept)
        background = package.manifest.background
        quotedNames = package.schema.features.map { JSONBody.quoted($0.name) }
        negativeText = Array(package.manifest.classes[0].utf8)
        positiveText = Array(package.manifest.classes[1].utf8)
        negativeClass = JSONBody.quoted(package.manifest.classes[0])
        positiveClass = JSONBody.quoted(package.manifest.classes[1])
        digestHex = package.digest.hex
        configurationDigest = Self.configurationDigest(
            package.preprocessor, .init(decision: threshold, abstain: abstain), calibration, intercept: self.intercept)
        configurationHex = configurationDigest.hex
        liveDetails = Self.details(arm: DeploymentArm.live.name, configuration: configurationHex)
        liveContext = DecisionContext(digest: digest, configuration: configurationDigest, intercept: self.intercept)
        var head = JSONBody(reserving: 256)
        head.raw("{\"model\":")
        head.string(package.name)
        head.raw(",\"version\":")
        head.number(package.version)
        head.raw(",\"digest\":")
        head.string(digestHex)
        head.raw(",\"threshold\":")
        head.number(threshold)
        head.raw(",\"predictions\":[")
        answerHead = head.bytes
        var inferHead = JSONBody(reserving: 128)
        inferHead.raw("{\"model_name\":")
        inferHead.string(package.name)
        inferHead.raw(",\"model_version\":")
        inferHead.string(String(package.version))
        self.inferHead = inferHead.bytes
        var parameters = JSONBody(reserving: 128)
        parameters.raw("\"digest\":")
        parameters.string(digestHex)
        parameters.raw(",\"version\":")
        parameters.number(package.version)
        parameters.raw(",\"threshold\":")
        parameters.number(threshold)
        inferParameters = parameters.bytes
    }

    /// The first details of the entry of a decision.
    func details(_ context: DecisionContext) -> EntryDetails {
        context === liveContext ? liveDetails.copy : Self.details(arm: context.arm.name, configuration: configurationHex)
    }

    private static func details(arm: String, configuration: String) -> EntryDetails {
        var details = EntryDetails()
        details.add("arm", arm)
        details.add("configuration", configuration)
        return details
    }

    private static func configurationDigest(
        _ preprocessor: Preprocessor, _ thresholds: PackageManifest.Thresholds, _ calibration: PackageManifest.Calibration?,
        intercept: Double
    ) -> Digest {
        let members: [String: JSONValue] = [
            "calibration": calibration.map {
                ["intercept": .number($0.intercept), "slope": .number($0.slope)]
            } ?? .null,
            "intercept": .number(intercept), "preprocessor": preprocessor.json,
            "thresholds": thresholds.json,
        ]
        return SHA256.hash(JSONValue.object(members).canonicalBytes())
    }

    /// What the model says of one valid row.
    struct Score: Equatable {
        /// Log-odds, the site's intercept included.
        var score: Double
        var probability: Double
        var positive: Bool
    }

    /// Scores a valid row's values. About a microsecond for tabular models.
    func score(_ values: [Double]) -> Score {
        guard let logOdds = try? predictor.logOdds(inputs(values)) else {
            preconditionFailure("a row of another width than the model's")
        }
        return score(logOdds: logOdds)
    }

    /// Scores valid rows' values, one row after another; each exactly as alone.
    func scores(_ values: [Double]) -> [Score] {
        guard let logOdds = try? predictor.logOdds(rows: preprocessor.transform(rows: values)) else {
            preconditionFailure("rows of another width than the model's")
        }
        return logOdds.map(score(logOdds:))
    }

    private func score(logOdds: Float) -> Score {
        let score = Double(logOdds)
        let probability = 1 / (1 + exp(-score))
        return Score(score: score, probability: probability, positive: probability >= threshold)
    }

    /// Explains a valid row: contributions of a feature's columns are added up to the feature's one value.
    package func explain(_ values: [Double]) -> Explanation {
        guard let found = try? predictor.contributions(inputs(values), background: background)
        else {
            preconditionFailure("a row or background of another width than the model's")
        }
        var contributions = [Double](repeating: 0, count: package.schema.features.count)
        for (column, value) in zip(package.preprocessor.columns, found.values) {
            contributions[column.feature] += Double(value)
        }
        let base = Double(found.baseValue)
        let residual = Double(found.logOdds) - contributions.reduce(base, +)
        return Explanation(base: base, contributions: contributions, residual: residual)
    }

    /// Whether a probability lies in the abstain band.
    func abstains(_ probability: Double) -> Bool { abstain?.contains(probability) ?? false }

    /// The calibrated probability of a score, when there is a calibration.
    func calibrated(_ score: Double) -> Double? {
        calibration.map { 1 / (1 + exp(-($0.slope * score + $0.intercept))) }
    }

    private func inputs(_ values: [Double]) -> [Float] {
        var row = [Float](repeating: 0, count: preprocessor.columnCount)
        var output = row.mutableSpan
        preprocessor.transform(values.span, into: &output)
        return row
    }
}

extension DeployedModel {
    /// Metrics over labelled rows of this site, by name: `auc`, `accuracy`, `logLoss`, `brier`, `rows`. What cannot be
    /// computed (one class only, say) is absent.
    /// - Throws: `ServingError.deployment` when the table is of another schema, is empty or has rows without a label.
    package func evaluate(_ table: Table) throws(ServingError) -> [String: Double] {
        guard table.schema.features == package.schema.features else {
            throw .deployment(
                problem:
                    "the held-out rows have another schema than the version; check them against its schema"
            )
        }
        guard table.rowCount > 0, table.labels.allSatisfy({ !$0.isNaN }) else {
            throw .deployment(problem: "there are no labelled held-out rows to evaluate on")
        }
        var scores: [Float] = []
        for row in 0..<table.rowCount {
            scores.append(Float(score(table.row(row).values).probability))
        }
        var metrics: [String: Double] = ["rows": Double(table.rowCount)]
        metrics["auc"] = Metrics.auc(scores, table.labels)
        metrics["accuracy"] = Metrics.accuracy(scores, table.labels, threshold: threshold)
        metrics["logLoss"] = Metrics.logLoss(scores, table.labels)
        metrics["brier"] = Metrics.brier(scores, table.labels)
        return metrics
    }
}
