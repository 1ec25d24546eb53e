// Pipelines over HTTP: `/v1/pipelines`, and what they answer under their names.

import AuditLog
import Codec
import Cryptography
import HTTP
import Tabular

extension PredictionService {
    /// The pipeline of a name with the versions that are live now; nil when there is none that the caller may use.
    /// - Throws: `RequestRefusal` 503 that names the step whose model is not live.
    func pipeline(_ name: String, _ principal: Principal, _ table: LiveTable) throws(RequestRefusal) -> DeployedPipeline? {
        guard principal.mayUse(name), let document = pipelines.all[name] else { return nil }
        var models: [DeployedModel] = []
        for (step, model) in document.models {
            guard let live = table.models[model] else {
                throw RequestRefusal(503, .noLiveVersion, "step \(step): no version of its model is live")
            }
            models.append(live)
        }
        return DeployedPipeline(document, models)
    }

    func pipelinesJSON() -> JSONValue {
        [
            "pipelines": .array(
                pipelines.all.values.sorted { $0.name < $1.name }.map { document in
                    [
                        "name": .string(document.name), "digest": .string(document.digest.hex),
                        "document": (try? JSONValue.parse(document.bytes, dialect: .strict)) ?? .null,
                    ]
                })
        ]
    }

    /// `POST /v1/pipelines`: the document is in force from the next request on.
    func setPipeline(_ body: [UInt8], _ principal: Principal, _ responder: HTTPResponder) throws {
        let document: PipelineDocument
        do { document = try PipelineDocument(parsing: body) } catch { throw RequestRefusal.malformed("\(error)") }
        try worker.run { [self] in
            do {
                try fits(document)
                try pipelines.set(document) { () throws(ServingError) in
                    try log.appendAndWait(
                        LogEntry(
                            .configurationChanged, actor: principal.identifier, role: "operator", site: configuration.site,
                            model: document.name, payloadDigest: document.digest,
                            details: ["pipeline": "set", "person": .string(principal.person)]))
                }
                responder.respond(.json(["name": .string(document.name), "digest": .string(document.digest.hex)]))
            } catch {
                refuse(.setPipeline, RequestRefusal(error as? ServingError ?? .stopped), responder)
            }
        }
    }

    /// `DELETE /v1/pipelines/{name}`.
    func removePipeline(_ name: String, _ principal: Principal, _ responder: HTTPResponder) throws {
        try worker.run { [self] in
            do {
                try pipelines.remove(name) { () throws(ServingError) in
                    try log.appendAndWait(
                        LogEntry(
                            .configurationChanged, actor: principal.identifier, role: "operator", site: configuration.site, model: name,
                            details: ["pipeline": "removed", "person": .string(principal.person)]))
                }
                responder.respond(.json(["name": .string(name), "removed": true]))
            } catch {
                refuse(.removePipeline, RequestRefusal(error as? ServingError ?? .stopped), responder)
            }
        }
    }

    /// Whether its models are live and get the features that they cannot do without.
    private func fits(_ document: PipelineDocument) throws(ServingError) {
        let table = deployments.live
        guard !deployments.current.models.contains(document.name) else {
            throw .deployment(problem: "a model has the pipeline's name; give it another one")
        }
        var fields = Set(document.schema.features.map(\.name))
        for step in document.steps {
            if case .model(let name, let inputs, _) = step.action {
                guard let model = table.models[name] else { throw .deployment(problem: "step \(step.name): no version of its model is live at this node") }
                let features = model.rules.schema.features
                guard inputs.keys.allSatisfy({ given in features.contains { $0.name == given } }) else {
                    throw .deployment(problem: "step \(step.name): inputs names a feature that its model has not")
                }
                if let absent = features.first(where: { $0.missing == .refuse && !fields.contains(inputs[$0.name] ?? $0.name) }) {
                    throw .deployment(problem: "step \(step.name): its model needs \(absent.name), and no field of that name stands before it")
                }
            }
            fields.insert(step.name)
        }
    }

    /// `GET /v2/models/{pipeline}`: the inputs are the pipeline's, the outputs those of the model that answers.
    func pipelineJSON(_ pipeline: DeployedPipeline) -> JSONValue {
        var members = modelJSON(pipeline.final).objectValue ?? [:]
        members["name"] = .string(pipeline.document.name)
        members["inputs"] = .array(pipeline.document.schema.features.map(Self.inputJSON))
        return .object(members)
    }

    /// What a stored decision says of its pipeline: each step computed again from the stored inputs by the stored versions.
    func pipelineJSON(_ record: DecisionRecord) throws(ServingError) -> JSONValue? {
        guard let use = record.context.pipeline else { return nil }
        let document = try pipelines.document(use.document)
        var models: [DeployedModel] = []
        for step in use.steps { models.append(try deployments.version(step.digest, intercept: step.intercept)) }
        models.append(try deployments.version(record.context.digest, intercept: record.context.intercept))
        guard models.count == document.models.count else { throw .deployment(problem: "the record names other steps than the pipeline has") }
        let inputs = Array(record.values.suffix(use.inputs))
        let trace = try? DeployedPipeline(document, models).run(inputs)
        var features: [String: JSONValue] = [:]
        for (feature, value) in zip(document.schema.features, inputs) {
            features[feature.name] = value.isNaN ? .null : feature.codes.map { .string($0[Int(value)]) } ?? .number(value)
        }
        let versions = zip(document.models, models).map { step, model -> JSONValue in
            [
                "step": .string(step.step), "model": .string(model.package.name), "version": .integer(Int64(model.package.version)),
                "digest": .string(model.digestHex),
            ]
        }
        let same = trace.map { trace in
            zip(trace.values, record.features).allSatisfy { $0 == $1 || $0.isNaN && $1.isNaN } && trace.values.count == record.features.count
        }
        return [
            "name": .string(document.name), "digest": .string(document.digest.hex), "inputs": .object(features), "models": .array(versions),
            "steps": .array((trace?.steps ?? []).map { ["step": .string($0.name), "value": $0.value.json] }),
            // Whether the steps, run again, give the features that were decided on.
            "reproduced": .bool(same ?? false),
        ]
    }
}

extension FieldInput {
    fileprivate var json: JSONValue {
        switch self {
        case .number(let value): .number(value)
        case .text(let text): .string(text)
        case .bool(let flag): .bool(flag)
        case .missing: .null
        }
    }
}
