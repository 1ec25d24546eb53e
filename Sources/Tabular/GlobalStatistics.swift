import Codec

/// What the federation knows about its rows as a whole: the decoded sum of a secure statistics round.
package struct GlobalStatistics: Equatable, Sendable {
    /// Rows of all sites together.
    package var rowCount: Int
    /// In schema order.
    package var features: [FeatureStatistics]
    /// The share of positive rows.
    package var labelShare: Double

    package init(rowCount: Int, features: [FeatureStatistics], labelShare: Double) {
        self.rowCount = rowCount
        self.features = features
        self.labelShare = labelShare
    }
}

/// One feature over all sites. Shares are of all rows, missing ones included.
package struct FeatureStatistics: Equatable, Sendable {
    /// Mean of the observed values, in the feature's unit; 0 for categorical and binary features.
    package var mean: Double
    /// Population variance of the observed values, never below a tiny positive floor.
    package var variance: Double
    package var missingShare: Double
    /// The share of each code (`Feature.codes`); empty for a number.
    package var categoryShares: [Double]
    /// No site holds a value: the mean is the middle of the range, the variance 1.
    package var neverObserved: Bool
    /// All observed values are (nearly) equal: the variance is the floor's and standardising divides by
    /// half the range instead.
    package var isConstant: Bool

    package init(
        mean: Double, variance: Double, missingShare: Double, categoryShares: [Double] = [],
        neverObserved: Bool = false, isConstant: Bool = false
    ) {
        self.mean = mean
        self.variance = variance
        self.missingShare = missingShare
        self.categoryShares = categoryShares
        self.neverObserved = neverObserved
        self.isConstant = isConstant
    }

    /// The commonest category, the first of equals.
    package var mostFrequent: Int {
        var best = 0
        for index in categoryShares.indices where categoryShares[index] > categoryShares[best] {
            best = index
        }
        return best
    }
}

extension GlobalStatistics {
    /// Statistics of one table alone, by the same arithmetic as the federation's.
    /// - Throws: `TabularError.noRows` for an empty table.
    package init(of table: Table) throws(TabularError) {
        guard table.rowCount > 0 else { throw .noRows }
        self = try SiteStatistics.decode(
            weightedMeans: SiteStatistics.encode(table), totalRows: table.rowCount,
            schema: table.schema)
    }

    /// A document for people and reports; category shares and counts by code.
    package func json(_ schema: Schema) -> JSONValue {
        var list: [JSONValue] = []
        for (feature, statistics) in zip(schema.features, features) {
            var object: [String: JSONValue] = [
                "name": .string(feature.name), "missingShare": .number(statistics.missingShare),
            ]
            if statistics.neverObserved { object["neverObserved"] = true }
            if statistics.isConstant { object["constant"] = true }
            if let codes = feature.codes {
                object["counts"] = .object(
                    Dictionary(
                        uniqueKeysWithValues: zip(codes, statistics.categoryShares).map {
                            ($0, .integer(Int64(($1 * Double(rowCount)).rounded())))
                        }))
            } else {
                object["mean"] = .number(statistics.mean)
                object["standardDeviation"] = .number(statistics.variance.squareRoot())
            }
            list.append(.object(object))
        }
        return [
            "rows": .integer(Int64(rowCount)), "positiveShare": .number(labelShare),
            "features": .array(list),
        ]
    }
}
