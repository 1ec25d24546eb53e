// The port for nodes. Mutual TLS has named the site before a handler runs; the body never does.
// `protocol/federation.md` §2 and §3.

import AuditLog
import Codec
import Cryptography
import HTTP
import Messages
import Study
import Telemetry
import Transport

extension CoordinatorService {
    /// Enrolments that may fail from one address in ten minutes.
    static let failedEnrolmentsMax = 10
    static let siteCertificateSeconds: Int64 = 365 * 86_400

    func federationHandler() -> @Sendable (HTTPRequest, HTTPResponder) -> Void {
        var router = Router()
        router.add("POST", "/federation/v1/poll") { [self] request, responder in
            withSite(request, responder) { service, site in service.poll(site, request, responder) }
        }
        router.add("POST", "/federation/v1/reports") { [self] request, responder in
            withSite(request, responder) { service, site in service.take(request.body, from: site, responder) }
        }
        router.add("GET", "/federation/v1/blobs/{digest}") { [self] request, parameters, responder in
            let digest = Digest(hex: parameters["digest"])
            withSite(request, responder) { service, site in service.blob(digest, for: site, responder) }
        }
        router.add("GET", "/audit/{path...}") { [self] request, parameters, responder in
            guard request.peer != nil else { return responder.respond(.error(403, "a client certificate is needed")) }
            responder.respond(auditFile(parameters["path"]))
        }
        let routes = router
        return { [self] request, responder in
            if request.negotiatedProtocol == EnrolmentToken.applicationProtocol {
                guard request.method == "POST", request.path == "/federation/v1/enrol" else {
                    return responder.respond(.error(403, "a connection without a client certificate may only enrol"))
                }
                onCoordinator { $0.enrol(request, responder) }
            } else {
                routes.handle(request, responder)
            }
        }
    }

    /// A file of the log, by the path below `/audit/`.
    func auditFile(_ path: String) -> HTTPResponse {
        guard let file = try? log.file(path) else { return .error(404, "the log has no such file") }
        return HTTPResponse(contentType: file.contentType, body: file.bytes)
    }

    private func withSite(
        _ request: HTTPRequest, _ responder: HTTPResponder, _ body: @escaping (CoordinatorService, String) -> Void
    ) {
        guard let peer = request.peer, let name = peer.siteName else { return responder.respond(.error(403, "a client certificate is needed")) }
        onCoordinator { service in
            guard let site = service.core.federation.sites[name], site.revoked == nil, site.certificateSerial == peer.serialHex else {
                return responder.respond(.error(403, "this certificate is not a member's"))
            }
            body(service, name)
        }
    }

    private func poll(_ site: String, _ request: HTTPRequest, _ responder: HTTPResponder) {
        var reader = ByteReader(request.body)
        guard let session = try? reader.raw(16), let after = try? reader.u64(), (try? reader.finish()) != nil,
            after <= Outbox.sequenceMax
        else {
            return responder.respond(.error(400, "a poll is a session of 16 bytes and a sequence number"))
        }
        if let index = core.federation.sites[site]?.index { core.heard(from: index) }
        var outbox = outboxes[site] ?? Outbox()
        let isNew = outbox.session != session
        if isNew {
            outbox.open(session, standing: core.standingInstructions(for: site), after: after)
            logger.info("site.session", [("site", .name(site))])
        }
        // The first poll of a session is answered at once, so that the node knows that it is connected.
        let now = EventLoop.monotonicMilliseconds()
        outbox.poll(after: after, responder, at: now, deadline: isNew ? now : now + CoordinatorService.pollSeconds * 1000)
        outboxes[site] = outbox
    }

    private func take(_ body: [UInt8], from site: String, _ responder: HTTPResponder) {
        do {
            let report = try Report(encoded: body)
            try perform(core.handle(report, from: site, at: clock.now()))
            responder.respond(HTTPResponse(status: 204))
        } catch let error as MessageError {
            responder.respond(.error(400, "\(error)"))
        } catch let error as AuditLogError {
            // A witness holds a later head than this log has, or another history: nothing may be signed any more.
            giveUp(error)
        } catch {
            refuse(error, responder)
        }
    }

    private func blob(_ digest: Digest?, for site: String, _ responder: HTTPResponder) {
        // Only what an instruction named: no oracle for the rest.
        guard let digest, outboxes[site]?.blobs.contains(digest) ?? false,
            let bytes = try? blobs.get(digest.hex, maxBytes: CoordinatorService.blobBytesMax)
        else { return responder.respond(.error(404, "there is no such blob for this site")) }
        responder.respond(HTTPResponse(contentType: "application/octet-stream", body: bytes))
    }

    private func enrol(_ request: HTTPRequest, _ responder: HTTPResponder) {
        let now = clock.now()
        let address = request.remoteAddress
        if let failed = failedEnrolments[address], failed.since.adding(seconds: 600) < now { failedEnrolments[address] = nil }
        guard (failedEnrolments[address]?.count ?? 0) < CoordinatorService.failedEnrolmentsMax else {
            let sentence: JSONValue = ["error": "too many failed attempts from this address: wait ten minutes", "code": "enrolment.lockout"]
            return responder.respond(.json(sentence, status: 429))
        }
        do {
            guard request.body.count <= EnrolmentRequest.bytesMax else { throw MessageError.malformed("enrolment") }
            let message = try EnrolmentRequest(encoded: request.body)
            let authority = directory.authority
            let result = try core.enrol(message, authorityPEM: Array(authority.certificate.pem.utf8), at: now) { der, site in
                try authority.issueSite(
                    requestDER: der, siteName: site, now: now.milliseconds / 1000,
                    lifetimeSeconds: CoordinatorService.siteCertificateSeconds)
            }
            try perform(result.actions)
            responder.respond(HTTPResponse(contentType: "application/octet-stream", body: result.grant.encoded))
        } catch {
            failedEnrolments[address, default: (0, now)].count += 1
            if failedEnrolments.count > 10_000 { failedEnrolments.removeAll() }
            logger.warning("enrolment.refused", [("address", .name(address)), ("code", .name((error as? CoordinatorError)?.code ?? "enrolment.malformed"))])
            refuse(error, responder)
        }
    }

    /// Turns an error into an answer; the sentence is ours in every case.
    func refuse(_ error: any Error, _ responder: HTTPResponder) {
        switch error {
        case CoordinatorError.refused(let code, let sentence):
            var body: [String: JSONValue] = ["error": .string(sentence)]
            body["code"] = .string(code)
            responder.respond(.json(.object(body), status: code.hasSuffix(".unknown") ? 404 : 409))
        case let error as StudyError:
            responder.respond(.json(["error": .string("\(error)"), "code": .string(error.code.rawValue)], status: 422))
        case let error as MessageError:
            responder.respond(.error(400, "\(error)"))
        default:
            report(error)
            responder.respond(.error(503, "the coordinator could not write its log: the operation was not carried out"))
        }
    }
}
