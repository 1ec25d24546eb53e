import AuditLog
import Codec
import Cryptography
import HTTP
import Telemetry
import Testing

@testable import Serving

@Suite struct StopTests {
    private let row = #"{"row":\#(TestModel.goodRow)}"#
    private let why = Array(#"{"reason":"drift on ward 3"}"#.utf8)

    private func infer(_ node: TestNode) -> HTTPResponse {
        node.post(
            "/v2/models/heart/infer",
            Array(#"{"inputs":[{"name":"age","shape":[1],"datatype":"FP64","data":[63]},{"name":"chol","shape":[1],"datatype":"FP64","data":[233]},{"name":"sex","shape":[1],"datatype":"BOOL","data":[true]},{"name":"cp","shape":[1],"datatype":"BYTES","data":["typical"]}]}"#.utf8),
            as: .predict)
    }

    @Test func aStopRefusesEveryLaterPredictionUntilAnAuthorisedStart() throws {
        let node = try TestNode()
        try node.deploy(1)
        #expect(node.predict(row).status == 200 && infer(node).status == 200)
        #expect(node.post("/v1/stop", why, as: .overseer).status == 200)
        for response in [node.predict(row), infer(node), node.post("/v2/models/heart/versions/1/infer", Array("{}".utf8), as: .predict)] {
            #expect(response.status == 503)
            #expect(response.value["error"]?.stringValue?.contains("overseer") == true)
            // Nobody is told to try again in a moment: a person decides when.
            #expect(response.headers["Retry-After"] == nil)
        }
        #expect(node.get("/v2/health/ready").status == 503 && node.get("/v2/health/live").status == 200)
        #expect(node.log.entries(.servingStopped).map(\.role) == ["overseer"])
        // Nobody else lifts it, no change of versions does, and no restart.
        for role in AccessRole.allCases where role != .overseer { #expect(node.post("/v1/start", why, as: role).status == 403) }
        try node.deploy(2)
        try node.restart()
        #expect(node.predict(row).status == 503)
        #expect(node.post("/v1/stop", why, as: .overseer).status == 409)
        #expect(node.post("/v1/start", why, as: .overseer).status == 200)
        #expect(node.predict(row).status == 200 && node.post("/v1/start", why, as: .overseer).status == 409)
        try node.restart()
        #expect(node.predict(row).status == 200)
    }

    @Test func onlyAnOverseerStops() throws {
        let node = try TestNode()
        try node.deploy(1)
        for role in AccessRole.allCases where role != .overseer { #expect(node.post("/v1/stop", why, as: role).status == 403) }
        for body in [#"{"reason":""}"#, #"{"reason":7}"#, #"{"reason":"x","more":1}"#, "[]"] {
            #expect(node.post("/v1/stop", Array(body.utf8), as: .overseer).status == 400, "\(body)")
        }
        #expect(node.predict(row).status == 200)
        // In a hurry nothing has to be written.
        #expect(node.post("/v1/stop", [], as: .overseer).status == 200 && node.predict(row).status == 503)
        #expect(node.log.entries(.servingStopped).last?.details["reason"] == "no reason given")
    }

    /// The answer to a stop comes when it is durable; the refusal of predictions does not wait for that.
    @Test func aStopThatTheLogDoesNotTakeHoldsAllTheSameAndIsNotAcknowledged() throws {
        let node = try TestNode()
        try node.deploy(1)
        node.log.fail("disk full")
        #expect(node.post("/v1/stop", why, as: .overseer).status == 503)
        node.log.fail(nil)
        #expect(node.predict(row).status == 503)
        #expect(node.post("/v1/stop", why, as: .overseer).status == 200)
        try node.restart()
        #expect(node.predict(row).status == 503)
    }
}
