/// CSV bytes → validated rows, one at a time: for tables (`Ingest`) and for scoring files larger than memory.
///
/// Good rows, refused rows and rows left out by the schema's filter come in file order. Blank lines are no
/// rows. A file-level problem (header, unclosed quote, limits) throws and ends the reading.
package struct RowDecoder {
    private var parser: CSVParser
    private var builder: RowBuilder
    private var binding: ColumnBinding?
    private let labelled: Bool
    /// Data rows seen, the header not counted.
    package private(set) var rowCount = 0
    /// A counter of zeros per feature, for the quality report.
    private(set) var zeros: [Int]

    /// - Parameter labelled: whether rows carry the label column.
    package init(_ rules: RowRules, labelled: Bool = true, limits: CSVLimits = CSVLimits())
        throws(TabularError)
    {
        parser = CSVParser(delimiter: rules.schema.delimiter, limits: limits)
        builder = RowBuilder(rules)
        self.labelled = labelled
        zeros = [Int](repeating: 0, count: rules.features.count)
        if !rules.schema.hasHeader {
            binding = try ColumnBinding(
                schema: rules.schema, columns: rules.schema.columns, labelled: labelled)
        }
    }

    /// Reads a chunk of the file, of any size.
    package mutating func feed(
        _ chunk: [UInt8], _ body: (DecodedRow) throws(TabularError) -> Void
    ) throws(TabularError) {
        try withParser { (parser, decoder) throws(TabularError) in
            try parser.feed(chunk) { (record) throws(TabularError) in try decoder.take(record, body)
            }
        }
    }

    /// Ends the file.
    /// - Throws: also when the file had no header line although the schema asks for one.
    package mutating func finish(_ body: (DecodedRow) throws(TabularError) -> Void)
        throws(TabularError)
    {
        try withParser { (parser, decoder) throws(TabularError) in
            try parser.finish { (record) throws(TabularError) in try decoder.take(record, body) }
        }
        if binding == nil { throw .header("is missing: the data source is empty") }
    }

    /// Lets the parser call back into this value while it is being changed.
    private mutating func withParser(
        _ body: (inout CSVParser, inout RowDecoder) throws(TabularError) -> Void
    ) throws(TabularError) {
        var taken = parser
        parser = CSVParser(delimiter: builder.rules.schema.delimiter)
        defer { parser = taken }
        try body(&taken, &self)
    }

    private mutating func take(
        _ record: CSVRecord, _ body: (DecodedRow) throws(TabularError) -> Void
    ) throws(TabularError) {
        guard let binding else {
            self.binding = try ColumnBinding(
                schema: builder.rules.schema, header: record, labelled: labelled)
            return
        }
        let row = rowCount
        rowCount += 1
        try body(DecodedRow(dataRow: row, line: record.line, content: decode(record, binding)))
    }

    private mutating func decode(_ record: CSVRecord, _ binding: ColumnBinding)
        -> DecodedRow.Content
    {
        let schema = builder.rules.schema
        if let defect = record.defect, let problem = Violation.CSVProblemOfRecord(defect.problem) {
            return .refused([
                Violation(binding.columnName(defect.field, schema), .malformed(problem))
            ])
        }
        guard record.fieldCount == binding.fieldCount else {
            return .refused([
                Violation(
                    "row", .fieldCount(expected: binding.fieldCount, found: record.fieldCount))
            ])
        }
        builder.reset()
        let bytes = record.bytes
        let span = bytes.span
        for (feature, field) in binding.featureFields.enumerated() {
            let range = record.range(field)
            builder.set(field: span, in: range, at: feature)
            if isZero(span, range) { zeros[feature] += 1 }
        }
        var violations = builder.violations.map { Violation(columnOf($0.name, schema), $0.rule) }
        var label: Bool?
        if let field = binding.labelField {
            let range = DecimalText.trimmed(span, record.range(field))
            label = builder.rules.labelRule.read(span, range)
            if isAlwaysMissing(span, range) {
                violations.append(Violation(schema.label.column, .missingLabel))
            } else if label == nil {
                violations.append(Violation(schema.label.column, .unreadableLabel))
            }
        }
        // Under `complete`, a row whose only fault is a missing feature is left out, not bad.
        if schema.rowFilter == .complete, !violations.isEmpty,
            violations.allSatisfy({ $0.rule == .missing })
        {
            return .incomplete
        }
        guard violations.isEmpty else { return .refused(violations) }
        let subject = binding.subjectField.map {
            Array(bytes[DecimalText.trimmed(span, record.range($0))])
        }
        return .valid(ValidRow(values: builder.values), label: label, subject: subject)
    }
}

/// One data row after decoding.
package struct DecodedRow: Equatable, Sendable {
    /// The row's number from 0, the header not counted.
    package let dataRow: Int
    /// The line of the file on which the row starts, from 1.
    package let line: Int
    package let content: Content

    /// What a row turned out to be.
    package enum Content: Equatable, Sendable {
        /// `label` is nil when rows are read without labels; `subject` is the raw subject field, if any.
        case valid(ValidRow, label: Bool?, subject: [UInt8]?)
        case refused([Violation])
        /// Left out by the schema's `complete` filter.
        case incomplete
    }
}

extension ColumnBinding {
    /// The schema's name for a field, or its place.
    func columnName(_ field: Int, _ schema: Schema) -> String {
        if let feature = featureFields.firstIndex(of: field) {
            return schema.features[feature].column
        }
        if field == labelField { return schema.label.column }
        return "column \(field + 1)"
    }
}

/// Violations of a file name the column, which may differ from the feature's name.
private func columnOf(_ feature: String, _ schema: Schema) -> String {
    schema.features.first { $0.name == feature }?.column ?? feature
}

/// Whether a field is a number equal to zero. Looks at the first byte first, as most fields are not.
private func isZero(_ text: borrowing Span<UInt8>, _ whole: Range<Int>) -> Bool {
    let range = DecimalText.trimmed(text, whole)
    guard let first = range.first, [0x30, 0x2B, 0x2D, 0x2E].contains(text[first]) else {
        return false
    }
    return DecimalText.parse(text, in: range) == 0
}
