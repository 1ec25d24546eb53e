/// What a site does with its rows in one training round: mini-batch descent from the global parameters.
///
/// The loss is the mean log loss, plus ½ l2 ‖weights‖² of the family, plus ½ µ ‖parameters − global‖² when
/// `proximalMu` is set (FedProx, Li et al. 2020), which keeps a site with unusual rows near the others.
/// The optimiser's state starts anew each round, so a site keeps nothing between rounds.
package struct LocalTraining: Equatable, Sendable {
    /// The step rule.
    package enum Optimizer: Equatable, Sendable {
        /// Stochastic gradient descent; `momentum` in 0 ..< 1 (Polyak, as in most libraries: v = m·v + g).
        case sgd(learningRate: Double, momentum: Double)
        /// Adam (Kingma and Ba 2015) with β₁ 0.9, β₂ 0.999, ε 1e-8.
        case adam(learningRate: Double)
    }

    /// The step rule.
    package var optimizer: Optimizer
    /// Passes over the rows, 1 to 1,000.
    package var epochs: Int
    /// Rows of a step, 1 to 65,536; as many as the site has rows, if those are fewer.
    package var batchSize: Int
    /// Weight µ of the proximal term, 0 for none.
    package var proximalMu: Double

    package init(optimizer: Optimizer, epochs: Int, batchSize: Int, proximalMu: Double = 0) {
        self.optimizer = optimizer
        self.epochs = epochs
        self.batchSize = batchSize
        self.proximalMu = proximalMu
    }
}

/// What local training gives back. Only the change of `parameters` goes on towards a secure sum.
package struct LocalTrainingResult: Equatable, Sendable {
    /// The parameters after training.
    package let parameters: ModelParameters
    /// Mean log loss over the rows during the last epoch, penalties left out.
    package let loss: Double
    /// Rows trained on: the weight of the update.
    package let examples: Int
    /// The site's own intercept beside the trained parameters, when the family has one. It stays at the site.
    package let localIntercept: Float?

    /// Change of each parameter since `global`, in flattened order.
    package func update(from global: ModelParameters) -> [Float] {
        precondition(global.count == parameters.count, "an update between models of different size")
        return zip(parameters.flattened, global.flattened).map { $0 - $1 }
    }
}
