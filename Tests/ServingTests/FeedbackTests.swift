import AuditLog
import Codec
import Cryptography
import HTTP
import Tabular
import Testing

@testable import Serving

@Suite struct FeedbackTests {
    private func predictionID(_ node: TestNode) throws -> String {
        try #require(node.predict(#"{"row":\#(TestModel.goodRow)}"#).rows.first?["id"]?.stringValue)
    }

    @Test func anOutcomeIsRecordedOnceAndRepetitionIsHarmless() throws {
        let node = try TestNode()
        try node.deploy()
        let id = try predictionID(node)
        let first = node.feedback(#"{"prediction_id":"\#(id)","outcome":true,"source":"lab"}"#)
        #expect(
            first.status == 200 && first.value["repeated"] == false
                && first.value["prediction_id"]?.stringValue == id)
        let again = node.feedback(#"{"prediction_id":"\#(id)","outcome":true}"#)
        #expect(
            again.status == 200 && again.value["repeated"] == true
                && again.value["outcome_id"] == first.value["outcome_id"])
        let entries = node.log.entries(.outcome)
        #expect(
            entries.count == 1 && entries.first?.details["prediction"]?.stringValue == id
                && entries.first?.role == "feedback")
    }

    @Test func labelsOfTheSchemaAreOutcomesToo() throws {
        let node = try TestNode()
        try node.deploy()
        for (label, positive) in [
            ("true", true), ("false", false), ("0", false), ("3", true), (#""2""#, true),
            (#""0""#, false),
        ] {
            let id = try predictionID(node)
            #expect(node.feedback(#"{"prediction_id":"\#(id)","outcome":\#(label)}"#).status == 200)
            #expect(
                node.get("/v1/decisions/\(id)").value["outcome"]?["positive"]?.boolValue == positive
            )
        }
        let id = try predictionID(node)
        for label in ["9", #""sick""#, #""?""#] {
            #expect(node.feedback(#"{"prediction_id":"\#(id)","outcome":\#(label)}"#).status == 422)
        }
    }

    @Test func anotherOutcomeConflictsUnlessItSupersedesTheLatest() throws {
        let node = try TestNode()
        try node.deploy()
        let id = try predictionID(node)
        let early = node.feedback(
            #"{"prediction_id":"\#(id)","outcome":true,"supersedes":"\#(id)"}"#)
        #expect(early.status == 409)
        let first = try #require(
            node.feedback(#"{"prediction_id":"\#(id)","outcome":true}"#).value["outcome_id"]?
                .stringValue)
        let conflict = node.feedback(#"{"prediction_id":"\#(id)","outcome":false}"#)
        #expect(
            conflict.status == 409 && conflict.value["outcome_id"]?.stringValue == first
                && conflict.value["error"] != nil)
        #expect(
            node.feedback(#"{"prediction_id":"\#(id)","outcome":false,"supersedes":"\#(id)"}"#)
                .status == 409)
        let second = try #require(
            node.feedback(#"{"prediction_id":"\#(id)","outcome":false,"supersedes":"\#(first)"}"#)
                .value["outcome_id"]?.stringValue)
        // A late repetition of the first statement does not undo the correction.
        #expect(node.feedback(#"{"prediction_id":"\#(id)","outcome":true}"#).status == 409)
        #expect(
            node.feedback(#"{"prediction_id":"\#(id)","outcome":true,"supersedes":"\#(first)"}"#)
                .status == 409)
        #expect(
            node.feedback(#"{"prediction_id":"\#(id)","outcome":false,"supersedes":"\#(first)"}"#)
                .value["outcome_id"]?.stringValue == second)
        #expect(node.log.entries(.outcome).count == 2)
        #expect(
            node.get("/v1/decisions/\(id)").value["outcome"]?["supersedes"]?.stringValue == first)
    }

    @Test func unknownAndMalformedFeedbackIsRefused() throws {
        let node = try TestNode()
        try node.deploy()
        let id = try predictionID(node)
        for other in ["01931b2c-3d4e-7f01-8a2b-3c4d5e6f7081", "x", "", "../../etc/passwd"] {
            #expect(node.feedback(#"{"prediction_id":"\#(other)","outcome":true}"#).status == 404)
        }
        for body in [
            "", "[]", "{", #"{"outcome":true}"#, #"{"prediction_id":7,"outcome":true}"#,
            #"{"prediction_id":"\#(id)"}"#, #"{"prediction_id":"\#(id)","outcome":null}"#,
            #"{"prediction_id":"\#(id)","outcome":{}}"#,
            #"{"prediction_id":"\#(id)","outcome":NaN}"#,
            #"{"prediction_id":"\#(id)","outcome":true,"patient":"x"}"#,
            #"{"prediction_id":"\#(id)","outcome":true,"source":7}"#,
            #"{"prediction_id":"\#(id)","outcome":true,"supersedes":"x"}"#,
            #"{"prediction_id":"\#(id)","outcome":true,"source":"\#(String(repeating: "s", count: 65))"}"#,
        ] {
            let response = node.feedback(body)
            #expect(response.status == 400 && response.value["error"] != nil, "\(body)")
        }
        #expect(node.log.entries(.outcome).isEmpty)
    }

    @Test func labelledRowsCarryTheLatestOutcomeAndFitTheNextSchema() throws {
        let node = try TestNode()
        try node.deploy()
        let body =
            #"{"rows":[{"age":63,"chol":233.5,"sex":"male","cp":"none"},{"age":40,"sex":"female","cp":"typical"},\#(TestModel.goodRow)]}"#
        let ids = try node.predict(body).rows.map { try #require($0["id"]?.stringValue) }
        let first = try #require(
            node.feedback(#"{"prediction_id":"\#(ids[0])","outcome":true}"#).value["outcome_id"]?
                .stringValue)
        _ = node.feedback(
            #"{"prediction_id":"\#(ids[0])","outcome":false,"supersedes":"\#(first)"}"#)
        _ = node.feedback(#"{"prediction_id":"\#(ids[1])","outcome":true}"#)
        func check() throws {
            let rows = try node.service.labelledRows(TestModel.schema)
            #expect(rows.map(\.prediction.description) == Array(ids.prefix(2)))
            #expect(rows.map(\.label) == [false, true])
            #expect(
                rows[0].row
                    == (try TestModel.schema.validate(named: [
                        "age": .number(63), "chol": .number(233.5), "sex": .text("male"),
                        "cp": .text("none"),
                    ])))
            #expect(
                rows[1].row
                    == (try TestModel.schema.validate(named: [
                        "age": .number(40), "sex": .text("female"), "cp": .text("typical"),
                    ])))
        }
        try check()
        try node.restart()
        try check()
        // A stricter schema leaves out what no longer fits; a smaller one takes the features it knows.
        var strict = TestModel.schema
        strict.features[1].missing = .refuse
        #expect(try node.service.labelledRows(strict).map(\.label) == [false])
        var small = TestModel.schema
        small.features.removeLast(2)
        #expect(try node.service.labelledRows(small).count == 2)
    }

    @Test func erasureForgetsTheRowAndItsOutcomeForGood() throws {
        let node = try TestNode()
        try node.deploy()
        let (id, other) = (try predictionID(node), try predictionID(node))
        _ = node.feedback(#"{"prediction_id":"\#(id)","outcome":true}"#)
        _ = node.feedback(#"{"prediction_id":"\#(other)","outcome":true}"#)
        let request = Array(#"{"prediction":"\#(id)"}"#.utf8)
        #expect(node.post("/v1/records/erase", request, as: .operator).status == 200)
        #expect(node.post("/v1/records/erase", request, as: .operator).status == 404)
        for _ in 0..<2 {
            #expect(node.get("/v1/decisions/\(id)").status == 404)
            #expect(node.feedback(#"{"prediction_id":"\#(id)","outcome":true}"#).status == 404)
            #expect(node.get("/v1/decisions/\(other)").status == 200)
            #expect(
                try node.service.labelledRows(TestModel.schema).map(\.prediction.description) == [
                    other
                ])
            try node.restart()
        }
        #expect(node.log.entries(.recordsErased).count == 1)
    }
}
