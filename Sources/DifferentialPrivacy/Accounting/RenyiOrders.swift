/// The orders α at which Rényi divergences are kept, in tenths so that they compare exactly.
package enum RenyiOrders {
    /// 2 to 64, then 128, 256, 512.
    package static let integers = Array(2...64).map { $0 * 10 } + [1280, 2560, 5120]
    /// 1.1 to 10.9 in steps of 0.1, then 12 to 63: the grid of Opacus.
    package static let opacus = Array(11...109) + Array(12...63).map { $0 * 10 }
    /// Both grids together, rising: what this program reports and what the ledger keeps.
    package static let all = Set(integers + opacus).sorted()
    /// `all` as numbers.
    package static let values = all.map(RenyiOrders.value)

    /// The order that so many tenths are.
    package static func value(_ tenths: Int) -> Double { Double(tenths) / 10 }

    /// The largest order.
    static let orderMax = 512

    /// Tenths up to which orders that are no integers occur.
    static let lastFraction = 109
}
