// Which version answers a request while another one is on trial. `protocol/prediction-api.md` §9.

import HTTP
import Telemetry
import Transport

/// The version that answers a request, and why it is this one.
struct Route: Sendable {
    var model: DeployedModel
    var arm = DeploymentArm.live
    /// Gets copies of what the live version scored.
    var shadow: ShadowLane?

    /// Hands scored rows to the shadow, if there is one.
    func mirror(_ rows: ScoredRows) {
        guard let shadow else { return }
        shadow.mirror(rows.scores.indices.map { (rows.features($0), rows.scores[$0].probability, rows.scores[$0].positive) })
    }
}

extension PredictionService {
    /// The routing key in a request's header.
    func routingKey(_ request: HTTPRequest) -> String? {
        request.headers["Consilium-Routing-Key"] ?? request.headers["X-Request-Id"]
    }

    /// Gives a request to an arm.
    /// - Parameters:
    ///   - live: the version that answers without a trial.
    ///   - table: of the moment at which `live` was found.
    ///   - key: requests of one key stay on one arm; nil for one that goes anywhere.
    ///   - start: monotonic nanoseconds of the request.
    func route(_ rows: RequestRows, _ live: DeployedModel, _ table: LiveTable, key: String?, _ start: UInt64) -> Route {
        let name = live.name
        let shadow = table.shadows[name]
        guard let lane = table.canaries[name], table.models[name] === live else { return Route(model: live, shadow: shadow) }
        let place = deployments.router.place(key ?? "request \(start) \(unkeyed.next)", trial: lane.model.package.digest)
        guard place < lane.share else {
            return Route(model: live, arm: DeploymentArm(name: ArmName.live, propensity: 1 - lane.share), shadow: shadow)
        }
        let values = (0..<rows.validCount).map(rows.row)
        let now = clock.now()
        let pairs = lane.pairs(values, live: live, startsWithCanary: start % 2 == 0)
        carryOut(lane.trial.withLock { $0.observe(pairs, at: now) }, lane)
        metrics.count("consilium_canary_rows_total", [("model", name)], by: Double(pairs.count), help: "Rows that were given to a canary.")
        // Nobody is left without an answer because a version on trial has none.
        guard pairs.allSatisfy({ $0.other != nil }) else {
            return Route(model: live, arm: DeploymentArm(name: ArmName.fallback, propensity: lane.share))
        }
        return Route(model: lane.model, arm: DeploymentArm(name: ArmName.canary, propensity: lane.share))
    }

    /// An outcome that came back counts for the trial that its prediction was part of.
    func observe(_ positive: Bool, of decision: DecisionRecord) {
        let (context, table) = (decision.context, deployments.live)
        guard context.arm.propensity < 1, [ArmName.live, ArmName.canary].contains(context.arm.name) else { return }
        let isCanary = context.arm.name == ArmName.canary
        let lane = table.canaries.values.first { lane in
            let answered = isCanary ? lane.model : table.models[lane.model.package.name]
            return answered?.package.digest == context.digest && Int64(decision.id.milliseconds) >= lane.begun.milliseconds
        }
        guard let lane else { return }
        let distance = decision.probability - (positive ? 1 : 0)
        let now = clock.now()
        carryOut(lane.trial.withLock { $0.observe(squaredError: distance * distance, isCanary: isCanary, at: now) }, lane)
    }

    /// Does what a trial came to, on the worker's thread: it waits for the disk.
    private func carryOut(_ verdict: CanaryTrial.Verdict, _ lane: CanaryLane) {
        guard verdict != .goOn else { return }
        let now = clock.now()
        do {
            try worker.run { [self] in
                do { try deployments.settle(verdict, lane) } catch {
                    lane.trial.withLock { $0.reopen(at: now) }
                    logger.error("canary.not-settled", [("digest", .name(lane.model.digestHex)), ("problem", .name("\(error)"))])
                }
            }
        } catch {
            lane.trial.withLock { $0.reopen(at: now) }
        }
    }
}

/// Names of arms in decisions.
enum ArmName {
    static let live = "live"
    static let canary = "canary"
    /// Given to the canary, which had no usable score; the live version answered.
    static let fallback = "fallback"
}

/// Numbers requests that have no key of their own.
final class RequestCounter: Sendable {
    private let count = Locked(UInt64(0))

    var next: UInt64 {
        count.withLock { count in
            count += 1
            return count
        }
    }
}
