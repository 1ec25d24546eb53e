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
    /// What waits until the round's entry is proven: openings by site, then what the session wants.
    var pending: (openings: [(site: String, message: [UInt8])], rest: [ServerAction])?
    /// Set from when the entry is durable until the round opens.
    var witnessing: RoundWitnessing?
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
            vector: RoundWork.vector(work.kind, plan: plan, elements: elements, sites: sites),
            privacy: PrivacyTerms(round: work, plan: plan, sites: sites),
            cohort: CohortTerms(
                minimum: cohort.sitesMin, maximum: sites,
                threshold: .colluders(max(cohort.colluders, NodeAggregationPolicy.defaultColluders(sites: sites)))),
            deadlines: StepDeadlines(
                advertiseKeys: message, shareKeys: message, maskedInput: UInt32(cohort.trainingSeconds) * 1000,
                consistency: message, unmasking: message),
            nonce: nonce)
    }
}
