// Counters, gauges and histograms, and their Prometheus text form (exposition format 0.0.4).
// Label values are identifiers from closed lists (a version, a reason, a route), never data.

/// The metrics of one process. Hot paths keep the series that `counter`, `gauge` and `histogram` give;
/// elsewhere `count`, `set` and `observe` look it up by name each time (about a microsecond).
package final class Metrics: Sendable {
    private struct Family {
        var kind: String
        var help: String
        var bounds: [Double] = []
        /// By rendered labels.
        var series: [String: any MetricSeries] = [:]
    }

    /// Series of one family; more are counted in `consilium_metric_series_dropped_total` and not shown, so
    /// that a label taken from input cannot fill memory.
    package static let seriesMax = 1000

    /// Seconds from 50 µs to 10 s.
    package static let latencyBounds: [Double] = [
        0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
        1, 2.5, 5, 10,
    ]

    private let families = Locked<[String: Family]>([:])

    /// No metrics yet.
    package init() {}

    /// The counter of these labels, made at the first call.
    ///
    /// - Parameters:
    ///   - name: in the Prometheus form, ending in `_total`.
    ///   - help: a sentence; the first one that is not empty counts.
    package func counter(_ name: String, _ labels: [(String, String)] = [], help: String = "")
        -> Counter
    {
        series(name, "counter", labels, help, []) { _ in Counter() }
    }

    /// The gauge of these labels, made at the first call.
    package func gauge(_ name: String, _ labels: [(String, String)] = [], help: String = "")
        -> Gauge
    {
        series(name, "gauge", labels, help, []) { _ in Gauge() }
    }

    /// The histogram of these labels, made at the first call.
    ///
    /// - Parameter bounds: upper ends of its buckets, ascending; the family's first call sets them.
    package func histogram(
        _ name: String, _ labels: [(String, String)] = [], bounds: [Double] = Metrics.latencyBounds,
        help: String = ""
    ) -> Histogram {
        precondition(
            zip(bounds, bounds.dropFirst()).allSatisfy(<), "the bounds of a histogram must ascend")
        return series(name, "histogram", labels, help, bounds) { Histogram(bounds: $0) }
    }

    /// Adds to a counter.
    package func count(
        _ name: String, _ labels: [(String, String)] = [], by amount: Double = 1, help: String = ""
    ) {
        counter(name, labels, help: help).add(amount)
    }

    /// Sets a gauge.
    package func set(
        _ name: String, _ labels: [(String, String)] = [], to value: Double, help: String = ""
    ) {
        gauge(name, labels, help: help).set(value)
    }

    /// Records a value in a histogram.
    package func observe(
        _ name: String, _ labels: [(String, String)] = [], _ value: Double,
        bounds: [Double] = Metrics.latencyBounds, help: String = ""
    ) {
        histogram(name, labels, bounds: bounds, help: help).observe(value)
    }

    /// The value of a counter or gauge, or the count of a histogram; nil when it was never touched.
    package func value(_ name: String, _ labels: [(String, String)] = []) -> Double? {
        families.withLock { $0[name]?.series[render(labels)] }?.number
    }

    /// All metrics as Prometheus text, in order of name and labels.
    package func prometheusText() -> String {
        let all = families.withLock { $0 }
        var text = ""
        for (name, family) in all.sorted(by: { $0.key < $1.key }) {
            if !family.help.isEmpty {
                text += "# HELP \(name) \(escaped(family.help, quotes: false))\n"
            }
            text += "# TYPE \(name) \(family.kind)\n"
            for (labels, series) in family.series.sorted(by: { $0.key < $1.key }) {
                text += series.lines(name, labels)
            }
        }
        return text
    }

    private func series<Series: MetricSeries>(
        _ name: String, _ kind: String, _ labels: [(String, String)], _ help: String,
        _ bounds: [Double],
        _ make: ([Double]) -> Series
    ) -> Series {
        let key = render(labels)
        let found: Series? = families.withLock { families in
            if families[name] == nil {
                precondition(
                    isName(name, colon: true), "a metric has a name that Prometheus does not know")
                families[name] = Family(kind: kind, help: help, bounds: bounds)
            }
            if !help.isEmpty, families[name]?.help == "" { families[name]?.help = help }
            if let old = families[name]?.series[key] {
                guard let series = old as? Series else {
                    preconditionFailure("metric \(name) is used as a \(kind) and as another kind")
                }
                return series
            }
            guard let family = families[name], family.series.count < Metrics.seriesMax else {
                return nil
            }
            precondition(
                family.kind == kind, "metric \(name) is used as a \(kind) and as a \(family.kind)")
            precondition(
                labels.allSatisfy { isName($0.0, colon: false) },
                "a label of metric \(name) has a name that Prometheus does not know")
            let series = make(family.bounds)
            families[name]?.series[key] = series
            return series
        }
        if let found { return found }
        count(
            "consilium_metric_series_dropped_total", [("family", name)],
            help: "Values of families with too many series")
        return make(bounds)
    }

    private func render(_ labels: [(String, String)]) -> String {
        if labels.isEmpty { return "" }
        return labels.map { "\($0.0)=\"\(escaped($0.1, quotes: true))\"" }.joined(separator: ",")
    }

    private func escaped(_ text: String, quotes: Bool) -> String {
        guard text.utf8.contains(where: { $0 == 0x5c || $0 == 0x0a || $0 == 0x22 }) else {
            return text
        }
        let lines = text.replacing("\\", with: "\\\\").replacing("\n", with: "\\n")
        return quotes ? lines.replacing("\"", with: "\\\"") : lines
    }

    private func isName(_ text: String, colon: Bool) -> Bool {
        guard let first = text.utf8.first, !(0x30...0x39 ~= first) else { return false }
        return text.utf8.allSatisfy { byte in
            0x61...0x7a ~= byte | 0x20 || 0x30...0x39 ~= byte || byte == 0x5f
                || (colon && byte == 0x3a)
        }
    }
}
