// `POST /v1/feedback`: what turned out to be true. `protocol/prediction-api.md` §4.

import AuditLog
import Codec
import HTTP
import Tabular
import Telemetry

extension PredictionService {
    /// A feedback as the caller stated it.
    private struct Statement: Sendable {
        var prediction: PredictionID
        var outcome: FieldInput
        var source: String
        var supersedes: PredictionID?

        init(_ body: [UInt8]) throws(RequestRefusal) {
            let value: JSONValue
            do {
                value = try JSONValue.parse(
                    body, dialect: .strict,
                    limits: JSONLimits(bytesMax: ServingLimits.bodyBytes, depthMax: 8))
            } catch {
                throw .malformed("the body is not strict JSON: \(error)")
            }
            guard case .object(let members) = value else {
                throw .malformed("the body must be an object with prediction_id and outcome")
            }
            guard
                members.keys.allSatisfy(
                    ["prediction_id", "outcome", "source", "supersedes"].contains)
            else {
                throw .malformed(
                    "the body has an unknown member; a feedback has prediction_id, outcome, source, supersedes"
                )
            }
            guard let id = members["prediction_id"]?.stringValue else {
                throw .malformed("\"prediction_id\" must be a text")
            }
            guard let prediction = PredictionID(id) else {
                throw RequestRefusal(
                    404, .unknownPrediction, "there is no prediction with this id at this node")
            }
            self.prediction = prediction
            outcome = try Self.outcome(members["outcome"])
            source = try Self.source(members["source"])
            supersedes = try Self.supersedes(members["supersedes"])
        }

        private static func outcome(_ value: JSONValue?) throws(RequestRefusal) -> FieldInput {
            switch value {
            case .bool(let flag): return .bool(flag)
            case .string(let text): return .text(text)
            case .integer(let number): return .number(Double(number))
            case .number(let number): return .number(number)
            default: throw .malformed("\"outcome\" must be true, false or a label of the schema")
            }
        }

        private static func source(_ value: JSONValue?) throws(RequestRefusal) -> String {
            guard let value, value != .null else { return "" }
            guard let text = value.stringValue, text.utf8.count <= ServingLimits.sourceBytes else {
                throw .malformed(
                    "\"source\" must be a text of at most \(ServingLimits.sourceBytes) bytes")
            }
            return text
        }

        private static func supersedes(_ value: JSONValue?) throws(RequestRefusal) -> PredictionID?
        {
            guard let value, value != .null else { return nil }
            guard let text = value.stringValue, let id = PredictionID(text) else {
                throw .malformed("\"supersedes\" must be an outcome_id")
            }
            return id
        }
    }

    func feedback(_ request: HTTPRequest, _ principal: Principal, _ responder: HTTPResponder) throws
    {
        let statement = try Statement(request.body)
        try worker.run { [self] in
            do {
                try take(statement, principal, responder)
            } catch let refusal as RequestRefusal {
                refuse(.feedback, refusal, responder)
            } catch {
                refuse(.feedback, RequestRefusal(error as? ServingError ?? .stopped), responder)
            }
        }
    }

    /// On the worker's thread, so that two feedbacks for one prediction cannot pass each other.
    private func take(_ statement: Statement, _ principal: Principal, _ responder: HTTPResponder)
        throws
    {
        let notFound = RequestRefusal(
            404, .unknownPrediction, "there is no prediction with this id at this node")
        guard let decision = try records.decision(statement.prediction)?.decision else { throw notFound }
        let model = try deployments.version(decision.context.digest, intercept: decision.context.intercept)
        guard principal.mayUse(model.package.name) else { throw notFound }
        let positive: Bool
        do {
            positive = try model.rules.readLabel(statement.outcome)
        } catch {
            throw RequestRefusal(
                422, .schema, "\"outcome\" is not a label of the schema; send true or false")
        }
        if let known = records.outcome(of: statement.prediction) {
            if known.positive == positive { return answer(known, repeated: true, responder) }
            guard statement.supersedes == known.id else { return conflict(known, responder) }
        } else if statement.supersedes != nil {
            throw RequestRefusal(
                409, .conflict, "\"supersedes\" names an outcome, but this prediction has none yet")
        }
        let isFirst = records.outcome(of: statement.prediction) == nil
        let outcome = try record(statement, positive, principal, model)
        if isFirst { observe(positive, of: decision) }
        metrics.count(
            "consilium_outcomes_total", [("model", model.package.name)], help: "Outcomes recorded.")
        answer(outcome, repeated: false, responder)
    }

    /// The entry first, then the record: an outcome that can be found is in the log. A crash between the two leaves an
    /// entry without a record, and a caller without an answer, who asks again.
    private func record(
        _ statement: Statement, _ positive: Bool, _ principal: Principal, _ model: DeployedModel
    ) throws(ServingError) -> OutcomeRecord {
        let now = clock.now().milliseconds
        let (id, salt) = ids.withLock { ($0.next(milliseconds: now), $0.salts(1)) }
        let outcome = OutcomeRecord(
            id: id, salt: salt, prediction: statement.prediction, positive: positive,
            source: statement.source, supersedes: statement.supersedes)
        var details: [String: JSONValue] = [
            "id": .string(id.description), "prediction": .string(statement.prediction.description),
            "commitment": .string(outcome.commitment.hex),
        ]
        if let earlier = statement.supersedes {
            details["supersedes"] = .string(earlier.description)
        }
        let entry = LogEntry(
            .outcome, actor: principal.identifier, role: AccessRole.feedback.rawValue,
            site: configuration.site, model: model.package.name, details: details)
        do {
            try log.appendAndWait(entry)
            try records.put(outcome)
        } catch {
            noteDurable(error)
            throw error
        }
        noteDurable(nil)
        return outcome
    }

    private func answer(_ outcome: OutcomeRecord, repeated: Bool, _ responder: HTTPResponder) {
        responder.respond(
            .json([
                "outcome_id": .string(outcome.id.description),
                "prediction_id": .string(outcome.prediction.description),
                "repeated": .bool(repeated),
            ]))
    }

    private func conflict(_ known: OutcomeRecord, _ responder: HTTPResponder) {
        let response = HTTPResponse.json(
            [
                "error": "this prediction has another outcome already; to correct it, send \"supersedes\" with its outcome_id",
                "outcome_id": .string(known.id.description),
            ], status: 409)
        responder.respond(counted(response, Endpoint.feedback.rawValue))
    }
}
