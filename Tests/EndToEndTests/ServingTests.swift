// Requests to a node with a live version: each kind of bad input has its status and sentence and changes nothing.

import Codec
import Cryptography
import Glibc
import HTTP
import Simulation
import Storage
import Testing

@Suite(.serialized, .enabled(if: Program.isThere)) struct ServingTests {
    /// One federation for the suite: it takes seconds to train.
    private static let shared: Result<TestFederation, any Error> = Result { () throws -> TestFederation in
        let federation = try TestFederation(sites: Array(StandInHospitals.sites.prefix(3)))
        // A static value is never freed, and its processes must not outlive the tests.
        atexit { ServingTests.end() }
        guard case .object(var plan) = federation.plan else { throw ScenarioError.unusable("plan") }
        plan["evaluation"] = ["bins": 100, "calibrate": true]
        federation.plan = .object(plan)
        try federation.agree()
        try federation.train()
        return federation
    }
    private static func end() {
        guard let federation = try? shared.get() else { return }
        federation.stop()
        federation.scratch.erase()
    }

    let federation: TestFederation
    let site = "cleveland"

    init() throws { federation = try Self.shared.get() }

    private func send(_ body: [UInt8], key: String?, path: String = "/v1/predict", method: String = "POST", timeout: Double = 10) throws -> HTTPResponse {
        let client = try federation.http(site)
        defer { client.close() }
        let headers: HTTPHeaders = key.map { ["Authorization": "Bearer \($0)"] } ?? [:]
        return try client.send(HTTPRequest(method: method, target: path, headers: headers, body: body), timeoutSeconds: timeout)
    }

    private func request(_ changes: [String: JSONValue?]) -> [UInt8] {
        var row = TestFederation.row
        for (name, value) in changes { row[name] = value }
        return (["row": .object(row)] as JSONValue).canonicalBytes()
    }

    private func predictions() throws -> Int {
        let report = try #require(try federation.verify(site).json)
        return report["counts"]?["prediction.made"]?.intValue ?? report["counts"]?["prediction"]?.intValue ?? 0
    }

    /// The plan says `calibrate`: the released package has the two numbers, and the node answers with what they make of the score.
    @Test func aCalibratedReleaseIsServedWithCalibratedProbabilities() throws {
        let key = try federation.key(at: site, roles: ["predict"])
        let answer = try JSONValue.parse(send(request([:]), key: key).body, dialect: .strict)
        let digest = try #require(answer["digest"]?.stringValue)
        let manifest = try JSONValue.parse(
            DurableFile.read(federation.directory(site) + "/packages/\(digest)/manifest.json", maxBytes: 1 << 22), dialect: .strict)
        let slope = try #require(manifest["calibration"]?["slope"]?.doubleValue)
        let intercept = try #require(manifest["calibration"]?["intercept"]?.doubleValue)
        let row = try #require(answer["predictions"]?.arrayValue?.first)
        let score = try #require(row["score"]?.doubleValue)
        let expected = 1 / (1 + exp(-(slope * score + intercept)))
        #expect(abs((row["calibrated_probability"]?.doubleValue ?? .nan) - expected) < 1e-12, "\(row)")
        // The same as a tensor.
        let names = try JSONValue.parse(send([], key: key, path: "/v2/models/heart-disease", method: "GET").body, dialect: .strict)["inputs"]?.arrayValue ?? []
        let inputs = names.map { input -> JSONValue in
            let value = TestFederation.row[input["name"]?.stringValue ?? ""] ?? .null
            let isText = input["datatype"] == "BYTES"
            return [
                "name": input["name"] ?? .null, "datatype": input["datatype"] ?? .null, "shape": [1],
                "data": [isText ? .string(value.intValue.map(String.init) ?? "") : value],
            ]
        }
        let body: JSONValue = ["inputs": .array(inputs), "outputs": [["name": "calibrated_probability"]]]
        let tensors = try JSONValue.parse(send(body.canonicalBytes(), key: key, path: "/v2/models/heart-disease/infer").body, dialect: .strict)
        let value = tensors["outputs"]?.arrayValue?.first?["data"]?.arrayValue?.first?.doubleValue
        #expect(abs((value ?? .nan) - expected) < 1e-12, "\(tensors)")
    }

    @Test func badRowsAreRefusedInWordsOfTheSchema() throws {
        let key = try federation.key(at: site, roles: ["predict"])
        let cases: [(changes: [String: JSONValue?], rule: String, word: String)] = [
            (["cholesterolWibble": 7], "unknown-feature", "member"), (["age": "old-7741"], "wrong-type", "age"), (["age": 7741], "out-of-range", "age"),
            (["age": nil], "missing", "age"), (["age": .null], "missing", "age"), (["cp": 77], "unseen-category", "cp"), (["age": [61]], "wrong-type", "age"),
            (["sex": .number(0.5)], "", "sex"),
        ]
        for item in cases {
            let response = try send(request(item.changes), key: key)
            let text = String(decoding: response.body, as: UTF8.self)
            #expect(response.status == 422, "\(item.changes.keys): \(response.status)")
            #expect(text.contains(item.rule) && text.contains(item.word), "\(text)")
            #expect(!text.contains("7741") && !text.contains("Wibble") && !text.contains("77}"), "\(text)")
        }
        #expect(try send(request([:]), key: key).status == 200)
    }

    @Test(arguments: [
        "", "{", "[]", "{\"row\": {\"age\": NaN}}", "{\"row\": {\"age\": Infinity}}", "{\"row\": {\"age\": 1e999}}", "{\"row\": 7}", "{\"rows\": []}",
        "{\"row\": {}, \"rows\": []}", "{\"wibble\": 1}", "{\"row\": {\"age\": 61,}}", "{\"row\": {\"age\": 61}} x", "\u{0}",
        "{\"row\": {\"age\": 61, \"age\": 62}}", "{\"row\": {\"age\": 0x3d}}", "{row: {}}",
    ])
    func malformedBodiesAreRefused(_ body: String) throws {
        let key = try federation.key(at: site, roles: ["predict"])
        let response = try send(Array(body.utf8), key: key)
        #expect(response.status == 400 || response.status == 422, "\(response.status)")
        #expect(response.errorMessage?.isEmpty == false || !response.body.isEmpty)
    }

    @Test func deepAndWideBodiesAreRefusedQuickly() throws {
        let key = try federation.key(at: site, roles: ["predict"])
        let start = monotonicSeconds()
        let deep = Array((String(repeating: "[", count: 1_000_000)).utf8)
        #expect(try send(deep, key: key).status == 400)
        let wide = Array(("{\"row\": {" + (0..<100_000).map { "\"f\($0)\": 1" }.joined(separator: ", ") + "}}").utf8)
        #expect(try [400, 422].contains(send(wide, key: key).status))
        #expect(monotonicSeconds() - start < 5)
    }

    @Test func aBodyOf100MegabytesIs413AtOnce() throws {
        let key = try federation.key(at: site, roles: ["predict"])
        let body = [UInt8](repeating: 0x20, count: 100 << 20)
        let start = monotonicSeconds()
        let response = try send(body, key: key)
        #expect(response.status == 413)
        #expect(monotonicSeconds() - start < 4, "\(monotonicSeconds() - start) s")
        #expect(try send(request([:]), key: key).status == 200)
    }

    @Test func keysAndRoles() throws {
        let body = request([:])
        for key in [nil, "", "ck_wrong", String(repeating: "x", count: 5000)] as [String?] { #expect(try send(body, key: key).status == 401) }
        let feedback = try federation.key(at: site, roles: ["feedback"])
        #expect(try send(body, key: feedback).status == 403)
        let predict = try federation.key(at: site, roles: ["predict"])
        for path in ["/v1/node/egress", "/v1/node", "/v1/node/plans", "/v1/node/keys"] {
            #expect(try send([], key: predict, path: path, method: "GET").status == 403, "\(path)")
        }
        #expect(try send([], key: predict, path: "/v1/node/studies/heart-disease/consent").status == 403)
        #expect(try send([], key: predict, path: "/v1/node/studies/heart-disease/withdraw").status == 403)
        // A key that is taken back stops working.
        let list = try federation.operators(at: site).call("GET", "/v1/node/keys")["keys"]?.arrayValue ?? []
        let identifier = list.last?["id"]?.stringValue ?? ""
        _ = try federation.operators(at: site).call("DELETE", "/v1/node/keys/\(identifier)")
        #expect(try holds(within: 2) { try send(body, key: predict).status == 401 })
    }

    @Test func aKeyRequestThatMakesNoSenseIsRefused() throws {
        let operators = try federation.operators(at: site)
        for body in ["{}", "{\"name\": \"x\", \"roles\": []}", "{\"name\": \"x\", \"roles\": [\"king\"]}", "{\"name\": \"\", \"roles\": [\"predict\"]}", "x"] {
            let failure = #expect(throws: APIFailure.self) { try operators.call("POST", "/v1/node/keys", body: Array(body.utf8)) }
            #expect(failure?.status == 400, "\(body): \(failure?.status ?? 0) \(failure?.message ?? "")")
        }
    }

    @Test func predictionsAndOutcomesSurviveAKill() throws {
        let key = try federation.key(at: site, roles: ["predict", "feedback"])
        let auditor = try federation.key(at: site, roles: ["auditor"])
        var acknowledged: [String] = []
        for _ in 0..<40 {
            let answer = try JSONValue.parse(send(request([:]), key: key).body, dialect: .strict)
            acknowledged.append(answer["predictions"]?.arrayValue?.first?["id"]?.stringValue ?? "")
        }
        let outcome: JSONValue = ["prediction_id": .string(acknowledged[0]), "outcome": true, "source": "test"]
        #expect(try send(outcome.canonicalBytes(), key: key, path: "/v1/feedback").status == 200)
        federation.kill(site)
        try federation.startNode(site)
        #expect(try send(request([:]), key: key).status == 200, "the live version serves again at once")
        for identifier in acknowledged {
            #expect(try send([], key: auditor, path: "/v1/decisions/\(identifier)", method: "GET").status == 200)
        }
        let decision = try JSONValue.parse(send([], key: auditor, path: "/v1/decisions/\(acknowledged[0])", method: "GET").body, dialect: .strict)
        #expect(decision["outcome"] != .null)
        let verified = try federation.verify(site)
        #expect(verified.code == 0, "\(verified.text)")
    }

    /// A value of a row, a key and a token stand in no output, no log entry and no metric.
    @Test func nothingThatIsSecretStandsInALog() throws {
        let key = try federation.key(at: site, roles: ["predict"])
        #expect(try send(request(["oldpeak": .number(3.77141592653)]), key: key).status == 200)
        #expect(try send(request(["oldpeak": .number(3771.41592653)]), key: key).status == 422)
        #expect(try send(request(["oldpeak": "w3.77141592653"]), key: key).status == 422)
        let keyFile = try federation.text(federation.directory(site) + "/keys/operator.key")
        let coordinatorKey = try federation.text(federation.directory("coordinator") + "/keys/operator.key")
        // Digits long enough that no hash and no time has them by chance.
        let digits = "41592653"
        for secret in [digits, key, keyFile, coordinatorKey] {
            let found = try Program.shell(
                "cd \(federation.scratch.path) && grep -rlF -e '\(secret)' serve-* */log */records */config.json5 */endpoint.json", in: federation.scratch)
            #expect(found.code == 1, "\(found.text)")
        }
        let client = try federation.http(site)
        let metrics = try client.send(
            HTTPRequest(method: "GET", target: "/metrics", headers: ["Authorization": "Bearer \(keyFile)"]), timeoutSeconds: 5)
        #expect(metrics.status == 200 && !String(decoding: metrics.body, as: UTF8.self).contains(digits))
        // Neither in what other users of the machine see of a process.
        for child in [federation.coordinator, try #require(federation.nodes[site])] {
            let line = try Program.shell("tr '\\0' ' ' < /proc/\(child.identifier)/cmdline; stat -c %a /proc/\(child.identifier)/environ", in: federation.scratch)
            #expect(!line.text.contains(keyFile) && !line.text.contains(coordinatorKey))
        }
    }

    @Test func everythingOnDiskIsForItsOwnerOnly() throws {
        let open = try Program.shell(
            "find \(federation.directory(site)) \(federation.directory("coordinator")) -perm /077 ! -name '*.crt.pem' -printf '%m %p\\n'", in: federation.scratch)
        #expect(open.text.isEmpty, "\(open.text)")
    }

    @Test func aPackageThatWasTamperedWithIsNotVerified() throws {
        let packages = federation.directory(site) + "/packages"
        let name = try #require(try DurableFile.list(packages).first { DurableFile.isDirectory(packages + "/" + $0) })
        let good = try Program.run(["model", "verify", packages + "/" + name, "--dir", federation.directory(site)], in: federation.scratch)
        #expect(good.code == 0, "\(good.text)")
        let wrongKey = try Program.run(["model", "verify", packages + "/" + name, "--key", String(repeating: "ab", count: 32)], in: federation.scratch)
        #expect(wrongKey.code == 65 || wrongKey.code == 64, "\(wrongKey.code) \(wrongKey.text)")
        for file in try DurableFile.list(packages + "/" + name) {
            let copy = federation.scratch.fresh("package")
            _ = try Program.shell("cp -r \(packages)/\(name) \(copy) && truncate -s -1 \(copy)/\(file)", in: federation.scratch)
            let cut = try Program.run(["model", "verify", copy, "--dir", federation.directory(site)], in: federation.scratch)
            #expect(cut.code == 65 && cut.text.count > 30, "\(file): \(cut.code) \(cut.text)")
            _ = try Program.shell("rm \(copy)/\(file)", in: federation.scratch)
            let missing = try Program.run(["model", "verify", copy, "--dir", federation.directory(site)], in: federation.scratch)
            #expect([65, 66].contains(missing.code), "\(file): \(missing.code) \(missing.text)")
        }
    }

    @Test func aContradictoryPlanIsRefusedByTheField() throws {
        guard case .object(var plan) = federation.plan, case .object(var cohort)? = plan["cohort"] else { return }
        cohort["sitesMin"] = 9
        cohort["sitesMax"] = 4
        plan["cohort"] = .object(cohort)
        let file = try federation.scratch.write(String(decoding: JSONValue.object(plan).prettyBytes(), as: UTF8.self), "plan")
        let refused = try Program.run(["coordinator", "publish", file, "--dir", federation.directory("coordinator")], in: federation.scratch)
        #expect(refused.code == 65 && refused.text.contains("cohort.sitesMin"), "\(refused.code) \(refused.text)")
        let broken = try federation.scratch.write("{ consilium: 'plan/1', study: ", "plan")
        let unread = try Program.run(["coordinator", "publish", broken, "--dir", federation.directory("coordinator"), "--json"], in: federation.scratch)
        #expect(unread.code == 65 && unread.json?["error"]?.stringValue?.contains("1:") == true, "\(unread.code) \(unread.text)")
        let nothing = try Program.run(["coordinator", "publish", "/nowhere", "--dir", federation.directory("coordinator")], in: federation.scratch)
        #expect(nothing.code == 66 && nothing.text.contains("/nowhere"), "\(nothing.code) \(nothing.text)")
    }

    @Test func unreadableRowsAreNamedAtTheCheck() throws {
        let site = federation.names[1]
        let rows = federation.scratch.path + "/\(site).csv"
        let good = try DurableFile.read(rows, maxBytes: 1 << 20)
        defer { try? DurableFile.writeAtomically(good, to: rows) }
        let arguments = ["node", "check", "--dir", federation.directory(site), "--study", federation.study]
        for (bytes, word) in [(Array("1,2\n".utf8), "1"), ([], "0 rows"), ([UInt8](repeating: 0xff, count: 5000), "1"), (Array("\"".utf8), "1")] {
            try DurableFile.writeAtomically(bytes, to: rows)
            let result = try Program.run(arguments, in: federation.scratch)
            #expect(result.text.contains(word) && result.text.count > 20, "\(result.text)")
            let consent = try Program.run(
                ["node", "consent", "--dir", federation.directory(site), "--study", federation.study, "--accept-no-differential-privacy"], in: federation.scratch)
            #expect(consent.code == 65, "\(consent.code) \(consent.text)")
        }
        try DurableFile.remove(rows)
        let gone = try Program.run(arguments, in: federation.scratch)
        #expect(gone.code == 65 && gone.text.contains(rows), "\(gone.code) \(gone.text)")
        try DurableFile.writeAtomically(good, to: rows)
        #expect(try Program.run(arguments, in: federation.scratch).code == 0)
    }
}
