import Testing

@testable import Telemetry

@Suite struct LoggerTests {
    private let lines = Locked<[String]>([])

    private func logger(level: Logger.Level = .info, format: Logger.Format = .text) -> Logger {
        let clock = ManualClock(
            Timestamp(iso8601: "2026-11-24T21:00:00Z") ?? Timestamp(milliseconds: 0))
        return Logger(source: "coordinator", level: level, format: format, clock: clock) {
            [lines] line in lines.withLock { $0.append(line) }
        }
    }

    private var written: [String] { lines.withLock { $0 } }

    @Test func writesOneLineAnEvent() {
        logger().info(
            "round.opened",
            [("round", 3), ("site", "cleveland"), ("note", .name("a b")), ("none", "")])
        #expect(
            written == [
                "2026-11-24T21:00:00.000Z info coordinator round.opened round=3 site=cleveland note=\"a b\" none=\"\"\n"
            ])
    }

    @Test func writesJSONToo() {
        logger(format: .json).error(
            "disk.full", [("free", .count(-1)), ("path", .name("/data/\"x\"\\"))])
        #expect(
            written == [
                #"{"time":"2026-11-24T21:00:00.000Z","level":"error","source":"coordinator","event":"disk.full","free":-1,"path":"/data/\"x\"\\"}"#
                    + "\n"
            ])
    }

    @Test func leavesOutWhatIsTooQuiet() {
        let logger = logger(level: .warning)
        logger.info("a")
        logger.log(.debug, "b")
        logger.warning("c")
        logger.error("d")
        #expect(written.count == 2)
    }

    /// A name from outside can forge no line, no field and no move of the cursor.
    @Test func namesCannotForgeLines() {
        for format in [Logger.Format.text, .json] {
            logger(format: format).info(
                "x", [("site", .name("evil\n2026 error admin=1\r\u{1b}[2J\u{85}\u{7f} \" k=v"))])
        }
        for line in written {
            #expect(
                line.unicodeScalars.filter { $0.properties.generalCategory == .control }.count == 1)
            #expect(line.hasSuffix("\n") && line.contains("\\\" k=v\""))
        }
    }

    @Test func longNamesAreCut() {
        logger().info(
            "x",
            [
                ("site", .name(String(repeating: "é", count: 5000))),
                ("plain", .name(String(repeating: "a", count: 5000))),
            ])
        #expect(written[0].utf8.count < 2 * (Logger.nameBytesMax + 20) + 100)
        #expect(written[0].contains("…\" plain=\"aaa"))
    }
}

@Suite struct ProgressTests {
    private let output = Locked<[String]>([])

    private func progress(total: Int?, isTerminal: Bool) -> Progress {
        Progress("verify", total: total, unit: "entries", isTerminal: isTerminal) { [output] line in
            output.withLock { $0.append(line) }
        }
    }

    private var written: [String] { output.withLock { $0 } }

    @Test func drawsABarOnATerminal() {
        let progress = progress(total: 200, isTerminal: true)
        progress.update(50, note: "tile 1")
        progress.finish(note: "done")
        #expect(written.count == 2)
        #expect(
            written[0].hasPrefix(
                "\r\u{1b}[Kverify [######..................] 25 % (50/200 entries)"))
        #expect(!written[0].contains("\n") && written[0].unicodeScalars.count < 240)
        #expect(
            written[1].contains("[########################] 100 % (200/200 entries)")
                && written[1].hasSuffix("– done\n"))
    }

    @Test func writesPlainLinesElsewhere() {
        let progress = progress(total: nil, isTerminal: false)
        for count in 1...1000 { progress.update(count) }
        progress.stop()
        progress.finish()
        progress.update(7)
        #expect(written.count == 2)
        #expect(
            written[0].hasPrefix("verify 1 entries,")
                && written[1].hasPrefix("verify 1000 entries,"))
        #expect(
            written.allSatisfy {
                $0.hasSuffix("\n") && !$0.contains("\u{1b}") && !$0.contains("\r")
            })
    }

    @Test func survivesOddNumbers() {
        let progress = progress(total: 0, isTerminal: true)
        progress.update(5)
        let over = self.progress(total: 3, isTerminal: true)
        over.update(9)
        over.stop()
        #expect(written.count == 3 && written[2].contains("100 % (9/3 entries)"))
    }
}
