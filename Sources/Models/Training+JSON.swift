// The forms that plans carry.
//
//     local:  { optimizer: "sgd", learningRate: 0.1, momentum: 0.9, epochs: 1, batchSize: 32, proximalMu: 0 }
//     local:  { optimizer: "adam", learningRate: 0.003, epochs: 1, batchSize: 32, proximalMu: 0 }
//     server: { optimizer: "fedAvg", learningRate: 1 }
//     server: { optimizer: "fedAdam", learningRate: 0.01, beta1: 0.9, beta2: 0.99, epsilon: 0.001 }

import Codec

extension LocalTraining {
    /// - Throws: `FieldError` naming the field under `path` that is missing, unknown or out of range.
    package init(json: JSONValue, path: String) throws(FieldError) {
        var fields = try JSONFields(json, path: path)
        let name = try fields.string("optimizer", maxBytes: 64)
        let rate = try fields.number("learningRate", in: 1e-9...100)
        switch name {
        case "sgd":
            optimizer = .sgd(
                learningRate: rate,
                momentum: try fields.optionalNumber("momentum", in: 0...0.9999) ?? 0)
        case "adam":
            optimizer = .adam(learningRate: rate)
        default:
            throw FieldError(path: path + ".optimizer", problem: "must be sgd or adam")
        }
        epochs = try fields.optionalInteger("epochs", in: 1...ModelsLimits.epochsMax) ?? 1
        batchSize = try fields.optionalInteger("batchSize", in: 1...ModelsLimits.batchSizeMax) ?? 32
        proximalMu = try fields.optionalNumber("proximalMu", in: 0...1000) ?? 0
        try fields.finish()
    }

    /// The form that `init(json:path:)` reads, every field written out.
    package var json: JSONValue {
        var object: [String: JSONValue] = [
            "epochs": .integer(Int64(epochs)), "batchSize": .integer(Int64(batchSize)),
            "proximalMu": .number(proximalMu),
        ]
        switch optimizer {
        case .sgd(let rate, let momentum):
            object["optimizer"] = "sgd"
            object["learningRate"] = .number(rate)
            object["momentum"] = .number(momentum)
        case .adam(let rate):
            object["optimizer"] = "adam"
            object["learningRate"] = .number(rate)
        }
        return .object(object)
    }
}

extension ServerOptimizer {
    /// - Throws: `FieldError` naming the field under `path` that is missing, unknown or out of range.
    package init(json: JSONValue, path: String) throws(FieldError) {
        var fields = try JSONFields(json, path: path)
        let name = try fields.string("optimizer", maxBytes: 64)
        switch name {
        case "fedAvg":
            self = .fedAvg(
                learningRate: try fields.optionalNumber("learningRate", in: 1e-9...10) ?? 1)
        case "fedAdam":
            self = .fedAdam(
                learningRate: try fields.number("learningRate", in: 1e-9...10),
                beta1: try fields.optionalNumber("beta1", in: 0...0.9999) ?? 0.9,
                beta2: try fields.optionalNumber("beta2", in: 0...0.999999) ?? 0.99,
                epsilon: try fields.optionalNumber("epsilon", in: 1e-12...1) ?? 1e-3)
        default:
            throw FieldError(
                path: path + ".optimizer",
                problem: "must be fedAvg or fedAdam (FedProx is fedAvg with local.proximalMu)")
        }
        try fields.finish()
    }

    /// The form that `init(json:path:)` reads, every field written out.
    package var json: JSONValue {
        switch self {
        case .fedAvg(let rate):
            ["optimizer": "fedAvg", "learningRate": .number(rate)]
        case .fedAdam(let rate, let beta1, let beta2, let epsilon):
            [
                "optimizer": "fedAdam", "learningRate": .number(rate), "beta1": .number(beta1),
                "beta2": .number(beta2),
                "epsilon": .number(epsilon),
            ]
        }
    }
}
