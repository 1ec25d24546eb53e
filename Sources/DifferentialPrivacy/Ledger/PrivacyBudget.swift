// What a site allows for one dataset and unit over its whole life. `protocol/differential-privacy.md` §5.

import Codec

/// What neighbouring datasets differ by.
package enum PrivacyUnit: String, CaseIterable, Sendable {
    /// One row.
    case record
    /// All rows of one person.
    case subject
    /// All rows of a site.
    case site

    /// Whether a guarantee for `self` also protects one `other`: a person's rows contain the row.
    package func covers(_ other: PrivacyUnit) -> Bool {
        PrivacyUnit.allCases.firstIndex(of: self).map { own in
            PrivacyUnit.allCases.firstIndex(of: other).map { $0 <= own } ?? false
        } ?? false
    }
}

/// ε that all studies together may spend, at a δ.
package struct PrivacyBudget: Equatable, Sendable {
    /// Upper bound of ε.
    package let epsilon: Double
    /// δ at which ε is taken.
    package let delta: Double

    /// ε of the named tiers, record level, for the life of the data.
    package enum Tier: String, CaseIterable, Sendable {
        /// ε 1.
        case strict
        /// ε 3.
        case standard
        /// ε 8.
        case relaxed

        /// The tier's ε.
        package var epsilon: Double {
            switch self {
            case .strict: 1
            case .standard: 3
            case .relaxed: 8
            }
        }
    }

    /// Above this ε a budget needs the operators' word that it is an exception.
    package static let epsilonWithoutException = 10.0

    /// The largest δ for N protected units: min(10⁻⁵, 1/(10 N)).
    package static func deltaMax(protectedUnits: Int) -> Double {
        min(1e-5, 1 / (10 * Double(max(1, protectedUnits))))
    }

    /// - Throws: `PrivacyRefusal` (`privacy.budget-change`) for numbers out of range.
    package init(epsilon: Double, delta: Double) throws(PrivacyRefusal) {
        guard PrivacyLimits.epsilon.contains(epsilon), PrivacyLimits.delta.contains(delta) else {
            throw PrivacyRefusal(.budgetChange, "a budget's epsilon must be from 0.0001 to 10000 and its delta from 1e-20 to 0.5")
        }
        self.epsilon = epsilon
        self.delta = delta
    }
}
