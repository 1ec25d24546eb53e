// Log lines for operators: one line an event, on standard error. Fields are identifiers and counts; the
// type takes nothing else, so a row or a secret cannot get in by accident of a description.

import Glibc

/// Writes structured lines, as text or JSON:
///
///     2026-11-24T21:00:00.000Z info coordinator round.opened round=3 site=cleveland
///     {"time":"2026-11-24T21:00:00.000Z","level":"info","source":"coordinator","event":"round.opened","round":3,"site":"cleveland"}
package struct Logger: Sendable {
    /// How loud.
    package enum Level: Int, Comparable, Sendable {
        case debug, info, warning, error

        package static func < (left: Level, right: Level) -> Bool { left.rawValue < right.rawValue }

        var name: String { ["debug", "info", "warning", "error"][rawValue] }
    }

    /// How a line is written.
    package enum Format: Sendable { case text, json }

    /// What a field can be.
    package enum Field: Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
        /// An identifier: site, run, version, code. Cut at `nameBytesMax`.
        case name(String)
        /// A count or a duration in milliseconds.
        case count(Int)

        /// An identifier.
        package init(stringLiteral value: String) { self = .name(value) }
        /// A count.
        package init(integerLiteral value: Int) { self = .count(value) }
    }

    /// UTF-8 bytes of one identifier in a line.
    package static let nameBytesMax = 200

    /// Which process or part speaks.
    package let source: String
    private let level: Level
    private let format: Format
    private let clock: any Clock
    private let sink: @Sendable (String) -> Void

    /// - Parameters:
    ///   - level: quieter events are left out.
    ///   - sink: takes each line with its line feed; standard error unless given.
    package init(
        source: String, level: Level = .info, format: Format = .text,
        clock: any Clock = SystemClock(),
        sink: @escaping @Sendable (String) -> Void = Logger.standardError
    ) {
        self.source = source
        self.level = level
        self.format = format
        self.clock = clock
        self.sink = sink
    }

    /// Writes one line if the level is loud enough.
    ///
    /// - Parameters:
    ///   - event: a fixed name such as `round.opened`.
    ///   - fields: keys are fixed names too.
    package func log(_ level: Level, _ event: String, _ fields: [(String, Field)] = []) {
        guard level >= self.level else { return }
        let time = clock.now().iso8601
        switch format {
        case .text:
            let rest = fields.map { " \($0.0)=\(Logger.text($0.1))" }.joined()
            sink("\(time) \(level.name) \(source) \(event)\(rest)\n")
        case .json:
            let rest = fields.map { ",\"\($0.0)\":\(Logger.json($0.1))" }.joined()
            sink(
                "{\"time\":\"\(time)\",\"level\":\"\(level.name)\",\"source\":\(Logger.quoted(source)),\"event\":\(Logger.quoted(event))\(rest)}\n"
            )
        }
    }

    /// An event that an operator likes to see.
    package func info(_ event: String, _ fields: [(String, Field)] = []) {
        log(.info, event, fields)
    }
    /// An event that may need a look.
    package func warning(_ event: String, _ fields: [(String, Field)] = []) {
        log(.warning, event, fields)
    }
    /// An event that needs a person.
    package func error(_ event: String, _ fields: [(String, Field)] = []) {
        log(.error, event, fields)
    }

    /// Writes a line to standard error in one system call.
    package static let standardError: @Sendable (String) -> Void = { line in
        let bytes = Array(line.utf8)
        // The one place where a log line meets the kernel; a failure to log is not worth a crash.
        _ = unsafe bytes.withUnsafeBytes { unsafe write(2, $0.baseAddress, $0.count) }
    }

    private static func text(_ field: Field) -> String {
        switch field {
        case .count(let number): return String(number)
        case .name(let name):
            let isPlain =
                !name.isEmpty && name.utf8.count <= nameBytesMax
                && name.utf8.allSatisfy {
                    0x21...0x7e ~= $0 && $0 != 0x22 && $0 != 0x3d && $0 != 0x5c
                }
            return isPlain ? name : quoted(name)
        }
    }

    private static func json(_ field: Field) -> String {
        switch field {
        case .count(let number): String(number)
        case .name(let name): quoted(name)
        }
    }

    /// In quotes, which makes it a JSON string too; control characters, with which a name could forge
    /// lines or move the cursor, become spaces.
    private static func quoted(_ name: String) -> String {
        var result = "\""
        var count = 0
        for scalar in name.unicodeScalars {
            count += UTF8.width(scalar)
            if count > nameBytesMax { return result + "…\"" }
            if scalar == "\"" || scalar == "\\" { result += "\\" }
            result.unicodeScalars.append(
                scalar.properties.generalCategory == .control ? " " : scalar)
        }
        return result + "\""
    }
}
