import Codec
import Cryptography
import HTTP
import ModelPackage
import Models
import Storage
import Tabular
import Testing

@testable import Serving

/// Several steps under one name.
@Suite struct PipelineTests {
    /// Weight and height become an index, a code becomes a category, the first model's probability becomes a feature of the second.
    static let document = #"""
        {
            consilium: "pipeline/1", name: "triage",
            inputs: [
                { name: "age", kind: "numeric", range: [0, 120] },
                { name: "weight", kind: "numeric", range: [0, 400], missing: "impute" },
                { name: "height", kind: "numeric", range: [0, 3] },
                { name: "sex", kind: "binary", codes: ["female", "male"] },
                { name: "pain", kind: "categorical", categories: ["a", "b", "c"] },
            ],
            steps: [
                { name: "index", compute: { divide: ["weight", { multiply: ["height", "height"] }] } },
                { name: "lipids", compute: { min: [{ add: [100, { multiply: ["index", 4] }] }, 700] } },
                { name: "cp", lookup: { field: "pain", table: { a: "typical", b: "atypical" }, otherwise: "none" } },
                { name: "risk", model: "heart", inputs: { chol: "lipids" } },
                { name: "older", compute: { multiply: ["risk", 120] } },
                { name: "decision", model: "second", inputs: { age: "older", chol: "lipids" } },
            ],
        }
        """#

    static let row = #"{"age":63,"weight":80,"height":1.8,"sex":"male","pain":"b"}"#

    /// The second model takes any number as age.
    private static func second(_ version: Int) throws -> VerifiedPackage {
        var features = TestModel.schema.features
        features[0] = Feature(name: "age", kind: .numeric(unit: nil, range: 0...200, integer: false))
        let schema = Schema(features: features, label: TestModel.schema.label)
        let preprocessor = try Preprocessor(schema: schema, statistics: TestModel.statistics)
        let blank = ModelParameters(family: TestModel.network, inputs: preprocessor.columnCount, seed: [UInt8(version)])
        let manifest = PackageManifest(
            name: "second", version: version, created: "2026-11-24T21:00:00.000Z", study: "second", planHash: SHA256.hash([2]), schema: schema,
            preprocessor: preprocessor, family: TestModel.network, thresholds: .init(decision: 0.5), classes: ["later", "now"],
            background: preprocessor.expectedInputs(TestModel.statistics), provenance: Provenance(run: "r", roster: [.init(site: "basel", rounds: 3)]))
        return try VerifiedPackage.verify(
            PackageWriter.sign(manifest, parameters: blank, with: TestNode.key), trustedKey: TestNode.key.publicKey)
    }

    private func deploySecond(_ node: TestNode, _ version: Int) throws {
        let package = try Self.second(version)
        try node.service.deployments.install(package, actor: "test")
        try node.service.deployments.makeLive(package.digest, actor: "test")
    }

    private func makeNode() throws -> TestNode {
        let node = try TestNode()
        // The pipeline's "age" has to fit the first model: whole years.
        try node.deploy(1, name: "heart")
        try deploySecond(node, 1)
        let answer = node.post("/v1/pipelines", Array(Self.document.utf8), as: .operator)
        #expect(answer.status == 200, "\(answer.string)")
        return node
    }

    private func ask(_ node: TestNode, _ rows: String) -> HTTPResponse { node.predict(#"{"model":"triage","rows":[\#(rows)]}"#) }

    @Test func aPipelineAnswersAsItsStepsByHandWould() throws {
        let node = try makeNode()
        let answer = ask(node, Self.row)
        #expect(answer.status == 200, "\(answer.string)")
        let index = 80 / (1.8 * 1.8)
        let lipids = 100 + index * 4
        let first = node.predict(#"{"model":"heart","row":{"age":63,"chol":\#(lipids),"sex":"male","cp":"atypical"}}"#)
        let risk = try #require(first.rows.first?["probability"]?.doubleValue)
        let second = node.predict(#"{"model":"second","row":{"age":\#(risk * 120),"chol":\#(lipids),"sex":"male","cp":"atypical"}}"#)
        #expect(answer.rows.first?["score"] == second.rows.first?["score"])
        #expect(answer.value["model"] == "second" && answer.value["pipeline"]?["name"] == "triage")
        let entry = try #require(node.log.entries(.prediction).first)
        #expect(entry.details["pipeline"]?.stringValue == answer.value["pipeline"]?["digest"]?.stringValue)
        // The same over the Open Inference Protocol, whose inputs are the pipeline's.
        let metadata = node.get("/v2/models/triage", as: .predict)
        #expect(metadata.value["inputs"]?.arrayValue?.compactMap { $0["name"]?.stringValue } == ["age", "weight", "height", "sex", "pain"])
        let tensors = #"""
            {"inputs":[{"name":"age","shape":[1],"datatype":"FP64","data":[63]},{"name":"weight","shape":[1],"datatype":"FP64","data":[80]},
            {"name":"height","shape":[1],"datatype":"FP64","data":[1.8]},{"name":"sex","shape":[1],"datatype":"BYTES","data":["male"]},
            {"name":"pain","shape":[1],"datatype":"BYTES","data":["b"]}],"outputs":[{"name":"score"}]}
            """#
        let inferred = node.post("/v2/models/triage/infer", Array(tensors.utf8), as: .predict)
        #expect(inferred.value["outputs"]?.arrayValue?[0]["data"]?.arrayValue?[0] == answer.rows.first?["score"], "\(inferred.string)")
        #expect(inferred.value["parameters"]?["pipeline"] == "triage")
        #expect(node.get("/v2/models/triage/ready", as: .predict).status == 200)
    }

    @Test func aStepWithoutAValueIsNamedAndGoodRowsAreScored() throws {
        let node = try makeNode()
        let bad = Self.row.replacing("\"height\":1.8", with: "\"height\":0")
        let young = Self.row.replacing("\"weight\":80", with: "\"weight\":null").replacing("\"age\":63", with: "\"age\":63.5")
        let answer = ask(node, [Self.row, bad, young, #"{"age":1}"#].joined(separator: ","))
        #expect(answer.status == 200 && answer.rows.count == 4)
        #expect(answer.rows[0]["score"] != nil)
        let violation = answer.rows[1]["violations"]?.arrayValue?[0]
        #expect(violation?["step"] == "index" && violation?["rule"] == "step-failed")
        #expect(violation?["message"]?.stringValue?.contains("step index: divide has no finite result") == true)
        let second = answer.rows[2]["violations"]?.arrayValue?[0]
        #expect(second?["step"] == "risk" && second?["message"]?.stringValue?.contains("age must be a whole number") == true, "\(answer.string)")
        #expect(answer.rows[3]["violations"]?.arrayValue?[0]["rule"] == "missing")
        let refused = ask(node, bad)
        #expect(refused.status == 422 && refused.value["error"]?.stringValue?.contains("step index") == true)
        // A missing operand is a missing value, which the model's schema allows here.
        let missing = ask(node, Self.row.replacing("\"weight\":80", with: "\"weight\":null"))
        #expect(missing.rows.first?["flags"]?.arrayValue?.contains { $0["feature"] == "chol" && $0["flag"] == "imputed" } == true, "\(missing.string)")
        #expect(node.predict(#"{"model":"triage","row":\#(Self.row),"counterfactual":true}"#).status == 400)
    }

    @Test func aDecisionExplainsItselfAgainAfterUpgradesAndAnotherPipeline() throws {
        let node = try makeNode()
        let made = node.predict(#"{"model":"triage","row":\#(Self.row),"explain":true}"#)
        let id = try #require(made.rows.first?["id"]?.stringValue)
        func check(_ note: String) {
            let decision = node.get("/v1/decisions/\(id)")
            #expect(decision.status == 200, "\(note): \(decision.string)")
            let pipeline = decision.value["pipeline"]
            #expect(pipeline?["name"] == "triage" && pipeline?["reproduced"] == true, "\(note): \(decision.string)")
            #expect(pipeline?["inputs"]?["weight"] == 80 && pipeline?["inputs"]?["pain"] == "b", "\(note)")
            #expect(pipeline?["models"]?.arrayValue?.map { $0["version"]?.intValue } == [1, 1], "\(note)")
            #expect(pipeline?["steps"]?.arrayValue?.count == 5, "\(note)")
            #expect(decision.value["explanation"] == made.rows.first?["explanation"], "\(note)")
            #expect(decision.value["features"]?["cp"] == "atypical", "\(note)")
        }
        check("at once")
        try node.deploy(2, name: "heart")
        try deploySecond(node, 2)
        let other = Self.document.replacing("otherwise: \"none\"", with: "otherwise: \"typical\"")
        #expect(node.post("/v1/pipelines", Array(other.utf8), as: .operator).status == 200)
        check("after upgrades")
        try node.restart()
        check("after a restart")
        #expect(ask(node, Self.row).value["pipeline"]?["digest"] != made.value["pipeline"]?["digest"])
        #expect(node.send("DELETE", "/v1/pipelines/triage", key: node.roleKeys[.operator]).status == 200)
        check("after its removal")
        #expect(ask(node, Self.row).status == 404)
        try node.restart()
        #expect(ask(node, Self.row).status == 404)
    }

    @Test func aModelThatIsNotLiveIsNamedByItsStep() throws {
        let node = try makeNode()
        _ = node.post("/v2/repository/models/heart/unload", [], as: .operator)
        let answer = ask(node, Self.row)
        #expect(answer.status == 503 && answer.value["error"]?.stringValue?.contains("step risk") == true, "\(answer.string)")
    }

    @Test func keysForOtherModelsDoNotSeeIt() throws {
        let node = try makeNode()
        for (models, status) in [(["heart"], 404), (["triage"], 200)] as [(Set<String>, Int)] {
            let key = try node.keys.create(AccessKeyRequest(name: "k", roles: [.predict], models: models), random: SystemRandom.shared).key
            let answer = node.send("POST", "/v1/predict", Array(#"{"model":"triage","row":\#(Self.row)}"#.utf8), key: key)
            #expect(answer.status == status)
            #expect(node.send("GET", "/v2/models/triage", key: key).status == status)
        }
    }

    @Test func documentsThatDoNotFitTheModelsAreRefused() throws {
        let node = try makeNode()
        for (old, new) in [
            ("name: \"triage\"", "name: \"heart\""), ("model: \"second\"", "model: \"third\""), ("inputs: { chol: \"lipids\" }", "inputs: { hat: \"lipids\" }"),
            ("{ name: \"age\", kind: \"numeric\", range: [0, 120] },", ""),
        ] {
            let text = Self.document.replacing(old, with: new)
            #expect(text != Self.document)
            let answer = node.post("/v1/pipelines", Array(text.utf8), as: .operator)
            #expect(answer.status == 409, "\(new): \(answer.string)")
        }
        #expect(node.log.entries(.configurationChanged).count == 1)
    }

    @Test func documentsThatBreakARuleAreRefused() throws {
        for (old, new) in [
            ("pipeline/1", "pipeline/2"), ("name: \"triage\"", "name: \"Tri age\""), ("divide: [\"weight\"", "divide: [\"hat\""), ("divide:", "power:"),
            ("divide: [\"weight\", ", "divide: [\"weight\", \"weight\", "), ("field: \"pain\"", "field: \"lost\""), ("table: { a: \"typical\", b: \"atypical\" }", "table: {}"),
            ("a: \"typical\"", "a: [1]"), ("name: \"older\"", "name: \"risk\""), ("name: \"older\"", "name: \"age\""), ("name: \"older\"", "name: \"\""),
            ("inputs: { age: \"older\"", "inputs: { age: \"later\""), ("model: \"second\"", "model: \"second\", output: \"score\""),
            ("{ name: \"decision\", model: \"second\", inputs: { age: \"older\", chol: \"lipids\" } },", ""), ("steps:", "hat: 1, steps:"),
            ("model: \"heart\"", "model: \"heart\", output: \"class\""), ("kind: \"binary\"", "kind: \"picture\""), ("range: [0, 3]", "range: [3, 0]"),
        ] {
            let text = Self.document.replacing(old, with: new)
            #expect(text != Self.document, "\(old)")
            #expect(throws: (any Error).self, "\(new)") { try PipelineDocument(parsing: Array(text.utf8)) }
        }
        let deep = String(repeating: "{ abs: ", count: 9) + "1" + String(repeating: " }", count: 9)
        #expect(throws: (any Error).self) { try PipelineExpression(JSONValue.parse(Array(deep.utf8), dialect: .json5), path: "x") }
        let steps = (0..<17).map { "{ name: \"s\($0)\", compute: 1 }" }.joined(separator: ",")
        #expect(throws: (any Error).self) {
            try PipelineDocument(parsing: Array(Self.document.replacing("steps: [", with: "steps: [\(steps),").utf8))
        }
    }

    @Test func aDocumentReadBackIsTheSame() throws {
        let document = try PipelineDocument(parsing: Array(Self.document.utf8))
        let again = try PipelineDocument(parsing: document.bytes, dialect: .strict)
        #expect(again.bytes == document.bytes && again.digest == document.digest)
        let random = SeededRandom(seed: 12)
        for _ in 0..<3000 {
            var bytes = document.bytes
            for _ in 0...Int(random.word() % 3) { bytes[Int(random.word() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.word()) }
            _ = try? PipelineDocument(parsing: bytes)
        }
    }

    @Test func nothingOfARowIsRepeated() throws {
        let node = try makeNode()
        for value in ["4711081504", "-4711081504", "\"Mustermann\"", "[4711081504]", "\"4711081504\"", "{\"Mustermann\":1}"] {
            for name in ["age", "weight", "height", "sex", "pain", "Mustermann"] {
                let answer = node.predict(#"{"model":"triage","row":{"age":63,"weight":80,"height":1.8,"sex":"male","\#(name)":\#(value)}}"#)
                #expect(!answer.string.contains("4711081504") && !answer.string.contains("Mustermann"), "\(answer.string)")
            }
        }
        #expect(!node.lines.withLock { $0.joined() }.contains("4711081504") && !node.get("/metrics").string.contains("Mustermann"))
    }

    /// What `perf_analyzer` asks for before it sends requests.
    @Test func configurationAndStatisticsAreThePipelinesOwn() throws {
        let node = try makeNode()
        let metadata = node.get("/v2/models/triage").value
        let config = node.get("/v2/models/triage/config").value
        #expect(config["name"] == "triage" && (config["max_batch_size"]?.intValue ?? 0) > 0)
        func names(_ value: JSONValue?) -> [String] { (value?.arrayValue ?? []).compactMap { $0["name"]?.stringValue } }
        #expect(names(config["input"]) == ["age", "weight", "height", "sex", "pain"] && names(config["input"]) == names(metadata["inputs"]))
        #expect(names(config["output"]) == names(metadata["outputs"]))
        #expect(config["input"]?.arrayValue?.map { $0["optional"] } == [false, true, false, false, false])
        #expect(config["parameters"]?["models"]?["string_value"] == "risk=heart:1,decision=second:1")
        func statistics(_ name: String) -> JSONValue? { node.get("/v2/models/\(name)/stats").value["model_stats"]?.arrayValue?.first }
        #expect(statistics("triage")?["name"] == "triage" && statistics("triage")?["inference_count"] == 0)
        #expect(node.predict("{\"model\":\"triage\",\"rows\":[\(Self.row),\(Self.row)]}").status == 200)
        #expect(node.predict("{\"model\":\"triage\",\"row\":{}}").status == 422)
        #expect(statistics("triage")?["version"] == metadata["versions"]?.arrayValue?.first)
        #expect(statistics("triage")?["inference_count"] == 2 && statistics("triage")?["execution_count"] == 1)
        #expect(statistics("triage")?["inference_stats"]?["fail"]?["count"] == 1)
        // The answering model has them too, the first one only feeds it.
        #expect(statistics("second")?["inference_count"] == 2 && statistics("heart")?["inference_count"] == 0)
        #expect(names(node.get("/v2/models/stats").value["model_stats"]) == ["heart", "second", "triage"])
        #expect(node.get("/metrics").string.contains("nv_inference_count{model=\"triage\",version=\"1\"} 2\n"))
        #expect(node.get("/v2/models/triage/versions/1/config").status == 404)
    }
}
