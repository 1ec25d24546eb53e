import Codec
import Cryptography
import HTTP
import Testing

@testable import Serving

/// Endpoint × role × object: what a key that is for one model reaches of another one. Generated from the endpoint table; an
/// endpoint whose reach is not stated does not compile, and one that this test cannot call fails it.
@Suite struct ObjectAccessTests {
    /// A node with two models, a decision of each, and per role a key that is for one of them.
    private final class Scene {
        let node: TestNode
        /// Digest and prediction of each model.
        var digests: [String: String] = [:]
        var predictions: [String: String] = [:]
        /// By role and model.
        var keys: [AccessRole: [String: String]] = [:]

        init() throws {
            node = try TestNode()
            for (version, name) in ["heart", "credit"].enumerated() {
                try node.deploy(version + 1, name: name)
                digests[name] = try node.deploy(version + 3, name: name).digest.hex
                predictions[name] =
                    node.predict(#"{"model":"\#(name)","row":\#(TestModel.goodRow)}"#).rows.first?["id"]?.stringValue
            }
            for role in AccessRole.allCases {
                for name in digests.keys {
                    keys[role, default: [:]][name] = try node.keys.create(
                        AccessKeyRequest(name: "\(role) \(name)", roles: [role], models: [name]), random: SystemRandom.shared
                    ).key
                }
            }
        }

        func call(_ endpoint: Endpoint, about model: String, key: String?) throws -> HTTPResponse {
            let id = endpoint == .revokeKey ? "00000000" : try #require(predictions[model])
            let version = model == "heart" ? "3" : "4"
            let path = endpoint.path.replacing("{id}", with: id).replacing("{digest}", with: digests[model] ?? "")
                .replacing("{model}", with: model).replacing("{version}", with: version).replacing("{name}", with: model)
            let row = TestModel.goodRow
            let body: String
            switch endpoint {
            case .predict: body = #"{"model":"\#(model)","row":\#(row)}"#
            case .infer, .versionInfer: body = Self.infer
            case .feedback: body = #"{"prediction_id":"\#(id)","outcome":true}"#
            case .rollback: body = #"{"model":"\#(model)"}"#
            case .erase: body = #"{"prediction":"\#(id)"}"#
            case .createKey: body = #"{"name":"x","roles":["operator"]}"#
            case .approve: body = #"{"configuration":"\#(digests[model] ?? "")","evidence":"\#(digests[model] ?? "")"}"#
            case .override, .suspend, .stop, .start: body = #"{"reason":"a test"}"#
            case .configure: body = "{}"
            default: body = ""
            }
            return node.send(endpoint.method, path, Array(body.utf8), key: key)
        }

        private static let infer = #"""
            {"inputs":[{"name":"age","shape":[1],"datatype":"FP64","data":[63]},{"name":"sex","shape":[1],"datatype":"BYTES","data":["male"]},
             {"name":"cp","shape":[1],"datatype":"BYTES","data":["none"]}]}
            """#
    }

    @Test(arguments: Endpoint.allCases) func aKeyForOneModelReachesNoOther(_ endpoint: Endpoint) throws {
        for role in AccessRole.allCases where endpoint.access.allows([role]) {
            let scene = try Scene()
            let foreign = try scene.call(endpoint, about: "heart", key: scene.keys[role]?["credit"])
            switch endpoint.reach {
            case .node: #expect(foreign.status == 200, "\(endpoint) as \(role): \(foreign.string)")
            case .everything: #expect(foreign.status == 403, "\(endpoint) as \(role): \(foreign.string)")
            case .models where endpoint.path.contains("{") || endpoint.hasModelInBody:
                #expect(foreign.status == 404, "\(endpoint) as \(role): \(foreign.status) \(foreign.string)")
            case .models:
                #expect(foreign.status == 200 && !foreign.string.contains("heart"), "\(endpoint) as \(role)")
            }
            #expect(!foreign.string.contains(scene.digests["heart"] ?? "-"), "\(endpoint) as \(role)")
            // The same key on its own model, and a key without limits on either.
            guard endpoint.reach == .models else { continue }
            let own = try scene.call(endpoint, about: "credit", key: scene.keys[role]?["credit"])
            #expect(own.status != 404 && own.status != 403, "\(endpoint) as \(role): \(own.status) \(own.string)")
            let free = try scene.call(endpoint, about: "heart", key: scene.node.roleKeys[role])
            #expect(free.status != 404 && free.status != 403, "\(endpoint) as \(role): \(free.status) \(free.string)")
        }
    }

    @Test func aKeyForOneModelNeedNotNameIt() throws {
        let scene = try Scene()
        let answer = scene.node.send(
            "POST", "/v1/predict", Array(#"{"row":\#(TestModel.goodRow)}"#.utf8), key: scene.keys[.predict]?["credit"])
        #expect(answer.value["model"] == "credit")
        #expect(scene.node.send("POST", "/v1/rollback", key: scene.keys[.operator]?["credit"]).value["model"] == "credit")
    }
}

extension Endpoint {
    fileprivate var hasModelInBody: Bool { [.predict, .feedback, .rollback].contains(self) }
}
