// `manifest.json`: everything about a version except its parameters. `protocol/model-package.md` §3.
//
// The file is canonical JSON (RFC 8785), and the package's digest is the SHA-256 of its bytes: the manifest names the
// SHA-256 of every other file, so one digest fixes the whole package. A reader refuses bytes that are not canonical,
// so that a manifest value has exactly one digest.

import Codec
import Cryptography
import Models
import Tabular

package struct PackageManifest: Equatable, Sendable {
    /// The only format this build reads and writes.
    package static let format = "consilium-model-package/1"
    static let backgroundMax = 100_000
    static let versionMax = 1_000_000_000

    /// What turns a probability into a class.
    package struct Thresholds: Equatable, Sendable {
        /// A row is of the positive class when its probability is at least this, 0 to 1.
        package var decision: Double
        /// Probabilities at which a person should decide; nil for none.
        package var abstain: ClosedRange<Double>?

        package init(decision: Double, abstain: ClosedRange<Double>? = nil) {
            self.decision = decision
            self.abstain = abstain
        }

        /// As in the manifest.
        package var json: JSONValue {
            guard let abstain else { return ["decision": .number(decision)] }
            return [
                "decision": .number(decision),
                "abstain": [.number(abstain.lowerBound), .number(abstain.upperBound)],
            ]
        }
    }

    /// Platt's form: calibrated probability = 1 / (1 + e^−(slope × log-odds + intercept)).
    package struct Calibration: Equatable, Sendable {
        package var slope: Double
        package var intercept: Double

        package init(slope: Double, intercept: Double) {
            (self.slope, self.intercept) = (slope, intercept)
        }
    }

    /// What the manifest says of another file.
    package struct FileRecord: Equatable, Sendable {
        package var sha256: Digest
        package var bytes: Int
    }

    /// The model's name at serving sites, `[a-z0-9._-]{1,64}`.
    package var name: String
    /// Release number, from 1, ascending within a name.
    package var version: Int
    /// When it was released, `2026-11-24T21:00:00.000Z`.
    package var created: String
    /// The study that it belongs to.
    package var study: String
    /// SHA-256 of the study's canonical plan.
    package var planHash: Digest
    /// The digest of the version that training started from, nil for the first.
    package var previous: Digest?
    package var schema: Schema
    package var preprocessor: Preprocessor
    package var family: ModelFamily
    package var thresholds: Thresholds
    /// How scores become calibrated probabilities; nil when that was not measured.
    package var calibration: Calibration?
    /// Words for the negative and the positive class.
    package var classes: [String]
    /// Mean of each preprocessed column over the federation's training rows: the reference point of explanations.
    package var background: [Float]
    package var provenance: Provenance

    package init(
        name: String, version: Int, created: String, study: String, planHash: Digest,
        previous: Digest? = nil,
        schema: Schema, preprocessor: Preprocessor, family: ModelFamily, thresholds: Thresholds,
        calibration: Calibration? = nil, classes: [String] = ["negative", "positive"],
        background: [Float], provenance: Provenance
    ) {
        (self.name, self.version, self.created, self.study) = (name, version, created, study)
        (self.planHash, self.previous, self.schema, self.preprocessor) = (
            planHash, previous, schema, preprocessor
        )
        (self.family, self.thresholds, self.classes) = (family, thresholds, classes)
        (self.calibration, self.background, self.provenance) = (calibration, background, provenance)
    }
}

extension PackageManifest {
    /// The canonical bytes of `manifest.json`.
    /// - Parameter files: the record of every file except the manifest and its signature.
    func encoded(files: [String: FileRecord]) -> [UInt8] {
        var members: [String: JSONValue] = [
            "format": .string(Self.format),
            "name": .string(name),
            "version": .integer(Int64(version)),
            "created": .string(created),
            "study": .string(study),
            "plan": .string(planHash.hex),
            "schema": schema.json,
            "preprocessor": preprocessor.json,
            "family": family.json,
            "thresholds": thresholds.json,
            "classes": .array(classes.map { .string($0) }),
            "background": .array(background.map { .number(Double($0)) }),
            "provenance": provenance.json,
            "files": .object(
                files.mapValues {
                    ["sha256": .string($0.sha256.hex), "bytes": .integer(Int64($0.bytes))]
                }),
        ]
        if let previous { members["previous"] = .string(previous.hex) }
        if let calibration {
            members["calibration"] = [
                "slope": .number(calibration.slope), "intercept": .number(calibration.intercept),
            ]
        }
        return JSONValue.object(members).canonicalBytes()
    }

    /// Reads the bytes of `manifest.json`.
    /// - Throws: `PackageError.unknownFormat`, or `.malformed` with the path of the field and the rule.
    static func decode(_ bytes: [UInt8]) throws(PackageError) -> (
        PackageManifest, files: [String: FileRecord]
    ) {
        let file = PackageFile.manifest
        let value: JSONValue
        do {
            value = try JSONValue.parse(
                bytes, dialect: .strict, limits: .init(bytesMax: PackageLimits.manifestBytes))
        } catch {
            throw .malformed(file: file, problem: "it is not strict JSON")
        }
        guard value["format"]?.stringValue == format else { throw .unknownFormat(file: file) }
        guard value.canonicalBytes() == bytes else {
            throw .malformed(file: file, problem: "it is not canonical JSON")
        }
        do {
            var fields = try JSONFields(value, path: "manifest")
            let files = try fileRecords(&fields)
            let manifest = try PackageManifest(&fields)
            return (manifest, files)
        } catch let error as PackageError {
            throw error
        } catch {
            throw .malformed(file: file, problem: "\(error)")
        }
    }

    private static func fileRecords(_ fields: inout JSONFields) throws -> [String: FileRecord] {
        guard case .object(let members)? = fields.value("files"),
            members.count <= PackageLimits.files - 2
        else {
            throw PackageError.malformed(
                file: PackageFile.manifest,
                problem:
                    "manifest.files must be an object of at most \(PackageLimits.files - 2) files")
        }
        var records: [String: FileRecord] = [:]
        for (name, member) in members {
            guard PackageFile.isAllowed(name), name != PackageFile.manifest,
                name != PackageFile.signature
            else { throw PackageError.nameNotAllowed }
            var record = try JSONFields(member, path: "manifest.files")
            let sha256 = try digest(
                try record.string("sha256", maxBytes: 64), path: "manifest.files.sha256")
            records[name] = FileRecord(
                sha256: sha256, bytes: try record.integer("bytes", in: 0...PackageLimits.fileBytes))
            try record.finish()
        }
        return records
    }

    private init(_ fields: inout JSONFields) throws {
        _ = try fields.string("format")
        name = try fields.string("name", maxBytes: PackageLimits.nameBytes)
        guard PackageFile.isAllowed(name) else {
            throw PackageError.malformed(
                file: PackageFile.manifest,
                problem: "manifest.name must be 1 to 64 of a-z 0-9 . _ -")
        }
        version = try fields.integer("version", in: 1...Self.versionMax)
        created = try fields.string("created", maxBytes: 32)
        study = try fields.string("study", maxBytes: PackageLimits.nameBytes)
        planHash = try Self.digest(try fields.string("plan", maxBytes: 64), path: "manifest.plan")
        previous = try fields.optionalString("previous", maxBytes: 64).map {
            try Self.digest($0, path: "manifest.previous")
        }
        schema = try Schema(json: fields.value("schema") ?? .null, path: "manifest.schema")
        preprocessor = try Preprocessor(
            json: fields.value("preprocessor") ?? .null, path: "manifest.preprocessor")
        family = try ModelFamily(json: fields.value("family") ?? .null, path: "manifest.family")
        var thresholds = try fields.fields("thresholds")
        self.thresholds = Thresholds(
            decision: try thresholds.number("decision", in: 0...1),
            abstain: try Self.band(&thresholds))
        try thresholds.finish()
        if var calibration = try fields.optionalFields("calibration") {
            self.calibration = Calibration(
                slope: try calibration.number("slope", in: 0...1000),
                intercept: try calibration.number("intercept", in: -1000...1000))
            try calibration.finish()
        }
        classes = try fields.strings("classes", maxCount: 2)
        background = try fields.array("background", maxCount: Self.backgroundMax).map { value in
            guard let number = value.doubleValue, Float(number).isFinite else {
                throw PackageError.malformed(
                    file: PackageFile.manifest,
                    problem: "manifest.background holds something other than numbers")
            }
            return Float(number)
        }
        provenance = try Provenance(try fields.fields("provenance"))
        try fields.finish()
        guard classes.count == 2, classes[0] != classes[1] else {
            throw PackageError.malformed(
                file: PackageFile.manifest, problem: "manifest.classes must be two different words")
        }
    }

    private static func band(_ thresholds: inout JSONFields) throws -> ClosedRange<Double>? {
        guard let ends = try thresholds.optionalArray("abstain", maxCount: 2) else { return nil }
        let numbers = ends.compactMap(\.doubleValue)
        guard numbers.count == 2, 0 <= numbers[0], numbers[0] <= numbers[1], numbers[1] <= 1 else {
            throw PackageError.malformed(
                file: PackageFile.manifest,
                problem: "manifest.thresholds.abstain must be two probabilities, the lower one first")
        }
        return numbers[0]...numbers[1]
    }

    private static func digest(_ text: String, path: String) throws -> Digest {
        guard let digest = Digest(hex: text), digest.hex == text else {
            throw PackageError.malformed(
                file: PackageFile.manifest, problem: "\(path) must be 64 lower-case hex digits")
        }
        return digest
    }
}
