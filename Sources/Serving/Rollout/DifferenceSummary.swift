import Codec

/// What two versions said of the same row.
struct PairedScore: Equatable, Sendable {
    /// Probability of the live version.
    var live: Double
    /// Probability of the other one; nil when it is no number.
    var other: Double?
    /// Whether they decide differently.
    var flips: Bool
    /// Whether the other one took longer than allowed.
    var isSlow = false
}

/// How far two versions are apart on the rows that both scored. Counts and sums only, no row.
struct DifferenceSummary: Equatable, Sendable {
    /// Upper ends of the bins of |difference of probabilities|.
    static let bounds = [0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]

    private(set) var rows = 0
    /// Rows on which the other version gave no usable score.
    private(set) var errors = 0
    private(set) var flips = 0
    private(set) var counts = [Int](repeating: 0, count: bounds.count)
    private var sum = 0.0
    private var absoluteSum = 0.0
    private(set) var largest = 0.0

    mutating func observe(_ pair: PairedScore) {
        rows += 1
        guard let other = pair.other else {
            errors += 1
            return
        }
        let difference = other - pair.live
        if pair.flips { flips += 1 }
        sum += difference
        absoluteSum += abs(difference)
        largest = max(largest, abs(difference))
        counts[Self.bounds.firstIndex { abs(difference) <= $0 } ?? Self.bounds.count - 1] += 1
    }

    private var scored: Double { Double(max(1, rows - errors)) }
    /// Mean of other minus live.
    var mean: Double { sum / scored }

    /// - Parameter number: how fractions are written.
    func members(_ number: (Double) -> JSONValue) -> [String: JSONValue] {
        [
            "rows": .integer(Int64(rows)), "errors": .integer(Int64(errors)), "flips": .integer(Int64(flips)),
            "mean_difference": number(mean), "mean_absolute_difference": number(absoluteSum / scored), "largest_difference": number(largest),
            "histogram": .array(
                zip(Self.bounds, counts).map { ["at_most": number($0), "rows": .integer(Int64($1))] }),
        ]
    }
}
