/// What `consilium node check` shows about a data source. For the site's own eyes: it holds quantiles.
///
/// Column figures are over the accepted rows; zeros, refused rows and their reasons are over all rows.
package struct QualityReport: Equatable, Sendable {
    /// Data rows in the source.
    package let rowCount: Int
    package let acceptedCount: Int
    package let quarantinedCount: Int
    /// Rows left out by the `complete` filter.
    package let incompleteCount: Int
    /// Accepted rows that exactly repeat an earlier accepted row, in features, label and subject.
    package let duplicateCount: Int
    /// Accepted positive rows; nil when rows were read without labels.
    package let positiveCount: Int?
    package let columns: [ColumnReport]
    /// How often each column broke each rule, commonest first.
    package let reasons: [ReasonCount]
    /// The first refused rows, for the terminal.
    package let examples: [QuarantinedRow]

    /// How often one column broke one rule.
    package struct ReasonCount: Equatable, Sendable {
        package let violation: Violation
        package let count: Int
    }

    /// Refused rows that a report lists one by one.
    package static let examplesMax = 20

    /// Of rows that were made in memory: nothing was refused.
    package init(of table: Table) {
        self.init(
            table: table, quarantine: Quarantine(), rowCount: table.rowCount, incompleteCount: 0,
            zeros: table.schema.features.map { _ in 0 })
    }

    init(table: Table, quarantine: Quarantine, rowCount: Int, incompleteCount: Int, zeros: [Int]) {
        self.rowCount = rowCount
        self.incompleteCount = incompleteCount
        acceptedCount = table.rowCount
        quarantinedCount = quarantine.count
        duplicateCount = table.rowCount - Set(table.rowKeys).count
        positiveCount = table.labels.contains { $0.isNaN } ? nil : table.positiveCount
        columns = table.schema.features.indices.map {
            ColumnReport(table.schema.features[$0], table.columns[$0], zeros: zeros[$0])
        }
        reasons = quarantine.sortedReasons.map {
            ReasonCount(violation: $0.violation, count: $0.count)
        }
        examples = Array(quarantine.rows.prefix(QualityReport.examplesMax))
    }

    /// Sentences about what a person should look at, in column order.
    package var notes: [String] {
        var notes = columns.flatMap(\.notes)
        if duplicateCount > 0 {
            notes.append(
                "\(duplicateCount) rows exactly repeat another row; they stay on one side of the split"
            )
        }
        if let positiveCount, acceptedCount > 0,
            positiveCount == 0 || positiveCount == acceptedCount
        {
            notes.append("all rows have the same label; this site alone can judge no model")
        }
        return notes
    }
}

/// One feature's figures.
package struct ColumnReport: Equatable, Sendable {
    package let name: String
    package let column: String
    package let observedCount: Int
    package let missingCount: Int
    /// Distribution of a numeric feature's observed values; nil when there are none.
    package let distribution: Distribution?
    /// Rows per code of a categorical or binary feature.
    package let codeCounts: [CodeCount]
    package let isConstant: Bool
    /// Fields of the source that hold the number zero, refused and missing-coded ones included.
    package let zeroCount: Int
    package let zeroFinding: ZeroFinding?

    /// Rows of one code.
    package struct CodeCount: Equatable, Sendable {
        package let code: String
        package let count: Int
    }

    /// Why zeros in a numeric column deserve a look.
    package enum ZeroFinding: String, Equatable, Sendable {
        /// The schema says that zero means missing: fine, but worth knowing how often.
        case declaredMissing = "declared-missing"
        /// The schema's range does not hold zero: those rows were refused.
        case outsideRange = "outside-range"
        /// Zero is allowed but lies far from all other values.
        case farFromOthers = "far-from-others"
    }

    /// Zero counts as far from the other values from this many standard deviations on.
    package static let farDeviations = 3.5

    init(_ feature: Feature, _ values: [Double], zeros: Int) {
        name = feature.name
        column = feature.column
        let observed = values.filter { !$0.isNaN }
        observedCount = observed.count
        missingCount = values.count - observed.count
        zeroCount = zeros
        isConstant = observed.count > 1 && observed.allSatisfy { $0 == observed[0] }
        if let codes = feature.codes {
            var counts = [Int](repeating: 0, count: codes.count)
            for value in observed { counts[Int(value)] += 1 }
            codeCounts = zip(codes, counts).map { CodeCount(code: $0, count: $1) }
            distribution = nil
            zeroFinding = nil
        } else {
            codeCounts = []
            distribution = Distribution(observed)
            zeroFinding = zeros > 0 ? ColumnReport.zeroFinding(feature, observed) : nil
        }
    }

    private static func zeroFinding(_ feature: Feature, _ observed: [Double]) -> ZeroFinding? {
        if feature.missingCodes.contains(where: { DecimalText.parse($0) == 0 }) {
            return .declaredMissing
        }
        guard case .numeric(_, let range, _) = feature.kind else { return nil }
        if !range.contains(0) { return .outsideRange }
        guard let others = Distribution(observed.filter { $0 != 0 }), others.count >= 20,
            abs(others.mean) > farDeviations * others.deviation
        else { return nil }
        return .farFromOthers
    }

    var notes: [String] {
        var notes: [String] = []
        switch zeroFinding {
        case .declaredMissing?:
            notes.append(
                "\(column): \(zeroCount) zeros, read as missing because the schema declares that code"
            )
        case .outsideRange?:
            notes.append(
                "\(column): \(zeroCount) zeros lie outside the range; if zero means \"not measured\", declare \"0\" in missingCodes"
            )
        case .farFromOthers?:
            notes.append(
                "\(column): \(zeroCount) zeros lie far from all other values; if zero means \"not measured\", declare \"0\" in missingCodes"
            )
        case nil: break
        }
        if observedCount == 0 && missingCount > 0 {
            notes.append("\(column): no value at all")
        } else if missingCount * 2 > observedCount + missingCount {
            let share = percent(Double(missingCount) / Double(observedCount + missingCount))
            notes.append("\(column): missing in \(share) of the rows")
        }
        if isConstant { notes.append("\(column): the same value in every row") }
        return notes
    }
}

/// Figures of observed numbers.
package struct Distribution: Equatable, Sendable {
    package let count: Int
    package let minimum: Double
    package let lowerQuartile: Double
    package let median: Double
    package let upperQuartile: Double
    package let maximum: Double
    package let mean: Double
    /// Population standard deviation.
    package let deviation: Double

    /// nil for no numbers. Sorts a copy.
    init?(_ values: [Double]) {
        guard !values.isEmpty else { return nil }
        let sorted = values.sorted()
        count = sorted.count
        minimum = sorted[0]
        maximum = sorted[sorted.count - 1]
        lowerQuartile = Distribution.quantile(sorted, 0.25)
        median = Distribution.quantile(sorted, 0.5)
        upperQuartile = Distribution.quantile(sorted, 0.75)
        let average = sorted.reduce(0, +) / Double(sorted.count)
        mean = average
        deviation =
            (sorted.reduce(0) { $0 + ($1 - average) * ($1 - average) } / Double(sorted.count))
            .squareRoot()
    }

    /// Linear interpolation between order statistics (type 7 of Hyndman and Fan 1996, the usual default).
    static func quantile(_ sorted: [Double], _ share: Double) -> Double {
        let position = share * Double(sorted.count - 1)
        let lower = Int(position)
        let upper = min(lower + 1, sorted.count - 1)
        return sorted[lower] + (position - Double(lower)) * (sorted[upper] - sorted[lower])
    }
}
