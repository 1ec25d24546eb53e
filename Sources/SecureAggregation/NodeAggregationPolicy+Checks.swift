// The policy held against what the coordinator sends. Each check has its refusal.

import Cryptography

extension NodeAggregationPolicy {
    /// M0: everything about the descriptor that does not need the roster.
    func check(_ descriptor: RoundDescriptor, history: AggregationHistory)
        throws(AggregationRefusal)
    {
        if let groupSize = descriptor.cohort.groupSize {
            guard acceptsExperimentalGroups, groupSize >= minimumGroupSize else {
                throw AggregationRefusal(.graphNotSupported)
            }
        }
        guard allowedArchitectures.contains(descriptor.architectureHash) else {
            throw AggregationRefusal(.architectureNotAllowed)
        }
        guard allowedConfigurations.contains(descriptor.configurationHash) else {
            throw AggregationRefusal(.configurationNotAllowed)
        }
        try checkVector(descriptor)
        try checkPrivacy(descriptor.privacy)
        guard descriptor.cohort.minimum >= minimumCohort else {
            throw AggregationRefusal(.cohortBoundTooSmall)
        }
        guard
            descriptor.deadlines.all.allSatisfy({
                (1...AggregationLimits.deadlineMillisecondsMax).contains($0)
            })
        else {
            throw AggregationRefusal(.deadlineNotAllowed)
        }
        try checkProvenance(descriptor, history.task(descriptor.task))
    }

    private func checkVector(_ descriptor: RoundDescriptor) throws(AggregationRefusal) {
        let vector = descriptor.vector
        guard vector.isWithinLimits, vector.elementCount <= maximumElements else {
            throw AggregationRefusal(.vectorNotAllowed)
        }
        guard vector.hasUsableClips, vector.tensors.allSatisfy({ $0.clip <= maximumClip }) else {
            throw AggregationRefusal(.clipNotAllowed)
        }
        guard vector.tensors.allSatisfy({ fractionBits.contains($0.fractionBits) }) else {
            throw AggregationRefusal(.precisionNotAllowed)
        }
        let cohort = descriptor.cohort
        guard
            (cohort.minimum...max(cohort.minimum, cohort.rosterMax)).contains(
                cohort.maximum)
        else {
            throw AggregationRefusal(.rosterTooLarge)
        }
        guard vector.cannotOverflow(cohortMax: cohort.maximum) else {
            throw AggregationRefusal(.overflowPossible)
        }
    }

    private func checkPrivacy(_ terms: PrivacyTerms) throws(AggregationRefusal) {
        guard allowedPrivacyModes.contains(terms.mode) else {
            throw AggregationRefusal(.privacyModeNotAllowed)
        }
        guard terms.mode != .none, terms.mode != .central else { return }
        guard terms.noiseMultiplier >= minimumNoiseMultiplier,
            terms.samplingRate > 0, terms.samplingRate <= maximumSamplingRate,
            terms.delta > 0, terms.delta <= maximumDelta,
            terms.clippingNorm > 0, terms.clippingNorm <= maximumClip,
            terms.mode == .recordLocal || (terms.minimumHonest >= minimumHonest && terms.grid > 0)
        else { throw AggregationRefusal(.privacyParametersWeaker) }
    }

    /// Rounds go up, a model is used in one round, and it follows from the last result.
    private func checkProvenance(
        _ descriptor: RoundDescriptor, _ past: AggregationHistory.Task?
    ) throws(AggregationRefusal) {
        guard descriptor.round >= 1, descriptor.attempt >= 1 else {
            throw AggregationRefusal(.roundNotIncreasing)
        }
        guard let past else {
            guard descriptor.previousResultHash == .zero || acceptsUnknownPreviousResult else {
                throw AggregationRefusal(.previousResultUnknown)
            }
            return
        }
        guard (descriptor.round, descriptor.attempt) > (past.round, past.attempt) else {
            throw AggregationRefusal(.roundNotIncreasing)
        }
        if let used = past.usedModels[descriptor.modelHash] {
            guard used.round == descriptor.round else {
                throw AggregationRefusal(.modelAlreadyUsed)
            }
            guard used.count < attemptsMax else { throw AggregationRefusal(.tooManyAttempts) }
        }
        if descriptor.previousResultHash == past.resultHash ?? .zero {
            guard past.nextModel == nil || past.nextModel == descriptor.modelHash else {
                throw AggregationRefusal(.modelNotDerived)
            }
        } else {
            guard descriptor.previousResultHash != .zero || past.nextModel == nil else {
                throw AggregationRefusal(.modelNotDerived)
            }
            guard descriptor.previousResultHash == .zero || acceptsUnknownPreviousResult else {
                throw AggregationRefusal(.previousResultUnknown)
            }
        }
    }

    /// M2: the cohort and its threshold.
    ///
    /// - Parameters:
    ///   - whole: all sites that advertised.
    ///   - sites: those that this site shares with: all of them, or its group.
    func checkCohort(
        _ whole: [UInt32], sharingWith sites: [UInt32], _ cohort: CohortTerms
    ) throws(AggregationRefusal) {
        guard whole.count >= max(minimumCohort, cohort.minimum, cohort.groupSize ?? 0),
            sites.count >= minimumCohort
        else {
            throw AggregationRefusal(.rosterTooSmall)
        }
        guard whole.count <= min(cohort.maximum, cohort.rosterMax) else {
            throw AggregationRefusal(.rosterTooLarge)
        }
        let n = sites.count
        guard
            ThresholdRule.holds(
                threshold: cohort.threshold.threshold(sites: n), sites: n,
                colluders: colluders(sites: n, cohort))
        else {
            throw AggregationRefusal(.thresholdTooLow)
        }
        guard hasTrustedQuorum(sites) else { throw AggregationRefusal(.rosterTrustedQuorum) }
        guard loggedSites.map({ whole.allSatisfy($0.contains) }) ?? true else {
            throw AggregationRefusal(.rosterNotLogged)
        }
    }

    /// M6: what is left in the sum. `rosterCount` sites advertised, `survivors` remain.
    func checkSurvivors(
        _ survivors: [UInt32], rosterCount: Int, descriptor: RoundDescriptor
    ) throws(AggregationRefusal) {
        let threshold = descriptor.cohort.threshold.threshold(sites: rosterCount)
        guard survivors.count >= max(threshold, minimumCohort, descriptor.cohort.graphMinimum) else {
            throw AggregationRefusal(.survivorsTooFew)
        }
        let honest = survivors.count - colluders(sites: rosterCount, descriptor.cohort)
        guard honest >= max(minimumHonest, NodeAggregationPolicy.minimumHonestFloor) else {
            throw AggregationRefusal(.honestTooFew)
        }
        guard honest >= descriptor.privacy.minimumHonest else {
            throw AggregationRefusal(.noiseTooSmall)
        }
        guard hasTrustedQuorum(survivors) else { throw AggregationRefusal(.survivorsTrustedQuorum) }
    }

    /// M5: this site's weight against the last published total. The first round has none to compare with.
    ///
    /// - Parameter part: of the round's sites that this site's sum is over: below 1 in a group.
    func checkWeight(_ weight: UInt64, lastTotal: UInt64?, part: Double = 1)
        throws(AggregationRefusal)
    {
        guard let lastTotal else { return }
        guard Double(weight) <= maximumWeightShare * part * Double(lastTotal) else {
            throw AggregationRefusal(.weightShareExceeded)
        }
    }
}
