/// Fills one row value by value, checking each on entry: the path of prediction requests.
///
/// One array is allocated per builder and reused after `reset`. Features that are never set count as missing.
///
/// ```swift
/// var builder = RowBuilder(rules)
/// builder.set(number: 63, at: ageIndex)
/// let row = try builder.finish()
/// ```
package struct RowBuilder: Sendable {
    package let rules: RowRules
    /// The values so far: NaN for missing; see `ValidRow.values`.
    package private(set) var values: [Double]
    /// 1 for features that were set.
    private var isSet: [UInt8]
    /// What was refused so far, in order of arrival.
    package private(set) var violations: [Violation] = []

    package init(_ rules: RowRules) {
        self.rules = rules
        (values, isSet) = (rules.noValues, rules.noFlags)
    }

    /// Makes the builder ready for another row.
    package mutating func reset() {
        for index in values.indices {
            values[index] = .nan
            isSet[index] = 0
        }
        violations.removeAll(keepingCapacity: true)
    }

    /// Sets feature `index` from a number.
    package mutating func set(number: Double, at index: Int) {
        if isSet[index] == 0, rules.isPlain(number, at: index) {
            isSet[index] = 1
            values[index] = number
            return
        }
        take(rules.features[index].read(number: number), index)
    }

    /// Sets feature `index` from a request's text, `text[range]` in UTF-8. Numeric features refuse texts
    /// other than missing codes.
    package mutating func set(text: borrowing Span<UInt8>, in range: Range<Int>, at index: Int) {
        take(rules.features[index].read(requestText: text, range), index)
    }

    /// Sets feature `index` from a bool; only binary features take one.
    package mutating func set(bool: Bool, at index: Int) {
        take(rules.features[index].read(bool: bool), index)
    }

    /// States that feature `index` is missing.
    package mutating func setMissing(at index: Int) { take(.missing, index) }

    /// Sets feature `index` from a field of a data file, where numbers are texts.
    mutating func set(field text: borrowing Span<UInt8>, in range: Range<Int>, at index: Int) {
        take(rules.features[index].read(text, range), index)
    }

    /// Sets feature `index` from any input. Allocates for a text.
    package mutating func set(_ input: FieldInput, at index: Int) {
        switch input {
        case .number(let number): set(number: number, at: index)
        case .bool(let bool): set(bool: bool, at: index)
        case .missing: setMissing(at: index)
        case .text(let text):
            let bytes = Array(text.utf8)
            let span = bytes.span
            set(text: span, in: 0..<span.count, at: index)
        }
    }

    /// Notes a name that is no feature. The name is shortened to something printable.
    package mutating func refuseUnknown(_ name: String) {
        note(Violation(printableName(name), .unknownFeature))
    }

    /// Adds a violation found outside, such as a wrong type that never became a value.
    package mutating func refuse(_ rule: Violation.Rule, at index: Int) {
        isSet[index] = 1
        note(Violation(rules.schema.features[index].name, rule))
    }

    /// Whether a feature of this row is missing.
    var isIncomplete: Bool { values.contains { $0.isNaN } }

    /// Adds the violations of features that were never set, then tells whether the row is valid.
    /// After true, `values` is a valid row for `Preprocessor.transform(_:into:)`.
    package mutating func complete() -> Bool {
        for index in isSet.indices where isSet[index] == 0 { take(.missing, index) }
        return violations.isEmpty
    }

    /// The row, if it is valid.
    /// - Throws: every violation that was found.
    package mutating func finish() throws(RowRefused) -> ValidRow {
        guard complete() else { throw RowRefused(violations) }
        return ValidRow(values: values)
    }

    @inline(__always)
    private mutating func take(_ reading: Reading, _ index: Int) {
        if isSet[index] == 1 { return note(Violation(rules.schema.features[index].name, .givenTwice)) }
        isSet[index] = 1
        switch reading {
        case .value(let value): values[index] = value
        case .missing:
            guard rules.features[index].allowsMissing else {
                return note(Violation(rules.schema.features[index].name, .missing))
            }
        case .refused(let rule):
            note(Violation(rules.schema.features[index].name, rule))
        }
    }

    private mutating func note(_ violation: Violation) {
        if violations.count < TabularLimits.violationsPerRowMax { violations.append(violation) }
    }
}

extension RowRules {
    /// Validates named values, in any order. Violations come sorted: unknown names first, then features
    /// in schema order.
    /// - Throws: `RowRefused` with every violation.
    package func validate(named values: [String: FieldInput]) throws(RowRefused) -> ValidRow {
        var builder = RowBuilder(self)
        if values.count > schema.features.count
            || !values.keys.allSatisfy({ featureIndex(named: $0) != nil })
        {
            for name in values.keys.sorted() where featureIndex(named: name) == nil {
                builder.refuseUnknown(name)
            }
        }
        for (index, feature) in schema.features.enumerated() {
            builder.set(values[feature.name] ?? .missing, at: index)
        }
        return try builder.finish()
    }
}

extension Schema {
    /// Validates named values from a request or an outcome. Prepares the schema on each call;
    /// services keep a `RowRules`.
    /// - Throws: `RowRefused` with every violation.
    package func validate(named values: [String: FieldInput]) throws(RowRefused) -> ValidRow {
        try RowRules(self).validate(named: values)
    }
}
