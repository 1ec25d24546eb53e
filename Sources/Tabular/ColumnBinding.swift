/// Which field of a record is which feature, the label, the subject.
///
/// Made from a header line or the schema's column list. Columns may stand in any order.
package struct ColumnBinding: Equatable, Sendable {
    /// How many fields each record must have.
    package let fieldCount: Int
    /// For each feature, its field.
    package let featureFields: [Int]
    /// The label's field; nil when reading rows without labels.
    package let labelField: Int?
    package let subjectField: Int?

    /// - Parameters:
    ///   - columns: the names in file order.
    ///   - labelled: whether a label column is needed. When false, a label column is allowed and ignored.
    /// - Throws: `TabularError.header` naming missing, repeated or unknown columns.
    package init(schema: Schema, columns: [String], labelled: Bool) throws(TabularError) {
        var places: [String: Int] = [:]
        var repeated: [String] = []
        for (index, column) in columns.enumerated() {
            if places.updateValue(index, forKey: column) != nil { repeated.append(column) }
        }
        var wanted = schema.features.map(\.column)
        if labelled { wanted.append(schema.label.column) }
        // Without labels (scoring new rows) the subject may be absent too.
        if labelled, let subject = schema.subjectColumn { wanted.append(subject) }

        // When nothing matches, the line is probably a data row: do not repeat its texts.
        guard wanted.contains(where: { places[$0] != nil }) else {
            throw .header(
                "holds none of the schema's columns; is the delimiter right, and does the file have a header line?"
            )
        }
        if !repeated.isEmpty { throw .header("repeats the column \(listed(repeated))") }
        let absent = wanted.filter { places[$0] == nil }
        if !absent.isEmpty { throw .header("lacks the column \(listed(absent))") }

        let known = Set(wanted + [schema.label.column] + (schema.subjectColumn.map { [$0] } ?? []))
        let unknown = columns.filter { !known.contains($0) }
        if schema.otherColumns == .refuse && !unknown.isEmpty {
            throw .header(
                "holds the column \(listed(unknown)) that the schema does not mention;"
                    + " correct the name, or set otherColumns to \"ignore\"")
        }
        fieldCount = columns.count
        featureFields = schema.features.compactMap { places[$0.column] }
        labelField = labelled ? places[schema.label.column] : nil
        subjectField = schema.subjectColumn.flatMap { places[$0] }
    }

    /// Reads the names from a header record.
    init(schema: Schema, header: CSVRecord, labelled: Bool) throws(TabularError) {
        if let defect = header.defect {
            throw .csv(line: header.line, column: defect.field + 1, defect.problem)
        }
        var names: [String] = []
        for index in 0..<header.fieldCount {
            let bytes = header.bytes
            let span = bytes.span
            let range = DecimalText.trimmed(span, header.range(index))
            names.append(String(decoding: bytes[range], as: UTF8.self))
        }
        try self.init(schema: schema, columns: names, labelled: labelled)
    }
}

/// Up to five names, quoted, for a message.
private func listed(_ names: [String]) -> String {
    let shown = names.prefix(5).map { "\"\(printableName($0))\"" }.joined(separator: ", ")
    return names.count > 5 ? "\(shown) and \(names.count - 5) more" : shown
}
