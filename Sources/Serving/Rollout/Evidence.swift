// What people approve: the exact package, the site's configuration of it, and what was measured. Each has a digest, and an
// approval names all three, so it stands for nothing else.

import Codec
import Cryptography
import Study
import Telemetry

/// What a version reached on this site's own held-out rows.
package struct Evaluation: Equatable, Sendable {
    /// By name: `auc`, `accuracy`, `logLoss`, `brier`, `rows`.
    package var metrics: [String: Double]
    /// The plan's bounds, one by one; of more than 24 those that are missed come first and the rest is left out.
    package let findings: [AcceptanceFinding]
    /// Whether all bounds hold.
    package var passed: Bool { findings.allSatisfy(\.passed) }
    /// The file of rows that it was measured on, where it came as one.
    package let heldOut: Digest?
    /// When it was measured.
    package var time: Timestamp

    /// Findings that an entry of the log has room for.
    static let findingsMax = 24

    /// - Parameter findings: of many, those that are missed are kept first.
    package init(metrics: [String: Double], findings: [AcceptanceFinding] = [], heldOut: Digest? = nil, time: Timestamp) {
        (self.metrics, self.heldOut, self.time) = (metrics, heldOut, time)
        self.findings =
            findings.count <= Self.findingsMax
            ? findings : Array((findings.filter { !$0.passed } + findings.filter(\.passed)).prefix(Self.findingsMax))
    }

    /// Every bound that is missed, for people.
    package var refusal: String {
        findings.filter { !$0.passed }.map(\.sentence).joined(separator: "; ")
    }

    /// What entries hold: fractions as decimal texts.
    var logged: [String: JSONValue] {
        var logged: [String: JSONValue] = [
            "metrics": .object(metrics.mapValues { .string($0.description) }), "findings": .array(findings.map(\.logged)),
            "passed": .bool(passed), "measured": .integer(time.milliseconds),
        ]
        logged["heldOut"] = heldOut.map { .string($0.hex) }
        return logged
    }

    /// From an entry; those of earlier versions of this program have metrics only.
    init?(logged details: [String: JSONValue], at entryTime: Timestamp) {
        guard let metrics = details["metrics"]?.objectValue else { return nil }
        self.init(
            metrics: metrics.compactMapValues { $0.stringValue.flatMap(Double.init) },
            findings: (details["findings"]?.arrayValue ?? []).compactMap(AcceptanceFinding.init(logged:)),
            heldOut: details["heldOut"]?.stringValue.flatMap { Digest(hex: $0) },
            time: details["measured"]?.intValue.map { Timestamp(milliseconds: Int64($0)) } ?? entryTime)
    }
}

extension AcceptanceFinding {
    var logged: JSONValue {
        func text(_ value: Double?) -> JSONValue { value.map { .string($0.description) } ?? .null }
        return [
            "gate": .string(gate), "value": text(value), "atLeast": text(atLeast), "atMost": text(atMost), "passed": .bool(passed),
            "missedBy": text(missedBy),
        ]
    }

    init?(logged value: JSONValue) {
        guard let gate = value["gate"]?.stringValue, let passed = value["passed"]?.boolValue else { return nil }
        func number(_ key: String) -> Double? { value[key]?.stringValue.flatMap(Double.init) }
        self.init(gate: gate, value: number("value"), atLeast: number("atLeast"), atMost: number("atMost"), passed: passed)
    }
}

/// A person's yes to exactly one version as it is configured and was measured.
package struct Approval: Equatable, Sendable {
    /// As in log entries.
    package var by: String
    /// Whose key it was; counts once.
    package var person: String
    /// The version.
    package var package: Digest
    /// `DeploymentState.Version.configuration`.
    package var configuration: Digest
    /// `DeploymentState.Version.evidence`.
    package var evidence: Digest
    /// When it was given.
    package var time: Timestamp
    /// From when on it counts for nothing.
    package var expires: Timestamp

    package init(
        by: String, person: String, package: Digest, configuration: Digest, evidence: Digest, time: Timestamp, expires: Timestamp
    ) {
        (self.by, self.person, self.package, self.configuration) = (by, person, package, configuration)
        (self.evidence, self.time, self.expires) = (evidence, time, expires)
    }
}

extension DeploymentState.Version {
    /// What stands for the site's configuration of the version: its settings and its rules.
    package var configuration: Digest {
        SHA256.hash(Array("consilium/configuration/v1/\(settings.intercept)/\(settings.text ?? "")\(rules.text)".utf8))
    }

    /// What stands for what was measured, or for nothing having been measured since it was staged.
    package var evidence: Digest {
        var object: [String: JSONValue] = [
            "package": .string(digest.hex), "configuration": .string(configuration.hex), "staged": .integer(staged.milliseconds),
        ]
        if let evaluation { object["evaluation"] = .object(evaluation.logged) }
        if let override { object["override"] = .string(override.by) }
        return SHA256.hash(JSONValue.object(object).canonicalBytes())
    }

    /// Approvals that hold for the version as it is, each person once.
    package func standingApprovals(at time: Timestamp) -> [Approval] {
        let (configuration, evidence) = (configuration, evidence)
        var people = submitters
        return approvals.filter { approval in
            approval.package == digest && approval.configuration == configuration && approval.evidence == evidence
                && time < approval.expires && !submitters.contains(approval.by) && people.insert(approval.person).inserted
        }
    }
}
