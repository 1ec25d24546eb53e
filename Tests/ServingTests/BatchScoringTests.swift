import Codec
import HTTP
import Tabular
import Testing

@testable import Serving

@Suite struct BatchScoringTests {
    private final class Text {
        var bytes: [UInt8] = []
        var lines: [String] { String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init) }
    }

    private func run(_ node: TestNode, _ csv: String, chunk: Int = 7) throws -> (scored: [String], refused: [String]) {
        let (output, quarantine) = (Text(), Text())
        var batch = try BatchScoring(
            schema: TestModel.schema, model: "heart", isLaidOutAsTrained: false,
            send: { node.send("POST", "/v1/predict", $0, key: node.roleKeys[.predict]) },
            output: { output.bytes += $0 }, quarantine: { quarantine.bytes += $0 })
        let bytes = Array(csv.utf8)
        for start in stride(from: 0, to: bytes.count, by: chunk) {
            try batch.feed(Array(bytes[start..<min(start + chunk, bytes.count)]))
        }
        try batch.finish()
        #expect(batch.standing.scored == output.lines.count - 1)
        return (output.lines, quarantine.lines)
    }

    @Test func rowsAreScoredAsLiveOnesAreAndLogged() throws {
        let node = try TestNode()
        try node.deploy()
        let csv = "cp,ward,sex,chol,age\ntypical,7,male,233.5,63\nnone,7,female,,41\n,7,male,1,50\nnone,7,male,200,x\n"
        for chunk in [1, 7, 1000] {
            let before = node.log.entries(.prediction).count
            let (scored, refused) = try run(node, csv, chunk: chunk)
            #expect(node.log.entries(.prediction).count == before + 1)
            #expect(node.log.entries(.prediction).last?.details["rows"] == 2)
            let live = node.predict(
                #"{"rows":[\#(TestModel.goodRow),{"age":41,"sex":"female","cp":"none"}]}"#
            ).rows
            for (line, row) in zip(scored.dropFirst(), live) {
                let fields = line.split(separator: ",", omittingEmptySubsequences: false)
                #expect(Double(fields[4]) == row["probability"]?.doubleValue)
                #expect(String(fields[5]) == row["class"]?.stringValue)
            }
            #expect(scored[2].hasPrefix("2,") && scored[2].hasSuffix("chol:imputed,,"))
            #expect(refused.count == 4 && refused[1].hasPrefix("3,4,chol,out-of-range,"), "\(refused)")
            #expect(refused.contains { $0.hasPrefix("4,5,age,not-a-number,") })
        }
    }

    @Test func moreRowsThanOneRequestHolds() throws {
        let node = try TestNode()
        try node.deploy()
        let lines = (0..<1201).map { "\(20 + $0 % 80),200,male,none" }
        let (scored, refused) = try run(node, "age,chol,sex,cp\n" + lines.joined(separator: "\n"), chunk: 4096)
        #expect(scored.count == 1202 && refused.count == 1)
        #expect(Set(scored.dropFirst().map { $0.split(separator: ",")[1] }).count == 1201)
    }

    @Test func aNodeThatStopsIsToldWithWhatWasScored() throws {
        let node = try TestNode()
        try node.deploy()
        node.log.fail("full")
        do {
            _ = try run(node, "age,chol,sex,cp\n63,200,male,none\n")
            Issue.record("it went on")
        } catch let failure as BatchScoring.Failure {
            #expect(failure.status == 503 && failure.scored == 0)
        }
        #expect(throws: TabularError.self) { try run(node, "age,chol,sex\n63,200,male\n") }
    }
}
