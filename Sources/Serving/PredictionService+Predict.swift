// `POST /v1/predict`.

import AuditLog
import Codec
import HTTP
import Telemetry
import Transport

extension PredictionService {
    func predict(
        _ request: HTTPRequest, _ principal: Principal, _ responder: HTTPResponder, _ start: UInt64
    ) throws {
        let asked = try PredictRequest(request.body, live: deployments.live)
        let rows = score(asked.rows, asked.model, explain: asked.explain)
        try commit(rows, asked.model, principal, responder, .predict, start) {
            JSONBody.answer(rows, model: asked.model)
        }
    }

    /// Scores every valid row with one version.
    func score(_ rows: [RequestRow], _ model: DeployedModel, explain: Bool) -> [RowAnswer] {
        let now = clock.now().milliseconds
        return rows.map { row in
            switch row {
            case .refused(let violations): return .refused(violations)
            case .valid(let values):
                let score = model.score(values)
                let (id, salt) = ids.withLock { ($0.next(milliseconds: now), $0.salt()) }
                let record = DecisionRecord(
                    id: id, salt: salt, digest: model.package.digest, intercept: model.intercept,
                    score: score.score,
                    probability: score.probability, positive: score.positive, values: values)
                return .scored(
                    ScoredRow(
                        record: record, imputed: values.indices.filter { values[$0].isNaN },
                        explanation: explain ? model.explain(values) : nil))
            }
        }
    }

    /// Makes the scored rows durable, then answers with `body`.
    func commit(
        _ rows: [RowAnswer], _ model: DeployedModel, _ principal: Principal,
        _ responder: HTTPResponder, _ endpoint: Endpoint, _ start: UInt64,
        body: () -> [UInt8]
    ) throws {
        let decisions = rows.compactMap { row in
            if case .scored(let scored) = row { scored.record } else { nil }
        }
        let refused = rows.count - decisions.count
        if refused > 0 {
            metrics.count(
                "consilium_rows_refused_total", by: Double(refused),
                help: "Rows that did not fit the schema.")
        }
        guard !decisions.isEmpty else {
            countRefusal(endpoint, .schema)
            return responder.respond(
                HTTPResponse(
                    status: 422, contentType: "application/json", body: JSONBody.refusal(rows)))
        }
        let response = HTTPResponse(contentType: "application/json", body: body())
        try pending.enter(rows: decisions.count)
        let sealed = decisions.map(\.sealed)
        let entries = sealed.map { entry($0, model, principal) }
        let finish: @Sendable (ServingError?) -> Void = { [self] error in
            noteDurable(error)
            if let error {
                refuse(endpoint, RequestRefusal(error), responder)
            } else {
                responder.respond(response)
                countAnswer(decisions.count, model, start)
            }
            pending.leave(rows: decisions.count)
        }
        records.put(sealed) { [log] error in
            if let error { return finish(error) }
            let done = Countdown.after(entries.count) { failure in
                finish(failure.map { .logUnavailable(problem: $0) })
            }
            for entry in entries { log.append(entry, done) }
        }
    }

    private func entry(_ decision: SealedDecision, _ model: DeployedModel, _ principal: Principal)
        -> LogEntry
    {
        LogEntry(
            .prediction, actor: principal.identifier, role: AccessRole.predict.rawValue,
            site: configuration.site, model: model.package.name,
            payloadDigest: model.package.digest,
            details: [
                "id": .string(decision.id.description),
                "version": .integer(Int64(model.package.version)),
                "input": .string(decision.input.hex), "output": .string(decision.output.hex),
            ])
    }

    private func countAnswer(_ rows: Int, _ model: DeployedModel, _ start: UInt64) {
        let labels = [("model", model.package.name), ("version", String(model.package.version))]
        metrics.count(
            "consilium_predictions_total", labels, by: Double(rows),
            help: "Rows scored and answered.")
        let seconds = Double(EventLoop.monotonicNanoseconds() - start) / 1e9
        metrics.observe(
            "consilium_prediction_seconds", [], seconds,
            help: "From the complete request to its answer, log and disk included.")
    }
}

/// Requests whose records and entries are on their way to the disk.
final class Pending: Sendable {
    private let state = Locked<(requests: Int, rows: Int, isStopping: Bool)>((0, 0, false))
    private let emptied = Condition()

    /// - Throws: `ServingError.overloaded` beyond the limits, `.stopped`.
    func enter(rows: Int) throws(ServingError) {
        try state.withLock {
            (state: inout (requests: Int, rows: Int, isStopping: Bool)) throws(ServingError) in
            guard !state.isStopping else { throw .stopped }
            guard state.requests < ServingLimits.pendingRequests,
                state.rows + rows <= ServingLimits.pendingRows
            else { throw .overloaded }
            state.requests += 1
            state.rows += rows
        }
    }

    func leave(rows: Int) {
        let isOver = state.withLock { state in
            state.requests -= 1
            state.rows -= rows
            return state.isStopping && state.requests == 0
        }
        if isOver { emptied.withLock { emptied.broadcast() } }
    }

    /// Lets nobody in any more and waits until everybody is out.
    func stop() {
        emptied.lock()
        defer { emptied.unlock() }
        state.withLock { $0.isStopping = true }
        while state.withLock({ $0.requests > 0 }) { emptied.wait() }
    }
}
