/// Rényi divergences as whole numbers of 10⁻¹², rounded up: what is hashed and added in the ledger, the same on
/// every machine.
package struct ChargedDivergences: Equatable, Sendable {
    /// One number per order of `RenyiOrders.all`; `unbounded` where there is no bound.
    package private(set) var units: [Int64]

    /// 2^53 − 1, the largest whole number that every JSON reader keeps: a divergence of 9,007 or more counts as no bound.
    package static let unbounded: Int64 = 9_007_199_254_740_991
    /// Divergence of one unit.
    static let unit = 1e-12
    /// Allowance for the round-off of the accountant, relative.
    static let allowance = 1e-9

    /// Nothing.
    package static let zero = ChargedDivergences(units: [Int64](repeating: 0, count: RenyiOrders.all.count))

    private init(units: [Int64]) { self.units = units }

    /// - Parameter curve: what a charge costs.
    package init(_ curve: RenyiCurve) {
        units = curve.divergences.map { divergence in
            let amount = (divergence * (1 + ChargedDivergences.allowance) / ChargedDivergences.unit).rounded(.up)
            return amount < Double(ChargedDivergences.unbounded) ? Int64(amount) : ChargedDivergences.unbounded
        }
    }

    /// - Returns: nil unless there is a number from 0 to `unbounded` for each order.
    package init?(units: [Int]) {
        guard units.count == RenyiOrders.all.count, units.allSatisfy({ 0...Int(ChargedDivergences.unbounded) ~= $0 }) else { return nil }
        self.units = units.map(Int64.init)
    }

    /// Adds; a sum that reaches `unbounded` stays there.
    package static func += (left: inout ChargedDivergences, right: ChargedDivergences) {
        for index in left.units.indices {
            left.units[index] = min(unbounded, left.units[index] + right.units[index])
        }
    }

    /// As an accountant's curve.
    package var curve: RenyiCurve {
        RenyiCurve(
            divergences: units.map {
                $0 == ChargedDivergences.unbounded ? .infinity : (Double($0) * ChargedDivergences.unit).nextUp
            })
    }
}
