import Codec
import HTTP
import Models
import Testing

@testable import Serving

@Suite struct OpenInferenceTests {
    private let inputs = """
        {"name":"age","shape":[2],"datatype":"INT64","data":[63,41]},{"name":"chol","shape":[2,1],"datatype":"FP64","data":[[233.5],[null]]},
        {"name":"sex","shape":[2],"datatype":"BYTES","data":["male","female"]},{"name":"cp","shape":[2],"datatype":"BYTES","data":["typical","none"]}
        """

    private func infer(_ node: TestNode, _ body: String) -> HTTPResponse {
        node.send("POST", "/v2/models/heart/infer", Array(body.utf8), key: node.roleKeys[.predict])
    }

    @Test func tensorsGiveTheSameScoresAsRows() throws {
        let node = try TestNode()
        let package = try node.deploy()
        let response = infer(node, #"{"id":"r-1","inputs":[\#(inputs)]}"#)
        #expect(response.status == 200, "\(response.string)")
        #expect(
            response.value["id"] == "r-1" && response.value["model_version"] == "1"
                && response.value["parameters"]?["digest"]?.stringValue == package.digest.hex)
        let outputs = try #require(response.value["outputs"]?.arrayValue)
        #expect(
            outputs.map { $0["name"]?.stringValue } == [
                "probability", "score", "class", "prediction_id",
            ])
        #expect(outputs.allSatisfy { $0["shape"] == [2] })
        let rows = node.predict(
            #"{"rows":[\#(TestModel.goodRow),{"age":41,"sex":"female","cp":"none"}]}"#
        ).rows
        #expect(outputs[1]["data"]?.arrayValue == rows.map { $0["score"] ?? .null })
        #expect(outputs[2]["data"]?.arrayValue == rows.map { $0["class"] ?? .null })
        #expect(node.log.entries(.prediction).map { $0.details["rows"] } == [2, 2])
    }

    @Test func contributionsAreATensorOfTheirOwn() throws {
        let node = try TestNode()
        try node.deploy()
        let response = infer(
            node,
            #"{"outputs":[{"name":"score"},{"name":"contributions"},{"name":"base"}],"inputs":[\#(inputs)]}"#
        )
        let outputs = try #require(response.value["outputs"]?.arrayValue)
        #expect(outputs[1]["shape"] == [2, 4])
        func numbers(_ output: Int) throws -> [Double] {
            try #require(outputs[output]["data"]?.arrayValue).compactMap(\.doubleValue)
        }
        let (scores, values, bases) = (try numbers(0), try numbers(1), try numbers(2))
        for row in 0..<2 {
            #expect(abs(values[row * 4..<row * 4 + 4].reduce(bases[row], +) - scores[row]) < 1e-5)
        }
    }

    @Test func metadataNamesInputsAndOutputs() throws {
        let node = try TestNode()
        try node.deploy()
        let model = node.get("/v2/models/heart").value
        #expect(
            model["inputs"]?.arrayValue?.map { $0["name"]?.stringValue } == [
                "age", "chol", "sex", "cp",
            ])
        // As in Triton: the metadata's shape is the configuration's with the rows before it.
        let dimensions = node.get("/v2/models/heart/config").value["input"]?.arrayValue?.map { $0["dims"]?.arrayValue ?? [] } ?? []
        #expect(model["inputs"]?.arrayValue?.map { $0["shape"]?.arrayValue ?? [] } == dimensions.map { [-1] + $0 })
        #expect(model["versions"] == ["1"] && model["platform"] == "consilium_safetensors")
        #expect(node.get("/v2").value["name"] == "consilium")
        #expect(
            node.get("/v2/models/heart/ready").status == 200
                && node.get("/v2/models/nope/ready").status == 404)
        #expect(node.get("/v2/models/nope").status == 404)
        #expect(node.send("GET", "/v2/health/live", key: nil).status == 200)
    }

    /// The malformed requests of the design notes, and more.
    @Test(arguments: [
        "", "{", "{}", "[]", #"{"inputs":[]}"#, #"{"inputs":{}}"#,
        #"{"inputs":[{"name":"y","shape":[1],"datatype":"FP32","data":[1]}]}"#,
        #"{"inputs":[{"name":"age","shape":[1],"datatype":"FP33","data":[1]}]}"#,
        #"{"inputs":[{"name":"age","shape":[2],"datatype":"FP32","data":[1]}]}"#,
        #"{"inputs":[{"name":"age","shape":[1],"datatype":"FP32","data":[1,2]}]}"#,
        #"{"inputs":[{"name":"age","shape":[0],"datatype":"FP32","data":[]}]}"#,
        #"{"inputs":[{"name":"age","shape":[-1],"datatype":"FP32","data":[1]}]}"#,
        #"{"inputs":[{"name":"age","shape":[1],"datatype":"FP32","data":[NaN]}]}"#,
        #"{"inputs":[{"name":"age","shape":[1],"datatype":"FP32","data":[null]}]}"#,
        #"{"inputs":[{"name":"age","shape":[1],"datatype":"FP32","data":["63"]}]}"#,
        #"{"inputs":[{"name":"age","shape":[1],"datatype":"FP32","data":[1e400]}]}"#,
        #"{"inputs":[{"name":"age","shape":[1],"datatype":"FP32","data":[1e300]}]}"#,
        #"{"inputs":[{"name":"age","shape":[1],"datatype":"INT64","data":[1.5]}]}"#,
        #"{"inputs":[{"name":"age","shape":[1],"datatype":"FP32","data":[[1,2]]}]}"#,
        #"{"inputs":[{"name":"age","shape":[1],"datatype":"FP32","data":[63]}]}"#,
        #"{"inputs":[{"name":"age","shape":[1],"datatype":"FP32"}]}"#,
        #"{"outputs":[{"name":"nope"}],"inputs":[{"name":"age","shape":[1],"datatype":"FP32","data":[63]}]}"#,
        #"{"inputs":[{"name":"age","shape":[1],"datatype":"FP32","data":[63]},{"name":"age","shape":[1],"datatype":"FP32","data":[63]}]}"#,
        #"{"inputs":[{"name":"age","shape":[1],"datatype":"FP32","data":[63]},{"name":"sex","shape":[2],"datatype":"BYTES","data":["male","male"]}]}"#,
        #"{"id":7,"inputs":[{"name":"age","shape":[1],"datatype":"FP32","data":[63]}]}"#,
        #"{"x":7,"inputs":[{"name":"age","shape":[1],"datatype":"FP32","data":[63]}]}"#,
    ]) func malformedInferenceIs400(_ body: String) throws {
        let node = try TestNode()
        try node.deploy()
        let response = infer(node, body)
        #expect(
            response.status == 400 && response.value["error"]?.stringValue?.isEmpty == false,
            "\(response.status) \(response.string)")
        #expect(node.log.entries(.prediction).isEmpty)
    }

    @Test func aParameterThatIsThereTwiceIsRefused() throws {
        let node = try TestNode()
        try node.deploy()
        #expect(infer(node, #"{"parameters":{"timeout":5000000,"priority":1},"inputs":[\#(inputs)]}"#).status == 200)
        for twice in [#""timeout":5000000,"timeout":5000000"#, #""priority":1,"priority":2"#, #""subject":"a","\u0073ubject":"b""#] {
            let response = infer(node, "{\"parameters\":{\(twice)},\"inputs\":[\(inputs)]}")
            #expect(response.status == 400 && response.string.contains("parameter 1 is repeated"), "\(response.string)")
        }
    }
}
