// What coordinator and node both derive from a work order.

import Cryptography
import SecureAggregation
import Study

extension RoundWork {
    /// The aggregation's task: numbers increase and a model is used once within it.
    package func task(study: String) -> String { RoundWork.task(study: study, run: run, kind: kind) }

    /// The task of a run's rounds of one kind.
    package static func task(study: String, run: String, kind: Kind) -> String { "\(study)/\(run)/\(kind.rawValue)" }

    /// What stands for the model in a round that has none.
    package var modelHash: Digest {
        model ?? SHA256.hash(Array("consilium/no-model/v1/\(run)".utf8))
    }

    /// Bound of each value of the vector.
    package func bound(_ plan: Plan) -> Double { RoundWork.bound(kind, plan) }

    private static func bound(_ kind: Kind, _ plan: Plan) -> Double { kind == .training ? plan.training.updateBound : 1 }

    /// The vector that a round of this kind sums.
    ///
    /// - Parameters:
    ///   - elements: its length.
    ///   - sites: that the overflow guarantee counts with.
    package static func vector(_ kind: Kind, plan: Plan, elements: Int, sites: Int) -> VectorSpec {
        VectorSpec(
            tensors: [TensorSpec(name: kind.rawValue, count: elements, clip: bound(kind, plan), cohortMax: sites)],
            maximumWeight: UInt64(plan.cohort.rowsPerSiteMax))
    }
}
