/// Why a model from elsewhere was not imported. It names operations, tensors and fields of the files, which are the importer's own.
package enum ImportError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The model file breaks its format.
    case malformed(String)
    /// The model does something that a version here cannot.
    case unsupported(String)
    /// The description and the model do not fit each other, or the description breaks a rule.
    case description(String)

    package var description: String {
        switch self {
        case .malformed(let problem): "the model file is damaged or of another format: \(problem)"
        case .unsupported(let problem):
            "\(problem); what can be imported is a linear model or a multilayer perceptron of Gemm (or MatMul and Add), Relu, and Sigmoid or Softmax at the end"
        case .description(let problem): problem
        }
    }
}

/// The limits of an imported ONNX file, checked while it is read.
enum ONNXLimits {
    static let fileBytes = 64 << 20
    static let nodes = 512
    static let constants = 512
    static let inputsPerNode = 8
    static let attributesPerNode = 16
    static let rank = 8
    static let nameBytes = 512
}
