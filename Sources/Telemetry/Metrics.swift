// Counters, gauges and histograms, and their Prometheus text form (exposition format 0.0.4).
// Label values are identifiers from closed lists (a version, a reason, a route), never data.

/// The metrics of one process.
package final class Metrics: Sendable {
    private struct Family {
        var help: String
        var kind: String
        var series: [String: Series] = [:]
    }

    private enum Series {
        case number(Double)
        case histogram(counts: [UInt64], sum: Double)
    }

    private struct State {
        var families: [String: Family] = [:]
        var bounds: [String: [Double]] = [:]
    }

    /// Series of one family; more are dropped, so that a label taken from input cannot fill memory.
    package static let seriesMax = 1000
    private let state = Locked(State())

    /// No metrics yet.
    package init() {}

    /// Adds to a counter.
    package func count(_ name: String, _ labels: [(String, String)] = [], by amount: Double = 1, help: String = "") {
        change(name, "counter", labels, help) { old in
            if case .number(let value)? = old { .number(value + amount) } else { .number(amount) }
        }
    }

    /// Sets a gauge.
    package func set(_ name: String, _ labels: [(String, String)] = [], to value: Double, help: String = "") {
        change(name, "gauge", labels, help) { _ in .number(value) }
    }

    /// Seconds from 50 µs to 10 s.
    package static let latencyBounds: [Double] = [
        0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
    ]

    /// Records a value in a histogram; its bounds are fixed by the first call.
    package func observe(
        _ name: String, _ labels: [(String, String)] = [], _ value: Double, bounds: [Double] = Metrics.latencyBounds, help: String = ""
    ) {
        state.withLock { state in
            if state.bounds[name] == nil { state.bounds[name] = bounds }
            let bounds = state.bounds[name] ?? bounds
            var family = state.families[name] ?? Family(help: help, kind: "histogram")
            let key = render(labels)
            guard family.series[key] != nil || family.series.count < Metrics.seriesMax else { return }
            var counts = [UInt64](repeating: 0, count: bounds.count + 1)
            var sum = 0.0
            if case .histogram(let old, let oldSum)? = family.series[key] { (counts, sum) = (old, oldSum) }
            counts[bounds.firstIndex { value <= $0 } ?? bounds.count] += 1
            family.series[key] = .histogram(counts: counts, sum: sum + value)
            state.families[name] = family
        }
    }

    /// The value of a counter or gauge; nil when it was never touched.
    package func value(_ name: String, _ labels: [(String, String)] = []) -> Double? {
        state.withLock { state in
            if case .number(let value)? = state.families[name]?.series[render(labels)] { value } else { nil }
        }
    }

    /// All metrics as Prometheus text, in order of name and labels.
    package func prometheusText() -> String {
        state.withLock { state in
            var text = ""
            for name in state.families.keys.sorted() {
                guard let family = state.families[name] else { continue }
                if !family.help.isEmpty { text += "# HELP \(name) \(family.help)\n" }
                text += "# TYPE \(name) \(family.kind)\n"
                for labels in family.series.keys.sorted() {
                    guard let series = family.series[labels] else { continue }
                    text += write(name, labels, series, state.bounds[name] ?? [])
                }
            }
            return text
        }
    }

    private func change(
        _ name: String, _ kind: String, _ labels: [(String, String)], _ help: String, _ next: (Series?) -> Series
    ) {
        state.withLock { state in
            var family = state.families[name] ?? Family(help: help, kind: kind)
            let key = render(labels)
            guard family.series[key] != nil || family.series.count < Metrics.seriesMax else { return }
            family.series[key] = next(family.series[key])
            state.families[name] = family
        }
    }

    private func render(_ labels: [(String, String)]) -> String {
        labels.map { "\($0.0)=\"\(escape($0.1))\"" }.joined(separator: ",")
    }

    private func escape(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }

    private func write(_ name: String, _ labels: String, _ series: Series, _ bounds: [Double]) -> String {
        let own = labels.isEmpty ? "" : "{\(labels)}"
        switch series {
        case .number(let value): return "\(name)\(own) \(plain(value))\n"
        case .histogram(let counts, let sum):
            var text = ""
            var total: UInt64 = 0
            let prefix = labels.isEmpty ? "" : labels + ","
            for (index, count) in counts.enumerated() {
                total += count
                let bound = index < bounds.count ? plain(bounds[index]) : "+Inf"
                text += "\(name)_bucket{\(prefix)le=\"\(bound)\"} \(total)\n"
            }
            return text + "\(name)_sum\(own) \(sum)\n\(name)_count\(own) \(total)\n"
        }
    }

    private func plain(_ value: Double) -> String {
        if let whole = Int64(exactly: value) { return String(whole) }
        return "\(value)"
    }
}
