// Where a model came from: the part of the manifest that an auditor reads. Nothing here changes a prediction.

import Codec
import Cryptography
import DifferentialPrivacy

/// The run that made a version: who took part, how often, and what was measured before release.
package struct Provenance: Equatable, Sendable {
    /// One site of the run.
    package struct Member: Equatable, Sendable {
        /// The site's enrolled name.
        package var site: String
        /// Rounds of the run in which this site's update was in the sum.
        package var rounds: Int

        package init(site: String, rounds: Int) {
            (self.site, self.rounds) = (site, rounds)
        }
    }

    /// One secure round of the run.
    package struct Round: Equatable, Sendable {
        /// Counts from 1 within the run.
        package var number: Int
        /// `statistics`, `training`, `evaluation` or another word of the coordinator.
        package var kind: String
        /// Names of the sites in the sum, ascending.
        package var sites: [String]
        /// Rows in the sum, when the round counted them.
        package var rows: Int?

        package init(number: Int, kind: String, sites: [String], rows: Int? = nil) {
            (self.number, self.kind, self.sites, self.rows) = (number, kind, sites, rows)
        }
    }

    /// A success gate that was agreed before training, and how the model did.
    package struct Gate: Equatable, Sendable {
        package var metric: String
        package var atLeast: Double?
        package var atMost: Double?
        /// The measured value; nil when it could not be computed, which fails the gate.
        package var value: Double?
        package var passed: Bool

        package init(
            metric: String, atLeast: Double? = nil, atMost: Double? = nil, value: Double?,
            passed: Bool
        ) {
            (self.metric, self.atLeast, self.atMost, self.value, self.passed) = (
                metric, atLeast, atMost, value, passed
            )
        }
    }

    /// The run's identifier at the coordinator.
    package var run: String
    package var roster: [Member]
    package var rounds: [Round]
    /// Metrics of the secure evaluation, by name (`auc`, `accuracy`, `logLoss`, `brier`, `rows` …).
    package var metrics: [String: Double]
    package var gates: [Gate]
    /// The guarantee of differential privacy; nil for a model without one.
    package var privacy: PrivacyStatement?

    /// Where a model that was trained elsewhere came from.
    package var origin: Origin?

    /// The file that an imported model was read from.
    package struct Origin: Equatable, Sendable {
        /// `onnx` or `safetensors`.
        package var form: String
        /// Of the file's bytes.
        package var sha256: Digest
        /// Who made it.
        package var by: String
        /// What its importer says of it; may be empty.
        package var description: String

        /// The file and what is said of it.
        package init(form: String, sha256: Digest, by: String, description: String) {
            (self.form, self.sha256, self.by, self.description) = (form, sha256, by, description)
        }
    }

    package init(
        run: String, roster: [Member], rounds: [Round] = [], metrics: [String: Double] = [:],
        gates: [Gate] = [], origin: Origin? = nil, privacy: PrivacyStatement? = nil
    ) {
        (self.run, self.roster, self.rounds, self.metrics, self.gates, self.privacy) = (
            run, roster, rounds, metrics, gates, privacy
        )
        self.origin = origin
    }

    static let membersMax = 1000
    static let roundsMax = 10_000
    static let metricsMax = 256
    static let gatesMax = 64
}

extension Provenance {
    /// The form in the manifest, protocol/model-package.md.
    package var json: JSONValue {
        var members: [String: JSONValue] = [
            "run": .string(run),
            "roster": .array(
                roster.map { ["site": .string($0.site), "rounds": .integer(Int64($0.rounds))] }),
            "rounds": .array(rounds.map(\.json)),
            "metrics": .object(metrics.mapValues { .number($0) }),
            "gates": .array(gates.map(\.json)),
        ]
        members["privacy"] = privacy?.json
        members["origin"] = origin.map {
            [
                "form": .string($0.form), "sha256": .string($0.sha256.hex), "by": .string($0.by),
                "description": .string($0.description),
            ]
        }
        return .object(members)
    }

    init(_ source: JSONFields) throws {
        var fields = source
        run = try fields.string("run", maxBytes: 128)
        roster = try fields.array("roster", maxCount: Self.membersMax).map { value in
            var member = try JSONFields(value, path: "provenance.roster")
            let made = Member(
                site: try member.string("site", maxBytes: 64),
                rounds: try member.integer("rounds", in: 0...Self.roundsMax))
            try member.finish()
            return made
        }
        rounds = try fields.array("rounds", maxCount: Self.roundsMax).map(Round.init(json:))
        metrics = try Self.metrics(fields.value("metrics"))
        gates = try fields.array("gates", maxCount: Self.gatesMax).map(Gate.init(json:))
        privacy = try fields.optionalFields("privacy").map { try PrivacyStatement($0) }
        if var given = try fields.optionalFields("origin") {
            guard let digest = Digest(hex: try given.string("sha256", maxBytes: 64)) else {
                throw FieldError(path: "provenance.origin.sha256", problem: "must be 64 hex digits")
            }
            origin = Origin(
                form: try given.string("form", maxBytes: 64), sha256: digest, by: try given.string("by", maxBytes: 256),
                description: try given.string("description", maxBytes: 2048))
            try given.finish()
        }
        try fields.finish()
    }
}

extension Provenance {
    private static func metrics(_ value: JSONValue?) throws -> [String: Double] {
        guard case .object(let members)? = value, members.count <= metricsMax else {
            throw PackageError.malformed(
                file: PackageFile.manifest,
                problem: "provenance.metrics must be an object of at most \(metricsMax) numbers")
        }
        return try members.mapValues { member in
            guard let number = member.doubleValue else {
                throw PackageError.malformed(
                    file: PackageFile.manifest,
                    problem: "provenance.metrics holds something other than a number")
            }
            return number
        }
    }
}

extension Provenance.Round {
    var json: JSONValue {
        var members: [String: JSONValue] = [
            "number": .integer(Int64(number)), "kind": .string(kind),
            "sites": .array(sites.map { .string($0) }),
        ]
        if let rows { members["rows"] = .integer(Int64(rows)) }
        return .object(members)
    }

    init(json value: JSONValue) throws {
        var fields = try JSONFields(value, path: "provenance.rounds")
        number = try fields.integer("number", in: 0...1_000_000)
        kind = try fields.string("kind", maxBytes: 64)
        sites = try fields.strings("sites", maxCount: Provenance.membersMax)
        rows = try fields.optionalInteger("rows", in: 0...Int(Int32.max))
        try fields.finish()
    }
}

extension Provenance.Gate {
    var json: JSONValue {
        var members: [String: JSONValue] = ["metric": .string(metric), "passed": .bool(passed)]
        if let atLeast { members["atLeast"] = .number(atLeast) }
        if let atMost { members["atMost"] = .number(atMost) }
        if let value, value.isFinite { members["value"] = .number(value) }
        return .object(members)
    }

    init(json value: JSONValue) throws {
        let finite = -1e300...1e300
        var fields = try JSONFields(value, path: "provenance.gates")
        metric = try fields.string("metric", maxBytes: 64)
        atLeast = try fields.optionalNumber("atLeast", in: finite)
        atMost = try fields.optionalNumber("atMost", in: finite)
        self.value = try fields.optionalNumber("value", in: finite)
        passed = try fields.bool("passed")
        try fields.finish()
    }
}
