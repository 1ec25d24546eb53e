/// What kind of model a study trains. Two families, both binary classifiers over a `FeatureMatrix`:
///
///     logisticRegression   log-odds = x · w + b
///     perceptron           ReLU hidden layers, then one output (sigmoid) or two (softmax)
///
/// A logistic regression is the perceptron without hidden layers, and the code treats it so; what differs is that
/// its contributions are exact.
package enum ModelFamily: Equatable, Sendable {
    /// - l2: weight of ½‖w‖² in the loss (mean over rows), biases excluded, 0 or more.
    /// - perSiteIntercept: each site adds an intercept of its own, fitted on its rows and never sent (`SiteIntercept`).
    case logisticRegression(l2: Double, perSiteIntercept: Bool)
    /// - hidden: outputs of each hidden layer, 1 to 8 layers of 1 to 4,096.
    /// - output: sigmoid or softmax.
    /// - l2, perSiteIntercept: as for logistic regression.
    case perceptron(hidden: [Int], output: OutputLayer, l2: Double, perSiteIntercept: Bool)

    /// The last layer of a perceptron.
    package enum OutputLayer: String, Equatable, Sendable, CaseIterable {
        /// One output, the log-odds of the positive class.
        case sigmoid
        /// Two outputs, negative and positive class; their difference is the log-odds.
        case softmax
    }
}

/// Sizes beyond which a model is refused.
package enum ModelsLimits {
    /// Hidden layers of a perceptron.
    package static let hiddenLayersMax = 8
    /// Outputs of one hidden layer.
    package static let hiddenWidthMax = 4096
    /// Parameters of one model: the secure sum carries each of them. Checked wherever parameters are used.
    package static let parametersMax = 4_000_000
    /// Passes over the local rows within a round.
    package static let epochsMax = 1000
    /// Rows of one mini-batch.
    package static let batchSizeMax = 65_536
    /// Score bins of an evaluation histogram.
    package static let binsMax = 10_000
    /// Sensitive groups of an evaluation histogram.
    package static let groupsMax = 64
    /// Pieces of a path on which integrated gradients are exact.
    package static let attributionPiecesMax = 4096
    /// Equal steps that stand for more pieces than that.
    package static let attributionSteps = 128
}

extension ModelFamily {
    /// Weight of ½‖w‖² in the loss.
    package var l2: Double {
        switch self {
        case .logisticRegression(let l2, _): l2
        case .perceptron(_, _, let l2, _): l2
        }
    }

    /// Whether each site adds an intercept of its own.
    package var perSiteIntercept: Bool {
        switch self {
        case .logisticRegression(_, let own): own
        case .perceptron(_, _, _, let own): own
        }
    }

    /// Whether the contributions of features are exact rather than integrated along a path.
    package var isLinear: Bool {
        switch self {
        case .logisticRegression: true
        case .perceptron: false
        }
    }

    /// The layers that this family has over `inputs` columns.
    func layers(inputs: Int) -> LayerPlan {
        precondition(inputs > 0, "a model of \(inputs) inputs")
        switch self {
        case .logisticRegression: return LayerPlan(widths: [inputs, 1])
        case .perceptron(let hidden, let output, _, _):
            return LayerPlan(widths: [inputs] + hidden + [output == .softmax ? 2 : 1])
        }
    }

    /// Number of parameters over `inputs` columns: the length of the vector in a training round.
    package func parameterCount(inputs: Int) -> Int { layers(inputs: inputs).parameterCount }
}

/// Where each layer's numbers lie in the flattened vector: per layer its weights (outputs × inputs, row-major), then
/// its biases.
struct LayerPlan: Equatable, Sendable {
    /// Inputs, then the outputs of each layer.
    let widths: [Int]
    let parameterCount: Int
    let layers: [Layer]

    struct Layer: Equatable, Sendable {
        let inputs: Int
        let outputs: Int
        let weights: Range<Int>
        let biases: Range<Int>
        let isLast: Bool
    }

    init(widths: [Int]) {
        self.widths = widths
        var layers: [Layer] = []
        var offset = 0
        for index in 1..<widths.count {
            let (inputs, outputs) = (widths[index - 1], widths[index])
            let weights = offset..<offset + inputs * outputs
            let biases = weights.upperBound..<weights.upperBound + outputs
            layers.append(
                Layer(
                    inputs: inputs, outputs: outputs, weights: weights, biases: biases,
                    isLast: index == widths.count - 1))
            offset = biases.upperBound
        }
        self.layers = layers
        parameterCount = offset
    }

    var inputs: Int { widths[0] }
    var outputs: Int { widths[widths.count - 1] }
}
