import Codec
import Tabular
import Testing

@Suite struct DataSourceTests {
    private func content(_ source: DataSource, bytesMax: Int = 1 << 24) throws(TabularError)
        -> [UInt8]
    {
        var all: [UInt8] = []
        try source.read(bytesMax: bytesMax) { all += $0 }
        return all
    }

    private func problem(_ source: DataSource, bytesMax: Int = 1 << 24) -> SourceProblem? {
        guard case .source(let problem)? = failure({ _ = try content(source, bytesMax: bytesMax) })
        else { return nil }
        return problem
    }

    @Test func readsAFileOfManyChunks() throws {
        let bytes = (0..<1_000_003).map { UInt8(truncatingIfNeeded: $0 * 7) }
        let file = TemporaryFile(bytes)
        #expect(try content(.file(file.path)) == bytes)
        #expect(try content(.file(file.path), bytesMax: bytes.count) == bytes)
        #expect(
            problem(.file(file.path), bytesMax: bytes.count - 1)
                == .tooLarge(bytesMax: bytes.count - 1))
    }

    @Test func namesWhatIsWrongWithAFile() {
        #expect(
            problem(.file("/nowhere/x.csv"))
                == .cannotOpen(
                    path: "/nowhere/x.csv", reason: "there is no such file; check the path"))
        #expect(problem(.file("/tmp")) == .notAFile(path: "/tmp"))
        #expect(problem(.file("/dev/null")) == .notAFile(path: "/dev/null"))
    }

    @Test func readsACommandsOutputWithoutAShell() throws {
        let output = try content(
            .command(["printf", "%s\\n", "a b", "$HOME;c", "*"], timeoutSeconds: 20))
        #expect(String(decoding: output, as: UTF8.self) == "a b\n$HOME;c\n*\n")
    }

    @Test func readsLargeOutputWhileErrorsFlow() throws {
        let script =
            "i=0; while [ $i -lt 20000 ]; do echo 0123456789012345678901234567890123456789; echo noise >&2; i=$((i+1)); done"
        #expect(
            try content(.command(["sh", "-c", script], timeoutSeconds: 60)).count == 20_000 * 41)
    }

    @Test func givesTheCommandAnEmptyInputAndOurEnvironment() throws {
        #expect(try content(.command(["cat"], timeoutSeconds: 20)) == [])
        #expect(
            try !content(.command(["sh", "-c", "printf %s \"$PATH\""], timeoutSeconds: 20)).isEmpty)
    }

    @Test func refusesACommandThatFailsAndKeepsItsWordsToItself() {
        let failing = DataSource.command(
            ["sh", "-c", "echo a,b; echo secret >&2; exit 3"], timeoutSeconds: 20)
        let found = problem(failing)
        #expect(found == .exited(program: "sh", code: 3, errorBytes: 7))
        #expect(
            found.map {
                !$0.description.contains("secret") && $0.description.contains("exit code 3")
            } == true)
        #expect(
            problem(.command(["sh", "-c", "kill -9 $$"], timeoutSeconds: 20))
                == .killed(program: "sh", signal: 9, errorBytes: 0))
    }

    @Test func namesACommandThatCannotStart() {
        #expect(problem(.command([], timeoutSeconds: 5)) == .emptyCommand)
        #expect(problem(.command([""], timeoutSeconds: 5)) == .emptyCommand)
        #expect(
            problem(.command(["no-such-program-here"], timeoutSeconds: 5))
                == .cannotStart(
                    program: "no-such-program-here",
                    reason: "there is no such program; give its full path"))
    }

    @Test func stopsACommandAndItsChildrenInTime() {
        let clock = ContinuousClock()
        let took = clock.measure {
            #expect(
                problem(.command(["sh", "-c", "sleep 30 & sleep 30"], timeoutSeconds: 1))
                    == .timedOut(program: "sh", seconds: 1))
            // Output closed, but the program lives on.
            #expect(
                problem(.command(["sh", "-c", "exec >&- 2>&-; sleep 30"], timeoutSeconds: 1))
                    == .timedOut(program: "sh", seconds: 1))
        }
        #expect(took < .seconds(15))
    }

    @Test func stopsACommandThatSaysTooMuch() {
        #expect(
            problem(.command(["yes"], timeoutSeconds: 20), bytesMax: 1 << 20)
                == .tooLarge(bytesMax: 1 << 20))
    }

    @Test func stopsACommandWhenTheReaderGivesUp() {
        let error = failure {
            try DataSource.command(["yes"], timeoutSeconds: 20).read { _ throws(TabularError) in
                throw .noRows
            }
        }
        #expect(error == .noRows)
    }

    @Test func readsItsConfigurationEntry() throws {
        let file = DataSource.file("rows.csv")
        let command = DataSource.command(
            ["psql", "-c", "copy t to stdout csv header"], timeoutSeconds: 60)
        #expect(try DataSource(json: ["file": "rows.csv"], path: "data") == file)
        #expect(try DataSource(json: command.json, path: "data") == command)
        #expect(try DataSource(json: file.json, path: "data") == file)
        #expect(
            try DataSource(json: ["command": ["x"]], path: "data")
                == .command(["x"], timeoutSeconds: DataSource.timeoutSecondsDefault))
        let bad: [JSONValue] = [
            [:], ["file": ""], ["file": 3], ["file": "a", "command": ["b"]], ["command": []],
            ["command": [""]], ["command": "psql"],
            ["file": "a", "timeoutSeconds": 3], ["command": ["b"], "timeoutSeconds": 0],
            ["file": "a", "shell": true], "a.csv",
        ]
        for entry in bad {
            #expect(failure { _ = try DataSource(json: entry, path: "data") } != nil)
        }
    }
}
