import Codec
import HTTP

/// Why a request is not answered with 200. Made of fixed words, positions and the schema's words only.
struct RequestRefusal: Error, Equatable, Sendable {
    /// HTTP status.
    var status: Int
    /// For the caller.
    var message: String
    /// For the metric, from a closed list.
    var reason: Reason
    /// When to ask again; 1 for a 503, but for a stop, which a person lifts.
    private var waitSeconds: Int?
    /// Whether it is among the failures of a version already.
    var isOfVersion = false

    enum Reason: String, CaseIterable, Sendable {
        case malformed
        case tooLarge = "too-large"
        case schema
        case unknownModel = "unknown-model"
        case noLiveVersion = "no-live-version"
        case unknownPrediction = "unknown-prediction"
        case conflict, unauthorised, forbidden
        case notFound = "not-found"
        case overloaded, timeout
        case rateLimited = "rate-limited"
        case coding = "content-encoding"
        case logUnavailable = "log-unavailable"
        case recordsUnavailable = "records-unavailable"
        case unavailable
        case transition, approval, gates
        case stopped = "stopped-by-overseer"
        case method
        case slow = "slow-request"
        case lengthRequired = "length-required"
        case expectation
        case notImplemented = "not-implemented"
        case httpVersion = "http-version"

        /// The reason of a refusal that came before any endpoint, or from one outside of this service.
        init(status: Int) {
            self =
                switch status {
                case 401: .unauthorised
                case 403: .forbidden
                case 404: .notFound
                case 405: .method
                case 408: .slow
                case 409: .conflict
                case 411: .lengthRequired
                case 413, 414, 431: .tooLarge
                case 415: .coding
                case 417: .expectation
                case 422: .schema
                case 429: .rateLimited
                case 501: .notImplemented
                case 505: .httpVersion
                case 500...: .unavailable
                default: .malformed
                }
        }
    }

    init(_ status: Int, _ reason: Reason, _ message: String) {
        (self.status, self.reason, self.message) = (status, reason, message)
    }

    static func tooMany(_ rate: RateLimit, retryAfterSeconds: Int) -> RequestRefusal {
        var refusal = RequestRefusal(
            429, .rateLimited,
            "this caller may make \(rate.text) requests; ask again in \(retryAfterSeconds) s, or ask the node's operator for more")
        refusal.waitSeconds = retryAfterSeconds
        return refusal
    }

    /// The answer.
    var response: HTTPResponse {
        var response = HTTPResponse.error(status, message)
        response.isCounted = true
        if status == 401 { response.headers.append("WWW-Authenticate", "Bearer") }
        if let seconds = waitSeconds ?? (status == 503 && reason != .stopped ? 1 : nil) { response.headers.append("Retry-After", String(seconds)) }
        return response
    }

    static func malformed(_ message: String) -> RequestRefusal {
        RequestRefusal(400, .malformed, message)
    }

    /// How an error of the service itself looks to a caller. Paths and system reasons stay in the node's own log.
    init(_ error: ServingError) {
        switch error {
        case .overloaded:
            self.init(503, .overloaded, "too many requests are waiting; ask again in a moment")
        case .stopped: self.init(503, .unavailable, "the node is stopping")
        case .logUnavailable:
            self.init(
                503, .logUnavailable,
                "the audit log cannot be written, so nothing was decided; tell the node's operator")
        case .records:
            self.init(
                503, .recordsUnavailable,
                "the record store cannot be used, so nothing was decided; tell the node's operator")
        case .unknownVersion: self.init(404, .notFound, "no version with this digest is installed")
        case .unknownModel:
            self.init(404, .unknownModel, "no such model is installed; GET /v1/models lists them")
        case .nothingToRollBack:
            self.init(409, .conflict, "there is no earlier version to go back to")
        case .deployment(let problem): self.init(409, .conflict, problem)
        case .unknownKey: self.init(404, .notFound, "there is no key of that id; GET /v1/node/keys lists them")
        case .keyRequest(let problem): self = .malformed(problem)
        case .transition: self.init(409, .transition, "\(error)")
        case .role: self.init(403, .forbidden, "\(error); ask the node's operator")
        case .approval(let problem): self.init(409, .approval, problem)
        case .gates(let problem): self.init(409, .gates, problem)
        case .predictionsStopped: self.init(503, .stopped, "\(error)")
        case .accessKeys:
            self.init(
                500, .unavailable, "the node's API keys cannot be used; tell the node's operator")
        }
    }
}

extension RequestRefusal {
    /// How any error of answering a request looks to its caller.
    init(any error: any Error) {
        switch error {
        case let refusal as RequestRefusal: self = refusal
        case let error as ServingError: self.init(error)
        default: self.init(500, .unavailable, "the request could not be answered")
        }
    }

    /// What stands for an error on the way through a body: a refusal as it is, anything else as a malformed body.
    init(reading error: any Error) {
        switch error {
        case let refusal as RequestRefusal: self = refusal
        case let error as JSONError: self = .malformed("the body is not strict JSON: \(error)")
        default: self = .malformed("the body cannot be read")
        }
    }
}
