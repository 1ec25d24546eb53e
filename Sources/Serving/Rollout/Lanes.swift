// Versions beside the live one while requests run: the canary, which answers some of them, and the shadow, which answers none.

import Codec
import Cryptography
import Glibc
import Study
import Telemetry
import Transport

/// A canary as requests meet it, at one step.
final class CanaryLane: Sendable {
    let model: DeployedModel
    let share: Double
    /// When the trial began: outcomes of earlier predictions do not count.
    let begun: Timestamp
    let plan: CanaryPlan
    let trial: Locked<CanaryTrial>

    /// - Parameter trial: the one under way, when the canary goes on to another step.
    init(_ model: DeployedModel, _ standing: DeploymentState.CanaryStanding, trial: CanaryTrial? = nil) {
        (self.model, plan, share, begun) = (model, standing.plan, standing.share, standing.begun)
        self.trial = Locked(trial ?? CanaryTrial(standing))
    }

    /// The figures so far, for the log.
    func report(_ reason: String? = nil) -> JSONValue { trial.withLock { $0.report(reason: reason) } }

    /// Both versions on the same rows, with the time each took.
    ///
    /// The second to read a row finds it warm, so they take turns to be first.
    func pairs(_ rows: [[Double]], live: DeployedModel, startsWithCanary: Bool) -> [PairedScore] {
        rows.enumerated().map { index, values in
            let isFirst = startsWithCanary == (index % 2 == 0)
            let start = EventLoop.monotonicNanoseconds()
            let first = (isFirst ? model : live).score(values)
            let middle = EventLoop.monotonicNanoseconds()
            let second = (isFirst ? live : model).score(values)
            let (one, two) = (Double(middle - start), Double(EventLoop.monotonicNanoseconds() - middle))
            let (other, known) = isFirst ? (first, second) : (second, first)
            return PairedScore(
                live: known.probability, other: other.usable, flips: other.positive != known.positive,
                isSlow: isFirst ? one > plan.slowerTimesMax * two : two > plan.slowerTimesMax * one)
        }
    }
}

/// A shadow: scores copies of rows on a thread of its own, behind a queue that drops what is too much. Nothing of it is
/// ever answered, waited for, or kept but counts.
final class ShadowLane: Sendable {
    let model: DeployedModel
    let since: Timestamp
    private let worker: Worker
    private let waitingRows = Locked(0)
    private let summary = Locked(DifferenceSummary())
    private let dropped = Locked(0)

    static let requestsMax = 256
    static let rowsMax = 4096

    init(_ model: DeployedModel, since: Timestamp) {
        (self.model, self.since) = (model, since)
        worker = Worker(name: "shadow", waitingMax: Self.requestsMax)
        // Live answers come first on a busy machine: priority of the thread that runs the body.
        _ = worker.take { _ = setpriority(__priority_which_t(0), 0, 10) }
    }

    /// Takes copies of rows that the live version scored. Never waits.
    func mirror(_ rows: [(values: [Double], probability: Double, positive: Bool)]) {
        let fits = waitingRows.withLock { waiting in
            guard waiting + rows.count <= Self.rowsMax else { return false }
            waiting += rows.count
            return true
        }
        guard fits else { return dropped.withLock { $0 += rows.count } }
        let outcome = worker.take { [self] in
            let pairs = rows.map { row in
                let score = model.score(row.values)
                return PairedScore(
                    live: row.probability, other: score.usable, flips: score.positive != row.positive)
            }
            summary.withLock { summary in for pair in pairs { summary.observe(pair) } }
            waitingRows.withLock { $0 -= rows.count }
        }
        if case .taken = outcome { return }
        waitingRows.withLock { $0 -= rows.count }
        dropped.withLock { $0 += rows.count }
    }

    /// Scores what waits and ends the thread.
    func stop() { worker.stop() }

    /// Differences so far, and rows that there was no time for.
    var figures: (DifferenceSummary, dropped: Int) { (summary.withLock { $0 }, dropped.withLock { $0 }) }

    /// - Parameter number: how fractions are written.
    func members(_ number: (Double) -> JSONValue) -> [String: JSONValue] {
        var members = figures.0.members(number)
        members["dropped"] = .integer(Int64(figures.dropped))
        return members
    }

    /// For the log.
    var report: JSONValue { .object(members { .string($0.description) }) }
}

extension DeployedModel.Score {
    /// The probability, unless the arithmetic ran over on the way to it.
    var usable: Double? { score.isFinite && probability.isFinite ? probability : nil }
}

/// Gives each request to an arm: the same key, the same arm, for as long as a trial lasts; with a larger share the keys
/// that were on the canary stay there. Keyed, so that nobody outside can choose an arm by choosing a key.
struct ArmRouter: Sendable {
    private let secret: [UInt8]

    /// - Parameter secret: 32 random bytes, the node's own.
    init(secret: [UInt8]) { self.secret = secret }

    /// Where a key lies in [0, 1) for the trial of a version; below the share it is on the canary.
    func place(_ key: String, trial: Digest) -> Double {
        let tag = HMACSHA256.authenticate(trial.bytes + Array(key.utf8), key: secret).bytes
        let number = tag.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return Double(number >> 11) / 9_007_199_254_740_992
    }
}
