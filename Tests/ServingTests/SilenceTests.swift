import Codec
import Cryptography
import HTTP
import Telemetry
import Testing

@testable import Serving

/// No response, log line or metric repeats what a caller wrote.
@Suite struct SilenceTests {
    /// Stands in for a name, a number and a text that identify a person.
    private let canaries = ["4711081504", "Mustermann"]

    private var bodies: [String] {
        let (number, text) = (canaries[0], canaries[1])
        let values = [
            number, "-\(number)", "\(number).5", "\"\(text)\"", "\"\(number)\"", "[\(number)]",
            "{\"\(text)\":\(number)}", "\(number)e400", "\(text)", "\"\(text)\\q\"", "\"\(text)",
            "tru\(text)",
        ]
        var bodies: [String] = []
        for value in values {
            for feature in ["age", "chol", "sex", "cp", text, number] {
                bodies.append("{\"row\":{\"\(feature)\":\(value)}}")
                bodies.append(
                    "{\"rows\":[\(TestModel.goodRow),{\"age\":63,\"chol\":200,\"sex\":\"male\",\"cp\":\"none\",\"\(feature)\":\(value)}]}"
                )
            }
            bodies += [
                value, "{\"\(text)\":\(value)}", "{\"rows\":\(value)}",
                "{\"row\":{},\"model\":\(value)}", "{\"row\":{},\"explain\":\(value)}",
                "{\"row\":{}}\(value)",
            ]
            bodies += [
                "{\"prediction_id\":\(value),\"outcome\":true}",
                "{\"prediction_id\":\"ID\",\"outcome\":\(value)}",
                "{\"prediction_id\":\"ID\",\"outcome\":true,\"source\":\(value)x}",
            ]
            bodies += [
                "{\"inputs\":[{\"name\":\(value)}]}",
                "{\"inputs\":[{\"name\":\"age\",\"shape\":[1],\"datatype\":\"FP64\",\"data\":[\(value)]}]}",
                "{\"outputs\":[{\"name\":\(value)}],\"inputs\":[]}",
            ]
        }
        return bodies
    }

    @Test func noResponseLogLineOrMetricRepeatsAnInput() throws {
        let node = try TestNode()
        try node.deploy()
        let id = try #require(
            node.predict(#"{"row":\#(TestModel.goodRow)}"#).rows.first?["id"]?.stringValue)
        var answered = 0
        for body in bodies.map({ $0.replacing("ID", with: id) }) {
            for (path, role) in [
                ("/v1/predict", AccessRole.predict), ("/v1/feedback", .feedback),
                ("/v2/models/heart/infer", .predict), ("/v1/rollback", .operator),
            ] {
                let response = node.send("POST", path, Array(body.utf8), key: node.roleKeys[role])
                answered += 1
                expectSilence(response.string, "\(path) \(body)")
                for field in response.headers.rawFields {
                    expectSilence(String(decoding: field.value, as: UTF8.self), path)
                }
                if response.status != 200 {
                    #expect(
                        response.value["error"]?.stringValue?.isEmpty == false, "\(path) \(body)")
                }
            }
        }
        for path in [
            "/v1/decisions/\(canaries[0])", "/v2/models/\(canaries[1])",
            "/v2/models/\(canaries[1])/ready", "/\(canaries[1])",
        ] {
            expectSilence(node.get(path).string, path)
        }
        expectSilence(
            node.send("POST", "/v1/models/\(canaries[0])/live", key: node.roleKeys[.operator])
                .string, "live")
        expectSilence(node.send("GET", "/v1/models", key: canaries[1]).string, "key")
        expectSilence(node.lines.withLock { $0.joined() }, "log lines")
        expectSilence(node.get("/metrics").string, "metrics")
        for entry in node.log.entries { expectSilence("\(entry)", "audit log") }
        #expect(answered > 500)
    }

    private func expectSilence(_ text: String, _ place: String) {
        for canary in canaries { #expect(!text.contains(canary), "\(place): \(text)") }
    }
}
