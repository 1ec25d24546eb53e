// Versions over HTTP: `GET /v1/models`, switching and rolling back.

import Codec
import Cryptography
import HTTP
import Telemetry

extension PredictionService {
    func modelsJSON(_ principal: Principal) -> JSONValue {
        let state = deployments.current
        return [
            "models": .array(
                state.models.filter(principal.mayUse).map { name in
                    [
                        "name": .string(name),
                        "live": state.live(name).map { .string($0.digest.hex) } ?? .null,
                        "since": state.live(name)?.liveSince.map { .string($0.iso8601) } ?? .null,
                        "versions": .array(state.versions(of: name).map(\.json)),
                        "history": .array((state.history[name] ?? []).map(\.json)),
                    ]
                })
        ]
    }

    /// `POST /v1/models/{digest}/live`. The change waits for the disk, so it runs on the worker's thread.
    func makeLive(_ hex: String, _ principal: Principal, _ responder: HTTPResponder) throws {
        guard let digest = Digest(hex: hex) else {
            throw RequestRefusal(404, .notFound, "no version with this digest is installed")
        }
        try change(.makeLive, responder) { [deployments] () throws(ServingError) in
            guard deployments.has(digest, for: principal) else { throw .unknownVersion }
            try deployments.makeLive(digest, by: Actor(principal))
            return digest
        }
    }

    /// `POST /v1/rollback`, body empty or `{"model": name}`.
    func rollback(_ request: HTTPRequest, _ principal: Principal, _ responder: HTTPResponder) throws
    {
        var model = try rollbackModel(request.body)
        if let mine = principal.models {
            let visible = deployments.current.liveModels.filter(mine.contains)
            model = model ?? (visible.count == 1 ? visible.first : nil)
            guard let model, mine.contains(model) else { throw ServingError.unknownModel }
        }
        let name = model
        try change(.rollback, responder) { [deployments] () throws(ServingError) in
            try deployments.rollback(name, by: Actor(principal))
        }
    }

    private func rollbackModel(_ body: [UInt8]) throws(RequestRefusal) -> String? {
        guard !body.isEmpty else { return nil }
        guard let value = try? JSONValue.parse(body, dialect: .strict),
            case .object(let members) = value, members.keys.allSatisfy({ $0 == "model" })
        else {
            throw .malformed("the body must be empty or {\"model\": name}")
        }
        guard let model = members["model"] else { return nil }
        guard let name = model.stringValue else { throw .malformed("\"model\" must be a text") }
        return name
    }

    func change(
        _ endpoint: Endpoint, _ responder: HTTPResponder,
        _ body: @escaping @Sendable () throws(ServingError) -> Digest
    ) throws(ServingError) {
        try worker.run { [self] in
            do {
                let digest = try body()
                guard let version = deployments.current.versions[digest] else {
                    throw ServingError.unknownVersion
                }
                responder.respond(
                    .json([
                        "model": .string(version.model),
                        "version": .integer(Int64(version.version)), "digest": .string(digest.hex),
                        "status": .string(version.status.rawValue),
                    ]))
            } catch {
                refuse(endpoint, RequestRefusal(error as? ServingError ?? .stopped), responder)
            }
        }
    }
}
