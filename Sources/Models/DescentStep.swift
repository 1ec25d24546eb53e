import Kernels

/// The optimiser's state over one round of local work, and its step.
struct DescentStep {
    let optimizer: LocalTraining.Optimizer
    private var first: [[Float]]
    private var second: [[Float]]
    private var steps = 0

    /// - Parameter tensors: in the shape of the model's.
    init(_ optimizer: LocalTraining.Optimizer, like tensors: [[Float]]) {
        self.optimizer = optimizer
        first = tensors.map { [Float](repeating: 0, count: $0.count) }
        second = first
    }

    /// Moves the network's parameters along `gradient`.
    mutating func move(_ network: inout Network, gradient: [[Float]]) {
        steps += 1
        for tensor in gradient.indices {
            let (slope, path) = (gradient[tensor], network.path)
            var parameters = network.tensors[tensor].mutableSpan
            var first = first[tensor].mutableSpan
            switch optimizer {
            case .sgd(let rate, let momentum):
                momentumStep(
                    rate: Float(rate), momentum: Float(momentum), gradient: slope.span,
                    velocity: &first, parameters: &parameters, path: path)
            case .adam(let rate):
                let (beta1, beta2) = (0.9, 0.999)
                var second = second[tensor].mutableSpan
                adamStep(
                    rate: Float(rate / (1 - power(beta1, steps))),
                    correction: Float(1 / (1 - power(beta2, steps))),
                    beta1: Float(beta1), beta2: Float(beta2), epsilon: 1e-8, gradient: slope.span,
                    first: &first, second: &second, parameters: &parameters, path: path)
            }
        }
    }
}

/// Writes the derivatives of the penalties into `gradient`: l2 · w for weights, and µ · (parameters − global).
/// They depend on no row.
func fillPenalties(
    l2: Float, proximalMu: Float, parameters: [[Float]], global: [[Float]],
    into gradient: inout [[Float]]
) {
    for tensor in gradient.indices {
        let decay = tensor % 2 == 0 ? l2 : 0
        let (current, initial) = (parameters[tensor], global[tensor])
        let (now, start) = (current.span, initial.span)
        var slope = gradient[tensor].mutableSpan
        for index in 0..<slope.count {
            slope[index] = decay * now[index] + proximalMu * (now[index] - start[index])
        }
    }
}
