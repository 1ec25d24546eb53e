/// What a data file, a schema document or a command can do wrong.
///
/// No case carries a value from a data row: errors end up in logs and on other people's screens.
/// Places are given as people count them: lines and columns from 1.
package enum TabularError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A schema document that cannot be used; `path` is like `schema.features[3].range`.
    case schema(path: String, problem: String)
    /// A fitted preprocessor document that cannot be used.
    case preprocessor(path: String, problem: String)
    /// The data could not be read at all.
    case source(SourceProblem)
    /// The file is not readable as CSV from this place on.
    case csv(line: Int, column: Int, CSVProblem)
    /// The header line and the schema do not fit together.
    case header(String)
    /// More rows were refused than the schema allows; `summary` counts the reasons.
    case tooManyBadRows(bad: Int, rows: Int, shareMax: Double, summary: String)
    /// The source held no usable data row.
    case noRows
    /// A split rule that does not fit the table.
    case split(String)
    /// Statistics of the wrong shape or out of bounds.
    case statistics(String)

    package var description: String {
        switch self {
        case .schema(let path, let problem), .preprocessor(let path, let problem):
            return "\(path): \(problem)"
        case .source(let problem):
            return problem.description
        case .csv(let line, let column, let problem):
            return "line \(line), column \(column): \(problem)"
        case .header(let problem):
            return "header line: \(problem)"
        case .tooManyBadRows(let bad, let rows, let shareMax, let summary):
            return
                "\(bad) of \(rows) rows were refused, more than the \(percent(shareMax)) that the schema"
                + " allows (badRowShareMax): \(summary). Correct the export or the schema; see the quality report"
        case .noRows:
            return
                "the data source holds no usable row; check the export and the schema's header setting"
        case .split(let problem):
            return "split rule: \(problem)"
        case .statistics(let problem):
            return "statistics: \(problem)"
        }
    }
}

/// Why a data source gave no data.
package enum SourceProblem: Error, Equatable, Sendable, CustomStringConvertible {
    case cannotOpen(path: String, reason: String)
    case cannotRead(path: String, reason: String)
    case notAFile(path: String)
    case tooLarge(bytesMax: Int)
    case emptyCommand
    case cannotStart(program: String, reason: String)
    case exited(program: String, code: Int, errorBytes: Int)
    case killed(program: String, signal: Int, errorBytes: Int)
    case timedOut(program: String, seconds: Int)

    package var description: String {
        switch self {
        case .cannotOpen(let path, let reason):
            return "cannot open the data file \(path): \(reason)"
        case .cannotRead(let path, let reason):
            return "cannot read the data file \(path): \(reason)"
        case .notAFile(let path):
            return "\(path) is not a file; the data source must name a CSV file"
        case .tooLarge(let bytesMax):
            return
                "the data is larger than the limit of \(bytesMax) bytes; export fewer rows or raise the limit"
        case .emptyCommand:
            return "the data command is empty; give the program and its arguments as a list"
        case .cannotStart(let program, let reason):
            return "cannot start the data command \(program): \(reason)"
        case .exited(let program, let code, let errorBytes):
            return
                "the data command \(program) failed with exit code \(code) and wrote \(errorBytes) bytes"
                + " to its error output; run it by hand to see them"
        case .killed(let program, let signal, let errorBytes):
            return
                "the data command \(program) was ended by signal \(signal) after writing \(errorBytes) bytes"
                + " to its error output"
        case .timedOut(let program, let seconds):
            return
                "the data command \(program) did not finish within \(seconds) seconds and was stopped"
        }
    }
}

/// A share as people read it: `percent(0.2)` is "20 %". One decimal, none when it is zero.
package func percent(_ share: Double) -> String {
    guard share.isFinite else { return "? %" }
    let tenths = Int((share * 1000).rounded())
    return tenths % 10 == 0 ? "\(tenths / 10) %" : "\(tenths / 10).\(abs(tenths % 10)) %"
}
