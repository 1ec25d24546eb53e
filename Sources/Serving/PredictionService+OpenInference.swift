// The Open Inference Protocol v2: health, metadata, configuration, readiness, statistics and inference, as the stock
// clients of Triton and KServe use them. `protocol/prediction-api.md` §7.
//
// Each feature of the schema is an input tensor of shape [n] or [n, 1], and `features` of shape [n, F] is all of them. A
// row that does not fit fails the request: tensors have no place for a refusal.

import Codec
import HTTP
import Tabular
import Telemetry
import Transport

extension PredictionService {
    func serverJSON() -> JSONValue {
        [
            "name": "consilium", "version": "1",
            "extensions": [
                "binary_tensor_data", "classification", "model_configuration", "model_repository",
                "parameters", "statistics",
            ],
        ]
    }

    /// `GET /v2/models/{model}`.
    func modelJSON(_ model: DeployedModel) -> JSONValue {
        [
            "name": .string(model.package.name),
            "versions": .array([.string(String(model.package.version))]),
            "platform": .string(Self.platform),
            "inputs": .array(
                model.package.schema.features.map(Self.inputJSON)),
            "outputs": .array(
                InferOutput.allCases.map { output in
                    let width = output.width(model)
                    return [
                        "name": .string(output.rawValue),
                        "datatype": .string(output.datatype.rawValue),
                        "shape": width > 1 ? [-1, .integer(Int64(width))] : [-1],
                    ]
                }),
        ]
    }

    /// Rows, then the dimensions of the configuration: `perf_analyzer` takes the first off and refuses a tensor of none.
    static func inputJSON(_ feature: Feature) -> JSONValue {
        [
            "name": .string(feature.name), "datatype": .string(datatype(feature).rawValue), "shape": [-1, 1],
        ]
    }

    /// `GET /v2/models/{model}/config`, in Triton's words.
    func configurationJSON(_ model: DeployedModel) -> JSONValue {
        let version = JSONValue.integer(Int64(model.package.version))
        return [
            "name": .string(model.package.name), "platform": .string(Self.platform),
            "backend": "consilium", "max_batch_size": .integer(Int64(ServingLimits.rows)),
            "version_policy": ["specific": ["versions": [version]]],
            "input": .array(model.package.schema.features.map(Self.inputConfigurationJSON)),
            "output": .array(
                InferOutput.allCases.map { output in
                    [
                        "name": .string(output.rawValue), "data_type": Self.type(output.datatype),
                        "dims": [.integer(Int64(output.width(model)))],
                    ]
                }),
            "parameters": [
                "digest": ["string_value": .string(model.digestHex)],
                "threshold": ["string_value": .string(model.threshold.description)],
            ],
        ]
    }

    /// The configuration of a pipeline: its own inputs, the outputs of the model that answers, and which models its steps use.
    func configurationJSON(_ pipeline: DeployedPipeline) -> JSONValue {
        var members = configurationJSON(pipeline.final).objectValue ?? [:]
        members["name"] = .string(pipeline.document.name)
        members["platform"] = "consilium_pipeline"
        members["input"] = .array(pipeline.document.schema.features.map(Self.inputConfigurationJSON))
        let models = zip(pipeline.document.models, pipeline.models).map { "\($0.step)=\($0.model):\($1.version)" }
        members["parameters"] = [
            "pipeline_digest": ["string_value": .string(pipeline.document.digest.hex)],
            "models": ["string_value": .string(models.joined(separator: ","))],
        ]
        return .object(members)
    }

    private static func inputConfigurationJSON(_ feature: Feature) -> JSONValue {
        [
            "name": .string(feature.name), "data_type": type(datatype(feature)), "dims": [1], "format": "FORMAT_NONE",
            "optional": .bool(feature.missing != .refuse),
        ]
    }

    /// Triton's word for a datatype.
    private static func type(_ datatype: TensorDatatype) -> JSONValue {
        datatype == .bytes ? "TYPE_STRING" : .string("TYPE_" + datatype.rawValue)
    }

    private static let platform = "consilium_safetensors"

    private static func datatype(_ feature: Feature) -> TensorDatatype {
        feature.codes == nil ? .float64 : .bytes
    }

    /// `GET /v2/models/{model}/ready`.
    func modelReady(_ model: DeployedModel, _ responder: HTTPResponder) throws(RequestRefusal) {
        guard isReady else {
            throw RequestRefusal(503, .unavailable, "the node is not ready; see /v2/health/ready")
        }
        responder.respond(.json(["name": .string(model.package.name), "ready": true]))
    }

    /// `GET /v2/models/stats` and those of one model.
    func statisticsJSON(_ models: [DeployedModel]) -> JSONValue {
        ["model_stats": .array(models.map(statistics.json))]
    }

    /// `POST /v2/models/{model}/infer`.
    /// - Parameter isPinned: the caller named the version, so no trial gets the request.
    func infer(
        _ model: DeployedModel, _ request: HTTPRequest, _ principal: Principal,
        _ responder: HTTPResponder, _ start: UInt64, isPinned: Bool, pipeline: DeployedPipeline? = nil
    ) throws {
        let asked: InferRequest
        do {
            try pending.refuseIfFull()
            asked = try InferRequest(
                request.body, headerLength: request.headers["Inference-Header-Content-Length"],
                pipeline?.rules ?? model.rules)
            try refuseBadRow(asked.rows)
        } catch {
            throw failed(model, start, error, pipeline)
        }
        let read = EventLoop.monotonicNanoseconds()
        let key = asked.routingKey ?? routingKey(request) ?? asked.subject ?? asked.id
        let run = pipeline.map { PipelineRows($0, asked.rows) }
        do { if let run { try refuseBadRow(run.rows) } } catch {
            throw failed(model, start, error, pipeline)
        }
        let route = isPinned || run != nil ? Route(model: model) : route(asked.rows, model, deployments.live, key: key, start)
        let rows = run?.rows ?? asked.rows
        let scored = score(rows, route.model, asked.wishes, arm: route.arm, pipeline: run)
        route.mirror(scored)
        let call = Commit(
            model: route.model, principal: principal, endpoint: .infer, subject: asked.subject, start: start, read: read,
            timeout: asked.timeout, pipeline: pipeline,
            coding: ContentCoding(accepting: request.headers["Accept-Encoding"]))
        try commit(scored, of: rows, call, responder) {
            InferAnswer(request: asked, rows: scored, model: route.model, pipeline: pipeline).response
        }
    }

    private func refuseBadRow(_ rows: RequestRows) throws(RequestRefusal) {
        guard let row = rows.refused.first, let first = row.violations.first else { return }
        throw RequestRefusal(400, .schema, "row \(row.place): \(first.message)")
    }

    /// The version that answers for a model.
    /// - Parameter version: the one that the caller wants, as a number; another than the live one does not answer.
    /// - Throws: `RequestRefusal` 404.
    func liveModel(_ name: String, _ principal: Principal, version: String? = nil) throws(RequestRefusal) -> DeployedModel {
        guard principal.mayUse(name), let model = deployments.liveModel(name) else {
            throw RequestRefusal(
                404, .unknownModel, "no such model is live; GET /v1/models lists them")
        }
        if let version, version != String(model.package.version) {
            throw RequestRefusal(
                404, .unknownModel,
                "this version is not live; version \(model.package.version) of the model is")
        }
        return model
    }
}
