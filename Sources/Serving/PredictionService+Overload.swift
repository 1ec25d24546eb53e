// What a server does with predictions that it has no time for. `protocol/prediction-api.md` §1.

import HTTP

extension PredictionService {
    /// For the configuration of the server that the service is mounted on: predictions wait for one another, everything else
    /// (health, a stop, a roll-back) goes before them. A large body is read for callers with a key only.
    package var workRules: WorkRules {
        var rules = WorkRules { Self.isPrediction($0) }
        rules.requestsMax = ServingLimits.waitingRequests
        rules.bytesMax = ServingLimits.waitingBytes
        rules.overloaded = RequestRefusal(ServingError.overloaded).response
        // Made once, counted when it is sent.
        rules.overloaded.isCounted = false
        rules.refusal = { [self] head in
            guard gate.keys.principal(of: head) == nil else { return nil }
            return refused(Self.predictionEndpoint(head.path), .unknownCaller)
        }
        return rules
    }
}
