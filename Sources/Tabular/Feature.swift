/// One input of the model: what it means, where it stands in a data file, which values are allowed.
package struct Feature: Equatable, Sendable {
    /// The name that models, requests and explanations use.
    package var name: String
    /// The column of the data file; the name unless stated.
    package var column: String
    package var kind: Kind
    package var missing: Missing
    /// Texts that mean "missing", besides the empty field and `?`, which always do.
    /// A number compares as a number: with "0" declared, `0.0` is missing too.
    package var missingCodes: [String]
    /// Whether the feature is a protected attribute, reported by group in fairness tables.
    package var sensitive: Bool
    package var description: String

    /// The type of a feature and its allowed values.
    package enum Kind: Equatable, Sendable {
        /// A number in `range` (bounds included), with an optional unit; whole when `integer`.
        case numeric(unit: String?, range: ClosedRange<Double>, integer: Bool)
        /// One of `categories`, compared as numbers when both sides are numbers.
        /// `dropFirst` leaves the first category without a column of its own.
        case categorical(categories: [String], dropFirst: Bool)
        /// Two values: `zero` becomes 0 and `one` becomes 1.
        case binary(zero: String, one: String)
    }

    /// What a missing value means.
    package enum Missing: String, Equatable, Sendable, CaseIterable {
        /// The row is refused.
        case refuse
        /// The federation's mean (numeric) or most frequent category takes its place.
        case impute
        /// As `impute`, and one more column says that it was missing.
        case imputeWithIndicator = "impute-with-indicator"
        /// Missing is a category of its own (categorical features only).
        case ownCategory = "own-category"
    }

    package init(
        name: String, column: String? = nil, kind: Kind, missing: Missing = .refuse,
        missingCodes: [String] = [], sensitive: Bool = false, description: String = ""
    ) {
        self.name = name
        self.column = column ?? name
        self.kind = kind
        self.missing = missing
        self.missingCodes = missingCodes
        self.sensitive = sensitive
        self.description = description
    }

    /// The codes of a categorical or binary feature, by value; nil for a number.
    package var codes: [String]? {
        switch kind {
        case .numeric: return nil
        case .categorical(let categories, _): return categories
        case .binary(let zero, let one): return [zero, one]
        }
    }
}
