// Keys and certificates of the site's own users and systems, over the API: `/v1/node/keys`, for operators.

import AuditLog
import Codec
import Cryptography
import HTTP
import Telemetry

extension PredictionService {
    func keysJSON() throws(ServingError) -> JSONValue {
        ["keys": .array(try gate.keys.list().map { .object($0.members) })]
    }

    /// Makes an API key; the answer is the only place where it ever stands.
    func createKey(_ body: [UInt8], _ principal: Principal, _ responder: HTTPResponder) throws {
        let request: AccessKeyRequest
        do {
            var fields = try JSONFields(try JSONValue.parse(body, dialect: .strict), path: "")
            request = try AccessKeyRequest(&fields, path: "key")
            try fields.finish()
            try request.check()
        } catch {
            throw RequestRefusal.malformed("\(error)")
        }
        try administer(.createKey, responder) { [self] () throws(ServingError) in
            let record: AccessKeys.Record
            var key: String?
            if let credential = request.credential {
                record = try gate.keys.admit(request, credential, random: SystemRandom.shared)
            } else {
                let made = try gate.keys.create(request, random: SystemRandom.shared)
                (record, key) = (made.0, made.key)
            }
            var details = record.members
            details["created"] = nil
            try log.appendAndWait(
                LogEntry(.keyCreated, actor: principal.identifier, role: "operator", site: configuration.site, details: details))
            var answer = record.members
            if let key { answer["key"] = .string(key) }
            return .object(answer)
        }
    }

    func revokeKey(_ id: String, _ principal: Principal, _ responder: HTTPResponder) throws {
        try administer(.revokeKey, responder) { [self] () throws(ServingError) in
            try gate.keys.revoke(id: id)
            try log.appendAndWait(
                LogEntry(
                    .keyRevoked, actor: principal.identifier, role: "operator", site: configuration.site,
                    details: ["id": .string(id)]))
            return ["id": .string(id), "revoked": true]
        }
    }

    private func administer(
        _ endpoint: Endpoint, _ responder: HTTPResponder, _ body: @escaping @Sendable () throws(ServingError) -> JSONValue
    ) throws(ServingError) {
        try worker.run { [self] in
            do {
                responder.respond(.json(try body()))
            } catch {
                refuse(endpoint, RequestRefusal(error as? ServingError ?? .stopped), responder)
            }
        }
    }
}
