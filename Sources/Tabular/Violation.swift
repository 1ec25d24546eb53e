/// One way in which a row breaks the schema: which feature or column, and which rule. Never the value.
package struct Violation: Error, Equatable, Hashable, Sendable, CustomStringConvertible {
    /// The feature's (in a request) or column's (in a file) name.
    package var name: String
    package var rule: Rule

    /// The rules a row can break.
    package enum Rule: Equatable, Hashable, Sendable, CustomStringConvertible {
        case missing
        case notANumber
        case notFinite
        case notWhole
        case outOfRange(lower: Double, upper: Double)
        case unseenCategory
        case wrongType
        case unknownFeature
        case givenTwice
        case missingLabel
        case unreadableLabel
        case fieldCount(expected: Int, found: Int)
        case malformed(CSVProblemOfRecord)

        package var description: String {
            switch self {
            case .missing: return "is missing and the schema does not allow that"
            case .notANumber: return "is not a number"
            case .notFinite: return "is not a finite number"
            case .notWhole: return "must be a whole number"
            case .outOfRange(let lower, let upper):
                return "is outside the range \(plain(lower)) to \(plain(upper))"
            case .unseenCategory: return "is none of the schema's categories"
            case .wrongType: return "has the wrong type"
            case .unknownFeature: return "is not a feature of the schema"
            case .givenTwice: return "is given twice"
            case .missingLabel: return "has no label"
            case .unreadableLabel: return "holds a label that the schema does not know"
            case .fieldCount(let expected, let found):
                return "has \(found) fields instead of \(expected)"
            case .malformed(let problem): return problem.description
            }
        }

        /// A short fixed word for counters and JSON.
        package var code: String {
            switch self {
            case .missing: return "missing"
            case .notANumber: return "not-a-number"
            case .notFinite: return "not-finite"
            case .notWhole: return "not-whole"
            case .outOfRange: return "out-of-range"
            case .unseenCategory: return "unseen-category"
            case .wrongType: return "wrong-type"
            case .unknownFeature: return "unknown-feature"
            case .givenTwice: return "given-twice"
            case .missingLabel: return "missing-label"
            case .unreadableLabel: return "unreadable-label"
            case .fieldCount: return "field-count"
            case .malformed: return "malformed"
            }
        }
    }

    /// The problems of a single CSV record, as a row's violation.
    package enum CSVProblemOfRecord: Equatable, Hashable, Sendable, CustomStringConvertible {
        case strayQuote, textAfterQuote, nulByte, invalidUTF8

        init?(_ problem: CSVProblem) {
            switch problem {
            case .strayQuote: self = .strayQuote
            case .textAfterQuote: self = .textAfterQuote
            case .nulByte: self = .nulByte
            case .invalidUTF8: self = .invalidUTF8
            default: return nil
            }
        }

        package var description: String {
            switch self {
            case .strayQuote: return "holds " + CSVProblem.strayQuote.description
            case .textAfterQuote: return "holds " + CSVProblem.textAfterQuote.description
            case .nulByte: return "holds " + CSVProblem.nulByte.description
            case .invalidUTF8: return "holds " + CSVProblem.invalidUTF8.description
            }
        }
    }

    package init(_ name: String, _ rule: Rule) {
        self.name = name
        self.rule = rule
    }

    package var description: String { "\(name) \(rule)" }
}

/// A row that was refused, with every reason that was found.
package struct RowRefused: Error, Equatable, Sendable, CustomStringConvertible {
    package var violations: [Violation]
    package var description: String { violations.map(\.description).joined(separator: "; ") }
    package init(_ violations: [Violation]) { self.violations = violations }
}

/// A number without a needless ".0": schema bounds in messages.
func plain(_ number: Double) -> String {
    guard number.rounded() == number, abs(number) < 1e15 else { return "\(number)" }
    return "\(Int(number))"
}

/// A name that came from outside, made safe to print: short, printable ASCII, or a placeholder.
func printableName(_ name: String) -> String {
    let isPlain =
        name.utf8.count <= 64 && !name.isEmpty && name.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F }
    return isPlain ? name : "(unprintable name)"
}
