// The forms that plans and package manifests carry.
//
//     { family: "logisticRegression", l2: 0.01, perSiteIntercept: false }
//     { family: "perceptron", hidden: [32, 16], output: "sigmoid", l2: 0.001, perSiteIntercept: false }

import Codec

extension ModelFamily {
    /// - Throws: `FieldError` naming the field under `path` that is missing, unknown or out of range.
    package init(json: JSONValue, path: String) throws(FieldError) {
        var fields = try JSONFields(json, path: path)
        let name = try fields.string("family", maxBytes: 64)
        let l2 = try fields.optionalNumber("l2", in: 0...100) ?? 0
        let own = try fields.bool("perSiteIntercept", default: false)
        switch name {
        case "logisticRegression":
            self = .logisticRegression(l2: l2, perSiteIntercept: own)
        case "perceptron":
            let widths = try ModelFamily.widths(
                try fields.array("hidden", maxCount: ModelsLimits.hiddenLayersMax), path: path)
            let outputName =
                try fields.optionalString("output", maxBytes: 64) ?? OutputLayer.sigmoid.rawValue
            guard let output = OutputLayer(rawValue: outputName) else {
                throw FieldError(path: path + ".output", problem: "must be sigmoid or softmax")
            }
            self = .perceptron(hidden: widths, output: output, l2: l2, perSiteIntercept: own)
        default:
            throw FieldError(
                path: path + ".family", problem: "must be logisticRegression or perceptron")
        }
        try fields.finish()
    }

    private static func widths(_ values: [JSONValue], path: String) throws(FieldError) -> [Int] {
        var widths: [Int] = []
        for (index, value) in values.enumerated() {
            guard let width = value.intValue,
                (1...Int64(ModelsLimits.hiddenWidthMax)).contains(Int64(width))
            else {
                throw FieldError(
                    path: path + ".hidden[\(index)]",
                    problem: "must be a whole number between 1 and \(ModelsLimits.hiddenWidthMax)")
            }
            widths.append(Int(width))
        }
        guard !widths.isEmpty else {
            throw FieldError(
                path: path + ".hidden",
                problem: "must name at least one hidden layer (without one, use logisticRegression)"
            )
        }
        guard
            zip(widths, widths.dropFirst()).reduce(0, { $0 + $1.0 * $1.1 })
                <= ModelsLimits.parametersMax
        else {
            throw FieldError(
                path: path + ".hidden",
                problem: "makes more than \(ModelsLimits.parametersMax) parameters")
        }
        return widths
    }

    /// The form that `init(json:path:)` reads, every field written out.
    package var json: JSONValue {
        switch self {
        case .logisticRegression(let l2, let own):
            ["family": "logisticRegression", "l2": .number(l2), "perSiteIntercept": .bool(own)]
        case .perceptron(let hidden, let output, let l2, let own):
            [
                "family": "perceptron", "hidden": .array(hidden.map { .integer(Int64($0)) }),
                "output": .string(output.rawValue), "l2": .number(l2),
                "perSiteIntercept": .bool(own),
            ]
        }
    }
}
