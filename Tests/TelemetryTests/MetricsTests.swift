import Testing

@testable import Telemetry

@Suite struct MetricsTests {
    @Test func writesThePrometheusTextForm() {
        let metrics = Metrics()
        metrics.count(
            "consilium_requests_total", [("status", "200"), ("route", "/v1/predict")],
            help: "Requests.")
        metrics.count(
            "consilium_requests_total", [("status", "200"), ("route", "/v1/predict")], by: 2)
        metrics.count("consilium_requests_total", [("status", "404"), ("route", "a\"b\\c\nd")])
        metrics.set("consilium_load", to: 0.5, help: "Line one\nline \\ two")
        let histogram = metrics.histogram("consilium_seconds", bounds: [0.1, 1])
        for value in [0.05, 0.1, 0.5, 7] { histogram.observe(value) }
        let expected = #"""
            # HELP consilium_load Line one\nline \\ two
            # TYPE consilium_load gauge
            consilium_load 0.5
            # HELP consilium_requests_total Requests.
            # TYPE consilium_requests_total counter
            consilium_requests_total{status="200",route="/v1/predict"} 3
            consilium_requests_total{status="404",route="a\"b\\c\nd"} 1
            # TYPE consilium_seconds histogram
            consilium_seconds_bucket{le="0.1"} 2
            consilium_seconds_bucket{le="1"} 3
            consilium_seconds_bucket{le="+Inf"} 4
            consilium_seconds_sum 7.65
            consilium_seconds_count 4

            """#
        #expect(metrics.prometheusText() == expected)
    }

    @Test func aSeriesIsOneThingHoweverItIsReached() {
        let metrics = Metrics()
        let counter = metrics.counter("a_total", [("x", "1")])
        counter.add(2)
        metrics.count("a_total", [("x", "1")])
        #expect(counter.value == 3 && metrics.counter("a_total", [("x", "1")]) === counter)
        #expect(metrics.value("a_total", [("x", "1")]) == 3 && metrics.value("a_total") == nil)
        let gauge = metrics.gauge("g")
        gauge.set(5)
        gauge.add(-7)
        #expect(metrics.value("g") == -2)
        metrics.observe("h", [("k", "v")], 0.2)
        metrics.observe("h", [("k", "w")], 0.2, bounds: [1])
        #expect(metrics.value("h", [("k", "w")]) == 1)
        #expect(
            metrics.prometheusText().contains("h_bucket{k=\"w\",le=\"0.00005\"} 0")
                || metrics.prometheusText().contains("h_bucket{k=\"w\",le=\"5e-05\"} 0"))
    }

    @Test func writesNumbersThatAreNotFinite() {
        let metrics = Metrics()
        metrics.set("a", to: .infinity)
        metrics.set("b", to: -.infinity)
        metrics.set("c", to: .nan)
        #expect(
            metrics.prometheusText()
                == "# TYPE a gauge\na +Inf\n# TYPE b gauge\nb -Inf\n# TYPE c gauge\nc NaN\n")
    }

    @Test func labelsCannotFillMemory() {
        let metrics = Metrics()
        for number in 0..<(Metrics.seriesMax + 50) {
            metrics.count("x_total", [("n", "\(number)")])
        }
        let lines = metrics.prometheusText().split(separator: "\n").filter {
            $0.hasPrefix("x_total{")
        }
        #expect(lines.count == Metrics.seriesMax)
        #expect(
            metrics.value("consilium_metric_series_dropped_total", [("family", "x_total")]) == 50)
    }

    @Test func countsFromManyThreads() {
        let metrics = Metrics()
        let counter = metrics.counter("c_total")
        let threads = (0..<4).map { index in
            Thread {
                for _ in 0..<2000 {
                    counter.add()
                    metrics.count("d_total", [("t", "\(index % 2)")])
                    metrics.observe("h", [], 0.001)
                }
            }
        }
        for thread in threads { thread.join() }
        #expect(counter.value == 8000)
        #expect(
            metrics.value("d_total", [("t", "0")]) == 4000
                && metrics.value("d_total", [("t", "1")]) == 4000)
        #expect(metrics.value("h") == 8000)
    }

    @Test func mistakesOfOursStopTheProgram() async {
        await #expect(processExitsWith: .failure) {
            let metrics = Metrics()
            metrics.count("x_total")
            metrics.set("x_total", to: 1)
        }
        await #expect(processExitsWith: .failure) { Metrics().count("not a name") }
        await #expect(processExitsWith: .failure) { Metrics().counter("x_total").add(-1) }
    }
}
