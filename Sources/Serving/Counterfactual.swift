// The smallest change of a row that turns its class. Every change that is given back was scored by the version itself.
//
// The size of a change is |new − old| in standard deviations of the training rows for a number and 1 for another
// category. First each feature alone: numbers are followed in both directions over a grid and then by bisection,
// categories are tried one by one; the cheapest turn wins. If no feature does it alone, the change that moves the score
// furthest is kept and the search repeats, up to three features.

import Tabular

/// A row of the other class, near a given one.
struct Counterfactual: Equatable, Sendable {
    /// Changed features, in schema order, with their new values.
    var changes: [(feature: Int, value: Double)]
    /// The score of the changed row, log-odds.
    var score: Double
    var probability: Double
    /// Sum of the sizes of the changes.
    var distance: Double

    static func == (left: Counterfactual, right: Counterfactual) -> Bool {
        left.score == right.score && left.changes.count == right.changes.count
            && zip(left.changes, right.changes).allSatisfy { $0 == $1 }
    }
}

extension DeployedModel {
    private static let changesMax = 3
    private static let gridSteps = 32
    private static let bisections = 30

    /// A counterfactual of a valid row, or nil when the search finds none.
    /// - Parameter wish: which features may change. A missing value is never changed.
    /// - Cost: some hundred scores for each feature that may change, three times at most.
    func counterfactual(_ values: [Double], _ wish: CounterfactualWish) -> Counterfactual? {
        let features = package.schema.features
        var open = features.indices.filter { index in
            guard !values[index].isNaN else { return false }
            switch wish {
            case .nothing: return false
            case .anything: return !features[index].sensitive
            case .features(let names): return names.contains(features[index].name)
            }
        }
        let target = !score(values).positive
        var row = values
        for _ in 0..<Self.changesMax {
            var turn: (feature: Int, value: Double, cost: Double)?
            var push: (feature: Int, value: Double, score: Double)?
            for feature in open {
                for value in candidates(feature, row, target) {
                    var changed = row
                    changed[feature] = value
                    let result = score(changed)
                    let cost = size(feature, from: values[feature], to: value)
                    if result.positive == target {
                        if turn.map({ cost < $0.cost }) ?? true { turn = (feature, value, cost) }
                    } else if push.map({ target ? result.score > $0.score : result.score < $0.score }) ?? true {
                        push = (feature, value, result.score)
                    }
                }
            }
            if let turn {
                row[turn.feature] = turn.value
                return verified(row, from: values, target)
            }
            guard let push else { return nil }
            row[push.feature] = push.value
            open.removeAll { $0 == push.feature }
        }
        return nil
    }

    /// The change with its score, when the version gives the row the wanted class.
    private func verified(_ row: [Double], from values: [Double], _ target: Bool) -> Counterfactual? {
        let result = score(row)
        guard result.positive == target else { return nil }
        let changes = row.indices.filter { row[$0] != values[$0] && !row[$0].isNaN }
        return Counterfactual(
            changes: changes.map { ($0, row[$0]) }, score: result.score,
            probability: result.probability,
            distance: changes.reduce(0) { $0 + size($1, from: values[$1], to: row[$1]) })
    }

    /// Values of one feature worth a try: all other categories; of a number the nearest turn in both directions, or the
    /// ends of its range when there is none.
    private func candidates(_ feature: Int, _ row: [Double], _ target: Bool) -> [Double] {
        switch package.schema.features[feature].kind {
        case .binary: return [1 - row[feature]]
        case .categorical(let categories, _):
            return categories.indices.map(Double.init).filter { $0 != row[feature] }
        case .numeric(_, let range, let integer):
            return [range.lowerBound, range.upperBound].compactMap { end in
                turn(feature, row, towards: end, target, integer: integer)
            }
        }
    }

    private func turn(
        _ feature: Int, _ row: [Double], towards end: Double, _ target: Bool, integer: Bool
    ) -> Double? {
        let start = row[feature]
        guard start != end else { return nil }
        func turns(_ value: Double) -> Bool {
            var changed = row
            changed[feature] = value
            return score(changed).positive == target
        }
        var before = start
        var found: Double?
        for step in 1...Self.gridSteps {
            let value = start + (end - start) * Double(step) / Double(Self.gridSteps)
            if turns(value) {
                found = value
                break
            }
            before = value
        }
        guard var found else { return end }
        for _ in 0..<Self.bisections {
            let middle = (before + found) / 2
            if turns(middle) { found = middle } else { before = middle }
        }
        // Outward to a value that a person would write, if that still turns and stays in the range.
        for unit in integer ? [1.0] : [1, 0.1, 0.01, 0.001] {
            let rounded = (found / unit).rounded(end > start ? .up : .down) * unit
            let isInside = end > start ? rounded <= end : rounded >= end
            let isNear = abs(rounded - start) <= abs(found - start) * 1.05 + (integer ? 1 : 0)
            if isInside, isNear, turns(rounded) { return rounded }
        }
        return integer ? nil : found
    }

    private func size(_ feature: Int, from old: Double, to new: Double) -> Double {
        guard package.schema.features[feature].codes == nil else { return old == new ? 0 : 1 }
        return abs(new - old) / scale(of: feature)
    }

    /// The standard deviation that the preprocessor knows of a numeric feature.
    private func scale(of feature: Int) -> Double {
        for column in package.preprocessor.columns where column.feature == feature {
            if case .value = column.source { return max(column.scale, .leastNormalMagnitude) }
        }
        return 1
    }
}
