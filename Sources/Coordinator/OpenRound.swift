// One attempt at one secure round: its order, its descriptor, its session, its deadline.

import Codec
import Cryptography
import Messages
import SecureAggregation
import Study
import Telemetry

/// The round that a run waits for.
struct OpenRound: Sendable {
    let work: RoundWork
    let attempt: Int
    var session: ServerSession
    var deadline: Timestamp
}

extension RoundDescriptor {
    /// The descriptor of a round, from documents that coordinator and node both hold.
    ///
    /// - Parameter elements: length of the vector.
    package init(
        work: RoundWork, plan: Plan, attempt: Int, sites: Int, elements: Int, manifestHash: Digest,
        previousResult: Digest, nonce: [UInt8]
    ) {
        let cohort = plan.cohort
        let message = UInt32(cohort.messageSeconds) * 1000
        self.init(
            task: work.task(study: plan.study), round: work.number, attempt: UInt32(attempt), manifestHash: manifestHash,
            modelHash: work.modelHash, previousResultHash: previousResult,
            architectureHash: SHA256.hash(plan.family.json.canonicalBytes()), configurationHash: work.hash,
            vector: VectorSpec(
                tensors: [TensorSpec(name: work.kind.rawValue, count: elements, clip: work.bound(plan), cohortMax: sites)],
                maximumWeight: UInt64(cohort.rowsPerSiteMax)),
            privacy: .none,
            cohort: CohortTerms(minimum: cohort.sitesMin, maximum: sites, threshold: .colluders(cohort.colluders)),
            deadlines: StepDeadlines(
                advertiseKeys: message, shareKeys: message, maskedInput: UInt32(cohort.trainingSeconds) * 1000,
                consistency: message, unmasking: message),
            nonce: nonce)
    }
}
