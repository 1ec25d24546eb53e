// The state for people and programs: `GET /v1/models`, `GET /v1/history`, `consilium model history`.

import AuditLog
import Codec
import Cryptography
import Study
import Telemetry

extension DeploymentState.Version {
    /// As in `GET /v1/models`.
    package var json: JSONValue {
        var object: [String: JSONValue] = [
            "version": .integer(Int64(version)), "digest": .string(digest.hex), "status": .string(status.rawValue),
            "installed": .string(installed.iso8601), "live_since": liveSince.map { .string($0.iso8601) } ?? .null,
            "metrics": metrics.map { .object($0.mapValues { .number($0) }) } ?? .null,
            "configuration": .string(configuration.hex), "evidence": .string(evidence.hex),
            "approvals_needed": .integer(Int64(rules.rollout.approvals)),
            "approvals": .array(approvals.map(\.json)),
            "findings": .array((evaluation?.findings ?? []).map(\.json)),
        ]
        if let heldOut = evaluation?.heldOut { object["held_out"] = .string(heldOut.hex) }
        if let plan = rules.plan { object["plan"] = .string(plan.hex) }
        if let site = rules.site { object["site_rules"] = .string(site.hex) }
        if let evaluation, !evaluation.passed { object["refusal"] = .string(evaluation.refusal) }
        if let override { object["override"] = ["by": .string(override.by), "reason": .string(override.reason), "time": .string(override.time.iso8601)] }
        if let reason { object["reason"] = .string(reason) }
        if let canary {
            object["canary"] = [
                "step": .integer(Int64(canary.step)), "percent": .integer(Int64(canary.plan.steps[canary.step])),
                "since": .string(canary.since.iso8601), "plan": canary.plan.json,
            ]
        }
        return .object(object)
    }
}

extension AcceptanceFinding {
    /// For people: `sentence` says which bound, and by how much it is missed.
    var json: JSONValue {
        func number(_ value: Double?) -> JSONValue { value.map { .number($0) } ?? .null }
        return [
            "gate": .string(gate), "value": number(value), "atLeast": number(atLeast), "atMost": number(atMost),
            "passed": .bool(passed), "missedBy": number(missedBy), "sentence": .string(sentence),
        ]
    }
}

extension Approval {
    var json: JSONValue {
        [
            "by": .string(by), "time": .string(time.iso8601), "expires": .string(expires.iso8601),
            "configuration": .string(configuration.hex), "evidence": .string(evidence.hex),
        ]
    }
}

extension DeploymentState.Period {
    /// As in `GET /v1/models`.
    var json: JSONValue {
        [
            "digest": .string(digest.hex), "since": .string(since.iso8601),
            "until": until.map { .string($0.iso8601) } ?? .null,
        ]
    }

    /// With who answers for it.
    func answerable(_ version: DeploymentState.Version?) -> JSONValue {
        var object = json.objectValue ?? [:]
        object["version"] = version.map { .integer(Int64($0.version)) } ?? .null
        object["by"] = .string(by)
        object["rollback"] = .bool(isRollback)
        object["configuration"] = .string(configuration.hex)
        object["evidence"] = .string(evidence.hex)
        object["plan"] = version?.rules.plan.map { .string($0.hex) } ?? .null
        object["approvals"] = .array(
            approvals.map { approval in
                var object = approval.json.objectValue ?? [:]
                object["person"] = .string(approval.person)
                return .object(object)
            })
        return .object(object)
    }
}

extension DeploymentState {
    /// What was live at the time that this state is of, who approved it, and on which evidence.
    package func answerable(at time: Timestamp, model only: String?) -> JSONValue {
        [
            "at": .string(time.iso8601),
            "stopped": stop.map { ["by": .string($0.by), "reason": .string($0.reason), "since": .string($0.time.iso8601)] } ?? .null,
            "models": .array(
                models.filter { only == nil || $0 == only }.map { name in
                    let period = history[name]?.last.flatMap { $0.until == nil ? $0 : nil }
                    return [
                        "name": .string(name),
                        "live": period.map { $0.answerable(versions[$0.digest]) } ?? .null,
                        "versions": .array(versions(of: name).map(\.json)),
                    ]
                }),
        ]
    }

    /// Every time during which a version answered, oldest first.
    package func timeline(model only: String?) -> JSONValue {
        [
            "models": .array(
                models.filter { only == nil || $0 == only }.map { name in
                    ["name": .string(name), "periods": .array((history[name] ?? []).map { $0.answerable(versions[$0.digest]) })]
                })
        ]
    }
}

/// Reads versions and their history out of a log, without a running node.
package struct DeploymentHistory {
    private var journal = DeploymentJournal()

    /// Nothing read yet.
    package init() {}

    /// Takes the entries of a log in order; those that are about no version pass by.
    package mutating func take(_ entry: StoredEntry) { journal.take(entry) }

    /// The state at a time; nil for after the last entry.
    package func state(at time: Timestamp?) -> DeploymentState { time.map(journal.state) ?? journal.state }
}
