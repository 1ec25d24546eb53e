/// Adds up Rényi divergences over any sequence of events. It gates budgets: cheap, and composition is a sum.
///
/// Cost: a new mechanism some 0.1 ms, one that was seen before 0.2 µs.
package struct RenyiAccountant: Sendable {
    /// What all events together cost.
    package private(set) var total = RenyiCurve.zero
    private var known: [PrivacyEvent.Mechanism: RenyiCurve] = [:]

    /// Nothing spent yet.
    package init() {}

    /// - Parameter events: what has been spent.
    package init(_ events: [PrivacyEvent]) {
        for event in events { add(event) }
    }

    /// Adds one event.
    package mutating func add(_ event: PrivacyEvent) {
        total.add(curve(event.single), times: event.steps)
    }

    /// What one event costs, all its steps.
    package mutating func cost(of event: PrivacyEvent) -> RenyiCurve {
        var cost = RenyiCurve.zero
        cost.add(curve(event.single), times: event.steps)
        return cost
    }

    private mutating func curve(_ mechanism: PrivacyEvent.Mechanism) -> RenyiCurve {
        if let curve = known[mechanism] { return curve }
        let curve = RenyiCurve(step: mechanism)
        known[mechanism] = curve
        return curve
    }
}

extension RenyiCurve {
    /// One step of a mechanism.
    ///
    /// Below a sampling rate of 1, noise other than the Gaussian has bounds at integer orders only. Between them the
    /// chord of (α − 1)ε(α), a convex function of α that is 0 at 1, is a bound as well.
    init(step mechanism: PrivacyEvent.Mechanism) {
        let q = mechanism.samplingRate
        switch mechanism.noise {
        case .gaussian(let sigma) where q < 1:
            let fractions = SubsampledRenyi.gaussianFractions(samplingRate: q, noiseMultiplier: sigma)
            let growth = SubsampledRenyi.growth(through: RenyiOrders.orderMax) { Double($0 * ($0 - 1)) / (2 * sigma * sigma) }
            self.init(
                divergences: RenyiOrders.all.map { tenths in
                    tenths % 10 == 0
                        ? SubsampledRenyi.divergence(order: tenths / 10, samplingRate: q, growth: growth) : fractions[tenths - 11]
                })
        case .gaussian(let sigma):
            self.init(divergences: RenyiOrders.values.map { $0 / (2 * sigma * sigma) })
        case .discreteGaussian(let sigma):
            self.init(samplingRate: q) { $0 / (2 * sigma * sigma) }
        case .distributed(let noise):
            self.init(samplingRate: q, noise.divergence(order:))
        }
    }

    private init(samplingRate q: Double, _ divergence: (Double) -> Double) {
        guard q < 1 else {
            self.init(divergences: RenyiOrders.values.map(divergence))
            return
        }
        let growth = SubsampledRenyi.growth(through: RenyiOrders.orderMax) { Double($0 - 1) * divergence(Double($0)) }
        func sampled(_ order: Int) -> Double {
            order == 1 ? 0 : SubsampledRenyi.divergence(order: order, samplingRate: q, growth: growth)
        }
        self.init(
            divergences: RenyiOrders.all.map { tenths in
                guard tenths % 10 != 0 else { return sampled(tenths / 10) }
                let (below, share) = (tenths / 10, Double(tenths % 10) / 10)
                let chord =
                    (1 - share) * Double(below - 1) * sampled(below) + share * Double(below) * sampled(below + 1)
                return chord / (RenyiOrders.value(tenths) - 1)
            })
    }
}
