// Rényi differential privacy as numbers: one divergence per order, added up over steps, then turned into ε or δ.
// Mironov 2017; the conversion is Proposition 12 of Canonne, Kamath and Steinke 2020.

import Glibc

/// Rényi divergence at each order of `RenyiOrders.all`; curves add when mechanisms follow one another.
package struct RenyiCurve: Equatable, Sendable {
    /// ε(α) for each order of `RenyiOrders.all`; infinite where there is no bound.
    package private(set) var divergences: [Double]

    /// Nothing spent.
    package static let zero = RenyiCurve(divergences: [Double](repeating: 0, count: RenyiOrders.all.count))

    /// - Parameter divergences: one number, not negative, per order of `RenyiOrders.all`.
    package init(divergences: [Double]) {
        precondition(divergences.count == RenyiOrders.all.count, "a curve has one divergence per order")
        self.divergences = divergences
    }

    /// The divergence at an order given in tenths; nil when the order is not kept.
    package subscript(tenths tenths: Int) -> Double? {
        RenyiOrders.all.firstIndex(of: tenths).map { divergences[$0] }
    }

    /// `count` times one more curve.
    package mutating func add(_ other: RenyiCurve, times count: Int = 1) {
        for index in divergences.indices { divergences[index] += Double(count) * other.divergences[index] }
    }

    /// The least ε of all orders.
    package struct Bound: Equatable, Sendable {
        /// ε, or δ.
        package let value: Double
        /// The order that gave it, in tenths.
        package let order: Int
    }

    /// ε at δ: min over α of ε(α) + log(1 − 1/α) − log(δα)/(α − 1), not below 0.
    ///
    /// - Parameters:
    ///   - delta: in `PrivacyLimits.delta`.
    ///   - orders: tenths, a subset of `RenyiOrders.all`.
    /// - Throws: `PrivacyParameterError` for a δ out of range.
    package func epsilon(delta: Double, orders: [Int] = RenyiOrders.all) throws(PrivacyParameterError) -> Bound {
        try PrivacyLimits.check(delta: delta)
        let best = least(orders) { order, divergence in
            divergence + log1p(-1 / order) - log(delta * order) / (order - 1)
        }
        return Bound(value: max(0, best.value), order: best.order)
    }

    /// δ at ε: min over α of exp((α − 1)(ε(α) + log(1 − 1/α) − ε)) / α, at most 1.
    package func delta(epsilon: Double, orders: [Int] = RenyiOrders.all) -> Bound {
        let best = least(orders) { order, divergence in
            (order - 1) * (divergence + log1p(-1 / order) - epsilon) - log(order)
        }
        return Bound(value: min(1, exp(best.value)), order: best.order)
    }

    private func least(_ orders: [Int], _ bound: (Double, Double) -> Double) -> Bound {
        var best = Bound(value: .infinity, order: RenyiOrders.all[0])
        let wanted = Set(orders)
        for (index, tenths) in RenyiOrders.all.enumerated() where wanted.contains(tenths) {
            let value = bound(RenyiOrders.value(tenths), divergences[index])
            if value < best.value { best = Bound(value: value, order: tenths) }
        }
        return best
    }
}
