import Kernels

/// A schema prepared for reading rows fast: codes as bytes, names in a hash table.
///
/// Build it once per schema and share it; all its methods are pure and none allocates unless it says so.
package final class RowRules: Sendable {
    package let schema: Schema
    let features: [FeatureRule]
    let labelRule: LabelRule
    /// Open addressing by FNV-1a of the name: index + 1, 0 is free. At most half full.
    private let slots: [Int32]
    private let names: [[UInt8]]
    /// What a row begins with: nothing is there, nothing was set. Copied, which is cheaper than to fill new arrays.
    let noValues: [Double]
    let noFlags: [UInt8]
    /// What a number of each feature must be, when all features are numbers and none has a number that means missing.
    private let bounds: (lower: [Double], upper: [Double], whole: [Int])?

    package init(_ schema: Schema) {
        self.schema = schema
        features = schema.features.map { FeatureRule($0, allowsMissing: schema.allowsMissing($0)) }
        labelRule = LabelRule(schema.label)
        noValues = [Double](repeating: .nan, count: schema.features.count)
        noFlags = [UInt8](repeating: 0, count: schema.features.count)
        let bounds = features.compactMap(\.bounds)
        self.bounds = bounds.count == features.count && !bounds.isEmpty
            ? (bounds.map(\.lower), bounds.map(\.upper), bounds.indices.filter { bounds[$0].integer }) : nil
        names = schema.features.map { Array($0.name.utf8) }
        var size = 4
        while size < names.count * 2 { size *= 2 }
        var table = [Int32](repeating: 0, count: size)
        for (index, name) in names.enumerated() {
            let span = name.span
            var slot = RowRules.hash(span, 0..<span.count) & (size - 1)
            while table[slot] != 0 { slot = (slot + 1) & (size - 1) }
            table[slot] = Int32(index + 1)
        }
        slots = table
    }

    /// Features of a row.
    package var featureCount: Int { features.count }

    /// The feature with the name `text[range]` (UTF-8), or nil.
    /// - Parameter guess: the feature that it probably is, in a row in schema order; nil for none.
    package func featureIndex(_ text: borrowing Span<UInt8>, in range: Range<Int>, near guess: Int? = nil) -> Int? {
        if let guess, guess < names.count, equal(text, range, names[guess]) { return guess }
        var slot = RowRules.hash(text, range) & (slots.count - 1)
        while slots[slot] != 0 {
            let index = Int(slots[slot]) - 1
            if equal(text, range, names[index]) { return index }
            slot = (slot + 1) & (slots.count - 1)
        }
        return nil
    }

    /// The feature with this name, or nil.
    package func featureIndex(named name: String) -> Int? {
        let bytes = Array(name.utf8)
        let span = bytes.span
        return featureIndex(span, in: 0..<span.count)
    }

    /// Whether an outcome is positive, by the schema's label rule. A bool is its own answer.
    /// - Throws: the violation, under the label's column name.
    package func readLabel(_ input: FieldInput) throws(Violation) -> Bool {
        let reading: Bool?
        switch input {
        case .bool(let value): reading = value
        case .number(let value): reading = labelRule.read(number: value)
        case .text(let text):
            let bytes = Array(text.utf8)
            let span = bytes.span
            let range = DecimalText.trimmed(span, 0..<span.count)
            if isAlwaysMissing(span, range) { throw Violation(schema.label.column, .missingLabel) }
            reading = labelRule.read(span, range)
        case .missing: throw Violation(schema.label.column, .missingLabel)
        }
        guard let reading else { throw Violation(schema.label.column, .unreadableLabel) }
        return reading
    }

    /// Whether numbers, one for each feature of one row after another, are valid rows as they stand. False may also mean
    /// that one must look closer: at what is missing, at codes, at a negative zero.
    package func arePlainRows(_ numbers: [Double]) -> Bool {
        guard let bounds, numbers.count % bounds.lower.count == 0 else { return false }
        guard areWithin(numbers, lower: bounds.lower, upper: bounds.upper) else { return false }
        let values = numbers.span
        for index in values.indices where values[index].bitPattern == 1 << 63 { return false }
        guard !bounds.whole.isEmpty else { return true }
        for start in stride(from: 0, to: values.count, by: bounds.lower.count) {
            for feature in bounds.whole where values[start + feature].rounded() != values[start + feature] { return false }
        }
        return true
    }

    /// Whether a number is a feature's valid value as it stands; false may also mean that one must look closer.
    func isPlain(_ number: Double, at feature: Int) -> Bool {
        guard let bounds else { return false }
        return number >= bounds.lower[feature] && number <= bounds.upper[feature] && number.bitPattern != 1 << 63
            && (bounds.whole.isEmpty || !features[feature].isInteger || number.rounded() == number)
    }

    private static func hash(_ text: borrowing Span<UInt8>, _ range: Range<Int>) -> Int {
        var hash: UInt32 = 2_166_136_261
        for index in range { hash = (hash ^ UInt32(text[index])) &* 16_777_619 }
        return Int(hash)
    }
}

/// What reading one field gave.
enum Reading {
    case value(Double)
    case missing
    case refused(Violation.Rule)
}

/// One feature's checks, ready to run over bytes, numbers or bools.
struct FeatureRule: Sendable {
    private enum Check: Sendable {
        case numeric(lower: Double, upper: Double, integer: Bool)
        case codes(CodeList)
    }
    private let check: Check
    private let missing: CodeList
    private let isBinary: Bool
    let allowsMissing: Bool

    init(_ feature: Feature, allowsMissing: Bool) {
        self.allowsMissing = allowsMissing
        missing = CodeList(feature.missingCodes)
        if case .binary = feature.kind { isBinary = true } else { isBinary = false }
        switch feature.kind {
        case .numeric(_, let range, let integer):
            check = .numeric(lower: range.lowerBound, upper: range.upperBound, integer: integer)
        case .categorical, .binary:
            check = .codes(CodeList(feature.codes ?? []))
        }
    }

    var isInteger: Bool { if case .numeric(_, _, true) = check { true } else { false } }

    /// What a number must be; nil for codes, and where a number may mean missing.
    var bounds: (lower: Double, upper: Double, integer: Bool)? {
        guard case .numeric(let lower, let upper, let integer) = check, !missing.hasNumbers else { return nil }
        return (lower, upper, integer)
    }

    /// A field of a file: text, spaces around it ignored.
    func read(_ text: borrowing Span<UInt8>, _ whole: Range<Int>) -> Reading {
        let range = DecimalText.trimmed(text, whole)
        if isAlwaysMissing(text, range) || missing.matchesText(text, range) { return .missing }
        switch check {
        case .codes(let codes):
            if let index = codes.index(text: text, range) { return .value(Double(index)) }
            guard codes.hasNumbers || missing.hasNumbers,
                let number = DecimalText.parse(text, in: range)
            else {
                return .refused(.unseenCategory)
            }
            return read(number: number)
        case .numeric:
            guard let number = DecimalText.parse(text, in: range) else {
                return .refused(.notANumber)
            }
            return read(number: number)
        }
    }

    /// A number, from a file or a request.
    func read(number: Double) -> Reading {
        guard number.isFinite else { return .refused(.notFinite) }
        if missing.index(number: number) != nil { return .missing }
        switch check {
        case .codes(let codes):
            return codes.index(number: number).map { .value(Double($0)) }
                ?? .refused(.unseenCategory)
        case .numeric(let lower, let upper, let integer):
            guard number >= lower && number <= upper else {
                return .refused(.outOfRange(lower: lower, upper: upper))
            }
            if integer && number.rounded() != number { return .refused(.notWhole) }
            return .value(number == 0 ? 0 : number)  // no negative zero
        }
    }

    /// A text of a request: as in a file, but a number must come as a number.
    func read(requestText text: borrowing Span<UInt8>, _ range: Range<Int>) -> Reading {
        let reading = read(text, range)
        if case .numeric = check, case .missing = reading { return .missing }
        if case .numeric = check { return .refused(.wrongType) }
        return reading
    }

    /// A bool of a request: only for binary features.
    func read(bool: Bool) -> Reading {
        isBinary ? .value(bool ? 1 : 0) : .refused(.wrongType)
    }
}

/// The label's rule, ready to run. nil means that the value is not a label.
struct LabelRule: Sendable {
    private enum Check: Sendable {
        case equals(positive: CodeList, negative: CodeList)
        case greaterThan(Double, lower: Double, upper: Double)
    }
    private let check: Check

    init(_ label: Label) {
        switch label.positive {
        case .equals(let codes):
            check = .equals(positive: CodeList(codes), negative: CodeList(label.negative))
        case .greaterThan(let bound):
            let limit = TabularLimits.rangeMagnitudeMax
            check = .greaterThan(
                bound, lower: label.range?.lowerBound ?? -limit,
                upper: label.range?.upperBound ?? limit)
        }
    }

    func read(_ text: borrowing Span<UInt8>, _ range: Range<Int>) -> Bool? {
        if case .equals(let positive, let negative) = check {
            if positive.index(text: text, range) != nil { return true }
            if negative.matchesText(text, range) { return false }
            guard let number = DecimalText.parse(text, in: range) else {
                return negative.isEmpty ? false : nil
            }
            return read(number: number)
        }
        return DecimalText.parse(text, in: range).flatMap { read(number: $0) }
    }

    func read(number: Double) -> Bool? {
        guard number.isFinite else { return nil }
        switch check {
        case .equals(let positive, let negative):
            if positive.index(number: number) != nil { return true }
            if negative.isEmpty || negative.index(number: number) != nil { return false }
            return nil
        case .greaterThan(let bound, let lower, let upper):
            return number >= lower && number <= upper ? number > bound : nil
        }
    }
}

/// Codes to compare with: as bytes, and as numbers where they are numbers.
struct CodeList: Sendable {
    private let texts: [[UInt8]]
    private let numbers: [Double]
    let hasNumbers: Bool
    var isEmpty: Bool { texts.isEmpty }

    init(_ codes: [String]) {
        texts = codes.map { Array($0.utf8) }
        numbers = codes.map { DecimalText.parse($0) ?? .nan }
        hasNumbers = numbers.contains { !$0.isNaN }
    }

    func index(text: borrowing Span<UInt8>, _ range: Range<Int>) -> Int? {
        for index in texts.indices where equal(text, range, texts[index]) { return index }
        return nil
    }

    func matchesText(_ text: borrowing Span<UInt8>, _ range: Range<Int>) -> Bool {
        !texts.isEmpty && index(text: text, range) != nil
    }

    func index(number: Double) -> Int? {
        guard hasNumbers else { return nil }
        return numbers.firstIndex(of: number)  // NaN, a code that is no number, equals nothing
    }
}

/// The empty field and `?` are missing in every column.
func isAlwaysMissing(_ text: borrowing Span<UInt8>, _ range: Range<Int>) -> Bool {
    range.isEmpty || (range.count == 1 && text[range.lowerBound] == 0x3F)
}

func equal(_ text: borrowing Span<UInt8>, _ range: Range<Int>, _ other: [UInt8]) -> Bool {
    guard range.count == other.count else { return false }
    let base = range.lowerBound
    for index in other.indices where text[base + index] != other[index] { return false }
    return true
}
