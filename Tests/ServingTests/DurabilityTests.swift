import AuditLog
import Codec
import Cryptography
import Glibc
import HTTP
import Storage
import Telemetry
import Testing

@testable import Serving

@Suite struct DurabilityTests {
    private let body = Array(#"{"row":\#(TestModel.goodRow)}"#.utf8)

    @Test func noAnswerBeforeTheLogHasTheEntry() throws {
        let node = try TestNode()
        try node.deploy()
        let answers = Locked<[Int]>([])
        node.log.hold()
        for _ in 0..<3 {
            node.begin("POST", "/v1/predict", body, key: node.roleKeys[.predict]) { response in
                answers.withLock { $0.append(response.status) }
            }
        }
        // The records are written and the entries handed over, but nothing is answered.
        while node.log.entries(.prediction).count < 3 { usleep(1000) }
        usleep(20_000)
        #expect(answers.withLock { $0 }.isEmpty)
        node.log.release()
        while answers.withLock({ $0.count }) < 3 { usleep(1000) }
        #expect(answers.withLock { $0 } == [200, 200, 200])
    }

    @Test func aLogThatCannotBeWrittenMeans503AndAMetricAndComesBack() throws {
        let node = try TestNode()
        try node.deploy()
        let id = try #require(
            node.predict(#"{"row":\#(TestModel.goodRow)}"#).rows.first?["id"]?.stringValue)
        node.log.fail("No space left on device")
        for response in [
            node.predict(#"{"row":\#(TestModel.goodRow)}"#),
            node.feedback(#"{"prediction_id":"\#(id)","outcome":true}"#),
            node.get("/v1/decisions/\(id)"),
            node.send(
                "POST", "/v2/models/heart/infer",
                Array(
                    #"{"inputs":[{"name":"age","shape":[1],"datatype":"FP64","data":[63]},{"name":"sex","shape":[1],"datatype":"BYTES","data":["male"]},{"name":"cp","shape":[1],"datatype":"BYTES","data":["none"]}]}"#
                        .utf8), key: node.roleKeys[.predict]),
        ] {
            #expect(
                response.status == 503 && response.value["error"] != nil
                    && response.headers["Retry-After"] != nil)
            #expect(response.value["predictions"] == nil)
        }
        #expect(node.metrics.value("consilium_durability_failures_total") == 3)
        #expect(node.get("/v2/health/ready").status == 503)
        #expect(node.lines.withLock { $0.contains { $0.contains("durability.lost") } })
        // The outcome was not recorded either: asking again records it.
        node.log.fail(nil)
        #expect(
            node.feedback(#"{"prediction_id":"\#(id)","outcome":true}"#).value["repeated"] == false)
        #expect(node.predict(#"{"row":\#(TestModel.goodRow)}"#).status == 200)
        #expect(node.get("/v2/health/ready").status == 200)
    }

    @Test func recordsThatCannotBeWrittenMean503AndComeBackWithoutARestart() throws {
        let node = try TestNode()
        try node.deploy()
        let before = try #require(
            node.predict(#"{"row":\#(TestModel.goodRow)}"#).rows.first?["id"]?.stringValue)
        try node.restart()
        // The first write after a restart opens a new segment, which this prevents.
        let predictions = node.directory + "/records/predictions"
        let moved = node.directory + "/moved"
        move(predictions, moved)
        let entries = node.log.entries.count
        #expect(node.predict(#"{"row":\#(TestModel.goodRow)}"#).status == 503)
        #expect(node.log.entries.count == entries)
        move(moved, predictions)
        #expect(node.predict(#"{"row":\#(TestModel.goodRow)}"#).status == 200)
        #expect(node.get("/v1/decisions/\(before)").status == 200)
    }

    private func move(_ from: String, _ to: String) { _ = unsafe rename(from, to) }

    @Test func anErasedRowIsInNoFileOfTheNode() throws {
        let node = try TestNode()
        try node.deploy()
        let ids = node.predict(
            #"{"rows":[\#(TestModel.goodRow),{"age":77,"chol":613.25,"sex":"female","cp":"none"}]}"#
        ).rows.compactMap { $0["id"]?.stringValue }
        func isOnDisk() throws -> Bool {
            var writer = ByteWriter()
            writer.u64(Double(613.25).bitPattern)
            return try files(node.directory).contains { path in
                let bytes = try DurableFile.read(path, maxBytes: 1 << 24)
                return bytes.indices.dropLast(8).contains {
                    Array(bytes[$0..<$0 + 8]) == writer.bytes
                }
            }
        }
        #expect(try isOnDisk())
        #expect(try node.service.erase([try #require(PredictionID(ids[1]))], actor: "operator").predictions == 1)
        #expect(try !isOnDisk())
    }

    private func files(_ path: String) throws -> [String] {
        guard DurableFile.isDirectory(path) else { return [path] }
        return try DurableFile.list(path).flatMap { try files(path + "/" + $0) }
    }

    @Test func everythingAcknowledgedIsThereAfterARestart() throws {
        let node = try TestNode()
        try node.deploy()
        var ids: [String] = []
        for round in 0..<3 {
            for _ in 0..<5 {
                ids += node.predict(#"{"rows":[\#(TestModel.goodRow),\#(TestModel.goodRow)]}"#).rows
                    .compactMap { $0["id"]?.stringValue }
            }
            try node.restart()
            #expect(ids.count == (round + 1) * 10 && Set(ids).count == ids.count)
            for id in ids { #expect(node.get("/v1/decisions/\(id)").status == 200) }
        }
    }

    @Test func requestsBeyondTheQueueAreShedAtOnce() throws {
        let node = try TestNode()
        try node.deploy()
        let answers = Locked<[Int]>([])
        node.log.hold()
        let rows =
            #"{"rows":[\#(Array(repeating: TestModel.goodRow, count: 1000).joined(separator: ","))]}"#
        let accepted = ServingLimits.pendingRows / 1000
        let requests = accepted + 3
        for _ in 0..<requests {
            node.begin("POST", "/v1/predict", Array(rows.utf8), key: node.roleKeys[.predict]) {
                response in answers.withLock { $0.append(response.status) }
            }
        }
        // Nobody else is answered while the log is held.
        while answers.withLock({ $0.count }) < 3 { usleep(1000) }
        #expect(answers.withLock { $0 } == [503, 503, 503])
        node.log.release()
        while answers.withLock({ $0.count }) < requests { usleep(1000) }
        #expect(answers.withLock { $0.filter { $0 == 200 }.count } == accepted)
    }

    @Test func afterAStopNothingIsAcceptedAndEverythingAcceptedIsAnswered() throws {
        let node = try TestNode()
        try node.deploy()
        let answers = Locked<[Int]>([])
        for _ in 0..<50 {
            node.begin("POST", "/v1/predict", body, key: node.roleKeys[.predict]) { response in
                answers.withLock { $0.append(response.status) }
            }
        }
        node.service.stop()
        #expect(answers.withLock { $0 } == [Int](repeating: 200, count: 50))
        #expect(node.predict(#"{"row":\#(TestModel.goodRow)}"#).status == 503)
    }
}
