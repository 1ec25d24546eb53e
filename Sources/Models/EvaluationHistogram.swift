// Evaluation as counts, so that it can go through a secure sum like everything else that leaves a site.
//
// Layout, one block for all rows and then one for each group in the order of `EvaluationLayout.groups`:
//
//     negatives per bin [bins]   positives per bin [bins]   true positives   false positives   log loss   Brier
//
// A bin holds the rows whose probability p has ⌊p · bins⌋ equal to its index (p = 1 in the last). Group blocks have
// `groupBins` bins. The two decision counts are taken at the exact threshold, which need not lie between bins. The two
// losses are integers too, in units of 1/`lossUnits` per row, so that a sum over sites is exact in any order.
//
// A site may send the counts themselves, or each as a share of its rows: all entries of `shares` lie in [0, 1], and
// the row-weighted mean of the sites' shares times the total rows is the sum of the counts.

import Kernels

/// What is counted, agreed before the round.
package struct EvaluationLayout: Equatable, Sendable {
    /// Score bins over all rows, 2 to 10,000.
    package let bins: Int
    /// Score bins of each group.
    package let groupBins: Int
    /// A row is decided positive when its probability is at or above this.
    package let threshold: Double
    /// Names of sensitive groups, such as `sex=1`; a row may be in any number of them.
    package let groups: [String]

    /// The largest log loss of one row: probabilities are clipped at `Metrics.probabilityMin`.
    package static let rowLossMax = 16.2
    /// Units of the two loss entries per row.
    package static let lossUnits = 1_048_576.0

    /// - Throws: `ModelsError.shape` when a number is outside its limits.
    package init(
        bins: Int = 1000, threshold: Double = 0.5, groups: [String] = [], groupBins: Int = 100
    ) throws(ModelsError) {
        guard (2...ModelsLimits.binsMax).contains(bins),
            (2...ModelsLimits.binsMax).contains(groupBins)
        else {
            throw .shape("an evaluation has 2 to \(ModelsLimits.binsMax) bins")
        }
        guard groups.count <= ModelsLimits.groupsMax, Set(groups).count == groups.count else {
            throw .shape(
                "an evaluation has at most \(ModelsLimits.groupsMax) groups, each named once")
        }
        guard threshold > 0, threshold < 1 else {
            throw .shape("the threshold lies between 0 and 1")
        }
        self.bins = bins
        self.groupBins = groupBins
        self.threshold = threshold
        self.groups = groups
    }

    /// Entries of the vector.
    package var count: Int { block(bins) + groups.count * block(groupBins) }

    func block(_ bins: Int) -> Int { 2 * bins + 4 }

    /// Start and bins of the block of all rows (nil) or of a group.
    func place(_ group: Int?) -> (start: Int, bins: Int) {
        guard let group else { return (0, bins) }
        return (block(bins) + group * block(groupBins), groupBins)
    }

    /// The entries that hold losses in units.
    var lossIndices: [Int] {
        ([nil] + groups.indices.map(Optional.some)).flatMap { group in
            let (start, bins) = place(group)
            return [start + 2 * bins + 2, start + 2 * bins + 3]
        }
    }
}

/// Counts of one site, or the sum over sites.
package struct EvaluationHistogram: Equatable, Sendable {
    package let layout: EvaluationLayout
    /// The vector of the layout, every entry 0 or more.
    package private(set) var counts: [Int]
    /// Rows counted.
    package private(set) var rows: Int

    /// No rows.
    package init(layout: EvaluationLayout) {
        self.layout = layout
        counts = [Int](repeating: 0, count: layout.count)
        rows = 0
    }

    /// Counts scored rows.
    ///
    /// - Parameters:
    ///   - scores: probabilities in [0, 1].
    ///   - labels: 0 or 1 for each.
    ///   - groups: for each group of the layout, whether each row is in it.
    /// - Throws: `ModelsError.shape` for unequal counts, `.notFinite` for a score that is not a probability.
    package init(layout: EvaluationLayout, scores: [Float], labels: [Float], groups: [[Bool]] = [])
        throws(ModelsError)
    {
        guard scores.count == labels.count, groups.count == layout.groups.count,
            groups.allSatisfy({ $0.count == scores.count })
        else { throw .shape("scores, labels and group memberships differ in count") }
        guard scores.allSatisfy({ $0 >= 0 && $0 <= 1 }) else { throw .notFinite("a score") }
        self.init(layout: layout)
        rows = scores.count
        for row in scores.indices {
            add(scores[row], labels[row], to: nil)
            for group in groups.indices where groups[group][row] {
                add(scores[row], labels[row], to: group)
            }
        }
    }

    private mutating func add(_ score: Float, _ label: Float, to group: Int?) {
        let (start, bins) = layout.place(group)
        let bin = min(bins - 1, Int(Double(score) * Double(bins)))
        let isPositive = label > 0.5
        counts[start + (isPositive ? bins : 0) + bin] += 1
        if Double(score) >= layout.threshold {
            counts[start + 2 * bins + (isPositive ? 0 : 1)] += 1
        }
        let loss = Metrics.rowLogLoss(score, label) / EvaluationLayout.rowLossMax
        let distance = Double(score) - Double(label)
        counts[start + 2 * bins + 2] += Int((loss * EvaluationLayout.lossUnits).rounded())
        counts[start + 2 * bins + 3] += Int(
            (distance * distance * EvaluationLayout.lossUnits).rounded())
    }

    /// The sum of two sites' counts.
    package static func + (left: EvaluationHistogram, right: EvaluationHistogram)
        -> EvaluationHistogram
    {
        precondition(left.layout == right.layout, "histograms of different layouts")
        var sum = left
        for index in sum.counts.indices { sum.counts[index] += right.counts[index] }
        sum.rows += right.rows
        return sum
    }
}

extension EvaluationHistogram {
    /// Each entry as a share of the site's rows, in [0, 1] (the losses in their units). Zeros without rows.
    package var shares: [Double] {
        guard rows > 0 else { return [Double](repeating: 0, count: counts.count) }
        var shares = counts.map { Double($0) / Double(rows) }
        for index in layout.lossIndices { shares[index] /= EvaluationLayout.lossUnits }
        return shares
    }

    /// The sum over sites from the row-weighted mean of their `shares`. Counts are rounded to the nearest whole, which
    /// undoes the rounding of a fixed-point sum; where that was coarse (many sites of a million rows), the bins may miss the
    /// total by up to one row in `roundingShare`.
    /// - Throws: `ModelsError.impossibleCounts` when the sum cannot come from that many rows.
    package init(layout: EvaluationLayout, meanShares: [Double], rows: Int) throws(ModelsError) {
        guard meanShares.count == layout.count else {
            throw .impossibleCounts(
                "\(meanShares.count) entries where the layout has \(layout.count)")
        }
        // A share is at most 1; rounding may carry one a little above it.
        guard (0...KernelsLimits.rowsMax).contains(rows), meanShares.allSatisfy({ abs($0) <= 2 })
        else {
            throw .impossibleCounts("a total of \(rows) rows, or an entry that is not a share")
        }
        var scaled = meanShares.map { $0 * Double(rows) }
        for index in layout.lossIndices { scaled[index] *= EvaluationLayout.lossUnits }
        let counts = scaled.map { max(0, Int($0.rounded())) }
        try self.init(
            layout: layout, counts: counts, rows: rows, tolerance: max(1, rows / Self.roundingShare)
        )
    }

    /// The sum over sites from summed counts.
    /// - Throws: `ModelsError.impossibleCounts` when an entry is negative or the bins do not hold `rows` rows.
    package init(layout: EvaluationLayout, counts: [Int], rows: Int) throws(ModelsError) {
        try self.init(layout: layout, counts: counts, rows: rows, tolerance: 0)
    }

    /// Rows of which one may be lost to fixed-point rounding.
    package static let roundingShare = 1000

    private init(layout: EvaluationLayout, counts: [Int], rows: Int, tolerance: Int)
        throws(ModelsError)
    {
        self.init(layout: layout)
        guard counts.count == layout.count else {
            throw .impossibleCounts("\(counts.count) entries where the layout has \(layout.count)")
        }
        guard counts.allSatisfy({ $0 >= 0 }) else { throw .impossibleCounts("a negative count") }
        var binned = 0
        for count in counts[0..<2 * layout.bins] {
            let (sum, overflow) = binned.addingReportingOverflow(count)
            guard !overflow else { throw .impossibleCounts("counts beyond any number of rows") }
            binned = sum
        }
        guard rows >= 0, (rows - min(rows, tolerance)...rows + tolerance).contains(binned) else {
            throw .impossibleCounts("the bins hold \(binned) rows, the sum names \(rows)")
        }
        self.counts = counts
        self.rows = rows
    }
}
