// What coordinator and node both derive from a work order.

import Cryptography
import Study

extension RoundWork {
    /// The aggregation's task: numbers increase and a model is used once within it.
    package func task(study: String) -> String { "\(study)/\(run)/\(kind.rawValue)" }

    /// What stands for the model in a round that has none.
    package var modelHash: Digest {
        model ?? SHA256.hash(Array("consilium/no-model/v1/\(run)".utf8))
    }

    /// Bound of each value of the vector.
    package func bound(_ plan: Plan) -> Double { kind == .training ? plan.training.updateBound : 1 }
}
