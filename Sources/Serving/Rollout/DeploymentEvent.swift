import Codec
import Cryptography
import Study
import Telemetry

extension DeploymentState {
    /// A change, as a log entry states it.
    package enum Event: Equatable, Sendable {
        case installed(Digest, model: String, version: Int, rules: DeploymentRules = DeploymentRules(), intercept: Double = 0)
        case configured(Digest, SiteSettings)
        case evaluated(Digest, Evaluation)
        case overridden(Digest, reason: String)
        case approved(Digest, configuration: Digest, evidence: Digest, expires: Timestamp)
        /// A version that was out of service is a candidate again, with nothing measured and nobody's approval.
        case restaged(Digest)
        case shadowed(Digest)
        case canaried(Digest, CanaryPlan)
        /// The canary goes on to a step; `report` holds the figures that let it.
        case advanced(Digest, step: Int, report: JSONValue)
        case stoodBy(Digest)
        /// A shadow, canary or standby is what it was before; `report` holds what was seen of it.
        case unstaged(Digest, report: JSONValue?)
        case madeLive(Digest, report: JSONValue? = nil)
        /// Ends a canary if one is under way (`report` says why), else brings the version before the live one back.
        case rolledBack(model: String, report: JSONValue? = nil)
        case suspended(Digest, reason: String)
        case retired(Digest)
        /// The site's rules for versions without a plan: in force at once, or when enough people agree.
        case rulesProposed(SiteRules)
        case rulesConfirmed(Digest)
        case stopped(reason: String)
        case started(reason: String)

        /// What it is called in a refusal.
        package var name: String {
            switch self {
            case .installed: "install"
            case .configured: "configure"
            case .evaluated: "evaluate"
            case .overridden: "override"
            case .approved: "approve"
            case .restaged: "stage"
            case .shadowed: "shadow"
            case .canaried: "canary"
            case .advanced: "advance"
            case .stoodBy: "standby"
            case .unstaged: "unstage"
            case .madeLive: "promote"
            case .rolledBack: "rollback"
            case .suspended: "suspend"
            case .retired: "retire"
            case .rulesProposed: "change of the site's rules"
            case .rulesConfirmed: "agreement to the site's rules"
            case .stopped: "stop"
            case .started: "start"
            }
        }

        /// The version that it is about.
        package var digest: Digest? {
            switch self {
            case .installed(let digest, _, _, _, _), .configured(let digest, _), .evaluated(let digest, _),
                .overridden(let digest, _), .approved(let digest, _, _, _), .restaged(let digest), .shadowed(let digest),
                .canaried(let digest, _), .advanced(let digest, _, _), .stoodBy(let digest), .unstaged(let digest, _),
                .madeLive(let digest, _), .suspended(let digest, _), .retired(let digest):
                digest
            case .rolledBack, .rulesProposed, .rulesConfirmed, .stopped, .started: nil
            }
        }

        /// From which statuses a version may take it; nil for an event that is about no single version.
        package var sources: Set<Status>? {
            let idle: Set<Status> = [.candidate, .evaluated, .approved, .superseded]
            let all = Set(Status.allCases)
            switch self {
            case .installed, .rolledBack, .rulesProposed, .rulesConfirmed, .stopped, .started: return nil
            case .configured, .evaluated: return all.subtracting([.suspended])
            case .overridden: return [.refused]
            case .approved: return idle.union([.shadow, .canary, .standby, .retired])
            case .restaged: return [.refused, .suspended, .retired]
            case .shadowed: return idle.union([.standby])
            case .canaried: return idle.union([.shadow, .standby])
            case .stoodBy: return idle.union([.shadow])
            case .unstaged: return [.shadow, .canary, .standby]
            case .advanced: return [.canary]
            case .madeLive: return idle.union([.shadow, .canary, .standby, .retired])
            case .suspended: return all.subtracting([.refused, .suspended, .retired])
            case .retired: return all.subtracting([.retired])
            }
        }

        /// Which people may cause it. The node itself may cause what `isForNode` says.
        package var roles: Set<AccessRole> {
            switch self {
            case .approved, .suspended, .rulesConfirmed: [.operator, .overseer]
            case .overridden, .stopped, .started: [.overseer]
            default: [.operator]
            }
        }

        /// Whether the node may do it by itself: on its plan, or because it was started with the package.
        package var isForNode: Bool {
            switch self {
            case .approved, .overridden, .rulesProposed, .rulesConfirmed, .stopped, .started: false
            default: true
            }
        }

        /// Whether it puts the version to use, which needs what the version's rules ask for.
        package var usesVersion: Bool {
            switch self {
            case .shadowed, .canaried, .advanced, .stoodBy, .madeLive: true
            default: false
            }
        }
    }
}
