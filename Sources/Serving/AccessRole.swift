// Who may call what. One table; anything without a row is refused. `protocol/prediction-api.md` §2.

/// What a caller is allowed to do at a serving node.
package enum AccessRole: String, CaseIterable, Sendable, Comparable {
    /// Ask for predictions.
    case predict
    /// Report outcomes.
    case feedback
    /// Run the node: switch versions, read metrics.
    case `operator`
    /// Watch decisions; stop the model.
    case overseer
    /// Read everything, change nothing.
    case auditor

    package static func < (left: AccessRole, right: AccessRole) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// Every endpoint of the service, each with its method, path and the roles that may call it.
package enum Endpoint: String, CaseIterable, Sendable {
    case predict, feedback, models, decision, makeLive, rollback, metrics, openAPI
    case live, ready, server, serverSlash, modelsStats, repositoryIndex, load, unload
    case model, modelReady, modelConfig, modelStats, infer
    case version, versionReady, versionConfig, versionStats, versionInfer
    case erase
    case keys, createKey, revokeKey, install, configure
    case pipelines, setPipeline, removePipeline
    case stage, approve, override, shadow, canary, standby, unstage, suspend, retire, stop, start
    case history, rollout
    case rules, proposeRules, confirmRules, evaluate

    /// HTTP method.
    package var method: String {
        switch self {
        case .predict, .feedback, .makeLive, .rollback, .infer, .versionInfer: "POST"
        case .repositoryIndex, .load, .unload, .erase, .createKey, .install, .configure, .setPipeline: "POST"
        case .revokeKey, .removePipeline: "DELETE"
        case .stage, .approve, .override, .shadow, .canary, .standby, .unstage: "POST"
        case .suspend, .retire, .stop, .start, .proposeRules, .confirmRules, .evaluate: "POST"
        default: "GET"
        }
    }

    /// Path; a segment in braces stands for one name.
    package var path: String {
        switch self {
        case .predict: "/v1/predict"
        case .feedback: "/v1/feedback"
        case .models, .install: "/v1/models"
        case .decision: "/v1/decisions/{id}"
        case .makeLive: "/v1/models/{digest}/live"
        case .rollback: "/v1/rollback"
        case .metrics: "/metrics"
        case .openAPI: "/v1/openapi.json"
        case .live: "/v2/health/live"
        case .ready: "/v2/health/ready"
        case .server: "/v2"
        case .model: "/v2/models/{model}"
        case .modelReady: "/v2/models/{model}/ready"
        case .infer: "/v2/models/{model}/infer"
        case .serverSlash: "/v2/"
        case .modelsStats: "/v2/models/stats"
        case .repositoryIndex: "/v2/repository/index"
        case .load: "/v2/repository/models/{model}/load"
        case .unload: "/v2/repository/models/{model}/unload"
        case .modelConfig: "/v2/models/{model}/config"
        case .modelStats: "/v2/models/{model}/stats"
        case .version: "/v2/models/{model}/versions/{version}"
        case .versionReady: "/v2/models/{model}/versions/{version}/ready"
        case .versionConfig: "/v2/models/{model}/versions/{version}/config"
        case .versionStats: "/v2/models/{model}/versions/{version}/stats"
        case .versionInfer: "/v2/models/{model}/versions/{version}/infer"
        case .erase: "/v1/records/erase"
        case .keys, .createKey: "/v1/node/keys"
        case .revokeKey: "/v1/node/keys/{id}"
        case .pipelines, .setPipeline: "/v1/pipelines"
        case .removePipeline: "/v1/pipelines/{name}"
        case .configure: "/v1/models/{digest}/configure"
        case .stage: "/v1/models/{digest}/stage"
        case .approve: "/v1/models/{digest}/approve"
        case .override: "/v1/models/{digest}/override"
        case .shadow: "/v1/models/{digest}/shadow"
        case .canary: "/v1/models/{digest}/canary"
        case .standby: "/v1/models/{digest}/standby"
        case .unstage: "/v1/models/{digest}/unstage"
        case .suspend: "/v1/models/{digest}/suspend"
        case .retire: "/v1/models/{digest}/retire"
        case .stop: "/v1/stop"
        case .start: "/v1/start"
        case .history: "/v1/history"
        case .rollout: "/v1/rollout"
        case .rules, .proposeRules: "/v1/rules"
        case .confirmRules: "/v1/rules/{digest}/confirm"
        case .evaluate: "/v1/models/{digest}/evaluate"
        }
    }

    /// Who may call it. `.anyone` needs no key; a set needs a key with one of its roles.
    package var access: Access {
        switch self {
        case .live, .ready, .openAPI: .anyone
        case .predict, .infer, .versionInfer: .roles([.predict])
        case .feedback: .roles([.feedback])
        case .makeLive, .rollback, .load, .unload, .erase, .keys, .createKey, .revokeKey, .install, .configure, .setPipeline, .removePipeline: .roles([.operator])
        case .stage, .shadow, .canary, .standby, .unstage, .retire, .proposeRules, .evaluate: .roles([.operator])
        case .approve, .suspend, .confirmRules: .roles([.operator, .overseer])
        case .override, .stop, .start: .roles([.overseer])
        case .metrics, .history, .rollout, .rules, .pipelines: .roles([.operator, .overseer, .auditor])
        case .decision: .roles([.overseer, .auditor])
        case .models, .server, .serverSlash, .modelsStats, .repositoryIndex, .model, .modelReady,
            .modelConfig, .modelStats, .version, .versionReady, .versionConfig, .versionStats:
            .roles(Set(AccessRole.allCases))
        }
    }

    /// Bytes of a request body.
    var bodyBytesMax: Int {
        switch self {
        case .install, .evaluate: ServingLimits.packageBytes
        case .predict, .infer, .versionInfer: ServingLimits.predictBodyBytes
        default: ServingLimits.bodyBytes
        }
    }

    /// What of the node's models an endpoint is about: a key that is for some models only sees no other.
    package enum Reach: Sendable {
        /// No model.
        case node
        /// One model, or a list of them: others are as if they were not there.
        case models
        /// All at once: such a key is refused.
        case everything
    }

    /// What of the node's models it is about.
    package var reach: Reach {
        switch self {
        case .live, .ready, .openAPI, .server, .serverSlash: .node
        case .predict, .infer, .versionInfer, .feedback, .decision, .makeLive, .rollback, .load, .unload, .models,
            .modelsStats, .repositoryIndex, .model, .modelReady, .modelConfig, .modelStats, .version, .versionReady,
            .versionConfig, .versionStats:
            .models
        case .configure, .evaluate, .stage, .approve, .override, .shadow, .canary, .standby, .unstage, .suspend, .retire: .models
        case .metrics, .erase, .history, .rollout, .rules, .proposeRules, .confirmRules, .stop, .start, .keys, .createKey, .revokeKey, .install, .pipelines, .setPipeline, .removePipeline: .everything
        }
    }

    /// The callers of one endpoint.
    package enum Access: Equatable, Sendable {
        case anyone
        case roles(Set<AccessRole>)

        /// Whether a caller with these roles passes; nil for a caller without a valid key.
        package func allows(_ roles: Set<AccessRole>?) -> Bool {
            switch self {
            case .anyone: true
            case .roles(let allowed): !allowed.isDisjoint(with: roles ?? [])
            }
        }
    }
}
