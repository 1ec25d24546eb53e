import Codec
import Cryptography
import Glibc
import HTTP
import Storage
import Tabular
import Testing

@testable import Serving

/// A batch run that is cut off anywhere goes on: every row is in the output or in quarantine, once.
@Suite struct BatchFilesTests {
    /// Stands for the end of the process.
    private struct Cut: Error {}

    /// Counts down to the moment at which the process ends.
    private final class Fuse {
        var left: Int
        init(_ left: Int) { self.left = left }

        func burn() throws {
            left -= 1
            if left < 0 { throw Cut() }
        }
    }

    private final class Run {
        let directory = "/tmp/consilium-batch-\(SystemRandom.shared.word())"
        var output: String { directory + "/scored.csv" }
        var quarantine: String { directory + "/refused.csv" }

        init() throws { try DurableFile.createDirectory(directory) }
        deinit { TestNode.remove(directory) }

        func lines(_ path: String) throws -> [String] {
            String(decoding: try DurableFile.read(path, maxBytes: 1 << 24), as: UTF8.self).split(separator: "\n").map(String.init)
        }
    }

    /// 3,210 rows, every 397th with a text for a number.
    private static let csv = Array(
        ("age,chol,sex,cp\n" + (1...3210).map { "\($0 % 397 == 0 ? "x" : String(20 + $0 % 80)),200,male,none\n" }.joined()).utf8)

    /// - Parameter fuse: burns at every write, every answer and every step.
    private func score(
        _ node: TestNode, _ run: Run, fuse: Fuse, csv: [UInt8] = BatchFilesTests.csv, version: JSONValue = 1, restarts: Bool = false
    ) throws -> BatchScoring.Standing {
        let files = try BatchFiles(output: run.output, quarantine: run.quarantine, run: ["version": version], restarts: restarts)
        if files.isComplete, let standing = files.standing {
            try files.finish(standing)
            return standing
        }
        var batch = try BatchScoring(
            schema: TestModel.schema, model: "heart", isLaidOutAsTrained: false, after: files.standing,
            send: {
                let answer = node.send("POST", "/v1/predict", $0, key: node.roleKeys[.predict])
                try fuse.burn()
                return answer
            },
            output: {
                // Half of it is there when the process ends.
                try files.write(Array($0.prefix($0.count / 2)))
                try fuse.burn()
                try files.write(Array($0.dropFirst($0.count / 2)))
            },
            quarantine: {
                try fuse.burn()
                try files.quarantine($0)
            },
            step: {
                try fuse.burn()
                try files.step($0)
                try fuse.burn()
            })
        for start in stride(from: 0, to: csv.count, by: 4096) {
            let chunk = Array(csv[start..<min(start + 4096, csv.count)])
            try files.note(chunk)
            try batch.feed(chunk)
        }
        try batch.finish()
        try fuse.burn()
        try files.finish(batch.standing)
        return batch.standing
    }

    private func expectWhole(_ run: Run) throws {
        let scored = try run.lines(run.output).dropFirst().map { Int($0.prefix { $0 != "," }) ?? -1 }
        let refused = try run.lines(run.quarantine).dropFirst().map { Int($0.prefix { $0 != "," }) ?? -1 }
        #expect(scored == (1...3210).filter { $0 % 397 != 0 } && refused == (1...3210).filter { $0 % 397 == 0 })
        #expect(try run.lines(run.output)[0].hasPrefix("row,") && run.lines(run.quarantine)[0].hasPrefix("row,"))
        #expect(try DurableFile.list(run.directory) == ["refused.csv", "scored.csv"])
    }

    @Test func goesOnWhereverItWasCutOff() throws {
        let node = try TestNode()
        try node.deploy()
        let whole = Fuse(10_000)
        let first = try Run()
        let standing = try score(node, first, fuse: whole)
        try expectWhole(first)
        let moments = 10_000 - whole.left
        #expect(standing == .init(row: 3210, scored: 3210 - 8, refused: 8) && moments > 25)
        // Every third moment in the ordinary run. Only asked whether it is set.
        let isLong = unsafe getenv("CONSILIUM_LONG") != nil
        for moment in stride(from: 0, to: moments, by: isLong ? 1 : 3) {
            let run = try Run()
            #expect(throws: Cut.self) { try score(node, run, fuse: Fuse(moment)) }
            let before = node.log.entries(.prediction).count
            #expect(try score(node, run, fuse: Fuse(10_000)) == standing)
            try expectWhole(run)
            // What was cut off costs one request again at most.
            let requests = node.log.entries(.prediction).count - before
            #expect(requests <= 4)
        }
    }

    @Test func goesOnAfterEveryRequestInTurn() throws {
        let node = try TestNode()
        try node.deploy()
        let run = try Run()
        let before = node.log.entries(.prediction).count
        var cuts = 0
        while true {
            do {
                _ = try score(node, run, fuse: Fuse(12))
                break
            } catch is Cut { cuts += 1 }
        }
        try expectWhole(run)
        #expect(cuts >= 2 && node.log.entries(.prediction).count - before <= 4 + cuts)
    }

    @Test func refusesAnotherInputVersionOrDamagedFile() throws {
        let node = try TestNode()
        try node.deploy()
        let run = try Run()
        #expect(throws: Cut.self) { try score(node, run, fuse: Fuse(20)) }
        let problem = BatchFiles.Problem.otherRun(path: run.output + ".part")
        #expect(throws: problem) { try score(node, run, fuse: Fuse(10_000), version: 2) }
        var other = Self.csv
        other[100] ^= 1
        #expect(throws: problem) { try score(node, run, fuse: Fuse(10_000), csv: other) }
        #expect(throws: problem) { try score(node, run, fuse: Fuse(10_000), csv: Array(Self.csv.prefix(4096))) }
        let file = try AppendFile(run.output + ".part")
        try file.truncate(to: 100)
        #expect(throws: BatchFiles.Problem.damaged(path: run.output + ".part")) { try score(node, run, fuse: Fuse(10_000)) }
        _ = try score(node, run, fuse: Fuse(10_000), restarts: true)
        try expectWhole(run)
    }

    @Test func anInputThatGrewMeanwhileIsScoredToItsNewEnd() throws {
        let node = try TestNode()
        try node.deploy()
        let run = try Run()
        #expect(throws: Cut.self) { try score(node, run, fuse: Fuse(12), csv: Array(Self.csv.prefix(32_768))) }
        _ = try score(node, run, fuse: Fuse(10_000))
        try expectWhole(run)
    }

    @Test func twoRunsDoNotWriteTheSameFiles() throws {
        let run = try Run()
        let files = try BatchFiles(output: run.output, quarantine: run.quarantine, run: [:], restarts: false)
        #expect(throws: BatchFiles.Problem.inUse(path: run.output + ".part")) {
            try BatchFiles(output: run.output, quarantine: run.quarantine, run: [:], restarts: true)
        }
        #expect(files.standing == nil)
    }

    @Test func aCutBetweenTheTwoNamesIsMended() throws {
        let node = try TestNode()
        try node.deploy()
        let run = try Run()
        #expect(throws: Cut.self) { try score(node, run, fuse: Fuse(20)) }
        var files = Optional(try BatchFiles(output: run.output, quarantine: run.quarantine, run: ["version": 1], restarts: true))
        try files?.write(Array("row,score\n1,0.5\n".utf8))
        try files?.quarantine(Array("row,line\n".utf8))
        let standing = BatchScoring.Standing(row: 1, scored: 1)
        try files?.finish(standing)
        // As if only the first name had been given.
        try DurableFile.createDirectory(run.output + ".resume")
        try DurableFile.rename(run.quarantine, to: run.quarantine + ".part")
        let steps = #"{"version":1}"# + "\n"
            + #"{"hash":"","last":true,"output":16,"quarantine":9,"read":0,"refused":0,"row":1,"scored":1}"# + "\n"
        try DurableFile.writeAtomically(Array(steps.utf8), to: run.output + ".resume/steps")
        files = nil
        files = try BatchFiles(output: run.output, quarantine: run.quarantine, run: ["version": 1], restarts: false)
        #expect(files?.isComplete == true && files?.standing == standing)
        try files?.finish(standing)
        #expect(try DurableFile.list(run.directory) == ["refused.csv", "scored.csv"])
        #expect(try run.lines(run.output).count == 2 && run.lines(run.quarantine).count == 1)
    }
}
