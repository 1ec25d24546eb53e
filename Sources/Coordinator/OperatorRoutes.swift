// The port for operators: TLS, and the operator key as a bearer token. Everything here is also a command of
// `consilium coordinator`. `protocol/federation.md` §7.

import Codec
import Cryptography
import HTTP
import Messages
import Study
import Telemetry
import Transport

extension CoordinatorService {
    func operatorHandler() -> @Sendable (HTTPRequest, HTTPResponder) -> Void {
        var router = Router()
        router.add("GET", "/v2/health/live") { _, responder in responder.respond(.json(["live": true])) }
        router.add("GET", "/v2/health/ready") { [self] _, responder in onCoordinator { _ in responder.respond(.json(["ready": true])) } }
        router.add("GET", "/metrics") { [self] _, responder in responder.respond(.text(metrics.prometheusText())) }
        router.add("GET", "/audit/{path...}") { [self] _, parameters, responder in responder.respond(auditFile(parameters["path"])) }
        add(&router, "GET", "/v1/federation") { service, _, _ in service.federationJSON() }
        add(&router, "POST", "/v1/invitations") { service, request, _ in try service.invite(request) }
        add(&router, "POST", "/v1/sites/{site}/revoke") { service, _, parameters in
            try service.perform(service.core.revoke(site: parameters["site"], by: "operator", at: service.clock.now()))
            return ["site": .string(parameters["site"]), "revoked": true]
        }
        add(&router, "POST", "/v1/plans") { service, request, _ in
            let result = try service.core.publish(request.body, by: "operator", at: service.clock.now())
            try service.perform(result.actions)
            return ["plan": .string(result.hash.hex)]
        }
        add(&router, "GET", "/v1/plans") { service, _, _ in service.plansJSON() }
        add(&router, "POST", "/v1/studies/{study}/runs") { service, _, parameters in
            let result = try service.core.startRun(study: parameters["study"], by: "operator", at: service.clock.now())
            try service.perform(result.actions)
            return ["run": .string(result.run)]
        }
        add(&router, "POST", "/v1/studies/{study}/cancel") { service, _, parameters in
            try service.perform(service.core.cancelRun(study: parameters["study"], by: "operator", at: service.clock.now()))
            return ["cancelled": true]
        }
        add(&router, "POST", "/v1/studies/{study}/resume") { service, _, parameters in
            try service.perform(service.core.resume(study: parameters["study"], by: "operator", at: service.clock.now()))
            return ["study": .string(parameters["study"]), "resumed": true]
        }
        add(&router, "POST", "/v1/manifest") { service, _, _ in
            let result = try service.core.proposeManifest(by: "operator", at: service.clock.now())
            try service.perform(result.actions)
            return service.manifestJSON()
        }
        add(&router, "GET", "/v1/manifest") { service, _, _ in service.manifestJSON() }
        add(&router, "GET", "/v1/runs") { service, _, _ in
            let federation = service.core.federation
            return ["runs": .array(federation.runOrder.compactMap { federation.runs[$0]?.json })]
        }
        add(&router, "GET", "/v1/runs/{run}") { service, _, parameters in
            guard let run = service.core.federation.runs[parameters["run"]] else {
                throw CoordinatorError.refused(code: "run.unknown", "there is no run of that name")
            }
            return run.json
        }
        add(&router, "GET", "/v1/releases") { service, _, _ in
            ["releases": .array(service.core.federation.releases.map(\.json))]
        }
        let routes = router
        return { request, responder in routes.handle(request, responder) }
    }

    private func add(
        _ router: inout Router, _ method: String, _ pattern: String,
        _ body: @escaping @Sendable (CoordinatorService, HTTPRequest, RouteParameters) throws -> JSONValue
    ) {
        let expected = Array("Bearer \(directory.operatorKey)".utf8)
        router.add(method, pattern) { [self] request, parameters, responder in
            let given = Array((request.headers["authorization"] ?? "").utf8)
            guard constantTimeEqual(given, expected) else {
                return responder.respond(.error(401, "the operator key is missing or wrong: send it as a bearer token"))
            }
            onCoordinator { service in
                do { responder.respond(.json(try body(service, request, parameters))) } catch { service.refuse(error, responder) }
            }
        }
    }

    private func invite(_ request: HTTPRequest) throws -> JSONValue {
        let site: String
        do {
            var fields = try JSONFields(try JSONValue.parse(request.body, dialect: .strict), path: "")
            site = try fields.string("site", maxBytes: 64)
            try fields.finish()
        } catch {
            throw CoordinatorError.refused(code: "request.malformed", "the request must be {\"site\": NAME}: \(error)")
        }
        let result = try core.invite(
            site: site, address: advertisedAddress, authorityFingerprint: directory.authority.certificate.fingerprint,
            by: "operator", at: clock.now())
        try perform(result.actions)
        return ["site": .string(site), "token": .string(result.token.text), "expiresInSeconds": .integer(EnrolmentToken.lifetimeSeconds)]
    }

    private func federationJSON() -> JSONValue {
        let federation = core.federation
        let now = EventLoop.monotonicMilliseconds()
        return [
            "federation": .string(federation.name), "nodes": .string(federationURL), "operators": .string(operatorURL),
            "authority": .string(directory.authority.certificate.fingerprint.hex),
            "sites": .array(
                federation.sites.values.sorted { $0.index < $1.index }.map { site in
                    [
                        "name": .string(site.name), "index": .integer(Int64(site.index)), "joined": .string(site.joined.iso8601),
                        "key": .string(Hex.encode(site.key.bytes)),
                        "revoked": site.revoked.map { .string($0.iso8601) } ?? .null,
                        "connected": .bool(outboxes[site.name]?.isConnected(at: now) ?? false),
                    ]
                }),
            "openInvitations": .array(
                federation.invitations.values.filter { !$0.used && $0.expires > clock.now() }.map(\.site).sorted().map { .string($0) }),
        ]
    }

    private func manifestJSON() -> JSONValue {
        let federation = core.federation
        return [
            "inForce": federation.manifest.map { $0.json(after: nil) } ?? .null,
            "proposed": federation.proposal.map { $0.json(after: federation.manifest?.proposal) } ?? .null,
        ]
    }

    private func plansJSON() -> JSONValue {
        let now = clock.now()
        let plans = core.federation.plans.values.sorted { ($0.published, $0.hash) < ($1.published, $1.hash) }
        return [
            "plans": .array(
                plans.map { plan in
                    [
                        "study": .string(plan.plan.study), "plan": .string(plan.hash.hex), "title": .string(plan.plan.statement.title),
                        "published": .string(plan.published.iso8601), "withdrawn": plan.withdrawn.map { .string($0.iso8601) } ?? .null,
                        "consents": .array(core.federation.consentingSites(to: plan.hash, at: now).map { .string($0.name) }),
                    ]
                })
        ]
    }
}

extension Federation.Release {
    /// For the operator's interface and the report.
    package var json: JSONValue {
        [
            "study": .string(study), "version": .integer(Int64(version)), "run": .string(run), "package": .string(package.hex),
            "time": .string(time.iso8601), "verdicts": .object(verdicts.mapValues { .bool($0) }),
        ]
    }
}
