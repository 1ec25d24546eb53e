import Codec
import HTTP
import Models
import Testing

@testable import Serving

/// Binary tensors, raw rows, classification, versions, repository, statistics, compression and deadlines.
@Suite struct OpenInferenceBinaryTests {
    private func little(_ value: UInt64, _ width: Int) -> [UInt8] {
        (0..<width).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
    }

    private func floats(_ values: [Double]) -> [UInt8] { values.flatMap { little($0.bitPattern, 8) } }

    private func texts(_ values: [String]) -> [UInt8] {
        values.flatMap { little(UInt64($0.utf8.count), 4) + Array($0.utf8) }
    }

    /// Two rows as stock clients send them: INT32, FP64, BYTES and BOOL.
    private var binary: (json: String, data: [UInt8]) {
        let age = little(63, 4) + little(41, 4)
        let chol = floats([233.5, .nan])
        let cp = texts(["typical", "none"])
        let json = """
            {"id":"r","inputs":[{"name":"age","shape":[2,1],"datatype":"INT32","parameters":{"binary_data_size":8}},
            {"name":"chol","shape":[2],"datatype":"FP64","parameters":{"binary_data_size":16}},
            {"name":"sex","shape":[2],"datatype":"BOOL","parameters":{"binary_data_size":2}},
            {"name":"cp","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":\(cp.count)}}],
            "parameters":{"binary_data_output":true,"priority":1,"note":"x"}}
            """
        return (json, age + chol + [1, 0] + cp)
    }

    private func infer(
        _ node: TestNode, _ json: String, _ data: [UInt8] = [], headers: [(String, String)]? = nil,
        path: String = "/v2/models/heart/infer"
    ) -> HTTPResponse {
        let fields =
            headers
            ?? (data.isEmpty ? [] : [("Inference-Header-Content-Length", String(json.utf8.count))])
        return node.send(
            "POST", path, Array(json.utf8) + data, key: node.roleKeys[.predict], headers: fields)
    }

    /// The JSON part of a response and the bytes behind it.
    private func parts(_ response: HTTPResponse) throws -> (json: JSONValue, data: [UInt8]) {
        let text = try #require(response.headers["Inference-Header-Content-Length"])
        let length = try #require(Int(text))
        return (
            try JSONValue.parse(Array(response.body[..<length]), dialect: .strict),
            Array(response.body[length...])
        )
    }

    private func doubles(_ bytes: ArraySlice<UInt8>) -> [Double] {
        stride(from: bytes.startIndex, to: bytes.endIndex, by: 8).map { start in
            Double(bitPattern: (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[start + $1]) << (8 * UInt64($1)) })
        }
    }

    @Test func binaryTensorsGiveTheSameScoresAsRows() throws {
        let node = try TestNode()
        try node.deploy()
        let response = infer(node, binary.json, binary.data)
        #expect(response.status == 200, "\(response.string)")
        #expect(response.headers["Content-Type"] == "application/octet-stream")
        let (json, data) = try parts(response)
        let outputs = try #require(json["outputs"]?.arrayValue)
        let sizes = outputs.compactMap { $0["parameters"]?["binary_data_size"]?.intValue }
        #expect(sizes.count == 4 && sizes.reduce(0, +) == data.count)
        #expect(sizes[0] == 16 && sizes[1] == 16 && sizes[3] == 2 * 40)
        let rows = node.predict(
            #"{"rows":[\#(TestModel.goodRow),{"age":41,"sex":"female","cp":"none"}]}"#
        ).rows
        #expect(doubles(data[0..<16]) == rows.map { $0["probability"]?.doubleValue ?? 0 })
        #expect(doubles(data[16..<32]) == rows.map { $0["score"]?.doubleValue ?? 0 })
        #expect(json["id"] == "r")
    }

    @Test func onlyTheNamedOutputIsBinary() throws {
        let node = try TestNode()
        try node.deploy()
        let json = """
            {"inputs":[{"name":"features","shape":[1,4],"datatype":"FP64","data":[[63,233.5,1,0]]}],
            "outputs":[{"name":"score","parameters":{"binary_data":true}},{"name":"class"},{"name":"abstain"}]}
            """
        // Codes of this schema are words, so the numbers of `sex` and `cp` are no categories.
        #expect(infer(node, json).status == 400)
        let names = json.replacing("\"features\",\"shape\":[1,4],\"datatype\":\"FP64\",\"data\":[[63,233.5,1,0]]}", with: "\"age\",\"shape\":[1],\"datatype\":\"INT8\",\"data\":[63]},{\"name\":\"sex\",\"shape\":[1,1],\"datatype\":\"BOOL\",\"data\":[[true]]},{\"name\":\"cp\",\"shape\":[1],\"datatype\":\"BYTES\",\"data\":[\"t\\u0079pical\"]}")
        let response = infer(node, names)
        #expect(response.status == 200, "\(response.string)")
        let (head, data) = try parts(response)
        #expect(data.count == 8)
        let outputs = try #require(head["outputs"]?.arrayValue)
        #expect(outputs[0]["data"] == nil && outputs[1]["data"]?.arrayValue?.count == 1)
        #expect(outputs[2]["data"] == [false] && outputs[2]["datatype"] == "BOOL")
        #expect(head["parameters"]?["abstain"] == false && head["parameters"]?["version"] == 1)
        #expect(head["parameters"]?["prediction_id"]?.stringValue?.count == 36)
    }

    @Test func rawRowsAreRefusedWhenTheyAreNoRows() throws {
        let node = try TestNode()
        try node.deploy()
        for data in [[], [1], floats([63, 200, 1])] as [[UInt8]] {
            let response = infer(node, "", data, headers: [("Inference-Header-Content-Length", "0")])
            #expect(response.status == 400 && response.value["error"] != nil)
        }
    }

    @Test func classesAsTexts() throws {
        let node = try TestNode()
        try node.deploy()
        let inputs =
            #"{"name":"age","shape":[1],"datatype":"FP32","data":[63]},{"name":"sex","shape":[1],"datatype":"BYTES","data":["male"]},{"name":"cp","shape":[1],"datatype":"BYTES","data":["none"]}"#
        let response = infer(
            node,
            #"{"inputs":[\#(inputs)],"outputs":[{"name":"probability","parameters":{"classification":5,"binary_data":false}}]}"#)
        let output = try #require(response.value["outputs"]?.arrayValue?.first, "\(response.string)")
        #expect(output["shape"] == [1, 2] && output["datatype"] == "BYTES")
        let items = try #require(output["data"]?.arrayValue).compactMap(\.stringValue)
        let parts = items.map { $0.split(separator: ":").map(String.init) }
        #expect(Set(parts.map { $0[1] + $0[2] }) == ["0absent", "1present"])
        #expect((Double(parts[0][0]) ?? 0) >= (Double(parts[1][0]) ?? 1))
        #expect(
            infer(
                node,
                #"{"inputs":[\#(inputs)],"outputs":[{"name":"score","parameters":{"classification":1}}]}"#
            ).status == 400)
    }

    @Test(arguments: ["gzip", "deflate"]) func bodiesMayBeCompressedBothWays(_ name: String) throws {
        let node = try TestNode()
        try node.deploy()
        let coding = try #require(ContentCoding(rawValue: name))
        let rows = (0..<40).map { _ in TestModel.goodRow }.joined(separator: ",")
        let body = Array(#"{"rows":[\#(rows)],"explain":true}"#.utf8)
        let response = node.send(
            "POST", "/v1/predict", coding.encode(body), key: node.roleKeys[.predict],
            headers: [("Content-Encoding", name), ("Accept-Encoding", name)])
        #expect(response.status == 200 && response.headers["Content-Encoding"] == name)
        let plain = try ContentCoding.decode(response.body, header: name, bytesMax: 1 << 20)
        #expect(
            try JSONValue.parse(plain, dialect: .strict)["predictions"]?.arrayValue?.count == 40)
        let refused = node.send(
            "POST", "/v1/predict", body, key: node.roleKeys[.predict],
            headers: [("Content-Encoding", name)])
        #expect(refused.status == 400 && refused.value["error"] != nil)
        #expect(
            node.send(
                "POST", "/v1/predict", body, key: node.roleKeys[.predict],
                headers: [("Content-Encoding", "br")]
            ).status == 415)
    }

    @Test func aTimeoutThatHasPassedDecidesNothing() throws {
        let node = try TestNode()
        try node.deploy()
        let json = binary.json.replacing("\"priority\":1", with: "\"timeout\":1")
        let late = infer(node, json, binary.data)
        #expect(late.status == 503 && node.log.entries(.prediction).isEmpty, "\(late.string)")
        let early = infer(node, json.replacing("\"timeout\":1", with: "\"timeout\":60000000"), binary.data)
        #expect(early.status == 200)
        #expect(infer(node, json.replacing("\"timeout\":1", with: "\"timeout\":-1"), binary.data).status == 400)
    }

    @Test func damagedBinaryRequestsAre400() throws {
        let node = try TestNode()
        try node.deploy()
        let (json, data) = binary
        func status(_ json: String, _ data: [UInt8], length: String? = nil) -> Int {
            let response = infer(
                node, json, data,
                headers: [("Inference-Header-Content-Length", length ?? String(json.utf8.count))])
            #expect(response.value["error"]?.stringValue?.isEmpty == false)
            return response.status
        }
        #expect(status(json, Array(data.dropLast())) == 400)
        #expect(status(json, data + [0]) == 400)
        #expect(status(json, []) == 400)
        for length in ["99999", "x", "-1", "1e2", "99999999999", ""] {
            #expect(status(json, data, length: length) == 400)
        }
        #expect(status(json.replacing("\"binary_data_size\":8", with: "\"binary_data_size\":1e300"), data) == 400)
        #expect(status(json.replacing("\"INT32\"", with: "\"INT64\""), data) == 400)
        var huge = data
        huge[26] = 0xff
        huge[27] = 0xff
        #expect(status(json, huge) == 400)
        var other = data
        other[24] = 7
        #expect(status(json, other) == 400)
        #expect(node.log.entries(.prediction).isEmpty)
    }

    @Test func versionsStatisticsAndConfiguration() throws {
        let node = try TestNode()
        try node.deploy(1)
        try node.deploy(3)
        let path = "/v2/models/heart/versions/3"
        #expect(infer(node, binary.json, binary.data, path: path + "/infer").status == 200)
        #expect(infer(node, "{}", path: path + "/infer").status == 400)
        for (suffix, status) in [("3", 200), ("1", 404), ("9", 404), ("03", 404), ("x", 404)] {
            for end in ["", "/ready", "/config", "/stats"] {
                #expect(node.get("/v2/models/heart/versions/\(suffix)\(end)").status == status)
            }
        }
        let stats = node.get(path + "/stats").value["model_stats"]?.arrayValue?.first
        #expect(stats?["inference_count"] == 2 && stats?["execution_count"] == 1)
        #expect(stats?["inference_stats"]?["success"]?["count"] == 1)
        #expect(stats?["inference_stats"]?["fail"]?["count"] == 1)
        #expect(node.get("/v2/models/stats").value["model_stats"]?.arrayValue?.count == 1)
        let configuration = node.get("/v2/models/heart/config").value
        #expect(configuration["max_batch_size"] == 1000 && configuration["input"]?.arrayValue?.count == 4)
        let metrics = node.get("/metrics").string
        #expect(metrics.contains("nv_inference_request_success{model=\"heart\",version=\"3\"} 1\n"))
        #expect(
            metrics.contains(
                "nv_inference_request_failure{model=\"heart\",version=\"3\",reason=\"REJECTED\"} 1\n"))
        #expect(node.get("/v2/").status == 200)
    }

    @Test func unloadTakesAModelOutOfServiceAndLoadBringsItBack() throws {
        let node = try TestNode()
        let package = try node.deploy(1)
        try node.deploy(2)
        func post(_ path: String, _ body: String = "") -> HTTPResponse {
            node.send("POST", path, Array(body.utf8), key: node.roleKeys[.operator])
        }
        let index = try #require(post("/v2/repository/index").value.arrayValue)
        #expect(index.map { $0["version"]?.stringValue } == ["1", "2"])
        #expect(index.map { $0["state"]?.stringValue } == ["UNAVAILABLE", "READY"])
        #expect(post("/v2/repository/index", #"{"ready":true}"#).value.arrayValue?.count == 1)
        #expect(
            post("/v2/repository/models/heart/unload", #"{"parameters":{"unload_dependents":false}}"#)
                .status == 200)
        #expect(node.get("/v2/models/heart/ready").status == 404)
        #expect(node.get("/v2/health/ready").status == 503)
        #expect(post("/v2/repository/models/heart/unload").status == 409)
        try node.restart()
        #expect(node.get("/v2/models/heart/ready").status == 404)
        #expect(node.service.deployments.current.history["heart"]?.last?.until != nil)
        #expect(post("/v2/repository/models/heart/load", #"{"parameters":{"config":"{}"}}"#).status == 400)
        #expect(post("/v2/repository/models/heart/load", "{}").status == 200)
        #expect(node.get("/v2/models/heart").value["versions"] == ["2"])
        #expect(post("/v2/repository/models/nope/load", "{}").status == 404)
        // The version before it is still what a rollback brings back.
        #expect(post("/v1/rollback").value["digest"]?.stringValue == package.digest.hex)
    }

    @Test func halfAndBrainFloats() {
        func number(_ datatype: TensorDatatype, _ bits: UInt64) -> Double {
            let bytes = little(bits, 8)
            return datatype.number(bytes.span, at: 0)
        }
        #expect(number(.float16, 0x3C00) == 1 && number(.float16, 0xC500) == -5)
        #expect(number(.float16, 0x7BFF) == 65_504 && number(.float16, 1) == 0x1p-24)
        #expect(number(.float16, 0x7C00) == .infinity && number(.float16, 0x7E00).isNaN)
        #expect(number(.bfloat16, 0x3F80) == 1 && number(.int8, 0xff) == -1)
        #expect(number(.uint64, .max) == 0x1p64 && number(.int64, .max) == -1)
    }
}
