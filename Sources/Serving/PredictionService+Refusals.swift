// What is refused, counted by endpoint and reason: `consilium_requests_refused_total`, and `nv_inference_request_failure` for
// boards that know Triton. Labels are words of closed lists; a path that has no endpoint is `none`, whatever it says.

import HTTP
import Telemetry

extension PredictionService {
    /// Answers with a refusal, and counts it.
    func refuse(_ endpoint: Endpoint, _ refusal: RequestRefusal, _ responder: HTTPResponder) {
        responder.respond(refused(endpoint, refusal))
    }

    /// The answer of a refusal, counted.
    func refused(_ endpoint: Endpoint, _ refusal: RequestRefusal) -> HTTPResponse {
        countRefusal(endpoint, refusal.reason)
        if endpoint.isPrediction, !refusal.isOfVersion { statistics.countFailureOfNoVersion(refused: refusal.status < 500) }
        return refusal.response
    }

    /// Whether a path is one of those that score rows.
    static func isPrediction(_ path: String) -> Bool { path == Endpoint.predict.path || path.hasSuffix("/infer") }

    /// Which of them it is.
    static func predictionEndpoint(_ path: String) -> Endpoint { path == Endpoint.predict.path ? .predict : .infer }

    func countRefusal(_ endpoint: Endpoint, _ reason: RequestRefusal.Reason) {
        countRefusal(endpoint.rawValue, reason)
    }

    func countRefusal(_ endpoint: String, _ reason: RequestRefusal.Reason) {
        metrics.count(
            "consilium_requests_refused_total",
            [("endpoint", endpoint), ("reason", reason.rawValue)],
            help: "Requests that were not answered with 200, by endpoint and reason.")
    }

    /// Counts an answer of an endpoint when it is a refusal that nobody counted yet.
    /// - Parameter endpoint: its name in the metric.
    package func counted(_ response: HTTPResponse, _ endpoint: String) -> HTTPResponse {
        guard response.status >= 400, !response.isCounted else { return response }
        countRefusal(endpoint, RequestRefusal.Reason(status: response.status))
        var response = response
        response.isCounted = true
        return response
    }

    /// Counts what the server refused before any endpoint saw it: a request that it could not read, an unknown path, another
    /// method, too much at once. For the observer of the server that the service is mounted on.
    package func noteAnswered(_ exchange: HTTPExchange) {
        guard exchange.status >= 400, !exchange.isCounted else { return }
        // What waits too long, or has no place to wait, is a prediction.
        let isShed = exchange.status == 503 && Self.isPrediction(exchange.path)
        countRefusal(
            isShed ? Self.predictionEndpoint(exchange.path).rawValue : "none", isShed ? .overloaded : RequestRefusal.Reason(status: exchange.status))
        statistics.countFailureOfNoVersion(refused: exchange.status < 500 || exchange.method.isEmpty)
    }
}

extension Endpoint {
    /// Whether what it refuses is a prediction that was not made.
    var isPrediction: Bool { [.predict, .infer, .versionInfer].contains(self) }
}
