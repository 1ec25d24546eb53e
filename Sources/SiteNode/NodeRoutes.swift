// The node's own endpoints beside those of `Serving`: status, plans, consent, data check, egress, log.
// All of them are also commands of `consilium node`. `protocol/federation.md` §7.

import AuditLog
import Codec
import Cryptography
import DifferentialPrivacy
import HTTP
import Serving
import Study
import Tabular
import Telemetry

/// The endpoints of this file, each with the roles that may call it; anything else is refused.
package enum NodeEndpoint: String, CaseIterable, Sendable {
    case status, plans, consent, withdraw, check, egress, manifest, signManifest, resume, privacy, setBudget, evaluate, calibrate, auditLog

    /// The HTTP method.
    package var method: String {
        switch self {
        case .consent, .withdraw, .check, .signManifest, .resume, .setBudget, .evaluate, .calibrate: "POST"
        default: "GET"
        }
    }

    /// The path, as a pattern of the router.
    package var path: String {
        switch self {
        case .status: "/v1/node"
        case .plans: "/v1/node/plans"
        case .consent: "/v1/node/studies/{study}/consent"
        case .withdraw: "/v1/node/studies/{study}/withdraw"
        case .check: "/v1/node/studies/{study}/check"
        case .egress: "/v1/node/egress"
        case .manifest: "/v1/node/manifest"
        case .signManifest: "/v1/node/manifest/{hash}/sign"
        case .resume: "/v1/node/resume"
        case .privacy: "/v1/node/privacy"
        case .setBudget: "/v1/node/privacy/budget"
        case .evaluate: "/v1/node/models/{digest}/evaluate"
        case .calibrate: "/v1/node/models/{digest}/calibrate"
        case .auditLog: "/audit/{path...}"
        }
    }

    /// Who may call it.
    package var roles: Set<AccessRole> {
        switch self {
        case .consent, .withdraw, .check, .signManifest, .resume, .setBudget, .evaluate, .calibrate: [.operator]
        case .status, .plans, .egress, .manifest, .privacy: [.operator, .overseer, .auditor]
        case .auditLog: Set(AccessRole.allCases)
        }
    }
}

extension NodeService {
    func handler() -> @Sendable (HTTPRequest, HTTPResponder) -> Void {
        var router = Router()
        predictions.mount(on: &router)
        for endpoint in NodeEndpoint.allCases {
            router.add(endpoint.method, endpoint.path) { [self] request, parameters, responder in
                guard let principal = predictions.admit(request, endpoint.roles, endpoint: endpoint.rawValue, responder) else { return }
                if endpoint == .auditLog {
                    return responder.respond(predictions.counted(auditFile(parameters["path"]), endpoint.rawValue))
                }
                onNode { node in
                    do {
                        responder.respond(.json(try node.answer(endpoint, request, parameters, principal)))
                    } catch {
                        responder.respond(node.predictions.counted(node.refusal(error), endpoint.rawValue))
                    }
                }
            }
        }
        let routes = router
        return { request, responder in routes.handle(request, responder) }
    }

    private func answer(
        _ endpoint: NodeEndpoint, _ request: HTTPRequest, _ parameters: RouteParameters, _ principal: Principal
    ) throws -> JSONValue {
        switch endpoint {
        case .status: statusJSON()
        case .plans: ["plans": .array(core.state.offers.values.sorted { ($0.received, $0.hash) < ($1.received, $1.hash) }.map(\.json))]
        case .consent: try consent(parameters["study"], request.body, principal)
        case .withdraw: try withdraw(parameters["study"], principal)
        case .check: try check(parameters["study"], principal)
        case .egress: egressJSON()
        case .manifest: manifestJSON()
        case .signManifest: try signManifest(parameters["hash"], principal)
        case .resume: try resume(principal)
        case .privacy: privacyJSON()
        case .setBudget: try setBudget(request.body, principal)
        case .evaluate: try evaluate(parameters["digest"], Actor(principal))
        case .calibrate: try calibrate(parameters["digest"], Actor(principal))
        case .auditLog: .null
        }
    }

    private func auditFile(_ path: String) -> HTTPResponse {
        guard let file = try? log.file(path) else { return .error(404, "the log has no such file") }
        return HTTPResponse(contentType: file.contentType, body: file.bytes)
    }

    private func refusal(_ error: any Error) -> HTTPResponse {
        switch error {
        case let error as NodeError:
            return .json(["error": .string("\(error)"), "code": .string(error.code)], status: error.code == "node.corrupt" ? 503 : 409)
        case let error as PrivacyRefusal:
            return .json(["error": .string(error.sentence), "code": .string(error.code.rawValue)], status: 409)
        case ServingError.unknownVersion:
            return .json(["error": "no version with this digest is installed", "code": "version.unknown"], status: 404)
        case let error as ServingError where error.isRefusal:
            return .json(["error": .string("\(error)"), "code": "version.refused"], status: 409)
        case let error as FieldError:
            return .json(["error": .string("\(error)"), "code": "request.malformed"], status: 400)
        case let error as JSONError:
            return .json(["error": .string("\(error)"), "code": "request.malformed"], status: 400)
        default:
            report(error)
            return .json(["error": .string("the operation could not be carried out: \(error)"), "code": "node.failed"], status: 503)
        }
    }

    private func consent(_ study: String, _ body: [UInt8], _ principal: Principal) throws -> JSONValue {
        var terms = NodeCore.ConsentTerms(sitesMin: core.policy.sitesMin)
        if !body.isEmpty {
            var fields = try JSONFields(try JSONValue.parse(body, dialect: .strict), path: "")
            terms.sitesMin = try fields.optionalInteger("sitesMin", in: 3...1024) ?? terms.sitesMin
            terms.roundsMax = try fields.optionalInteger("roundsMax", in: 1...1_000_000) ?? terms.roundsMax
            terms.validDays = try fields.optionalInteger("validDays", in: 1...3650) ?? terms.validDays
            terms.acceptsNoDifferentialPrivacy = try fields.bool("acceptsNoDifferentialPrivacy", default: false)
            terms.includesFeedbackRows = try fields.bool("includesFeedbackRows", default: true)
            if fields.has("parallelTo") { terms.parallelTo = try fields.strings("parallelTo", maxCount: 100) }
            try fields.finish()
        }
        let result = try core.consent(to: study, terms: terms, by: principal.identifier, at: clock.now())
        try perform(result.actions)
        return ["study": .string(study), "plan": .string(result.consent.consent.planHash.hex), "consent": .string(result.consent.hash.hex)]
    }

    private func manifestJSON() -> JSONValue {
        [
            "site": .string(directory.configuration.site),
            "inForce": core.state.manifest.map { $0.json(after: nil) } ?? .null,
            "proposed": core.state.proposal.map { $0.json(after: core.state.manifest?.proposal) } ?? .null,
        ]
    }

    private func signManifest(_ hash: String, _ principal: Principal) throws -> JSONValue {
        try perform(core.signManifest(hash, by: principal.identifier, at: clock.now()))
        return manifestJSON()
    }

    private func resume(_ principal: Principal) throws -> JSONValue {
        try perform(core.resume(by: principal.identifier, at: clock.now()))
        return ["resumed": true]
    }

    /// Measures a version on the site's own rows of today.
    private func evaluate(_ hex: String, _ actor: Actor) throws -> JSONValue {
        guard let digest = Digest(hex: hex) else { throw ServingError.unknownVersion }
        let deployments = predictions.deployments
        let model = try deployments.load(digest)
        let rules = deployments.current.versions[digest]?.rules
        guard rules?.site == nil else {
            throw ServingError.gates(problem: "the site's own rules govern this version: measure it on a file of rows (node evaluate --rows FILE)")
        }
        let plan = rules?.plan
        try deployments.note(
            core.evaluate(model.package, intercept: model.intercept, plan: plan, at: clock.now()), of: digest, by: actor)
        return deployments.current.versions[digest]?.json ?? .null
    }

    /// Calibrates a version on the site's own held-out rows of today.
    private func calibrate(_ hex: String, _ actor: Actor) throws -> JSONValue {
        guard let digest = Digest(hex: hex) else { throw ServingError.unknownVersion }
        let deployments = predictions.deployments
        let model = try deployments.load(digest)
        let found = try core.calibration(model.package, intercept: model.intercept)
        try deployments.calibrate(digest, slope: found.slope, intercept: found.intercept, by: actor)
        return deployments.current.versions[digest]?.json ?? .null
    }

    private func withdraw(_ study: String, _ principal: Principal) throws -> JSONValue {
        try perform(core.withdrawConsent(to: study, by: principal.identifier, at: clock.now()))
        return ["study": .string(study), "withdrawn": true]
    }

    private func check(_ study: String, _ principal: Principal) throws -> JSONValue {
        guard let offer = core.state.offer(study: study) else {
            throw NodeError.refused(code: "consent.no-plan", "no plan of that study has been offered to this node")
        }
        let dataset = try data.read(offer.plan, lenient: true)
        let report = dataset.report
        try perform([
            .log(
                .operated(
                    .dataChecked, site: directory.configuration.site, by: principal.identifier,
                    [
                        "study": .string(study), "plan": .string(offer.hash.hex), "rows": .integer(Int64(report.rowCount)),
                        "accepted": .integer(Int64(report.acceptedCount)), "quarantined": .integer(Int64(report.quarantinedCount)),
                    ]))
        ])
        return ["study": .string(study), "report": report.json, "text": .string(report.text())]
    }

    private func statusJSON() -> JSONValue {
        [
            "site": .string(directory.configuration.site), "federation": .string(directory.configuration.federation),
            "coordinator": .string(connection.withLock { $0 }), "url": .string(url),
            "roundsUsed": .integer(Int64(core.state.roundsUsed)), "roundBudget": .integer(Int64(core.policy.roundBudget)),
            "log": [
                "origin": .string(log.origin), "entries": .integer(Int64(log.size)), "root": .string(log.head.root.hex),
                "cosigned": .object(ownHeads.cosigned.mapValues { .integer(Int64($0)) }),
                "failure": log.failure.map { .string("\($0)") } ?? .null,
            ],
            "members": core.state.manifest.map { .integer(Int64($0.proposal.members.count)) } ?? .null, "paused": .bool(core.state.isPaused),
            "privacy": .array(core.state.ledger.accounts().map(\.json)), "privacyLedger": .integer(Int64(core.state.ledger.head.sequence)),
            "versions": .array(core.state.versions.map(\.json)),
            "rounds": .array(core.state.rounds.suffix(100).map(\.json)),
        ]
    }

    private func egressJSON() -> JSONValue {
        let items = egress.totals.map { type, total -> JSONValue in
            ["type": .string(type), "messages": .integer(Int64(total.messages)), "bytes": .integer(Int64(total.bytes))]
        }
        return ["egress": .array(items), "file": .string("records/egress.jsonl")]
    }
}

extension NodeState.Offer {
    var json: JSONValue {
        [
            "study": .string(plan.study), "plan": .string(hash.hex), "title": .string(plan.statement.title),
            "owner": .string(plan.statement.owner), "purpose": .string(plan.statement.purpose),
            "privacy": plan.json["privacy"] ?? .null,
            "trust": plan.privacy.guarantee.map { .string(plan.privacyTrust($0.mode)) } ?? .null,
            "received": .string(received.iso8601), "withdrawn": withdrawn.map { .string($0.iso8601) } ?? .null,
            "consent": consent.map { .string($0.hash.hex) } ?? .null,
            "consentExpires": consent.map { .string(Timestamp(milliseconds: $0.consent.expires).iso8601) } ?? .null,
        ]
    }
}

extension NodeState.CompletedRound {
    var json: JSONValue {
        [
            "run": .string(run), "number": .integer(Int64(number)), "kind": .string(kind),
            "participants": .integer(Int64(participants)), "rows": .integer(rows), "time": .string(time.iso8601),
        ]
    }
}

extension NodeState.Version {
    var json: JSONValue {
        [
            "study": .string(study), "version": .integer(Int64(version)), "package": .string(package.hex),
            "metrics": .object(metrics.mapValues { .number($0) }), "time": .string(time.iso8601),
        ]
    }
}
