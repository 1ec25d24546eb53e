/// The reference point of explanations: what the average row of the federation looks like to the model.
extension Preprocessor {
    /// Mean of each output column over the federation's rows, missing values imputed as in `transform`.
    ///
    /// - Parameter statistics: those that this preprocessor was fitted to.
    package func background(_ statistics: GlobalStatistics) -> [Float] {
        columns.map { column in
            let known = statistics.features[column.feature]
            let raw: Double
            switch column.source {
            case .value(let imputed):
                // A binary feature's mean is the share of ones; a number's is its mean, imputed or not.
                raw = known.categoryShares.count == 2 ? known.categoryShares[1] + imputed * known.missingShare : known.mean
            case .category(let category, let whenMissing):
                raw = known.categoryShares[category] + whenMissing * known.missingShare
            case .missing:
                raw = known.missingShare
            }
            return Float(min(clip, max(-clip, (raw - column.centre) / column.scale)))
        }
    }
}
