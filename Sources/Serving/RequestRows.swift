// The rows of a request after validation: the values of the valid ones in one array, and why the others are refused.

import Tabular

/// One row of a request after validation.
enum RequestRow: Equatable, Sendable {
    /// `ValidRow.values`; NaN for missing.
    case valid([Double])
    case refused([RowViolation])
}

/// All rows of a request, in their order.
struct RequestRows: Sendable {
    /// A row that cannot be scored.
    struct Refused: Equatable, Sendable {
        /// Its place in the request.
        var place: Int
        var violations: [RowViolation]
    }

    /// Values of a valid row.
    let width: Int
    /// Values of the valid rows, one row after another; NaN for missing.
    private(set) var values: [Double] = []
    /// The other rows, in their order.
    private(set) var refused: [Refused] = []
    /// Rows in all.
    private(set) var count = 0

    init(width: Int) { self.width = width }

    /// Rows that are all valid.
    init(valid values: [Double], width: Int) {
        precondition(width > 0 && values.count % width == 0, "whole rows only")
        (self.width, self.values, count) = (width, values, values.count / width)
    }

    /// Rows that can be scored.
    var validCount: Int { count - refused.count }

    mutating func append(_ row: RequestRow) {
        switch row {
        case .valid(let values): append(valid: values)
        case .refused(let violations): refuse(violations)
        }
    }

    mutating func append(valid row: [Double]) {
        precondition(row.count == width, "a row of the schema")
        values += row
        count += 1
    }

    mutating func refuse(_ violations: [RowViolation]) {
        refused.append(Refused(place: count, violations: violations))
        count += 1
    }

    /// The values of one valid row.
    /// - Parameter number: of the valid rows only.
    func row(_ number: Int) -> [Double] { Array(values[number * width..<(number + 1) * width]) }

    /// Calls `body` with every row in order: the number among the valid ones, or why it is refused.
    func forEach(_ body: (_ place: Int, _ row: RowPlace) throws -> Void) rethrows {
        var next = refused.startIndex
        for place in 0..<count {
            if next < refused.endIndex, refused[next].place == place {
                try body(place, .refused(refused[next].violations))
                next += 1
            } else {
                try body(place, .valid(place - next))
            }
        }
    }

    /// Where a row of a request is.
    enum RowPlace {
        /// The number among the valid ones.
        case valid(Int)
        case refused([RowViolation])
    }
}
