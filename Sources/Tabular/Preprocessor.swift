import Kernels

/// Validated rows → model inputs, fitted once for the federation. The same object, carried in the model package,
/// serves training and prediction.
///
/// Column order: features in schema order; within a feature its value column or its categories, then
/// "NAME missing" where missingness is a column.
package struct Preprocessor: Equatable, Sendable {
    /// One model input.
    package struct Column: Equatable, Sendable {
        /// Such as "age", "cp=2", "ca missing".
        package let name: String
        /// The feature it comes from.
        package let feature: Int
        package let source: Source
        /// Output = (source − centre) / scale, limited to ±clip.
        package let centre: Double
        package let scale: Double
    }

    /// Where a column's raw number comes from.
    package enum Source: Equatable, Sendable {
        /// The value itself (numeric, or 0/1 of a binary feature); `imputed` when missing.
        case value(imputed: Double)
        /// 1 when the feature has this category; `whenMissing` (0 or 1) when missing.
        case category(Int, whenMissing: Double)
        /// 1 when the feature is missing.
        case missing
    }

    package let columns: [Column]
    /// The features a row must have, in schema order.
    package let featureNames: [String]
    package let clip: Double
    /// The columns without their names, laid out for `transform`.
    private let steps: [Step]
    /// The same when the columns are the features, one by one.
    private let plain: Standardisation?

    /// A column as numbers only.
    private struct Step: Equatable, Sendable {
        var feature: Int
        var source: Source
        var centre: Double
        var scale: Double
    }

    init(columns: [Column], featureNames: [String], clip: Double) {
        self.columns = columns
        steps = columns.map { Step(feature: $0.feature, source: $0.source, centre: $0.centre, scale: $0.scale) }
        let values = columns.enumerated().compactMap { index, column in
            if case .value(let imputed) = column.source, column.feature == index { (imputed, column.centre, column.scale) } else { nil }
        }
        plain = values.count == featureNames.count && values.count == columns.count && !values.isEmpty ? Standardisation(values, clip: clip) : nil
        self.featureNames = featureNames
        self.clip = clip
    }

    /// Sizes and names of what goes in and of what comes out.
    package var featureCount: Int { featureNames.count }
    package var columnNames: [String] { columns.map(\.name) }
    package var columnCount: Int { columns.count }

    /// Fits to the federation's statistics.
    /// - Throws: `TabularError.statistics` when they are of another schema.
    package init(schema: Schema, statistics: GlobalStatistics) throws(TabularError) {
        guard statistics.features.count == schema.features.count,
            zip(schema.features, statistics.features).allSatisfy({
                ($0.codes?.count ?? 0) == $1.categoryShares.count
            })
        else { throw .statistics("do not belong to this schema") }
        var columns: [Column] = []
        for (index, feature) in schema.features.enumerated() {
            columns += Preprocessor.columns(
                feature, index, statistics.features[index], schema.preprocessing)
        }
        self.init(
            columns: columns, featureNames: schema.features.map(\.name),
            clip: schema.preprocessing.clip)
    }

    private static func columns(
        _ feature: Feature, _ index: Int, _ known: FeatureStatistics, _ settings: Preprocessing
    ) -> [Column] {
        /// A 0/1 column that is 1 in `share` of the rows.
        func flag(_ name: String, _ source: Source, _ share: Double) -> Column {
            guard settings.standardise == .all else {
                return Column(name: name, feature: index, source: source, centre: 0, scale: 1)
            }
            let variance = share * (1 - share)
            return Column(
                name: name, feature: index, source: source, centre: share,
                scale: variance > SiteStatistics.varianceFloor ? variance.squareRoot() : 1)
        }
        var columns: [Column] = []
        switch feature.kind {
        case .numeric(_, let range, _):
            let spread = known.isConstant ? RangeScale(range).half : known.variance.squareRoot()
            columns.append(
                Column(
                    name: feature.name, feature: index, source: .value(imputed: known.mean),
                    centre: known.mean, scale: spread))
        case .binary:
            let imputed = Double(known.mostFrequent)
            columns.append(
                flag(
                    feature.name, .value(imputed: imputed),
                    known.categoryShares[1] + imputed * known.missingShare))
        case .categorical(let categories, let dropFirst):
            for (category, code) in categories.enumerated() where !(dropFirst && category == 0) {
                let imputes = feature.missing != .ownCategory && category == known.mostFrequent
                let share = known.categoryShares[category] + (imputes ? known.missingShare : 0)
                columns.append(
                    flag(
                        "\(feature.name)=\(code)",
                        .category(category, whenMissing: imputes ? 1 : 0), share))
            }
        }
        if feature.missing == .ownCategory || feature.missing == .imputeWithIndicator {
            columns.append(flag("\(feature.name) missing", .missing, known.missingShare))
        }
        return columns
    }

    /// Writes one row's inputs. No allocation.
    /// - Parameters:
    ///   - values: a valid row's values, `featureCount` of them (`ValidRow.values`, `RowBuilder.values`).
    ///   - output: `columnCount` floats.
    package func transform(_ values: borrowing Span<Double>, into output: inout MutableSpan<Float>)
    {
        precondition(values.count == featureCount, "a row of another schema")
        precondition(output.count == steps.count, "an output of another width")
        for index in steps.indices {
            let step = steps[index]
            output[index] = input(step, values[step.feature])
        }
    }

    /// One row's inputs as a new array.
    package func transform(_ row: ValidRow) -> [Float] {
        precondition(row.values.count == featureCount, "a row of another schema")
        return steps.map { input($0, row.values[$0.feature]) }
    }

    /// The inputs of some valid rows, one row after another.
    /// - Parameter values: of the rows, one row after another.
    package func transform(rows values: [Double]) -> [Float] {
        precondition(values.count % featureCount == 0, "rows of another schema")
        if let plain, values.count > featureCount { return plain.inputs(values) }
        let count = values.count / featureCount
        var inputs: [Float] = []
        inputs.reserveCapacity(count * steps.count)
        for start in stride(from: 0, to: values.count, by: featureCount) {
            for step in steps { inputs.append(input(step, values[start + step.feature])) }
        }
        return inputs
    }

    /// All rows of a table; labels come along when every row has one.
    /// - Throws: `TabularError.statistics` when the matrix would exceed the kernels' limits.
    package func transform(_ table: Table) throws(TabularError) -> FeatureMatrix {
        precondition(table.columns.count == featureCount, "a table of another schema")
        var values: [Float] = []
        values.reserveCapacity(table.rowCount * steps.count)
        for row in 0..<table.rowCount {
            for step in steps {
                values.append(input(step, table.columns[step.feature][row]))
            }
        }
        let isLabelled = table.labels.allSatisfy { !$0.isNaN }
        do {
            return try FeatureMatrix(
                rows: table.rowCount, columns: columns.count, values: values,
                labels: isLabelled ? table.labels : [])
        } catch {
            throw .statistics("the table is too large to train on: \(error)")
        }
    }

    /// The mean of each input over the federation's rows: the reference point of explanations.
    /// - Parameter statistics: those this preprocessor was fitted to.
    package func expectedInputs(_ statistics: GlobalStatistics) -> [Float] {
        precondition(statistics.features.count == featureCount, "statistics of another schema")
        return columns.map { column in
            let known = statistics.features[column.feature]
            let mean: Double
            switch column.source {
            case .value(let imputed):
                mean =
                    known.categoryShares.count == 2
                    ? known.categoryShares[1] + imputed * known.missingShare
                    : known.mean * (1 - known.missingShare) + imputed * known.missingShare
            case .category(let category, let whenMissing):
                mean = known.categoryShares[category] + whenMissing * known.missingShare
            case .missing:
                mean = known.missingShare
            }
            return Float(min(clip, max(-clip, (mean - column.centre) / column.scale)))
        }
    }

    @inline(__always)
    private func input(_ column: Step, _ value: Double) -> Float {
        let raw: Double
        switch column.source {
        case .value(let imputed): raw = value.isNaN ? imputed : value
        case .category(let category, let whenMissing):
            raw = value.isNaN ? whenMissing : (value == Double(category) ? 1 : 0)
        case .missing: raw = value.isNaN ? 1 : 0
        }
        return Float(min(clip, max(-clip, (raw - column.centre) / column.scale)))
    }
}
