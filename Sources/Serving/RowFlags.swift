// What a reader of one score should know of its row: filled values, numbers far from those of training, categories that
// training never saw; and why an adverse decision was adverse.

import Tabular

/// A remark on one feature of a row.
struct RowFlag: Equatable, Sendable {
    enum Kind: String, Sendable {
        /// Missing, filled by the schema's policy.
        case imputed
        /// A number more than four standard deviations from the training rows' mean.
        case farFromTraining = "far-from-training"
        /// A category that the schema allows and no training row had.
        case unseenCategory = "unseen-in-training"
    }

    var feature: Int
    var kind: Kind
}

/// One principal reason of an adverse decision.
struct ReasonCode: Equatable, Sendable {
    var feature: Int
    /// How much it moved the score towards the adverse class, log-odds.
    var contribution: Double
}

extension DeployedModel {
    private static let farDeviations = 4.0
    /// Reasons of one row, at most.
    static let reasonsMax = 4

    /// Remarks on a valid row, in schema order.
    func flags(_ values: [Double]) -> [RowFlag] {
        var flags: [RowFlag] = []
        for (index, column) in package.preprocessor.columns.enumerated() {
            let value = values[column.feature]
            guard !value.isNaN else {
                if flags.last?.feature != column.feature {
                    flags.append(RowFlag(feature: column.feature, kind: .imputed))
                }
                continue
            }
            switch column.source {
            case .value where package.schema.features[column.feature].codes == nil:
                if abs(value - column.centre) > Self.farDeviations * column.scale {
                    flags.append(RowFlag(feature: column.feature, kind: .farFromTraining))
                }
            case .category(let category, _) where value == Double(category):
                if meanShare(index) <= 0 {
                    flags.append(RowFlag(feature: column.feature, kind: .unseenCategory))
                }
            default: break
            }
        }
        return flags
    }

    /// The principal reasons for the positive class, largest first; equal ones in schema order, so that the same row always
    /// gives the same reasons. Empty for a row of the other class.
    func reasons(_ explanation: Explanation, positive: Bool) -> [ReasonCode] {
        guard positive else { return [] }
        let adverse = explanation.contributions.enumerated().filter { $0.element > 0 }
            .sorted { ($1.element, $0.offset) < ($0.element, $1.offset) }
        return adverse.prefix(Self.reasonsMax).map {
            ReasonCode(feature: $0.offset, contribution: $0.element)
        }
    }
}
