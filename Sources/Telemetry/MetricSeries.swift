/// What a family holds per set of labels.
protocol MetricSeries: AnyObject, Sendable {
    /// The value, or the count of values.
    var number: Double { get }
    /// Its lines in the Prometheus text form.
    func lines(_ name: String, _ labels: String) -> String
}

/// A number that only grows.
package final class Counter: MetricSeries {
    private let total = Locked(0.0)

    /// Adds an amount, which is not negative. Cost: some 20 ns.
    package func add(_ amount: Double = 1) {
        precondition(amount >= 0, "a counter never falls")
        total.withLock { $0 += amount }
    }

    /// The sum so far.
    package var value: Double { total.withLock { $0 } }

    var number: Double { value }
    func lines(_ name: String, _ labels: String) -> String {
        "\(name)\(braced(labels)) \(plain(value))\n"
    }
}

/// A number that goes up and down.
package final class Gauge: MetricSeries {
    private let present = Locked(0.0)

    /// Sets it.
    package func set(_ value: Double) { present.withLock { $0 = value } }

    /// Changes it by an amount.
    package func add(_ amount: Double) { present.withLock { $0 += amount } }

    /// The present value.
    package var value: Double { present.withLock { $0 } }

    var number: Double { value }
    func lines(_ name: String, _ labels: String) -> String {
        "\(name)\(braced(labels)) \(plain(value))\n"
    }
}

/// Counts of values by size.
package final class Histogram: MetricSeries {
    private struct State {
        var counts: [UInt64]
        var sum = 0.0
    }

    private let bounds: [Double]
    private let state: Locked<State>

    init(bounds: [Double]) {
        self.bounds = bounds
        state = Locked(State(counts: [UInt64](repeating: 0, count: bounds.count + 1)))
    }

    /// Records a value. Cost: some 30 ns.
    package func observe(_ value: Double) {
        let bucket = bounds.firstIndex { value <= $0 } ?? bounds.count
        state.withLock { state in
            state.counts[bucket] += 1
            state.sum += value
        }
    }

    var number: Double { Double(state.withLock { $0.counts.reduce(0, +) }) }

    func lines(_ name: String, _ labels: String) -> String {
        let state = state.withLock { $0 }
        let prefix = labels.isEmpty ? "" : labels + ","
        var text = ""
        var total: UInt64 = 0
        for (index, count) in state.counts.enumerated() {
            total += count
            let bound = index < bounds.count ? plain(bounds[index]) : "+Inf"
            text += "\(name)_bucket{\(prefix)le=\"\(bound)\"} \(total)\n"
        }
        return text
            + "\(name)_sum\(braced(labels)) \(plain(state.sum))\n\(name)_count\(braced(labels)) \(total)\n"
    }
}

private func braced(_ labels: String) -> String { labels.isEmpty ? "" : "{\(labels)}" }

private func plain(_ value: Double) -> String {
    if let whole = Int64(exactly: value) { return String(whole) }
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
    return value.description
}
