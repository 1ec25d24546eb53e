// The vector of a secure statistics round (protocol/data.md §6): per-row means of bounded quantities.
//
// A numeric value x becomes x̂ = (x − middle) / half-width of its schema range, in [−1, 1]; missing counts
// as 0 and is counted separately. Weighted by rows and summed over sites, the means are the federation's.

/// One number of the statistics vector.
package struct StatisticSlot: Equatable, Sendable {
    /// What a slot is the mean of.
    package enum Quantity: Equatable, Sendable {
        /// Mean of x̂ over all rows, missing as 0; in [−1, 1].
        case mean(feature: Int)
        /// Mean of x̂² over all rows, missing as 0; in [0, 1].
        case meanSquare(feature: Int)
        case missingShare(feature: Int)
        case categoryShare(feature: Int, category: Int)
        case labelShare
    }
    package let quantity: Quantity
    /// For people, such as "age mean" or "cp=2 share".
    package let name: String
}

/// Encodes a table as statistics and decodes their federation-wide mean.
package enum SiteStatistics {
    /// The slots of a schema in their fixed order: features in schema order, then the label.
    package static func layout(_ schema: Schema) -> [StatisticSlot] {
        var slots: [StatisticSlot] = []
        for (index, feature) in schema.features.enumerated() {
            if let codes = feature.codes {
                for (category, code) in codes.enumerated() {
                    slots.append(
                        StatisticSlot(
                            quantity: .categoryShare(feature: index, category: category),
                            name: "\(feature.name)=\(code) share"))
                }
            } else {
                slots.append(
                    StatisticSlot(quantity: .mean(feature: index), name: "\(feature.name) mean"))
                slots.append(
                    StatisticSlot(
                        quantity: .meanSquare(feature: index), name: "\(feature.name) mean square"))
            }
            slots.append(
                StatisticSlot(
                    quantity: .missingShare(feature: index), name: "\(feature.name) missing share"))
        }
        slots.append(StatisticSlot(quantity: .labelShare, name: "label share"))
        return slots
    }

    /// The table's means, one per slot, each in [−1, 1]. An empty table gives zeros.
    package static func encode(_ table: Table) -> [Double] {
        var vector: [Double] = []
        let rows = Double(max(table.rowCount, 1))
        for (feature, column) in zip(table.schema.features, table.columns) {
            let missing = Double(column.reduce(0) { $0 + ($1.isNaN ? 1 : 0) }) / rows
            if let codes = feature.codes {
                var counts = [Int](repeating: 0, count: codes.count)
                for value in column where !value.isNaN { counts[Int(value)] += 1 }
                vector += counts.map { Double($0) / rows }
            } else if case .numeric(_, let range, _) = feature.kind {
                let scale = RangeScale(range)
                var sum = 0.0
                var squares = 0.0
                for value in column where !value.isNaN {
                    let scaled = scale.scaled(value)
                    sum += scaled
                    squares += scaled * scaled
                }
                vector += [bounded(sum / rows, -1), bounded(squares / rows, 0)]
            }
            vector.append(missing)
        }
        vector.append(Double(table.positiveCount) / rows)
        return vector
    }

    /// The federation's statistics from the row-weighted mean of the sites' vectors.
    ///
    /// Small errors (fixed point, noise) are tolerated: values are limited to their bounds and a variance below
    /// what they can resolve counts as constant.
    /// - Throws: `TabularError.statistics` for a wrong count, a value that is not finite, or no rows.
    package static func decode(
        weightedMeans: [Double], totalRows: Int, schema: Schema
    ) throws(TabularError) -> GlobalStatistics {
        let count = layout(schema).count
        guard weightedMeans.count == count else {
            throw .statistics(
                "\(weightedMeans.count) values instead of the \(count) of this schema")
        }
        guard weightedMeans.allSatisfy(\.isFinite) else {
            throw .statistics("a value is not finite")
        }
        guard totalRows > 0 else { throw .statistics("no site contributed a row") }
        var next = 0
        func take(_ lower: Double) -> Double {
            defer { next += 1 }
            return bounded(weightedMeans[next], lower)
        }
        var features: [FeatureStatistics] = []
        for feature in schema.features {
            if let codes = feature.codes {
                let shares = codes.map { _ in take(0) }
                let missing = take(0)
                features.append(
                    FeatureStatistics(
                        mean: 0, variance: 1, missingShare: missing, categoryShares: shares,
                        neverObserved: isNever(missing, totalRows),
                        isConstant: shares.filter { $0 * Double(totalRows) >= 0.5 }.count == 1))
            } else if case .numeric(_, let range, _) = feature.kind {
                let (mean, square, missing) = (take(-1), take(0), take(0))
                features.append(numeric(mean, square, missing, RangeScale(range), totalRows))
            }
        }
        return GlobalStatistics(rowCount: totalRows, features: features, labelShare: take(0))
    }

    private static func numeric(
        _ mean: Double, _ square: Double, _ missing: Double, _ scale: RangeScale, _ totalRows: Int
    ) -> FeatureStatistics {
        if isNever(missing, totalRows) {
            return FeatureStatistics(
                mean: scale.middle, variance: 1, missingShare: missing, neverObserved: true)
        }
        let observed = 1 - missing
        let scaledMean = bounded(mean / observed, -1)
        let scaledVariance = bounded(square / observed, 0) - scaledMean * scaledMean
        let isConstant = scaledVariance < varianceFloor
        return FeatureStatistics(
            mean: scale.middle + scale.half * scaledMean,
            variance: max(scaledVariance, varianceFloor) * scale.half * scale.half,
            missingShare: missing, isConstant: isConstant)
    }

    /// Scaled variances below this cannot be told from zero.
    static let varianceFloor = 1e-9

    private static func isNever(_ missing: Double, _ totalRows: Int) -> Bool {
        (1 - missing) * Double(totalRows) < 0.5
    }
}

/// Maps a schema range to [−1, 1] and back.
struct RangeScale {
    let middle: Double
    let half: Double

    init(_ range: ClosedRange<Double>) {
        middle = range.lowerBound / 2 + range.upperBound / 2
        half = range.upperBound / 2 - range.lowerBound / 2
    }

    func scaled(_ value: Double) -> Double { bounded((value - middle) / half, -1) }
}

/// `value` limited to `lower`...1.
func bounded(_ value: Double, _ lower: Double) -> Double { min(1, max(lower, value)) }
