// The fold over a node's latch records: what the next round is held against.

import Cryptography

/// Everything a node remembers of past rounds. Replay all records through ``apply(_:)`` at start.
package struct AggregationHistory: Equatable, Sendable {
    /// What is remembered of one task.
    struct Task: Equatable, Sendable {
        /// The last attempt that was answered.
        var round: UInt64 = 0
        var attempt: UInt32 = 0
        var context = Digest.zero
        /// In the attempt `context`: the survivor list signed, and whether shares were revealed.
        var signedSurvivors: Digest?
        var hasUnmasked = false
        /// The last round in which shares were revealed, and for which survivors.
        var unmaskedRound: UInt64?
        var unmaskedSurvivorSet: Digest?
        /// Model → the round that used it and how many masked vectors left for it.
        var usedModels: [Digest: (round: UInt64, count: Int)] = [:]
        /// The last result that was checked.
        var resultRound: UInt64?
        var resultHash: Digest?
        var nextModel: Digest?
        var totalWeight: UInt64?

        static func == (left: Task, right: Task) -> Bool {
            left.round == right.round && left.attempt == right.attempt
                && left.context == right.context
                && left.signedSurvivors == right.signedSurvivors
                && left.hasUnmasked == right.hasUnmasked
                && left.unmaskedRound == right.unmaskedRound
                && left.unmaskedSurvivorSet == right.unmaskedSurvivorSet
                && left.usedModels.mapValues { [$0.round, UInt64($0.count)] }
                    == right.usedModels.mapValues { [$0.round, UInt64($0.count)] }
                && left.resultRound == right.resultRound && left.resultHash == right.resultHash
                && left.nextModel == right.nextModel && left.totalWeight == right.totalWeight
        }
    }

    private var tasks: [String: Task] = [:]
    private(set) var ledgerHeads: [UInt32: LedgerHead] = [:]

    package init() {}

    package init(replaying records: [LatchRecord]) {
        for record in records { apply(record) }
    }

    func task(_ name: String) -> Task? { tasks[name] }

    /// The last total weight published for a task, for the weight share rule.
    package func lastTotalWeight(task: String) -> UInt64? { tasks[task]?.totalWeight }

    /// The last result of a task that this node checked.
    package func lastResult(task: String) -> Digest? { tasks[task]?.resultHash }

    /// The last round of a task that this node answered.
    package func lastRound(task: String) -> UInt64? { tasks[task]?.round }

    /// Takes one more record, in the order in which they were made durable.
    package mutating func apply(_ record: LatchRecord) {
        switch record {
        case .opened(let task, let round, let attempt, let context):
            update(task) {
                ($0.round, $0.attempt, $0.context) = (round, attempt, context)
                ($0.signedSurvivors, $0.hasUnmasked) = (nil, false)
            }
        case .ledgerHeads(let heads):
            ledgerHeads.merge(heads) { _, newer in newer }
        case .masked(let task, let round, _, let modelHash, _):
            update(task) { $0.usedModels[modelHash, default: (round, 0)].count += 1 }
        case .signedSurvivors(let task, let context, let survivors):
            update(task) { if $0.context == context { $0.signedSurvivors = survivors } }
        case .unmasked(let task, let round, let context, let survivorSet):
            update(task) {
                if $0.context == context { $0.hasUnmasked = true }
                ($0.unmaskedRound, $0.unmaskedSurvivorSet) = (round, survivorSet)
            }
        case .result(let task, let round, let resultHash, let nextModel, let totalWeight):
            update(task) {
                ($0.resultRound, $0.resultHash, $0.nextModel, $0.totalWeight) = (
                    round, resultHash, nextModel, totalWeight
                )
            }
        }
    }

    private mutating func update(_ name: String, _ change: (inout Task) -> Void) {
        change(&tasks[name, default: Task()])
    }
}
