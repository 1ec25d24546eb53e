// Changes of versions as entries of the audit log, and back. `protocol/audit-log.md` §3.

import AuditLog
import Codec
import Cryptography
import Study
import Telemetry

extension DeploymentState.Event {
    var entryType: EntryType {
        switch self {
        case .installed, .restaged, .shadowed, .canaried, .advanced, .stoodBy: .deploymentStaged
        case .configured, .rulesProposed, .rulesConfirmed: .configurationChanged
        case .evaluated: .gatesChecked
        case .overridden: .deploymentOverridden
        case .approved: .deploymentApproved
        case .unstaged: .deploymentUnstaged
        case .madeLive: .deploymentLive
        case .rolledBack: .deploymentRolledBack
        case .suspended: .deploymentSuspended
        case .retired: .deploymentRetired
        case .stopped: .servingStopped
        case .started: .servingStarted
        }
    }

    /// The entry of this event at a site.
    /// - Parameter state: the state that the event is about to change.
    /// - Parameter time: when it was decided; the log dates the entry a little later, when it becomes durable.
    func entry(by actor: Actor, site: String, state: DeploymentState, at time: Timestamp) -> LogEntry {
        let role = actor.roles.map { held in (roles.intersection(held).min() ?? held.min())?.rawValue ?? "none" } ?? "node"
        var entry = LogEntry(entryType, actor: actor.name, role: role, site: site)
        entry.model = digest.flatMap { state.versions[$0]?.model }
        entry.payloadDigest = digest
        entry.details = details(actor)
        entry.details["at"] = .integer(time.milliseconds)
        switch self {
        case .installed(_, let model, _, _, _): entry.model = model
        case .rulesProposed(let rules): entry.payloadDigest = rules.digest
        case .rulesConfirmed(let digest): entry.payloadDigest = digest
        case .rolledBack(let model, _):
            entry.model = model
            let canary = state.canaryToEnd(model)
            entry.payloadDigest = canary == nil ? state.rollbackTarget(model) : state.live(model)?.digest
            if let canary { entry.details["ended"] = .string(canary.digest.hex) }
        default: break
        }
        return entry
    }

    private func details(_ actor: Actor) -> [String: JSONValue] {
        switch self {
        case .installed(_, _, let version, let rules, let intercept):
            [
                "version": .integer(Int64(version)), "role": "candidate", "intercept": .string(intercept.description),
                "person": .string(actor.person), "rules": .string(rules.text),
            ]
        case .configured(_, let settings):
            ["intercept": .string(settings.intercept.description), "person": .string(actor.person)].merging(
                settings.text.map { ["settings": .string($0)] } ?? [:]
            ) { $1 }
        case .evaluated(_, let evaluation): ["scope": "site"].merging(evaluation.logged) { $1 }
        case .overridden(_, let reason), .suspended(_, let reason), .stopped(let reason), .started(let reason):
            ["reason": .string(reason)]
        case .approved(_, let configuration, let evidence, let expires):
            [
                "person": .string(actor.person), "configuration": .string(configuration.hex), "evidence": .string(evidence.hex),
                "expires": .integer(expires.milliseconds),
            ]
        case .restaged: ["role": "candidate", "again": true, "person": .string(actor.person)]
        case .shadowed: ["role": "shadow"]
        case .canaried(_, let plan):
            ["role": "canary", "step": 0, "plan": .string(String(decoding: plan.json.canonicalBytes(), as: UTF8.self))]
        case .advanced(_, let step, let report): ["role": "canary", "step": .integer(Int64(step)), "report": report]
        case .stoodBy: ["role": "standby"]
        case .unstaged(_, let report), .madeLive(_, let report), .rolledBack(_, let report): report.map { ["report": $0] } ?? [:]
        case .rulesProposed(let rules): ["siteRules": "proposed", "document": .string(rules.text), "person": .string(actor.person)]
        case .rulesConfirmed: ["siteRules": "confirmed", "person": .string(actor.person)]
        case .retired: [:]
        }
    }

    /// When the change was decided: what the state goes by, so that it is the same before and after a restart.
    static func time(_ entry: StoredEntry) -> Timestamp {
        entry.details["at"]?.intValue.map { Timestamp(milliseconds: Int64($0)) } ?? entry.time
    }

    /// The change that a log entry states; nil for entries of other kinds.
    init?(_ entry: StoredEntry) {
        let (details, report) = (entry.details, entry.details["report"])
        let reason = details["reason"]?.stringValue ?? ""
        switch (entry.type, entry.payloadDigest) {
        case (.deploymentStaged, let digest?):
            guard let event = Self.staged(digest, entry) else { return nil }
            self = event
        case (.configurationChanged, let digest?):
            if let step = details["siteRules"]?.stringValue {
                guard step == "proposed" else {
                    self = .rulesConfirmed(digest)
                    return
                }
                guard let text = details["document"]?.stringValue, let rules = try? SiteRules(parsing: Array(text.utf8), dialect: .strict) else { return nil }
                self = .rulesProposed(rules)
                return
            }
            guard let settings = SiteSettings(intercept: details["intercept"]?.stringValue, text: details["settings"]?.stringValue)
            else { return nil }
            self = .configured(digest, settings)
        case (.gatesChecked, let digest?):
            guard details["scope"]?.stringValue == "site", let evaluation = Evaluation(logged: details, at: entry.time)
            else { return nil }
            self = .evaluated(digest, evaluation)
        case (.deploymentApproved, let digest?):
            guard let configuration = details["configuration"]?.stringValue.flatMap({ Digest(hex: $0) }),
                let evidence = details["evidence"]?.stringValue.flatMap({ Digest(hex: $0) }), let expires = details["expires"]?.intValue
            else { return nil }
            self = .approved(
                digest, configuration: configuration, evidence: evidence, expires: Timestamp(milliseconds: Int64(expires)))
        case (.deploymentOverridden, let digest?): self = .overridden(digest, reason: reason)
        case (.deploymentUnstaged, let digest?): self = .unstaged(digest, report: report)
        case (.deploymentLive, let digest?): self = .madeLive(digest, report: report)
        case (.deploymentSuspended, let digest?): self = .suspended(digest, reason: reason)
        case (.deploymentRetired, let digest?): self = .retired(digest)
        case (.deploymentRolledBack, _):
            guard let model = entry.model else { return nil }
            self = .rolledBack(model: model, report: report)
        case (.servingStopped, _): self = .stopped(reason: reason)
        case (.servingStarted, _): self = .started(reason: reason)
        default: return nil
        }
    }

    private static func staged(_ digest: Digest, _ entry: StoredEntry) -> Self? {
        let details = entry.details
        switch details["role"]?.stringValue {
        case "shadow": return .shadowed(digest)
        case "standby": return .stoodBy(digest)
        case "canary":
            if let step = details["step"]?.intValue, step > 0 { return .advanced(digest, step: step, report: details["report"] ?? .null) }
            guard let text = details["plan"]?.stringValue,
                let fields = try? JSONFields(JSONValue.parse(Array(text.utf8), dialect: .strict), path: "canary"),
                let plan = try? CanaryPlan(fields)
            else { return nil }
            return .canaried(digest, plan)
        default:
            if details["again"]?.boolValue == true { return .restaged(digest) }
            guard let model = entry.model, let version = details["version"]?.intValue else { return nil }
            return .installed(
                digest, model: model, version: version,
                rules: details["rules"]?.stringValue.flatMap(DeploymentRules.init(text:)) ?? DeploymentRules(),
                intercept: details["intercept"]?.stringValue.flatMap(Double.init) ?? 0)
        }
    }
}

extension Actor {
    /// Who an entry says it was.
    init(_ entry: StoredEntry) {
        self.init(name: entry.actor, person: entry.details["person"]?.stringValue ?? entry.actor, roles: nil)
    }
}
