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
        try pending.refuseIfFull()
        let table = deployments.live
        let asked = try PredictRequest(request.body, live: table.visible(to: principal)) { (name) throws(RequestRefusal) in
            try pipeline(name, principal, table)
        }
        let read = EventLoop.monotonicNanoseconds()
        guard let wish = asked.wishes.counterfactual, wish != .nothing else {
            return try predict(asked, request, principal, table, responder, start: start, read: read)
        }
        // The search costs hundreds of scores a row: beside the loop.
        try scoring.run { [self] in
            do { try predict(asked, request, principal, table, responder, start: start, read: read) } catch {
                refuse(.predict, RequestRefusal(any: error), responder)
            }
        }
    }

    private func predict(
        _ asked: PredictRequest, _ request: HTTPRequest, _ principal: Principal, _ table: LiveTable, _ responder: HTTPResponder,
        start: UInt64, read: UInt64
    ) throws {
        let key = asked.routingKey ?? routingKey(request) ?? asked.subject
        // A pipeline's steps use live versions: what is on trial is tried on whole requests of its own model.
        let route = asked.pipeline == nil ? route(asked.rows, asked.model, table, key: key, start) : Route(model: asked.model)
        let scored = score(asked.rows, route.model, asked.wishes, arm: route.arm, pipeline: asked.pipeline)
        route.mirror(scored)
        let call = Commit(
            model: route.model, principal: principal, endpoint: .predict, subject: asked.subject, start: start, read: read,
            pipeline: asked.pipeline?.pipeline, coding: ContentCoding(accepting: request.headers["Accept-Encoding"]))
        try commit(scored, of: asked.rows, call, responder) {
            HTTPResponse(contentType: "application/json", body: JSONBody.answer(scored, of: asked.rows, pipeline: asked.pipeline?.pipeline))
        }
    }

    /// Scores every valid row with one version.
    /// - Parameter arm: of which part of a deployment the version is.
    func score(
        _ rows: RequestRows, _ model: DeployedModel, _ wishes: RowWishes, arm: DeploymentArm = .live, pipeline: PipelineRows? = nil
    ) -> ScoredRows {
        let now = clock.now().milliseconds
        let first = ids.withLock { $0.next(milliseconds: now, rows: rows.count) }
        let context = arm == .live && pipeline == nil
            ? model.liveContext
            : DecisionContext(
                digest: model.digest, configuration: model.configurationDigest, intercept: model.intercept, arm: arm,
                pipeline: pipeline?.use)
        return ScoredRows(rows, model, wishes, context, first: first, inputs: pipeline?.inputs ?? [])
    }

    /// Makes the scored rows durable, then answers with `body`.
    /// - Parameters:
    ///   - rows: those of the request, refused ones among them.
    ///   - body: makes the answer; it is asked before anything is stored.
    func commit(
        _ scored: ScoredRows, of rows: RequestRows, _ call: Commit, _ responder: HTTPResponder,
        body: () -> HTTPResponse
    ) throws {
        if !rows.refused.isEmpty {
            metrics.count(
                "consilium_rows_refused_total", by: Double(rows.refused.count),
                help: "Rows that did not fit the schema.")
        }
        guard scored.count > 0 else {
            countRefusal(call.endpoint, .schema)
            countFailure(call.model, call.start, nil, call.pipeline)
            var response = HTTPResponse(status: 422, contentType: "application/json", body: JSONBody.refusal(rows))
            response.isCounted = true
            return responder.respond(response)
        }
        let computed = EventLoop.monotonicNanoseconds()
        let response = body().compressed(call.coding)
        let written = EventLoop.monotonicNanoseconds()
        do throws(RequestRefusal) { try call.checkTimeout(at: written) } catch {
            throw failed(call.model, call.start, error, call.pipeline)
        }
        try refuseIfStopped()
        try pending.enter(rows: scored.count)
        let count = scored.count
        let sealed = seal(scored, call.subject)
        let finish: LogWriter.Completion = { [self] failure in
            let error = failure.map { ServingError.logUnavailable(problem: $0) }
            noteDurable(error)
            let now = EventLoop.monotonicNanoseconds()
            if let error {
                refuse(call.endpoint, failed(call.model, call.start, error, call.pipeline), responder)
            } else {
                responder.respond(response)
                countAnswer(
                    count, call,
                    InferenceTimes(
                        input: call.read - call.start, compute: computed - call.read,
                        output: written - computed, queue: now - written))
            }
            pending.leave(rows: count)
        }
        log.append(entry(sealed, scored, call), storing: (records.predictions, sealed.record), finish)
    }

    private func seal(_ rows: ScoredRows, _ subject: String?) -> SealedDecisions {
        let (salts, subjectSalt) = ids.withLock { ($0.salts(rows.count), subject == nil ? [] : $0.salts(1)) }
        return SealedDecisions(rows, subject: subject.map { Record.Subject(text: $0, salt: subjectSalt) }, salts: salts)
    }

    /// The entry for all rows of a request. `protocol/prediction-api.md` §6.
    private func entry(_ sealed: SealedDecisions, _ rows: ScoredRows, _ call: Commit) -> LogEntry {
        var details = call.model.details(rows.context)
        details.add("id", rows.firstID)
        if let single = sealed.single {
            details.add("input", single.input)
            details.add("output", single.output)
        }
        if let pipeline = rows.context.pipeline { details.add("pipeline", pipeline.document) }
        details.add("propensity", rows.context.arm.propensity.description)
        if sealed.single == nil {
            details.add("root", sealed.record.root)
            details.add("rows", sealed.record.count)
        }
        details.add("version", call.model.version)
        return LogEntry(
            .prediction, actor: call.principal.identifier, role: AccessRole.predict.rawValue,
            site: configuration.site, model: call.model.name,
            subjectCommitment: sealed.record.subject?.commitment, payloadDigest: call.model.digest,
            written: details)
    }

    private func countAnswer(_ rows: Int, _ call: Commit, _ times: InferenceTimes) {
        let now = clock.now()
        statistics.count(call.model, rows: rows, times, at: now)
        if let pipeline = call.pipeline { statistics.count(pipeline, rows: rows, times, at: now) }
    }

    /// Notes a request for a version that is not answered with 200.
    /// - Parameter error: why; nil when no row of it could be scored.
    func countFailure(_ model: DeployedModel, _ start: UInt64, _ error: (any Error)?, _ pipeline: DeployedPipeline? = nil) {
        let isAtFault = (error as? RequestRefusal).map { $0.status < 500 } ?? (error == nil)
        let nanoseconds = EventLoop.monotonicNanoseconds() - start
        statistics.countFailure(model, nanoseconds: nanoseconds, refused: isAtFault)
        if let pipeline { statistics.countFailure(pipeline, nanoseconds: nanoseconds, refused: isAtFault) }
    }

    /// Notes a request for a version that fails with an error.
    /// - Returns: the refusal, which no longer counts as one for no version.
    func failed(_ model: DeployedModel, _ start: UInt64, _ error: any Error, _ pipeline: DeployedPipeline? = nil) -> RequestRefusal {
        var refusal = RequestRefusal(any: error)
        refusal.isOfVersion = true
        countFailure(model, start, refusal, pipeline)
        return refusal
    }
}

/// What is known of a request when its rows are scored. Times are monotonic nanoseconds.
struct Commit: Sendable {
    var model: DeployedModel
    var principal: Principal
    var endpoint: Endpoint
    /// Whom all rows are about, as the site knows the person.
    var subject: String?
    /// When the request was complete.
    var start: UInt64
    /// When its rows were read and checked.
    var read: UInt64
    /// Microseconds within which the caller wants the answer.
    var timeout: Int?
    /// By which the rows came to the model.
    var pipeline: DeployedPipeline?
    /// What the answer may be compressed with.
    var coding: ContentCoding?

    /// - Throws: `RequestRefusal` 503 when the caller's time is over; nothing was decided then.
    func checkTimeout(at now: UInt64) throws(RequestRefusal) {
        guard let timeout, timeout > 0, (now - start) / 1000 >= UInt64(timeout) else { return }
        throw RequestRefusal(
            503, .timeout, "the request's timeout passed before it was decided; nothing was stored")
    }
}

extension HTTPResponse {
    /// The response with its body compressed, when that was asked for and makes it smaller. For predictions only: the
    /// stock aio client says that it takes gzip everywhere, and unpacks nothing else.
    func compressed(_ coding: ContentCoding?) -> HTTPResponse {
        guard let coding, body.count >= ContentCoding.worthwhileBytes else { return self }
        let packed = coding.encode(body)
        guard packed.count < body.count else { return self }
        var response = self
        response.body = packed
        response.headers.append("Content-Encoding", coding.rawValue)
        response.headers.append("Vary", "Accept-Encoding")
        return response
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

    /// Refuses before a request is read when not even one row could wait.
    /// - Throws: as `enter`.
    func refuseIfFull() throws(ServingError) {
        let (requests, rows, isStopping) = state.withLock { $0 }
        if isStopping { throw .stopped }
        if requests >= ServingLimits.pendingRequests || rows >= ServingLimits.pendingRows { throw .overloaded }
    }

    func leave(rows: Int) {
        let isOver = state.withLock { state in
            state.requests -= 1
            state.rows -= rows
            return state.isStopping && state.requests == 0
        }
        if isOver { emptied.withLock { emptied.broadcast() } }
    }

    /// Requests that wait.
    var count: Int { state.withLock { $0.requests } }

    /// Lets nobody in any more and waits until everybody is out.
    func stop() {
        emptied.lock()
        defer { emptied.unlock() }
        state.withLock { $0.isStopping = true }
        while state.withLock({ $0.requests > 0 }) { emptied.wait() }
    }
}
