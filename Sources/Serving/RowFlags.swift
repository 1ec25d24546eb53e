// What a reader of one score should know of its row: filled values, numbers far from those of training, categories that
// training never saw; and why an adverse decision was adverse.

import ModelPackage
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

    /// What one column says of its feature's value: a remark when it is outside a range, or when it is the category.
    struct FlagRule: Sendable {
        var feature: Int
        /// Numbers inside are not far from training; everything for columns that have nothing to say of a number.
        var near: ClosedRange<Double>
        /// A category that no training row had; NaN, which no value equals, for other columns.
        var unseen: Double
    }

    static func flagRules(_ manifest: PackageManifest) -> [FlagRule] {
        let features = manifest.schema.features
        return manifest.preprocessor.columns.enumerated().map { index, column in
            var rule = FlagRule(feature: column.feature, near: -.infinity ... .infinity, unseen: .nan)
            switch column.source {
            case .value where features[column.feature].codes == nil:
                let far = farDeviations * column.scale
                rule.near = column.centre - far...column.centre + far
            case .category(let category, _):
                // The share of training rows in which the column was 1.
                let share = Double(manifest.background[index]) * column.scale + column.centre
                if share <= 0 { rule.unseen = Double(category) }
            default: break
            }
            return rule
        }
    }

    /// Remarks on a valid row, in schema order.
    func flags(_ values: borrowing Span<Double>) -> [RowFlag] {
        var flags: [RowFlag] = []
        for rule in flagRules {
            let value = values[rule.feature]
            if rule.near.contains(value), value != rule.unseen { continue }
            if !value.isNaN {
                let isUnseen = value == rule.unseen
                flags.append(RowFlag(feature: rule.feature, kind: isUnseen ? .unseenCategory : .farFromTraining))
            } else if flags.last?.feature != rule.feature {
                flags.append(RowFlag(feature: rule.feature, kind: .imputed))
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
