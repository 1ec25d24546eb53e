// Counts and times per version: `GET /v2/models/{model}/stats`, and the `nv_*` families that boards made for Triton read.

import Codec
import Cryptography
import Telemetry

/// Where the time of one answered request went, in nanoseconds.
struct InferenceTimes {
    /// Reading and checking the request.
    var input: UInt64 = 0
    /// Scores and explanations.
    var compute: UInt64 = 0
    /// Writing the answer.
    var output: UInt64 = 0
    /// Waiting for records and log to be durable.
    var queue: UInt64 = 0

    var total: UInt64 { input + compute + output + queue }
}

/// What each version has answered since the node started.
final class ServingStatistics: Sendable {
    private struct Total {
        var count = 0
        var nanoseconds: UInt64 = 0

        mutating func add(_ more: UInt64) {
            count += 1
            nanoseconds += more
        }

        var json: JSONValue {
            ["count": .integer(Int64(count)), "ns": .integer(Int64(clamping: nanoseconds))]
        }
    }

    private struct Version {
        var model: String
        var version: Int
        var rows = 0
        var lastMilliseconds: Int64 = 0
        var success = Total()
        var failure = Total()
        var refused = 0
        var queue = Total()
        var input = Total()
        var compute = Total()
        var output = Total()
        var answered: Counter?

        mutating func add(_ rows: Int, _ times: InferenceTimes, at time: Timestamp) {
            self.rows += rows
            lastMilliseconds = time.milliseconds
            success.add(times.total)
            queue.add(times.queue)
            input.add(times.input)
            compute.add(times.compute)
            output.add(times.output)
        }
    }

    private let metrics: Telemetry.Metrics
    private let seconds: Histogram
    private let versions = Locked<[Digest: Version]>([:])
    private let ofNoVersion = Locked((refused: 0, other: 0))

    /// - Parameter metrics: where answers are counted too.
    init(_ metrics: Telemetry.Metrics) {
        self.metrics = metrics
        seconds = metrics.histogram(
            "consilium_prediction_seconds", help: "From the complete request to its answer, log and disk included.")
    }

    /// A request was answered.
    func count(_ model: DeployedModel, rows: Int, _ times: InferenceTimes, at time: Timestamp) {
        seconds.observe(Double(times.total) / 1e9)
        change(model) { version in
            if version.answered == nil {
                version.answered = metrics.counter(
                    "consilium_predictions_total", [("model", model.name), ("version", String(model.version))],
                    help: "Rows scored and answered.")
            }
            version.answered?.add(Double(rows))
            version.add(rows, times, at: time)
        }
    }

    /// A request for this version was not answered with 200.
    /// - Parameter refused: whether the request was at fault.
    func countFailure(_ model: DeployedModel, nanoseconds: UInt64, refused: Bool) {
        change(model) { version in
            version.failure.add(nanoseconds)
            if refused { version.refused += 1 }
        }
    }

    /// A request that came to no version, because it could not be read or its caller may not ask, was not answered with 200.
    /// - Parameter refused: whether the request was at fault.
    func countFailureOfNoVersion(refused: Bool) {
        ofNoVersion.withLock { if refused { $0.refused += 1 } else { $0.other += 1 } }
    }

    /// A request to a pipeline was answered; it stands with its answering model too, where its rows are counted.
    func count(_ pipeline: DeployedPipeline, rows: Int, _ times: InferenceTimes, at time: Timestamp) {
        change(pipeline.document.digest, pipeline.document.name, pipeline.final.version) { $0.add(rows, times, at: time) }
    }

    /// A request to a pipeline was not answered with 200.
    func countFailure(_ pipeline: DeployedPipeline, nanoseconds: UInt64, refused: Bool) {
        change(pipeline.document.digest, pipeline.document.name, pipeline.final.version) { version in
            version.failure.add(nanoseconds)
            if refused { version.refused += 1 }
        }
    }

    private func change(_ model: DeployedModel, _ body: (inout Version) -> Void) {
        change(model.package.digest, model.name, model.version, body)
    }

    private func change(_ digest: Digest, _ name: String, _ version: Int, _ body: (inout Version) -> Void) {
        versions.withLock { body(&$0[digest, default: Version(model: name, version: version)]) }
    }

    /// The entry of a version in `model_stats`.
    func json(_ model: DeployedModel) -> JSONValue { json(model.package.digest, model.name, model.version) }

    /// The entry of a pipeline.
    func json(_ pipeline: DeployedPipeline) -> JSONValue {
        json(pipeline.document.digest, pipeline.document.name, pipeline.final.version)
    }

    private func json(_ digest: Digest, _ name: String, _ number: Int) -> JSONValue {
        var version = versions.withLock { $0[digest] } ?? Version(model: name, version: number)
        version.version = number
        let none = Total().json
        return [
            "name": .string(version.model), "version": .string(String(version.version)),
            "last_inference": .integer(version.lastMilliseconds),
            "inference_count": .integer(Int64(version.rows)),
            "execution_count": .integer(Int64(version.success.count)),
            "inference_stats": [
                "success": version.success.json, "fail": version.failure.json,
                "queue": version.queue.json, "compute_input": version.input.json,
                "compute_infer": version.compute.json, "compute_output": version.output.json,
                "cache_hit": none, "cache_miss": none,
            ],
            "response_stats": [:], "batch_stats": [], "memory_usage": [],
        ]
    }

    /// The families of Triton's metrics, in Prometheus text.
    /// - Parameter pending: requests whose answers wait for the disk.
    func prometheusText(pending: Int) -> String {
        let all = versions.withLock { Array($0.values) }
            .sorted { ($0.model, $0.version) < ($1.model, $1.version) }
        var text = ""
        func family(
            _ name: String, _ help: String, _ kind: String = "counter",
            _ value: (Version) -> UInt64
        ) {
            guard !all.isEmpty else { return }
            text += "# HELP nv_inference_\(name) \(help)\n# TYPE nv_inference_\(name) \(kind)\n"
            for version in all {
                text += "nv_inference_\(name){model=\"\(version.model)\",version=\"\(version.version)\"} \(value(version))\n"
            }
        }
        family("request_success", "Requests that were answered.") { UInt64($0.success.count) }
        let none = ofNoVersion.withLock { $0 }
        text += "# HELP nv_inference_request_failure Requests that were not answered, by reason; those without model came to no version.\n"
        text += "# TYPE nv_inference_request_failure counter\n"
        func failures(_ model: String, _ version: String, refused: Int, other: Int) {
            let labels = "model=\"\(model)\",version=\"\(version)\""
            text += "nv_inference_request_failure{\(labels),reason=\"REJECTED\"} \(refused)\n"
            text += "nv_inference_request_failure{\(labels),reason=\"OTHER\"} \(other)\n"
        }
        failures("", "", refused: none.refused, other: none.other)
        for version in all {
            failures(version.model, String(version.version), refused: version.refused, other: version.failure.count - version.refused)
        }
        family("count", "Rows scored.") { UInt64($0.rows) }
        family("exec_count", "Executions of the model.") { UInt64($0.success.count) }
        family("request_duration_us", "Microseconds of answered requests.") {
            $0.success.nanoseconds / 1000
        }
        family("queue_duration_us", "Microseconds of waiting for records and log.") {
            $0.queue.nanoseconds / 1000
        }
        family("compute_input_duration_us", "Microseconds of reading requests.") {
            $0.input.nanoseconds / 1000
        }
        family("compute_infer_duration_us", "Microseconds of scoring.") {
            $0.compute.nanoseconds / 1000
        }
        family("compute_output_duration_us", "Microseconds of writing answers.") {
            $0.output.nanoseconds / 1000
        }
        if !all.isEmpty {
            text +=
                "# HELP nv_inference_pending_request_count Requests that wait for the disk.\n# TYPE nv_inference_pending_request_count gauge\nnv_inference_pending_request_count \(pending)\n"
        }
        return text
    }
}
