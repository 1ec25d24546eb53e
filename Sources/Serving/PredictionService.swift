// The prediction service of a site node: what is mounted on its HTTPS server.
//
// A prediction: request → principal → validated rows → scores → records and entries → durable → answer. Everything up to
// the records runs on the server's loop thread; the record store and the audit log have threads of their own that group
// what arrives together into one sync, and the answer is sent from there. `protocol/prediction-api.md` is the outside of this file.

import AuditLog
import Codec
import Cryptography
import HTTP
import Telemetry
import Transport

package final class PredictionService: Sendable {
    /// Where the service lives and whom it trusts.
    package struct Configuration: Sendable {
        /// The node's directory: `packages/`, `intercepts/` and `records/` lie under it.
        package var directory: String
        /// The site's name, as in log entries.
        package var site: String
        /// Whose packages are accepted: the coordinator's release key.
        package var trustedKey: VerifyingKey
        /// The node's own key, which signs models that the site imports.
        package var ownKey: VerifyingKey?

        /// For callers whose key has no limit of its own.
        package var rate: RateLimit

        package init(directory: String, site: String, trustedKey: VerifyingKey, ownKey: VerifyingKey? = nil, rate: RateLimit = .unlimited) {
            (self.directory, self.site, self.trustedKey, self.ownKey, self.rate) = (directory, site, trustedKey, ownKey, rate)
        }
    }

    package let deployments: Deployments
    let pipelines: Pipelines
    let configuration: Configuration
    let gate: AccessGate
    let records: DecisionRecords
    let log: LogWriter
    let worker = Worker(name: "serving", waitingMax: ServingLimits.pendingRequests)
    /// Makes predictions that take long.
    let scoring = Worker(name: "scoring", waitingMax: ServingLimits.longRequests)
    let pending = Pending()
    let statistics: ServingStatistics
    let unkeyed = RequestCounter()
    let clock: any Clock
    let metrics: Telemetry.Metrics
    let logger: Logger
    let ids: Locked<PredictionIDSource>
    /// Whether the last write to records and log succeeded.
    private let isDurable = Locked(true)

    /// Opens records and packages and folds the log.
    /// - Parameters:
    ///   - log: how entries are written.
    ///   - replay: calls its argument with the log's entries so far, in order.
    /// - Throws: `ServingError` when the directory, the records or the keys cannot be used.
    package init(
        _ configuration: Configuration, log: LogWriter,
        replay: ((StoredEntry) -> Void) throws -> Void, keys: AccessKeys,
        clock: any Clock, random: any RandomSource, metrics: Telemetry.Metrics, logger: Logger
    ) throws(ServingError) {
        ProcessMemory.keepFreed(bytes: ServingLimits.keptMemoryBytes)
        (self.configuration, self.clock, self.metrics, self.logger) = (configuration, clock, metrics, logger)
        gate = AccessGate(keys, defaultRate: configuration.rate)
        statistics = ServingStatistics(metrics)
        var erased: [PredictionID] = []
        var named: [String: Digest] = [:]
        deployments = try Deployments(
            directory: configuration.directory, site: configuration.site,
            trustedKeys: [configuration.trustedKey] + (configuration.ownKey.map { [$0] } ?? []), log: log,
            replay: { take in
                try withoutActuallyEscaping(take) { take in
                    try replay { stored in
                        erased += Self.erasedPredictions(stored)
                        Pipelines.fold(stored, into: &named)
                        take(stored)
                    }
                }
            }, clock: clock, random: random, logger: logger)
        pipelines = try Pipelines(directory: configuration.directory, named)
        records = try DecisionRecords(directory: configuration.directory + "/records")
        // An erasure that a crash cut off between its entry and its end.
        _ = try records.erase(erased)
        ids = Locked(PredictionIDSource(random: random))
        self.log = log
    }

    /// Opens the service on an audit log of this process, which outlives it.
    package convenience init(
        _ configuration: Configuration, log: AuditLog, keys: AccessKeys, clock: any Clock,
        random: any RandomSource, metrics: Telemetry.Metrics,
        logger: Logger
    ) throws(ServingError) {
        try self.init(
            configuration, log: LogWriter(log), replay: { body in try log.forEach { body($0) } },
            keys: keys, clock: clock, random: random,
            metrics: metrics, logger: logger)
        try writeRecords(with: log)
    }

    /// Predictions and their entries become durable together from now on: one sync for both. For the log that the service
    /// writes to.
    package func writeRecords(with log: AuditLog) throws(ServingError) {
        do { try log.keepEntries(behind: records.predictions) } catch { throw .records(path: configuration.directory, problem: "\(error)") }
    }

    /// Answers what was accepted, then refuses more. Call after the server has stopped.
    package func stop() {
        worker.stop()
        scoring.stop()
        pending.stop()
        deployments.close()
        records.close()
    }

    /// Whether a version answers and the disk takes entries.
    package var isReady: Bool { deployments.isReady && isDurable.withLock { $0 } }

    /// The body limit of a path, for the server's configuration.
    package static func bodyLimit(path: String) -> Int {
        if isPrediction(path) { return ServingLimits.predictBodyBytes }
        let isLarge = path == Endpoint.install.path || path.hasPrefix("/v1/models/") && path.hasSuffix("/evaluate")
        return isLarge ? ServingLimits.packageBytes : ServingLimits.bodyBytes
    }

    /// Adds every endpoint to a router.
    package func mount(on router: inout Router) {
        for endpoint in Endpoint.allCases {
            // The row of the table is looked up once: a set of roles is an allocation.
            let (access, reach) = (endpoint.access, endpoint.reach)
            router.add(endpoint.method, endpoint.path) { [self] request, parameters, responder in
                let bytesMax = request.isAlone ? ServingLimits.aloneBodyBytes : ServingLimits.shortBodyBytes
                let mayBeLong = request.body.count > bytesMax || request.headers["Content-Encoding"] != nil
                guard mayBeLong, endpoint.isPrediction else {
                    return handle(endpoint, access, reach, request, parameters, responder)
                }
                do throws(ServingError) {
                    try scoring.run { [self] in handle(endpoint, access, reach, request, parameters, responder) }
                } catch {
                    refuse(endpoint, RequestRefusal(error), responder)
                }
            }
        }
    }

    private func handle(
        _ endpoint: Endpoint, _ access: Endpoint.Access, _ reach: Endpoint.Reach, _ request: HTTPRequest,
        _ parameters: RouteParameters, _ responder: HTTPResponder
    ) {
        let start = request.receivedNanoseconds > 0 ? request.receivedNanoseconds : EventLoop.monotonicNanoseconds()
        do {
            let principal = try gate.admit(request, access, reach, at: start)
            guard request.body.count <= endpoint.bodyBytesMax else {
                throw RequestRefusal(413, .tooLarge, "the body is larger than \(endpoint.bodyBytesMax) bytes")
            }
            var request = request
            if let coding = request.headers["Content-Encoding"] {
                request.body = try Self.plainBody(request.body, coding, bytesMax: endpoint.bodyBytesMax)
            }
            try answer(endpoint, request, parameters, principal, responder, start)
        } catch {
            refuse(endpoint, RequestRefusal(any: error), responder)
        }
    }

    /// The body without its compression.
    private static func plainBody(_ body: [UInt8], _ coding: String, bytesMax: Int) throws(RequestRefusal) -> [UInt8] {
        do {
            return try ContentCoding.decode(body, header: coding, bytesMax: bytesMax)
        } catch {
            throw RequestRefusal(error.status, .coding, error.message)
        }
    }

    private func answer(
        _ endpoint: Endpoint, _ request: HTTPRequest, _ parameters: RouteParameters,
        _ principal: Principal, _ responder: HTTPResponder,
        _ start: UInt64
    ) throws {
        switch endpoint {
        case .predict:
            try refuseIfStopped()
            try predict(request, principal, responder, start)
        case .feedback: try feedback(request, principal, responder)
        case .models: responder.respond(.json(modelsJSON(principal)))
        case .decision: try decision(parameters["id"], principal, responder)
        case .makeLive: try makeLive(parameters["digest"], principal, responder)
        case .rollback: try rollback(request, principal, responder)
        case .erase: try erase(request, principal, responder)
        case .install: try install(request.body, principal, responder)
        case .keys: responder.respond(.json(try keysJSON()))
        case .createKey: try createKey(request.body, principal, responder)
        case .revokeKey: try revokeKey(parameters["id"], principal, responder)
        case .configure, .stage, .approve, .override, .shadow, .canary, .standby, .unstage, .suspend, .retire:
            try change(endpoint, parameters["digest"], request.body, principal, responder)
        case .evaluate: try evaluate(parameters["digest"], request.body, principal, responder)
        case .rules: responder.respond(.json(deployments.current.siteRulesJSON))
        case .proposeRules, .confirmRules: try changeRules(endpoint, parameters, request.body, Actor(principal), responder)
        case .stop, .start: try changeStop(endpoint, request.body, Actor(principal), responder)
        case .rollout: responder.respond(.json(deployments.lanesJSON()))
        case .history: responder.respond(.json(try historyJSON(request)))
        case .metrics:
            deployments.setMetrics(metrics)
            responder.respond(
                HTTPResponse(
                    contentType: "text/plain; version=0.0.4; charset=utf-8",
                    body: Array(
                        (metrics.prometheusText()
                            + statistics.prometheusText(pending: pending.count)).utf8)))
        case .openAPI: responder.respond(.json(OpenAPIDocument.value))
        case .live: responder.respond(.json(["live": true]))
        case .ready:
            let response: HTTPResponse = isReady ? .json(["ready": true]) : .json(["ready": false, "error": .string(notReadyReason)], status: 503)
            responder.respond(counted(response, endpoint.rawValue))
        case .server, .serverSlash: responder.respond(.json(serverJSON()))
        case .modelsStats:
            let models = deployments.live.visible(to: principal).models.values.sorted {
                $0.package.name < $1.package.name
            }
            let table = deployments.live
            let running = pipelines.all.keys.sorted().compactMap { try? pipeline($0, principal, table) }
            responder.respond(.json(["model_stats": .array(models.map(statistics.json) + running.map(statistics.json))]))
        case .repositoryIndex: responder.respond(.json(try repositoryIndex(request.body, principal)))
        case .load: try loadModel(parameters["model"], request.body, principal, responder)
        case .unload: try unloadModel(parameters["model"], request.body, principal, responder)
        case .pipelines: responder.respond(.json(pipelinesJSON()))
        case .setPipeline: try setPipeline(request.body, principal, responder)
        case .removePipeline: try removePipeline(parameters["name"], principal, responder)
        case .model, .modelReady, .modelConfig, .modelStats, .infer:
            if deployments.liveModel(parameters["model"]) == nil,
                let pipeline = try pipeline(parameters["model"], principal, deployments.live)
            {
                return try answer(endpoint, pipeline, request, principal, responder, start)
            }
            let model = try liveModel(parameters["model"], principal)
            try answer(endpoint, model, request, principal, responder, start)
        case .version, .versionReady, .versionConfig, .versionStats, .versionInfer:
            let model = try liveModel(parameters["model"], principal, version: parameters["version"])
            try answer(endpoint, model, request, principal, responder, start)
        }
    }

    private func answer(
        _ endpoint: Endpoint, _ model: DeployedModel, _ request: HTTPRequest,
        _ principal: Principal, _ responder: HTTPResponder, _ start: UInt64
    ) throws {
        switch endpoint {
        case .model, .version: responder.respond(.json(modelJSON(model)))
        case .modelReady, .versionReady: try modelReady(model, responder)
        case .modelConfig, .versionConfig: responder.respond(.json(configurationJSON(model)))
        case .modelStats, .versionStats: responder.respond(.json(statisticsJSON([model])))
        default:
            try refuseIfStopped()
            try infer(model, request, principal, responder, start, isPinned: endpoint == .versionInfer)
        }
    }

    private func answer(
        _ endpoint: Endpoint, _ pipeline: DeployedPipeline, _ request: HTTPRequest, _ principal: Principal, _ responder: HTTPResponder,
        _ start: UInt64
    ) throws {
        switch endpoint {
        case .model: responder.respond(.json(pipelineJSON(pipeline)))
        case .modelReady:
            guard isReady else { throw RequestRefusal(503, .unavailable, "the node is not ready; see /v2/health/ready") }
            responder.respond(.json(["name": .string(pipeline.document.name), "ready": true]))
        case .infer:
            try refuseIfStopped()
            try infer(pipeline.final, request, principal, responder, start, isPinned: false, pipeline: pipeline)
        case .modelConfig: responder.respond(.json(configurationJSON(pipeline)))
        case .modelStats: responder.respond(.json(["model_stats": [statistics.json(pipeline)]]))
        default: throw RequestRefusal(404, .unknownModel, "a pipeline has no versions; ask for it without one")
        }
    }

    private var notReadyReason: String {
        if deployments.live.stop != nil { return "an overseer has stopped all predictions" }
        return deployments.isReady
            ? "records or audit log cannot be written"
            : "no version is live, or a live one cannot be loaded"
    }

    /// Notes whether records and log could be written; a failure is told once, until it is over.
    func noteDurable(_ error: ServingError?) {
        let isNews = isDurable.withLock { isDurable in
            defer { isDurable = error == nil }
            return isDurable == (error != nil)
        }
        if error != nil {
            metrics.count(
                "consilium_durability_failures_total",
                help:
                    "Answers that were withheld because records or the audit log could not be written."
            )
        }
        guard isNews else { return }
        if let error {
            logger.error("durability.lost", [("problem", .name("\(error)"))])
        } else {
            logger.info("durability.restored")
        }
    }
}
