// What was decided, explained again by the version that decided; and labelled rows for the next training.

import AuditLog
import Codec
import Cryptography
import HTTP
import Tabular
import Telemetry

/// A served row whose outcome is known: training data of this site.
package struct LabelledRow: Sendable {
    package var prediction: PredictionID
    package var row: ValidRow
    package var label: Bool
    /// Whom it is about, when the caller said.
    package var subject: String?
}

extension PredictionService {
    /// `GET /v1/decisions/{id}`. Shows inputs, so the reading is an entry in the log.
    func decision(_ text: String, _ principal: Principal, _ responder: HTTPResponder) throws {
        let notFound = RequestRefusal(
            404, .unknownPrediction, "there is no prediction with this id at this node")
        guard let id = PredictionID(text) else { throw notFound }
        try worker.run { [self] in
            do {
                guard let stored = try records.decision(id) else { throw notFound }
                let context = stored.decision.context
                let model = try deployments.version(context.digest, intercept: context.intercept)
                guard principal.mayUse(model.package.name) else { throw notFound }
                let body = decisionBody(
                    stored.decision, model, records.outcome(of: id), try receipt(stored), try pipelineJSON(stored.decision))
                let role = principal.roles.contains(.auditor) ? AccessRole.auditor : .overseer
                let entry = LogEntry(
                    .recordsRead, actor: principal.identifier, role: role.rawValue,
                    site: configuration.site, model: model.package.name,
                    details: ["prediction": .string(id.description)])
                log.append(entry) { [self] failure in
                    if let failure {
                        return refuse(
                            .decision, RequestRefusal(.logUnavailable(problem: failure)), responder)
                    }
                    responder.respond(HTTPResponse(contentType: "application/json", body: body))
                }
            } catch let refusal as RequestRefusal {
                refuse(.decision, refusal, responder)
            } catch {
                refuse(.decision, RequestRefusal(error as? ServingError ?? .stopped), responder)
            }
        }
    }

    private func decisionBody(
        _ record: DecisionRecord, _ model: DeployedModel, _ outcome: OutcomeRecord?, _ receipt: JSONValue,
        _ pipeline: JSONValue?
    ) -> [UInt8] {
        var body = JSONBody(reserving: 1024)
        body.raw("{\"id\":")
        body.id(record.id)
        body.raw(",\"time\":")
        body.string(Timestamp(milliseconds: Int64(record.id.milliseconds)).iso8601)
        body.raw(",\"model\":")
        body.string(model.package.name)
        body.raw(",\"version\":")
        body.number(model.package.version)
        body.raw(",\"digest\":")
        body.string(model.digestHex)
        body.raw(",\"configuration\":")
        if let configuration = record.context.configuration { body.string(configuration.hex) } else { body.raw("null") }
        body.raw(",\"arm\":")
        body.string(record.context.arm.name)
        body.raw(",\"propensity\":")
        body.number(record.context.arm.propensity)
        body.raw(",\"score\":")
        body.number(record.score)
        body.raw(",\"probability\":")
        body.number(record.probability)
        body.raw(",\"class\":")
        body.raw(record.positive ? model.positiveClass : model.negativeClass)
        body.raw(record.positive ? ",\"positive\":true" : ",\"positive\":false")
        body.raw(",\"features\":{")
        for (index, value) in record.features.enumerated() {
            if index > 0 { body.raw(",") }
            body.raw(model.quotedNames[index])
            body.raw(":")
            body.feature(value, model.package.schema.features[index])
        }
        body.raw("},\"explanation\":")
        body.append(model.explain(record.features), names: model.quotedNames)
        if let pipeline {
            body.raw(",\"pipeline\":")
            body.raw(pipeline.canonicalBytes())
        }
        body.raw(",\"outcome\":")
        body.append(outcome)
        body.raw(",\"receipt\":")
        body.raw(receipt.canonicalBytes())
        body.raw("}")
        return body.bytes
    }

    /// Rows whose outcome is known, validated against `schema` (the next plan's may differ from the one that served),
    /// with the latest outcome each, in order of ids. Rows that do not fit the schema are left out.
    /// - Throws: `ServingError` when records cannot be read. Blocks; not for a loop thread.
    package func labelledRows(_ schema: Schema) throws(ServingError) -> [LabelledRow] {
        let rules = RowRules(schema)
        var schemas: [Digest: Schema] = [:]
        var rows: [LabelledRow] = []
        for (decision, outcome, subject) in try records.labelled() {
            if schemas[decision.context.digest] == nil {
                schemas[decision.context.digest] = try deployments.version(
                    decision.context.digest, intercept: decision.context.intercept
                ).package.schema
            }
            guard let known = schemas[decision.context.digest] else { continue }
            guard let row = try? rules.validate(named: named(decision.values, known, rules)) else {
                continue
            }
            rows.append(LabelledRow(prediction: decision.id, row: row, label: outcome.positive, subject: subject))
        }
        return rows
    }

    /// Stored values of one schema by name, as far as `rules` know the features.
    private func named(_ values: [Double], _ schema: Schema, _ rules: RowRules) -> [String:
        FieldInput]
    {
        var named: [String: FieldInput] = [:]
        for (feature, value) in zip(schema.features, values)
        where rules.featureIndex(named: feature.name) != nil {
            if value.isNaN {
                named[feature.name] = .missing
            } else if let codes = feature.codes {
                named[feature.name] = .text(codes[Int(value)])
            } else {
                named[feature.name] = .number(value)
            }
        }
        return named
    }
}

extension JSONBody {
    /// A stored value as a request would state it: number, category text, or null for missing.
    mutating func feature(_ value: Double, _ feature: Feature) {
        if value.isNaN {
            raw("null")
        } else if let codes = feature.codes {
            string(codes[Int(value)])
        } else {
            number(value)
        }
    }

    fileprivate mutating func append(_ outcome: OutcomeRecord?) {
        guard let outcome else { return raw("null") }
        raw("{\"outcome_id\":")
        id(outcome.id)
        raw(outcome.positive ? ",\"positive\":true" : ",\"positive\":false")
        raw(",\"source\":")
        string(outcome.source)
        raw(",\"supersedes\":")
        if let earlier = outcome.supersedes { id(earlier) } else { raw("null") }
        raw("}")
    }
}
