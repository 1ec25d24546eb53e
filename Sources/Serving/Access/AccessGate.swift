// The door of the service: who a request is from, whether it may come, and whether it may come now.

import HTTP
import Telemetry
import Transport

/// Checks a request's caller: 401 without a valid key or certificate, 403 without the role, 429 beyond its rate.
final class AccessGate: Sendable {
    let keys: AccessKeys
    /// For callers whose key has no limit of its own.
    private let defaultRate: RateLimit
    private let limiter = Locked(RateLimiter())

    init(_ keys: AccessKeys, defaultRate: RateLimit) {
        (self.keys, self.defaultRate) = (keys, defaultRate)
    }

    /// - Parameters:
    ///   - reach: what of the node's models the endpoint is about.
    ///   - now: monotonic nanoseconds.
    func admit(_ request: HTTPRequest, _ access: Endpoint.Access, _ reach: Endpoint.Reach, at now: UInt64)
        throws(RequestRefusal) -> Principal
    {
        guard case .roles = access else { return .anyone }
        guard let principal = keys.principal(of: request) else {
            throw .unknownCaller
        }
        let rate = principal.rate ?? defaultRate
        if rate != .unlimited,
            let seconds = limiter.withLock({ $0.take(principal.identifier, rate, at: now) })
        {
            throw .tooMany(rate, retryAfterSeconds: seconds)
        }
        guard access.allows(principal.roles) else {
            throw RequestRefusal(
                403, .forbidden,
                "this API key does not have a role for this endpoint; ask the node's operator")
        }
        guard reach != .everything || principal.models == nil else {
            throw RequestRefusal(
                403, .forbidden,
                "this API key is for some models only, and this endpoint is about all; ask the node's operator")
        }
        return principal
    }
}

extension RequestRefusal {
    /// Neither a key nor a certificate that is known.
    static let unknownCaller = RequestRefusal(401, .unauthorised, "a valid API key is needed: Authorization: Bearer KEY")
}

extension Principal {
    /// A caller of an endpoint that needs no key.
    static let anyone = Principal(identifier: "anyone", roles: [])
}

extension PredictionService {
    /// The caller of an endpoint outside of this service, when its roles let it in and it may use all models; else the
    /// request is answered.
    /// - Parameter endpoint: its name in the metric of refused requests.
    package func admit(
        _ request: HTTPRequest, _ roles: Set<AccessRole>, endpoint: String, _ responder: HTTPResponder
    ) -> Principal? {
        do {
            return try gate.admit(request, .roles(roles), .everything, at: EventLoop.monotonicNanoseconds())
        } catch {
            countRefusal(endpoint, error.reason)
            responder.respond(error.response)
            return nil
        }
    }
}
