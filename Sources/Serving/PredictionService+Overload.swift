// What a server does with predictions that it has no time for. `protocol/prediction-api.md` §1.

import HTTP

extension PredictionService {
    /// For the configuration of the server that the service is mounted on: predictions wait for one another, everything else
    /// (health, a stop, a roll-back) goes before them. A large body is read for callers with a key only.
    package var workRules: WorkRules {
        var rules = WorkRules { $0 == Endpoint.predict.path || $0.hasSuffix("/infer") }
        rules.requestsMax = ServingLimits.waitingRequests
        rules.bytesMax = ServingLimits.waitingBytes
        rules.overloaded = RequestRefusal(ServingError.overloaded).response
        rules.refusal = { [gate] head in gate.keys.principal(of: head) == nil ? RequestRefusal.unknownCaller.response : nil }
        return rules
    }
}
