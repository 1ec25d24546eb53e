import Cryptography
import Models
import Tabular

@testable import ModelPackage

/// A small but complete version of a model, and the key that signs it.
enum Fixture {
    static let key = SigningKey.generate(random: SeededRandom(seed: 7))
    static let otherKey = SigningKey.generate(random: SeededRandom(seed: 8))

    static let schema = Schema(
        features: [
            Feature(name: "age", kind: .numeric(unit: "year", range: 0...120, integer: true)),
            Feature(
                name: "chol", kind: .numeric(unit: "mg/dl", range: 50...700, integer: false),
                missing: .imputeWithIndicator, missingCodes: ["0"]),
            Feature(name: "sex", kind: .binary(zero: "female", one: "male")),
            Feature(
                name: "cp", kind: .categorical(categories: ["1", "2", "3", "4"], dropFirst: false),
                missing: .impute),
        ],
        label: Label(column: "num", positive: .greaterThan(0)))

    static let statistics = GlobalStatistics(
        rowCount: 100,
        features: [
            FeatureStatistics(mean: 55, variance: 81, missingShare: 0),
            FeatureStatistics(mean: 240, variance: 2500, missingShare: 0.2),
            FeatureStatistics(mean: 0, variance: 1, missingShare: 0, categoryShares: [0.3, 0.7]),
            FeatureStatistics(
                mean: 0, variance: 1, missingShare: 0.1, categoryShares: [0.1, 0.2, 0.2, 0.4]),
        ],
        labelShare: 0.5)

    static func preprocessor() throws -> Preprocessor {
        try Preprocessor(schema: schema, statistics: statistics)
    }

    static func manifest(
        family: ModelFamily = .logisticRegression(l2: 0.01, perSiteIntercept: false),
        version: Int = 1
    ) throws -> PackageManifest {
        let preprocessor = try preprocessor()
        return PackageManifest(
            name: "heart-disease", version: version, created: "2026-11-24T21:00:00.000Z",
            study: "heart-disease",
            planHash: SHA256.hash(Array("plan".utf8)), schema: schema, preprocessor: preprocessor,
            family: family,
            thresholds: .init(decision: 0.5), classes: ["absent", "present"],
            background: [Float](repeating: 0.25, count: preprocessor.columnCount),
            provenance: Provenance(
                run: "run-1",
                roster: [.init(site: "basel", rounds: 9), .init(site: "zurich", rounds: 10)],
                rounds: [
                    .init(number: 1, kind: "statistics", sites: ["basel", "zurich"], rows: 100)
                ],
                metrics: ["auc": 0.8875, "rows": 100],
                gates: [
                    .init(metric: "auc", atLeast: 0.8, value: 0.8875, passed: true),
                    .init(metric: "brier", atMost: 0.3, value: nil, passed: false),
                ]))
    }

    static func parameters(
        _ family: ModelFamily = .logisticRegression(l2: 0.01, perSiteIntercept: false)
    ) throws -> ModelParameters {
        let inputs = try preprocessor().columnCount
        let blank = ModelParameters(family: family, inputs: inputs, seed: [1])
        return try blank.replacing((0..<blank.count).map { Float($0) * 0.125 - 0.5 })
    }

    static func contents() throws -> PackageContents {
        try PackageWriter.sign(try manifest(), parameters: try parameters(), with: key)
    }

    /// `contents` with a manifest changed by `edit` and signed again by the right key.
    static func resigned(_ contents: PackageContents, _ edit: (inout [UInt8]) -> Void)
        -> PackageContents
    {
        var changed = contents
        var manifest = contents.files[PackageFile.manifest] ?? []
        edit(&manifest)
        changed.files[PackageFile.manifest] = manifest
        changed.files[PackageFile.signature] =
            PackageSignature(signing: SHA256.hash(manifest), with: key).encoded
        return changed
    }

    /// The first place of `text` replaced by `other`.
    static func replacing(_ text: String, with other: String, in bytes: inout [UInt8]) {
        let (old, new) = (Array(text.utf8), Array(other.utf8))
        guard
            let start = (0...(bytes.count - old.count)).first(where: {
                Array(bytes[$0..<$0 + old.count]) == old
            })
        else { return }
        bytes.replaceSubrange(start..<start + old.count, with: new)
    }
}
