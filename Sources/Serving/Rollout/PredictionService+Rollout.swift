// Versions on their way into service and out of it, over HTTP. `protocol/prediction-api.md` §9.

import Codec
import Cryptography
import HTTP
import Study
import Telemetry

extension PredictionService {
    /// - Throws: 503 while an overseer's stop is in force.
    func refuseIfStopped() throws(ServingError) {
        guard !deployments.isStopped else { throw .predictionsStopped }
    }

    /// `POST /v1/models/{digest}/…`. Each change waits for the disk, so it runs on the worker's thread.
    func change(_ endpoint: Endpoint, _ hex: String, _ body: [UInt8], _ principal: Principal, _ responder: HTTPResponder) throws {
        guard let digest = Digest(hex: hex), deployments.has(digest, for: principal) else {
            throw RequestRefusal(404, .notFound, "no version with this digest is installed")
        }
        let act = try action(endpoint, digest, body, Actor(principal))
        try change(endpoint, responder) { () throws(ServingError) in
            try act()
            return digest
        }
    }

    private typealias Action = @Sendable () throws(ServingError) -> Void

    private func action(_ endpoint: Endpoint, _ digest: Digest, _ body: [UInt8], _ actor: Actor) throws -> Action {
        let deployments = deployments
        switch endpoint {
        case .approve:
            let (configuration, evidence) = try Self.hashes(body)
            return { () throws(ServingError) in
                try deployments.approve(digest, configuration: configuration, evidence: evidence, by: actor)
            }
        case .override:
            let reason = try Self.reason(body, isNeeded: true)
            return { () throws(ServingError) in try deployments.override(digest, reason: reason, by: actor) }
        case .suspend:
            let reason = try Self.reason(body)
            return { () throws(ServingError) in try deployments.suspend(digest, reason: reason, by: actor) }
        case .configure:
            let settings = try Self.settings(body)
            return { () throws(ServingError) in try deployments.configure(digest, settings, by: actor) }
        case .canary:
            let terms = try Self.terms(body)
            return { () throws(ServingError) in try deployments.beginCanary(digest, terms: terms, by: actor) }
        default: break
        }
        _ = try Self.object(body, [])
        switch endpoint {
        case .shadow: return { () throws(ServingError) in try deployments.beginShadow(digest, by: actor) }
        case .stage: return { () throws(ServingError) in try deployments.restage(digest, by: actor) }
        case .standby: return { () throws(ServingError) in try deployments.standBy(digest, by: actor) }
        case .unstage: return { () throws(ServingError) in try deployments.unstage(digest, by: actor) }
        case .retire: return { () throws(ServingError) in try deployments.retire(digest, by: actor) }
        default: preconditionFailure("\(endpoint) is no change of a version")
        }
    }

    /// `POST /v1/models/{digest}/evaluate`: the body is a CSV file of labelled rows.
    func evaluate(_ hex: String, _ csv: [UInt8], _ principal: Principal, _ responder: HTTPResponder) throws {
        guard let digest = Digest(hex: hex), deployments.has(digest, for: principal) else {
            throw RequestRefusal(404, .notFound, "no version with this digest is installed")
        }
        try worker.run { [self] in
            do {
                try deployments.evaluate(digest, csv: csv, by: Actor(principal))
                responder.respond(.json(deployments.current.versions[digest]?.json ?? .null))
            } catch {
                refuse(.evaluate, RequestRefusal(error as? ServingError ?? .stopped), responder)
            }
        }
    }

    /// `POST /v1/rules`, `POST /v1/rules/{digest}/confirm`.
    func changeRules(_ endpoint: Endpoint, _ parameters: RouteParameters, _ body: [UInt8], _ actor: Actor, _ responder: HTTPResponder) throws {
        let act: Action
        if endpoint == .proposeRules {
            let rules: SiteRules
            do { rules = try SiteRules(parsing: body) } catch { throw RequestRefusal.malformed("\(error)") }
            act = { [deployments] () throws(ServingError) in try deployments.propose(rules, by: actor) }
        } else {
            _ = try Self.object(body, [])
            guard let digest = Digest(hex: parameters["digest"]) else { throw RequestRefusal(404, .notFound, "no rules of this digest are proposed") }
            act = { [deployments] () throws(ServingError) in try deployments.confirmRules(digest, by: actor) }
        }
        try worker.run { [self] in
            do {
                try act()
                responder.respond(.json(deployments.current.siteRulesJSON))
            } catch {
                refuse(endpoint, RequestRefusal(error as? ServingError ?? .stopped), responder)
            }
        }
    }

    /// `POST /v1/stop`, `POST /v1/start`.
    func changeStop(_ endpoint: Endpoint, _ body: [UInt8], _ actor: Actor, _ responder: HTTPResponder) throws {
        let reason = try Self.reason(body)
        try worker.run { [self] in
            do {
                if endpoint == .stop {
                    try deployments.stop(reason: reason, by: actor)
                } else {
                    try deployments.start(reason: reason, by: actor)
                }
                responder.respond(.json(["stopped": .bool(endpoint == .stop)]))
            } catch {
                refuse(endpoint, RequestRefusal(error as? ServingError ?? .stopped), responder)
            }
        }
    }

    /// `GET /v1/history?at=TIME&model=NAME`.
    func historyJSON(_ request: HTTPRequest) throws(RequestRefusal) -> JSONValue {
        guard request.query.allSatisfy({ ["at", "model"].contains($0.0) }) else {
            throw .malformed("the query has at (a time) and model (a name), and nothing else")
        }
        let model = request.queryValue("model")
        guard model == nil || deployments.current.models.contains(model ?? "") else { throw RequestRefusal(.unknownModel) }
        guard let text = request.queryValue("at") else { return deployments.current.timeline(model: model) }
        guard let time = Timestamp(iso8601: text) else {
            throw .malformed("at must be a time in UTC such as 2026-11-24T21:00:00Z")
        }
        return deployments.state(at: time).answerable(at: time, model: model)
    }

    private static func settings(_ body: [UInt8]) throws(RequestRefusal) -> SiteSettings {
        do {
            var fields = try JSONFields(try JSONValue.parse(body, dialect: .strict), path: "")
            let settings = try SiteSettings(&fields, intercept: 0, path: "")
            try fields.finish()
            return settings
        } catch {
            throw .malformed("\(error)")
        }
    }

    private static func hashes(_ body: [UInt8]) throws(RequestRefusal) -> (configuration: Digest, evidence: Digest) {
        let members = try object(body, ["configuration", "evidence"])
        guard let configuration = members["configuration"]?.stringValue.flatMap({ Digest(hex: $0) }),
            let evidence = members["evidence"]?.stringValue.flatMap({ Digest(hex: $0) })
        else {
            throw .malformed("an approval names \"configuration\" and \"evidence\" as GET /v1/models shows them, 64 hex digits each")
        }
        return (configuration, evidence)
    }

    /// Steps and guardrails; nil for the plan's or the defaults.
    private static func terms(_ body: [UInt8]) throws(RequestRefusal) -> CanaryPlan? {
        guard !body.isEmpty else { return nil }
        do {
            let fields = try JSONFields(try JSONValue.parse(body, dialect: .strict), path: "canary")
            return fields.names.isEmpty ? nil : try CanaryPlan(fields)
        } catch {
            throw .malformed("\(error)")
        }
    }

    /// - Parameter isNeeded: whether there has to be one. A stop in a hurry needs none.
    static func reason(_ body: [UInt8], isNeeded: Bool = false) throws(RequestRefusal) -> String {
        let given = try object(body, ["reason"])["reason"]
        guard given != nil || isNeeded else { return "no reason given" }
        let text = given?.stringValue ?? ""
        guard (1...ServingLimits.reasonBytes).contains(text.utf8.count) else {
            throw .malformed("\"reason\" must be a text of 1 to \(ServingLimits.reasonBytes) bytes; it stands in the log, so it names no person")
        }
        return text
    }
}
