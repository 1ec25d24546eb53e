// Log lines for operators: one line an event, on standard error. Fields are identifiers and counts; the
// type takes nothing else, so a row or a secret cannot get in by accident of a description.

import Glibc

/// Writes structured lines: `2026-11-24T21:00:00.000Z info coordinator round.opened round=3`.
package struct Logger: Sendable {
    /// How loud.
    package enum Level: Int, Comparable, Sendable {
        case debug, info, warning, error

        package static func < (left: Level, right: Level) -> Bool { left.rawValue < right.rawValue }

        var name: String { ["debug", "info", "warning", "error"][rawValue] }
    }

    /// What a field can be.
    package enum Field: Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
        /// An identifier: site, run, version, code. Cut at 200 bytes.
        case name(String)
        /// A count or a duration in milliseconds.
        case count(Int)

        /// An identifier.
        package init(stringLiteral value: String) { self = .name(value) }
        /// A count.
        package init(integerLiteral value: Int) { self = .count(value) }
    }

    /// Which process or part speaks.
    package let source: String
    private let level: Level
    private let clock: any Clock
    private let sink: @Sendable (String) -> Void

    /// - Parameter sink: takes each line; standard error unless given.
    package init(
        source: String, level: Level = .info, clock: any Clock = SystemClock(),
        sink: @escaping @Sendable (String) -> Void = Logger.standardError
    ) {
        self.source = source
        self.level = level
        self.clock = clock
        self.sink = sink
    }

    /// Writes one line if the level is loud enough.
    package func log(_ level: Level, _ event: String, _ fields: [(String, Field)] = []) {
        guard level >= self.level else { return }
        var line = "\(clock.now().iso8601) \(level.name) \(source) \(event)"
        for (key, field) in fields {
            switch field {
            case .name(let text): line += " \(key)=\(quoted(text))"
            case .count(let number): line += " \(key)=\(number)"
            }
        }
        sink(line + "\n")
    }

    /// An event that an operator likes to see.
    package func info(_ event: String, _ fields: [(String, Field)] = []) { log(.info, event, fields) }
    /// An event that may need a look.
    package func warning(_ event: String, _ fields: [(String, Field)] = []) { log(.warning, event, fields) }
    /// An event that needs a person.
    package func error(_ event: String, _ fields: [(String, Field)] = []) { log(.error, event, fields) }

    private func quoted(_ text: String) -> String {
        let short = text.utf8.count > 200 ? String(text.prefix(100)) + "…" : text
        let isPlain = !short.isEmpty && short.utf8.allSatisfy { $0 > 0x20 && $0 != 0x22 && $0 != 0x3d && $0 < 0x7f }
        guard !isPlain else { return short }
        var result = "\""
        for scalar in short.unicodeScalars {
            if scalar == "\"" || scalar == "\\" { result += "\\" }
            result.unicodeScalars.append(scalar.value < 0x20 || scalar.value == 0x7f ? " " : scalar)
        }
        return result + "\""
    }

    /// Writes a line to standard error in one system call.
    package static let standardError: @Sendable (String) -> Void = { line in
        var bytes = Array(line.utf8)
        // The one place where a log line meets the kernel; a failure to log is not worth a crash.
        _ = unsafe bytes.withUnsafeMutableBytes { unsafe write(2, $0.baseAddress, $0.count) }
    }
}
