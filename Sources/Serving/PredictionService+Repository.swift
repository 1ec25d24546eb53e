// Triton's model repository calls: which versions are here, and taking a model out of service and back.

import Codec
import Cryptography
import HTTP

extension PredictionService {
    /// `POST /v2/repository/index`, body empty or `{"ready": bool}`.
    func repositoryIndex(_ body: [UInt8], _ principal: Principal) throws(RequestRefusal) -> JSONValue {
        let wantsReady = try Self.object(body, ["ready"])["ready"]
        guard wantsReady == nil || wantsReady == true || wantsReady == false else {
            throw .malformed("\"ready\" must be true or false")
        }
        let state = deployments.current
        let rows = state.models.filter(principal.mayUse).flatMap { name in
            state.versions(of: name).reversed().map { version -> (ready: Bool, JSONValue) in
                let isReady = deployments.liveModel(name)?.package.digest == version.digest
                return (
                    isReady,
                    [
                        "name": .string(name), "version": .string(String(version.version)),
                        "state": isReady ? "READY" : "UNAVAILABLE",
                        "reason": isReady ? "" : .string(version.status.rawValue),
                    ]
                )
            }
        }
        return .array(rows.filter { wantsReady != true || $0.ready }.map { $0.1 })
    }

    /// `POST /v2/repository/models/{model}/load`: the version that answered last answers again, verified anew.
    func loadModel(
        _ name: String, _ body: [UInt8], _ principal: Principal, _ responder: HTTPResponder
    ) throws {
        guard try Self.repositoryParameters(body).isEmpty else {
            throw RequestRefusal.malformed(
                "versions come as signed packages: load takes neither config nor files")
        }
        try changeRepository(.load, responder) { [deployments] () throws(ServingError) in
            let state = deployments.current
            guard state.models.contains(name), principal.mayUse(name) else { throw .unknownModel }
            guard let digest = state.live(name)?.digest ?? state.history[name]?.last?.digest else {
                throw .deployment(
                    problem: "no version of this model was ever live; make one live by its digest")
            }
            try deployments.makeLive(digest, by: Actor(principal))
        }
    }

    /// `POST /v2/repository/models/{model}/unload`: the model answers no more.
    func unloadModel(
        _ name: String, _ body: [UInt8], _ principal: Principal, _ responder: HTTPResponder
    ) throws {
        let parameters = try Self.repositoryParameters(body)
        guard parameters.keys.allSatisfy({ $0 == "unload_dependents" }) else {
            throw RequestRefusal.malformed("unload takes the parameter unload_dependents only")
        }
        try changeRepository(.unload, responder) { [deployments] () throws(ServingError) in
            guard principal.mayUse(name) else { throw .unknownModel }
            try deployments.retire(name, by: Actor(principal))
        }
    }

    private func changeRepository(
        _ endpoint: Endpoint, _ responder: HTTPResponder,
        _ body: @escaping @Sendable () throws(ServingError) -> Void
    ) throws(ServingError) {
        try worker.run { [self] in
            do {
                try body()
                responder.respond(HTTPResponse())
            } catch {
                refuse(endpoint, RequestRefusal(error as? ServingError ?? .stopped), responder)
            }
        }
    }

    private static func repositoryParameters(_ body: [UInt8]) throws(RequestRefusal) -> [String:
        JSONValue]
    {
        guard let value = try object(body, ["parameters"])["parameters"] else { return [:] }
        guard let parameters = value.objectValue else {
            throw .malformed("\"parameters\" must be an object")
        }
        return parameters
    }

    /// The members of a small body; empty for no body.
    static func object(_ body: [UInt8], _ names: Set<String>) throws(RequestRefusal)
        -> [String: JSONValue]
    {
        guard !body.isEmpty else { return [:] }
        guard let value = try? JSONValue.parse(body, dialect: .strict),
            let members = value.objectValue, names.isSuperset(of: members.keys)
        else {
            throw .malformed(
                "the body must be empty or an object with \(names.sorted().joined(separator: ", "))")
        }
        return members
    }
}
