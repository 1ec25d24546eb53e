/// What can go wrong in the service outside of a single request. No case carries a value from a row or a key.
package enum ServingError: Error, Equatable, Sendable, CustomStringConvertible {
    /// `keys/api-keys.json` cannot be used.
    case accessKeys(path: String, problem: String)
    /// No API key has this id.
    case unknownKey
    /// A value for a new API key is not allowed.
    case keyRequest(problem: String)
    /// The record store cannot be used.
    case records(path: String, problem: String)
    /// The audit log did not take an entry, so the operation was not done.
    case logUnavailable(problem: String)
    /// More requests wait for the disk than the limit; ask again later.
    case overloaded
    /// The service is stopping.
    case stopped
    /// No version with this digest is installed.
    case unknownVersion
    /// No model with this name is installed.
    case unknownModel
    /// There is no earlier version to go back to.
    case nothingToRollBack
    /// The request asks for a state that the version cannot take.
    case deployment(problem: String)
    /// A version of this status takes no such event.
    case transition(event: String, status: DeploymentState.Status)
    /// Not in the caller's role.
    case role(event: String)
    /// An approval is missing, or is none.
    case approval(problem: String)
    /// Bounds on the site's own rows are missed or were not looked at.
    case gates(problem: String)
    /// An overseer stopped all predictions.
    case predictionsStopped

    package var description: String {
        switch self {
        case .accessKeys(let path, let problem): "API keys \(path): \(problem)"
        case .unknownKey: "no API key has this id; list the keys to see their ids"
        case .keyRequest(let problem): "API key: \(problem)"
        case .records(let path, let problem): "record store \(path): \(problem)"
        case .logUnavailable(let problem):
            "the audit log cannot be written, so nothing was done: \(problem)"
        case .overloaded: "too many requests are waiting; ask again in a moment"
        case .stopped: "the service is stopping"
        case .unknownVersion: "no version with this digest is installed at this node"
        case .unknownModel: "no model with this name is installed at this node"
        case .nothingToRollBack: "there is no earlier live version to go back to"
        case .deployment(let problem): "deployment: \(problem)"
        case .transition(let event, let status): "\(event) is not possible for a version that is \(status.rawValue)"
        case .role(let event): "\(event) is not in the caller's role"
        case .approval(let problem): "approval: \(problem)"
        case .gates(let problem): "site gates: \(problem)"
        case .predictionsStopped:
            "an overseer has stopped all predictions at this node; they go on after an authorised start"
        }
    }
}

extension ServingError {
    /// Whether an evaluation or approvals are missing.
    package var isOfRules: Bool {
        switch self {
        case .gates, .approval: true
        default: false
        }
    }

    /// Whether the caller may not have what was asked for, as things stand; else something is wrong with the node.
    package var isRefusal: Bool {
        switch self {
        case .deployment, .transition, .role, .approval, .gates, .nothingToRollBack: true
        default: false
        }
    }
}
