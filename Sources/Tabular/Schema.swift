/// The agreed meaning of a study's rows: features, label, file layout, what to do with missing values.
///
/// One schema validates data files, prediction requests and fed-back outcomes alike, and fixes the order
/// of features everywhere. Its JSON form is protocol/data.md §2.
package struct Schema: Equatable, Sendable {
    package var features: [Feature]
    package var label: Label
    /// The column that names the person or account a row is about. Rows of one subject stay on one side
    /// of every keyed split. The value itself is never kept, only its hash.
    package var subjectColumn: String?
    /// The byte between fields.
    package var delimiter: UInt8
    /// Whether the first line names the columns.
    package var hasHeader: Bool
    /// The columns in file order, for a file without header.
    package var columns: [String]
    package var otherColumns: OtherColumns
    package var rowFilter: RowFilter
    /// The share of refused rows above which the whole dataset is refused.
    package var badRowShareMax: Double
    package var preprocessing: Preprocessing

    /// What to do with a column that the schema does not mention.
    package enum OtherColumns: String, Equatable, Sendable, CaseIterable { case refuse, ignore }

    /// Which valid rows are used.
    package enum RowFilter: String, Equatable, Sendable, CaseIterable {
        case all
        /// Only rows in which no feature is missing; the others are left out and counted, not quarantined.
        case complete
    }

    package init(
        features: [Feature], label: Label, subjectColumn: String? = nil, delimiter: UInt8 = 0x2C,
        hasHeader: Bool = true, columns: [String] = [], otherColumns: OtherColumns = .refuse,
        rowFilter: RowFilter = .all, badRowShareMax: Double = 0.2,
        preprocessing: Preprocessing = Preprocessing()
    ) {
        self.features = features
        self.label = label
        self.subjectColumn = subjectColumn
        self.delimiter = delimiter
        self.hasHeader = hasHeader
        self.columns = columns
        self.otherColumns = otherColumns
        self.rowFilter = rowFilter
        self.badRowShareMax = badRowShareMax
        self.preprocessing = preprocessing
    }

    /// The place of a feature, or nil. Linear in the number of features; hot paths use `RowRules`.
    package func featureIndex(_ name: String) -> Int? {
        features.firstIndex { $0.name == name }
    }

    /// Whether a row in which `feature` is missing can be used.
    package func allowsMissing(_ feature: Feature) -> Bool {
        feature.missing != .refuse && rowFilter == .all
    }
}

/// How values become model inputs.
package struct Preprocessing: Equatable, Sendable {
    /// Which columns are centred and divided by their standard deviation.
    package enum Standardise: String, Equatable, Sendable, CaseIterable {
        /// Numeric features; 0/1 columns stay as they are.
        case numeric
        /// Every column, 0/1 columns too.
        case all
    }
    package var standardise: Standardise
    /// Standardised values are limited to ±`clip`.
    package var clip: Double

    package init(standardise: Standardise = .numeric, clip: Double = 10) {
        self.standardise = standardise
        self.clip = clip
    }
}
