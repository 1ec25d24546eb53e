/// The rows a model sees: numbers only, one label per row, values stored row after row.
///
///     row 0: values[0 ..< columns]
///     row r: values[r * columns ..< (r + 1) * columns]
///
/// `Tabular` makes it with a fitted preprocessor, `Models` trains and predicts on it. It lives here so that
/// neither of the two needs the other.
package struct FeatureMatrix: Equatable, Sendable {
    /// Number of rows, zero allowed.
    package let rows: Int
    /// Number of columns, at least one.
    package let columns: Int
    /// Row-major values, `rows * columns` of them.
    package let values: [Float]
    /// One label per row: 1 for the positive class, 0 for the negative one. Empty when the rows are not labelled.
    package let labels: [Float]

    /// A matrix from row-major values.
    ///
    /// - Parameters:
    ///   - rows: number of rows.
    ///   - columns: number of columns.
    ///   - values: `rows * columns` values, row after row.
    ///   - labels: one label per row, or none for rows to predict.
    /// - Throws: `KernelsError.shape` when the counts do not fit one another or exceed `KernelsLimits`.
    package init(rows: Int, columns: Int, values: [Float], labels: [Float] = [])
        throws(KernelsError)
    {
        guard (0...KernelsLimits.rowsMax).contains(rows),
            (1...KernelsLimits.columnsMax).contains(columns)
        else {
            throw .shape(
                "a matrix of \(rows) rows and \(columns) columns is outside the limits "
                    + "(\(KernelsLimits.rowsMax) rows, 1 to \(KernelsLimits.columnsMax) columns)")
        }
        let (count, overflow) = rows.multipliedReportingOverflow(by: columns)
        guard !overflow, count == values.count else {
            throw .shape("\(rows) rows of \(columns) columns do not match \(values.count) values")
        }
        guard labels.isEmpty || labels.count == rows else {
            throw .shape("\(labels.count) labels do not match \(rows) rows")
        }
        self.rows = rows
        self.columns = columns
        self.values = values
        self.labels = labels
    }

    /// Whether every row has a label.
    package var isLabelled: Bool { labels.count == rows }

    /// One row as an array. `index` is in `0 ..< rows`.
    package func row(_ index: Int) -> [Float] {
        precondition((0..<rows).contains(index), "row \(index) of a matrix of \(rows) rows")
        return Array(values[index * columns..<(index + 1) * columns])
    }

    /// One value. `row` is in `0 ..< rows`, `column` in `0 ..< columns`.
    package subscript(row row: Int, column column: Int) -> Float {
        precondition((0..<rows).contains(row), "row \(row) of a matrix of \(rows) rows")
        precondition(
            (0..<columns).contains(column), "column \(column) of a matrix of \(columns) columns")
        return values[row * columns + column]
    }

    /// The rows named by `indices`, in that order, with their labels. Costs one copy.
    package func selecting(_ indices: [Int]) -> FeatureMatrix {
        var picked: [Float] = []
        var pickedLabels: [Float] = []
        picked.reserveCapacity(indices.count * columns)
        for index in indices {
            precondition((0..<rows).contains(index), "row \(index) of a matrix of \(rows) rows")
            picked.append(contentsOf: values[index * columns..<(index + 1) * columns])
            if isLabelled { pickedLabels.append(labels[index]) }
        }
        return FeatureMatrix(trusted: indices.count, columns, picked, pickedLabels)
    }

    /// The same rows with these labels, one per row.
    package func labelled(_ labels: [Float]) -> FeatureMatrix {
        precondition(labels.count == rows, "\(labels.count) labels for \(rows) rows")
        return FeatureMatrix(trusted: rows, columns, values, labels)
    }

    private init(trusted rows: Int, _ columns: Int, _ values: [Float], _ labels: [Float]) {
        self.rows = rows
        self.columns = columns
        self.values = values
        self.labels = labels
    }
}
