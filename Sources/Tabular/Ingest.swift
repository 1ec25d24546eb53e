/// Reads a data source into a table: good rows go on, bad rows are quarantined with reasons.
///
/// ```swift
/// let dataset = try Ingest.read(.file(path), schema: schema)
/// let split = try dataset.table.split(.keyedHash(key: key, testShare: 0.2))
/// ```
package struct Ingest {
    private let rules: RowRules
    private var decoder: RowDecoder
    private var table: Table
    private var quarantine = Quarantine()
    private var incompleteCount = 0
    private let labelled: Bool

    /// - Parameter labelled: whether the label column is read and required.
    package init(_ schema: Schema, labelled: Bool = true, limits: CSVLimits = CSVLimits())
        throws(TabularError)
    {
        rules = RowRules(schema)
        decoder = try RowDecoder(rules, labelled: labelled, limits: limits)
        table = Table(schema: schema)
        self.labelled = labelled
    }

    /// Reads a chunk of CSV, of any size.
    package mutating func feed(_ chunk: [UInt8]) throws(TabularError) {
        try withDecoder { (decoder, ingest) throws(TabularError) in
            try decoder.feed(chunk) { (row) throws(TabularError) in ingest.take(row) }
        }
    }

    /// Ends the source.
    /// - Throws: `noRows`, or `tooManyBadRows` when more rows were refused than the schema allows.
    package mutating func finish() throws(TabularError) -> Dataset {
        let dataset = try finishLenient()
        let bad = dataset.quarantine.count
        let rows = dataset.report.rowCount
        if Double(bad) > rules.schema.badRowShareMax * Double(rows) {
            throw .tooManyBadRows(
                bad: bad, rows: rows, shareMax: rules.schema.badRowShareMax,
                summary: dataset.quarantine.summary)
        }
        guard dataset.table.rowCount > 0 else { throw .noRows }
        return dataset
    }

    /// Ends the source but accepts any share of bad rows, down to no good row at all: for
    /// `consilium node check`, which must show what is wrong.
    package mutating func finishLenient() throws(TabularError) -> Dataset {
        try withDecoder { (decoder, ingest) throws(TabularError) in
            try decoder.finish { (row) throws(TabularError) in ingest.take(row) }
        }
        table.noteSourceRows(decoder.rowCount)
        let report = QualityReport(
            table: table, quarantine: quarantine, rowCount: decoder.rowCount,
            incompleteCount: incompleteCount, zeros: decoder.zeros)
        return Dataset(table: table, quarantine: quarantine, report: report)
    }

    /// Reads a whole source.
    /// - Parameter lenient: as `finishLenient`.
    /// - Throws: source, CSV and header problems, and those of `finish`.
    package static func read(
        _ source: DataSource, schema: Schema, labelled: Bool = true, lenient: Bool = false
    ) throws(TabularError) -> Dataset {
        var ingest = try Ingest(schema, labelled: labelled)
        try source.read { (chunk) throws(TabularError) in try ingest.feed(chunk) }
        return lenient ? try ingest.finishLenient() : try ingest.finish()
    }

    /// Reads CSV from memory.
    package static func read(
        csv bytes: [UInt8], schema: Schema, labelled: Bool = true, lenient: Bool = false
    ) throws(TabularError) -> Dataset {
        var ingest = try Ingest(schema, labelled: labelled)
        try ingest.feed(bytes)
        return lenient ? try ingest.finishLenient() : try ingest.finish()
    }

    private mutating func take(_ row: DecodedRow) {
        switch row.content {
        case .valid(let values, let label, let subject):
            table.append(values, label: label, subject: subject, rowNumber: row.dataRow)
        case .refused(let violations):
            quarantine.add(
                QuarantinedRow(dataRow: row.dataRow, line: row.line, violations: violations))
        case .incomplete:
            incompleteCount += 1
        }
    }

    /// Lets the decoder call back into this value while it is being changed.
    private mutating func withDecoder(
        _ body: (inout RowDecoder, inout Ingest) throws(TabularError) -> Void
    ) throws(TabularError) {
        var taken = decoder
        try body(&taken, &self)
        decoder = taken
    }
}

/// What a data source gave.
package struct Dataset: Sendable {
    package let table: Table
    package let quarantine: Quarantine
    package let report: QualityReport
}

/// The refused rows of a source with their reasons; values are not kept.
package struct Quarantine: Equatable, Sendable {
    /// The first refused rows in file order, up to `TabularLimits.quarantineKept`.
    package private(set) var rows: [QuarantinedRow] = []
    /// All refused rows.
    package private(set) var count = 0
    /// How often each column broke each rule.
    package private(set) var reasons: [Violation: Int] = [:]

    package init() {}

    mutating func add(_ row: QuarantinedRow) {
        count += 1
        for violation in row.violations { reasons[violation, default: 0] += 1 }
        if rows.count < TabularLimits.quarantineKept { rows.append(row) }
    }

    /// The reasons by falling count, then by text.
    package var sortedReasons: [(violation: Violation, count: Int)] {
        reasons.map { (violation: $0.key, count: $0.value) }.sorted {
            ($1.count, $0.violation.description) < ($0.count, $1.violation.description)
        }
    }

    /// The commonest reasons in one line.
    package var summary: String {
        let shown = sortedReasons.prefix(5).map { "\($0.violation) (\($0.count) rows)" }.joined(
            separator: ", ")
        return reasons.count > 5 ? "\(shown) and \(reasons.count - 5) other reasons" : shown
    }
}

/// One refused row.
package struct QuarantinedRow: Equatable, Sendable, CustomStringConvertible {
    /// The row's number from 0, the header not counted.
    package let dataRow: Int
    /// The line of the file, from 1.
    package let line: Int
    package let violations: [Violation]

    package init(dataRow: Int, line: Int, violations: [Violation]) {
        self.dataRow = dataRow
        self.line = line
        self.violations = violations
    }

    package var description: String {
        "line \(line): " + violations.map(\.description).joined(separator: "; ")
    }
}
