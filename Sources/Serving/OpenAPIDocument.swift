// The OpenAPI 3.1 description of the service, made from the access table: an endpoint without a row here does not compile.
// `protocol/prediction-api.yaml` holds the same document (JSON is YAML); a test compares them.

import Codec
import Study

/// `GET /v1/openapi.json`.
package enum OpenAPIDocument {
    /// The whole document. Same program, same value.
    package static let value: JSONValue = [
        "openapi": "3.1.0",
        "info": [
            "title": "Consilium prediction API", "version": "1",
            "description": "What a site node answers to the site's own systems. protocol/prediction-api.md says more.",
        ],
        "security": [["key": []]],
        "paths": .object(paths),
        "components": [
            "securitySchemes": ["key": ["type": "http", "scheme": "bearer"]],
            "schemas": .object(schemas),
        ],
    ]

    private static var paths: [String: JSONValue] {
        var paths: [String: [String: JSONValue]] = [:]
        for endpoint in Endpoint.allCases {
            paths[endpoint.path, default: [:]][endpoint.method.lowercased()] = operation(endpoint)
        }
        return paths.mapValues { .object($0) }
    }

    private static func operation(_ endpoint: Endpoint) -> JSONValue {
        var operation: [String: JSONValue] = [
            "operationId": .string(endpoint.rawValue), "summary": .string(summary(endpoint)),
            "responses": [
                "200": .object(success(endpoint)),
                "default": [
                    "description": "Not done; the body says why and repeats no value.",
                    "content": ["application/json": ["schema": reference("Error")]],
                ],
            ],
        ]
        if case .roles(let roles) = endpoint.access {
            operation["x-roles"] = .array(roles.sorted().map { .string($0.rawValue) })
        } else {
            operation["security"] = []
        }
        let parameters = parameters(endpoint)
        if !parameters.isEmpty { operation["parameters"] = .array(parameters) }
        if let body = body(endpoint) { operation["requestBody"] = body }
        return .object(operation)
    }

    private static func reference(_ schema: String) -> JSONValue {
        ["$ref": .string("#/components/schemas/" + schema)]
    }

    private static func parameters(_ endpoint: Endpoint) -> [JSONValue] {
        let patterns: [(name: String, schema: JSONValue)] = [
            ("model", ["type": "string", "pattern": "^[a-z0-9._-]{1,64}$"]),
            ("name", ["type": "string", "pattern": "^[a-z0-9._-]{1,64}$"]),
            ("version", ["type": "string", "pattern": "^[0-9]{1,9}$"]),
            ("digest", ["type": "string", "pattern": "^[0-9a-f]{64}$"]),
            ("id", endpoint == .revokeKey ? ["type": "string", "pattern": "^[0-9a-f]{8}$"] : ["type": "string", "format": "uuid"]),
        ]
        return patterns.filter { endpoint.path.contains("{\($0.name)}") }.map {
            ["name": .string($0.name), "in": "path", "required": true, "schema": $0.schema]
        }
    }

    private static func body(_ endpoint: Endpoint) -> JSONValue? {
        switch endpoint {
        case .predict: json("PredictRequest", required: true)
        case .feedback: json("FeedbackRequest", required: true)
        case .infer, .versionInfer: json("InferRequest", required: true)
        case .erase: json("EraseRequest", required: true)
        case .createKey: json("KeyRequest", required: true)
        case .setPipeline: ["required": true, "content": ["application/json": ["schema": ["type": "object"]]]]
        case .configure: json("ConfigureRequest", required: true)
        case .proposeRules: ["required": true, "content": ["application/json": ["schema": ["type": "object"]]]]
        case .evaluate: ["required": true, "content": ["text/csv": ["schema": ["type": "string"]]]]
        case .install: ["required": true, "content": ["application/octet-stream": ["schema": ["type": "string"]]]]
        case .rollback: json("RollbackRequest", required: false)
        case .repositoryIndex: json("IndexRequest", required: false)
        case .load: json("LoadRequest", required: false)
        case .unload: json("UnloadRequest", required: false)
        case .approve: json("ApproveRequest", required: true)
        case .canary: json("CanaryRequest", required: false)
        case .override: json("OverrideRequest", required: true)
        case .suspend, .stop, .start: json("ReasonRequest", required: false)
        default: nil
        }
    }

    private static func json(_ schema: String, required: Bool) -> JSONValue {
        [
            "required": .bool(required),
            "content": ["application/json": ["schema": reference(schema)]],
        ]
    }

    private static func success(_ endpoint: Endpoint) -> [String: JSONValue] {
        var response: [String: JSONValue] = ["description": "Done."]
        switch endpoint {
        case .load, .unload: break
        case .metrics: response["content"] = ["text/plain": ["schema": ["type": "string"]]]
        case .predict: response["content"] = answer("PredictAnswer")
        case .infer, .versionInfer:
            response["content"] = [
                "application/json": ["schema": reference("InferAnswer")],
                "application/octet-stream": ["schema": ["type": "string"]],
            ]
        case .repositoryIndex:
            response["content"] = ["application/json": ["schema": ["type": "array"]]]
        default: response["content"] = ["application/json": ["schema": ["type": "object"]]]
        }
        return response
    }

    private static func answer(_ schema: String) -> JSONValue {
        ["application/json": ["schema": reference(schema)]]
    }

    private static func summary(_ endpoint: Endpoint) -> String {
        switch endpoint {
        case .predict: "Score rows of named features."
        case .feedback: "Report what turned out to be true."
        case .models: "Models, versions and what was live when."
        case .decision: "What was decided, by which version and why."
        case .erase: "Erase what is stored of predictions or of a person."
        case .pipelines: "Pipelines in force, with their documents."
        case .setPipeline: "Put a pipeline in force."
        case .removePipeline: "Take a pipeline out of service."
        case .configure: "Set threshold, abstain band and calibration of a version at this site."
        case .install: "Store a signed package as a candidate."
        case .keys: "API keys and certificates, without the keys."
        case .createKey: "Make an API key, or let a certificate in."
        case .revokeKey: "Take an API key or a certificate back."
        case .stage: "Make a version that was out of service a candidate again."
        case .approve: "Approve a version with exactly these hashes."
        case .override: "Let a version through that missed a bound, where the site's policy allows it."
        case .shadow: "Let a version score what the live one scores, never shown."
        case .canary: "Let a version answer a share of the requests, step by step."
        case .rollout: "What is seen of versions beside the live ones: canary, shadow, standby."
        case .standby: "Load a version so that it can go live at once."
        case .unstage: "End a shadow, canary or standby."
        case .suspend: "Take a version out because something is wrong with it."
        case .retire: "Take a version out of service."
        case .stop: "Refuse every prediction from now on."
        case .start: "Lift a stop."
        case .history: "What was live at a time, who approved it and on which evidence."
        case .rules: "What the site asks of versions without a plan."
        case .proposeRules: "Other rules for versions without a plan, in force when enough people agree."
        case .confirmRules: "Agree to proposed rules."
        case .evaluate: "Measure a version without a plan on labelled rows."
        case .makeLive: "Let a version answer."
        case .rollback: "Bring the version before back."
        case .metrics: "Prometheus metrics."
        case .openAPI: "This document."
        case .live: "Whether the process answers."
        case .ready: "Whether a version is live and the log takes entries."
        case .server, .serverSlash: "Server metadata."
        case .modelsStats: "Statistics of all live versions."
        case .repositoryIndex: "Versions that are here."
        case .load: "Bring a model back into service."
        case .unload: "Take a model out of service."
        case .model, .version: "Tensors of a model."
        case .modelReady, .versionReady: "Whether a model answers."
        case .modelConfig, .versionConfig: "Configuration in Triton's words."
        case .modelStats, .versionStats: "Statistics of a version."
        case .infer, .versionInfer: "Open Inference Protocol v2 inference."
        }
    }
}

// MARK: schemas

extension OpenAPIDocument {
    private static func object(_ properties: [String: JSONValue], required: [String] = []) -> JSONValue {
        [
            "type": "object", "additionalProperties": false, "properties": .object(properties),
            "required": .array(required.map { .string($0) }),
        ]
    }

    private static func array(_ items: JSONValue, _ least: Int64, _ most: Int) -> JSONValue {
        ["type": "array", "items": items, "minItems": .integer(least), "maxItems": .integer(Int64(most))]
    }

    private static var schemas: [String: JSONValue] {
        let flag: JSONValue = ["type": "boolean"]
        let text: JSONValue = ["type": "string"]
        let row: JSONValue = ["type": "object", "description": "Features by name: numbers, codes or null."]
        let answered: JSONValue = ["type": "object"]
        let reason: JSONValue = ["type": "string", "minLength": 1, "maxLength": .integer(Int64(ServingLimits.reasonBytes))]
        var schemas: [String: JSONValue] = [
            "Error": [
                "type": "object", "required": ["error"], "properties": ["error": ["type": "string"]],
            ],
            "EraseRequest": [
                "type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
                "properties": [
                    "subject": [
                        "type": "string", "minLength": 1,
                        "maxLength": .integer(Int64(ServingLimits.subjectBytes)),
                    ],
                    "prediction": text,
                ],
            ],
            "KeyRequest": object(
                [
                    "name": ["type": "string", "pattern": "^[ -~]{1,64}$"],
                    "roles": array(
                        ["type": "string", "enum": .array(AccessRole.allCases.map { .string($0.rawValue) })], 1,
                        AccessRole.allCases.count),
                    "rate": ["type": ["string", "null"], "pattern": "^(none|[1-9][0-9]{0,5}/[smh])$"],
                    "models": array(["type": "string", "pattern": "^[a-z0-9._-]{1,64}$"], 1, 64),
                    "certificate": ["type": ["string", "null"], "pattern": "^[0-9a-f]{64}$"],
                    "subject": ["type": ["string", "null"], "pattern": "=", "maxLength": 512],
                ], required: ["name", "roles"]),
            "RollbackRequest": object(["model": text]),
            "ConfigureRequest": object([
                "threshold": ["type": ["number", "null"], "minimum": 0, "maximum": 1],
                "abstain": [
                    "type": ["array", "null"], "items": ["type": "number", "minimum": 0, "maximum": 1], "minItems": 2, "maxItems": 2,
                ],
                "calibration": [
                    "type": ["object", "null"], "additionalProperties": false, "required": ["slope", "intercept"],
                    "properties": [
                        "slope": ["type": "number", "minimum": 0, "maximum": 1000],
                        "intercept": ["type": "number", "minimum": -1000, "maximum": 1000],
                    ],
                ],
            ]),
            "ApproveRequest": object(["configuration": text, "evidence": text], required: ["configuration", "evidence"]),
            "ReasonRequest": object(["reason": reason]),
            "OverrideRequest": object(["reason": reason], required: ["reason"]),
            "IndexRequest": object(["ready": flag]),
            "LoadRequest": object(["parameters": object([:])]),
            "UnloadRequest": object(["parameters": object(["unload_dependents": [:]])]),
            "FeedbackRequest": object(
                [
                    "prediction_id": ["type": "string", "format": "uuid"], "outcome": [:],
                    "source": text, "supersedes": ["type": "string", "format": "uuid"],
                ], required: ["prediction_id", "outcome"]),
            "PredictAnswer": [
                "type": "object", "required": ["model", "version", "digest", "threshold", "predictions"],
                "properties": ["predictions": array(answered, 1, ServingLimits.rows)],
            ],
            "InferAnswer": [
                "type": "object", "required": ["model_name", "model_version", "outputs"],
                "properties": ["outputs": ["type": "array"]],
            ],
        ]
        schemas["CanaryRequest"] = canaryRequest
        schemas["PredictRequest"] = predictRequest(row, flag, text)
        schemas["Parameters"] = [
            "type": "object", "maxProperties": .integer(Int64(ServingLimits.parameters)),
            "additionalProperties": ["type": ["string", "number", "boolean"]],
            "properties": [
                "timeout": ["type": "integer", "minimum": 10_000_000, "maximum": 1_000_000_000_000],
                "binary_data_output": flag,
            ],
        ]
        schemas["InferRequest"] = inferRequest()
        return schemas
    }

    private static func predictRequest(_ row: JSONValue, _ flag: JSONValue, _ text: JSONValue) -> JSONValue {
        let rows = array(row, 1, ServingLimits.rows)
        let name: JSONValue = ["type": "string", "minLength": 1, "maxLength": .integer(Int64(ServingLimits.subjectBytes))]
        let split = object(
            ["columns": array(text, 1, ServingLimits.rowMembers), "data": array(["type": "array"], 1, ServingLimits.rows), "index": [:]],
            required: ["columns", "data"])
        let one = ["row", "rows", "dataframe_split", "dataframe_records"].map { name -> JSONValue in
            ["required": .array([.string(name)])]
        }
        return [
            "type": "object", "additionalProperties": false,
            "properties": [
                "row": row, "rows": rows, "dataframe_records": rows, "dataframe_split": split,
                "model": text, "explain": flag, "reasons": flag,
                "counterfactual": ["type": ["boolean", "array"], "items": text],
                "subject": name, "routing_key": name,
            ],
            "oneOf": .array(one),
        ]
    }

    private static var canaryRequest: JSONValue {
        func number(_ kind: String, _ least: JSONValue, _ most: JSONValue) -> JSONValue {
            ["type": .string(kind), "minimum": least, "maximum": most]
        }
        return object([
            "kind": ["type": "string", "enum": ["canary", "ab"]], "steps": array(number("integer", 1, 99), 1, CanaryPlan.stepsMax),
            "rowsPerStep": number("integer", 1, 100_000_000), "minutesPerStep": number("integer", 0, 525_600),
            "alpha": number("number", 0.0001, 0.5), "errorShareMax": number("number", 0.0001, 0.5),
            "scoreShiftMax": number("number", 0.001, 0.999), "slowerTimesMax": number("number", 1.1, 1000),
            "outcomeMargin": number("number", 0, 0.9), "outcomesMax": number("integer", 10, 100_000_000),
        ])
    }

    private static func inferRequest() -> JSONValue {
        let parameters = reference("Parameters")
        let tensor = object(
            [
                "name": ["type": "string"],
                "shape": array(["type": "integer", "minimum": 1], 1, 2),
                "datatype": ["type": "string", "enum": .array(TensorDatatype.allCases.map { .string($0.rawValue) })],
                "parameters": parameters, "data": ["type": "array"],
            ], required: ["name", "shape", "datatype"])
        let output = object(
            [
                "name": ["type": "string", "enum": .array(InferOutput.allCases.map { .string($0.rawValue) })],
                "parameters": parameters,
            ], required: ["name"])
        return object(
            [
                "id": ["type": "string", "maxLength": 64], "parameters": parameters,
                "inputs": array(tensor, 1, ServingLimits.rowMembers),
                "outputs": array(output, 0, InferOutput.allCases.count),
            ], required: ["inputs"])
    }
}
