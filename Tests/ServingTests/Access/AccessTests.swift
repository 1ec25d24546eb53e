import Codec
import Cryptography
import Glibc
import HTTP
import Storage
import Telemetry
import Testing

@testable import Serving

@Suite struct AccessTests {
    /// Endpoint × role, written out a second time: a changed rule has to be changed in two places.
    static let expected: [Endpoint: String] = [
        .predict: "predict", .infer: "predict", .versionInfer: "predict", .feedback: "feedback",
        .pipelines: "operator overseer auditor", .setPipeline: "operator", .removePipeline: "operator", .configure: "operator", .install: "operator", .keys: "operator", .createKey: "operator", .revokeKey: "operator",
        .erase: "operator", .makeLive: "operator", .rollback: "operator", .load: "operator", .unload: "operator",
        .stage: "operator", .standby: "operator", .shadow: "operator", .canary: "operator", .rollout: "operator overseer auditor", .unstage: "operator", .retire: "operator",
        .approve: "operator overseer", .suspend: "operator overseer", .confirmRules: "operator overseer",
        .rules: "operator overseer auditor", .proposeRules: "operator", .evaluate: "operator",
        .override: "overseer", .stop: "overseer", .start: "overseer", .history: "operator overseer auditor",
        .metrics: "operator overseer auditor", .decision: "overseer auditor",
        .models: "predict feedback operator overseer auditor",
        .server: "predict feedback operator overseer auditor",
        .model: "predict feedback operator overseer auditor",
        .modelReady: "predict feedback operator overseer auditor",
        .serverSlash: "predict feedback operator overseer auditor",
        .modelsStats: "predict feedback operator overseer auditor",
        .repositoryIndex: "predict feedback operator overseer auditor",
        .modelConfig: "predict feedback operator overseer auditor",
        .modelStats: "predict feedback operator overseer auditor",
        .version: "predict feedback operator overseer auditor",
        .versionReady: "predict feedback operator overseer auditor",
        .versionConfig: "predict feedback operator overseer auditor",
        .versionStats: "predict feedback operator overseer auditor",
        .openAPI: "predict feedback operator overseer auditor nobody",
        .live: "predict feedback operator overseer auditor nobody",
        .ready: "predict feedback operator overseer auditor nobody",
    ]

    @Test(arguments: Endpoint.allCases) func everyEndpointHasItsRow(_ endpoint: Endpoint) throws {
        let row = try #require(
            Self.expected[endpoint], "an endpoint without a row in the access table")
        let allowed = Set(row.split(separator: " ").map(String.init))
        for role in AccessRole.allCases {
            #expect(endpoint.access.allows([role]) == allowed.contains(role.rawValue))
        }
        #expect(endpoint.access.allows(nil) == allowed.contains("nobody"))
        #expect(endpoint.access.allows([]) == allowed.contains("nobody"))
    }

    /// Every endpoint × every role, over the router: 401 without a key, 403 with another role, neither with the right one.
    @Test(arguments: Endpoint.allCases) func theRouterHoldsTheTable(_ endpoint: Endpoint) throws {
        let node = try TestNode()
        let path = endpoint.path.replacing("{id}", with: "x").replacing("{digest}", with: "x").replacing("{name}", with: "x")
            .replacing("{model}", with: "x").replacing("{version}", with: "1")
        for key in [nil, "", "ck_wrong", String(repeating: "a", count: 500)] as [String?] {
            let response = node.send(endpoint.method, path, key: key)
            #expect((response.status == 401) == !endpoint.access.allows(nil))
            if response.status == 401 {
                #expect(
                    response.headers["WWW-Authenticate"] == "Bearer"
                        && response.value["error"] != nil)
            }
        }
        for role in AccessRole.allCases {
            let response = node.send(endpoint.method, path, key: node.roleKeys[role])
            #expect(response.status != 401)
            #expect(
                (response.status == 403) == !endpoint.access.allows([role]),
                "\(endpoint) as \(role): \(response.status)")
        }
    }

    @Test func everyRouteOfTheServiceHasARow() throws {
        let node = try TestNode()
        var router = Router()
        node.service.mount(on: &router)
        #expect(
            Set(router.routes.map { "\($0.method) \($0.pattern)" })
                == Set(Endpoint.allCases.map { "\($0.method) \($0.path)" }))
        #expect(node.send("GET", "/v1/predict", key: node.roleKeys[.predict]).status == 405)
        #expect(node.send("POST", "/v1/predict/", key: node.roleKeys[.predict]).status == 404)
        #expect(node.send("GET", "/v1/keys", key: node.roleKeys[.operator]).status == 404)
        #expect(node.send("DELETE", "/v1/node/keys", key: node.roleKeys[.operator]).status == 405)
    }

    @Test func aRevokedKeyStopsWorkingWithinASecondAndAnotherProcessesKeyStarts() throws {
        let node = try TestNode()
        let elsewhere = try AccessKeys(directory: node.directory + "/keys", clock: node.clock)
        let (record, key) = try elsewhere.create(
            AccessKeyRequest(name: "ward 7", roles: [.auditor]), random: SystemRandom.shared)
        node.clock.advance(seconds: 1)
        #expect(node.send("GET", "/v1/models", key: key).status == 200)
        try elsewhere.revoke(id: record.id)
        node.clock.advance(seconds: 1)
        #expect(node.send("GET", "/v1/models", key: key).status == 401)
        #expect(throws: ServingError.unknownKey) { try elsewhere.revoke(id: record.id) }
    }

    @Test func theKeyFileHoldsNoKeyAndIsPrivate() throws {
        let node = try TestNode()
        let path = node.directory + "/keys/api-keys.json"
        let text = String(decoding: try DurableFile.read(path, maxBytes: 1 << 20), as: UTF8.self)
        for key in node.roleKeys.values {
            #expect(!text.contains(key) && !text.contains(key.dropFirst(3)))
        }
        #expect(try node.keys.list().count == AccessRole.allCases.count)
        _ = unsafe chmod(path, 0o644)
        #expect(throws: ServingError.self) { try node.keys.list() }
        node.clock.advance(seconds: 1)
        #expect(node.send("GET", "/v1/models", key: node.roleKeys[.auditor]).status == 401)
        #expect(throws: ServingError.self) {
            try AccessKeys(directory: node.directory + "/keys", clock: node.clock)
        }
        _ = unsafe chmod(path, 0o600)
    }

    @Test func keysNeedANameAndARole() throws {
        let node = try TestNode()
        for (name, roles) in [("", [.predict]), ("a\nb", [.predict]), ("a", [])] as [(String, Set<AccessRole>)] {
            #expect(throws: ServingError.self) {
                try node.keys.create(AccessKeyRequest(name: name, roles: roles), random: SystemRandom.shared)
            }
        }
    }

    @Test func anOperatorMakesListsAndRevokesKeysOverTheAPIAndEachIsLogged() throws {
        let node = try TestNode()
        try node.deploy()
        let made = node.post(
            "/v1/node/keys", Array(#"{"name":"ward 7","roles":["predict"],"rate":"5/m","models":["heart"]}"#.utf8), as: .operator)
        let (key, id) = (made.value["key"]?.stringValue ?? "", made.value["id"]?.stringValue ?? "")
        #expect(made.status == 200 && key.hasPrefix("ck_") && id.count == 8)
        let listed = node.get("/v1/node/keys", as: .operator)
        #expect(!listed.string.contains(key) && listed.string.contains(id) && listed.string.contains("5/m"))
        #expect(node.send("POST", "/v1/predict", Array(#"{"row":\#(TestModel.goodRow)}"#.utf8), key: key).status == 200)
        #expect(node.send("DELETE", "/v1/node/keys/\(id)", key: node.roleKeys[.operator]).status == 200)
        #expect(node.send("DELETE", "/v1/node/keys/\(id)", key: node.roleKeys[.operator]).status == 404)
        #expect(node.send("GET", "/v1/models", key: key).status == 401)
        #expect(node.log.entries(.keyCreated).first?.details["id"]?.stringValue == id)
        #expect(node.log.entries(.keyRevoked).first?.details["id"]?.stringValue == id)
        for entry in node.log.entries { #expect(!"\(entry)".contains(key.dropFirst(3))) }
        for body in [
            "", "{}", "[]", #"{"name":"x","roles":[]}"#, #"{"name":"x","roles":["king"]}"#, #"{"name":"","roles":["predict"]}"#,
            #"{"name":"x","roles":["predict"],"rate":"5"}"#, #"{"name":"x","roles":["predict"],"models":[]}"#,
            #"{"name":"x","roles":["predict"],"certificate":"12"}"#, #"{"name":"x","roles":["predict"],"subject":"ward"}"#,
            #"{"name":"x","roles":["predict"],"subject":"CN=a","certificate":"\#(String(repeating: "a", count: 64))"}"#,
            #"{"name":"x","roles":["predict"],"other":1}"#,
        ] {
            let answer = node.post("/v1/node/keys", Array(body.utf8), as: .operator)
            #expect(answer.status == 400 && answer.value["error"] != nil, "\(body): \(answer.status)")
        }
    }

    @Test func theKeyFileReadsWhatItWrites() throws {
        let node = try TestNode()
        let certificate = SHA256.hash([1])
        let requests = [
            AccessKeyRequest(name: "a", roles: [.predict], models: ["heart", "credit"], rate: .requests(7, per: .minute)),
            AccessKeyRequest(name: "b", roles: [.auditor], rate: .unlimited, credential: .certificate(certificate)),
            AccessKeyRequest(name: "c", roles: [.overseer], credential: .subject("CN=ward 7,O=Hospital")),
        ]
        var made: [AccessKeys.Record] = []
        for request in requests {
            if let credential = request.credential {
                made.append(try node.keys.admit(request, credential, random: SystemRandom.shared))
                // Twice the same certificate would have two sets of roles.
                #expect(throws: ServingError.self) { try node.keys.admit(request, credential, random: SystemRandom.shared) }
            } else {
                made.append(try node.keys.create(request, random: SystemRandom.shared).0)
            }
        }
        let read = try AccessKeys(directory: node.directory + "/keys", clock: node.clock).list()
        #expect(Array(read.suffix(3)) == made)
    }
}
