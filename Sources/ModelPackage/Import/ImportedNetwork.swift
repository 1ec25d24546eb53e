// A model from elsewhere as layers: weights [outputs, inputs] and biases, ReLU between them, log-odds or two classes at the end.

import Models

/// The layers of an imported model, first to last.
struct ImportedNetwork: Equatable {
    struct Layer: Equatable {
        var inputs: Int
        var outputs: Int
        /// Row-major, one row per output.
        var weights: [Float]
        var biases: [Float]
    }

    var layers: [Layer]

    /// - Throws: `ImportError` when layers do not fit each other or there is no family for them.
    init(_ layers: [Layer]) throws(ImportError) {
        guard let last = layers.last, layers.count <= ModelsLimits.hiddenLayersMax + 1 else {
            throw .unsupported("a model of \(layers.count) layers")
        }
        for (index, pair) in zip(layers, layers.dropFirst()).enumerated() where pair.0.outputs != pair.1.inputs {
            throw .malformed("layer \(index) has \(pair.0.outputs) outputs and layer \(index + 1) takes \(pair.1.inputs)")
        }
        guard layers.dropLast().allSatisfy({ (1...ModelsLimits.hiddenWidthMax).contains($0.outputs) }) else {
            throw .unsupported("a hidden layer has more than \(ModelsLimits.hiddenWidthMax) outputs or none")
        }
        guard last.outputs == 1 || last.outputs == 2 else {
            throw .unsupported("the last layer has \(last.outputs) outputs; a version has one (the log-odds) or two classes")
        }
        self.layers = layers
        // Two classes without hidden layers are one log-odds: the difference.
        if layers.count == 1, last.outputs == 2 { self.layers = [last.difference] }
    }

    /// Columns of a row.
    var inputs: Int { layers[0].inputs }

    var family: ModelFamily {
        let hidden = layers.dropLast().map(\.outputs)
        guard !hidden.isEmpty else { return .logisticRegression(l2: 0, perSiteIntercept: false) }
        return .perceptron(
            hidden: hidden, output: layers[layers.count - 1].outputs == 2 ? .softmax : .sigmoid, l2: 0, perSiteIntercept: false)
    }

    /// The parameters with the first layer's columns in another order.
    /// - Parameter order: for each column of the version, which input of the model it is.
    func parameters(order: [Int]) throws(ModelsError) -> ModelParameters {
        var flattened: [Float] = []
        for (index, layer) in layers.enumerated() {
            if index == 0 {
                for output in 0..<layer.outputs { flattened += order.map { layer.weights[output * layer.inputs + $0] } }
            } else {
                flattened += layer.weights
            }
            flattened += layer.biases
        }
        return try ModelParameters(family: family, inputs: inputs, seed: [0]).replacing(flattened)
    }
}

extension ImportedNetwork.Layer {
    /// Second output less first.
    var difference: ImportedNetwork.Layer {
        ImportedNetwork.Layer(
            inputs: inputs, outputs: 1, weights: (0..<inputs).map { weights[inputs + $0] - weights[$0] }, biases: [biases[1] - biases[0]])
    }

    /// A layer of a matrix with two axes.
    /// - Parameter isTransposed: whether the matrix is [inputs, outputs].
    init(_ shape: [Int], _ values: [Float], isTransposed: Bool, biases: [Float]?, _ label: String) throws(ImportError) {
        guard shape.count == 2, shape[0] > 0, shape[1] > 0, values.count == shape[0] * shape[1],
            values.count <= ModelsLimits.parametersMax
        else { throw .unsupported("\(label) has a weight that is no matrix of at most \(ModelsLimits.parametersMax) numbers") }
        (outputs, inputs) = isTransposed ? (shape[1], shape[0]) : (shape[0], shape[1])
        weights = values
        if isTransposed {
            for output in 0..<outputs {
                for input in 0..<inputs { weights[output * inputs + input] = values[input * outputs + output] }
            }
        }
        self.biases = biases ?? [Float](repeating: 0, count: outputs)
        guard self.biases.count == outputs else {
            throw .malformed("\(label) has \(outputs) outputs and \(self.biases.count) biases")
        }
    }
}
