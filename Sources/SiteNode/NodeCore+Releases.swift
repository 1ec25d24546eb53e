// A released version at a site: verified, held against the plan's bounds on the site's own rows, then handed to serving. One that
// misses a bound is handed over as well, to be kept and explained; it cannot be used.

import Codec
import Cryptography
import Messages
import ModelPackage
import Models
import Serving
import Study
import Telemetry

/// The version that is live at this site.
package struct LiveVersion: Sendable {
    let package: VerifiedPackage
    /// The site's own intercept of it.
    let intercept: Double
    /// What it reached when it was evaluated here.
    let metrics: [String: Double]?

    package init(package: VerifiedPackage, intercept: Double, metrics: [String: Double]?) {
        (self.package, self.intercept, self.metrics) = (package, intercept, metrics)
    }
}

extension NodeCore {
    mutating func receiveRelease(
        study: String, version: Int, package: Digest, bundle: Digest, at now: Timestamp
    ) throws -> [NodeAction] {
        if let known = state.verdicts[package] {
            // Announced again at a new connection: the first verdict may have been lost on the way.
            return [.send(.versionVerdict(package: package, accepted: known, code: known ? "accepted" : "refused"))]
        }
        guard let offer = state.offer(study: study), let consent = offer.consent?.consent, consent.expires > now.milliseconds else { return [] }
        var actions: [NodeAction] = [
            .log(.node(.packageFetched, site: site, ["package": .string(package.hex), "study": .string(study), "version": .integer(Int64(version))]))
        ]
        let installation: Installation
        do {
            try policy.checkTerms(offer.plan)
            let verified = try VerifiedPackage.verify(PackageContents(bundle: blobs(bundle)), trustedKey: coordinatorKey)
            guard verified.digest == package, verified.version == version, verified.manifest.study == offer.plan.study,
                verified.manifest.planHash == offer.hash
            else {
                throw NodeError.refused(code: "package.other", "the package is not the version that was announced for the plan this site consented to")
            }
            installation = try measure(verified, offer.plan, includingFeedback: consent.includesFeedbackRows, at: now)
        } catch {
            let code = (error as? NodeError)?.code ?? (error as? SitePolicy.Refusal)?.code ?? "package.invalid"
            return actions + refusal(package, code, "\(error)")
        }
        // First to serving, then the verdict: a crash in between measures again.
        actions.append(.install(installation))
        guard installation.evaluation.passed else {
            return actions + refusal(
                package, "package.site-gates",
                "the version misses bounds of the plan on this site's own rows: \(installation.evaluation.refusal)")
        }
        actions.append(
            .log(
                .node(
                    .packageVerified, site: site,
                    [
                        "package": .string(package.hex), "study": .string(study), "version": .integer(Int64(version)),
                        "metrics": .object(installation.metrics.mapValues { .string(decimal($0, places: 6)) }),
                    ])))
        actions.append(.send(.versionVerdict(package: package, accepted: true, code: "accepted")))
        return actions
    }

    private func refusal(_ package: Digest, _ code: String, _ reason: String) -> [NodeAction] {
        [
            .log(
                .node(
                    .packageRefused, site: site,
                    ["package": .string(package.hex), "code": .string(code), "reason": .string(String(reason.prefix(400)))])),
            .send(.versionVerdict(package: package, accepted: false, code: code)),
        ]
    }

    /// Runs a version on the site's own held-out rows and holds the result against its plan.
    private func measure(
        _ package: VerifiedPackage, _ plan: Plan, includingFeedback: Bool, at now: Timestamp
    ) throws -> Installation {
        let work = LocalWork(plan: plan, site: site, dataset: try data.dataset(for: plan, includingFeedback: includingFeedback))
        let intercept = Double(try work.intercept(package.preprocessor, package.parameters))
        let rules = DeploymentRules(
            rollout: plan.deployment.rollout ?? RolloutPlan(), needsEvaluation: true, isAutomatic: plan.deployment.automatic,
            allowsOverride: policy.gateOverride, plan: plan.hash)
        return Installation(
            package: package, intercept: intercept, evaluation: try evaluation(of: package, intercept, work, at: now), rules: rules)
    }

    /// Measures a version that is here again, on the rows of today.
    /// - Throws: `NodeError.refused` when no plan of its study is known here.
    /// - Parameter plan: the plan whose bounds hold for the version.
    package func evaluate(_ package: VerifiedPackage, intercept: Double, plan: Digest?, at now: Timestamp) throws -> Evaluation {
        try evaluation(of: package, intercept, work(for: package, plan: plan), at: now)
    }

    /// A calibration of a version's scores on the site's own held-out rows of today.
    /// - Throws: `NodeError.refused` also when the rows are of one class, or rank the other way.
    func calibration(_ package: VerifiedPackage, intercept: Double) throws -> PlattScaling {
        let work = try work(for: package)
        guard work.dataset.heldOut.rowCount >= NodeCore.calibrationRowsMin,
            let found = try work.calibration(package, intercept: Float(intercept))
        else {
            throw NodeError.refused(
                code: "version.no-calibration",
                "the held-out rows cannot calibrate: there are fewer than \(NodeCore.calibrationRowsMin), or of one class only, or higher scores do not go with more positives")
        }
        return found
    }

    private static let calibrationRowsMin = 20

    /// The rows of today that a version is measured on.
    private func work(for package: VerifiedPackage, plan: Digest? = nil) throws -> LocalWork {
        guard let offer = state.offers[plan ?? package.manifest.planHash] ?? state.offer(study: package.manifest.study) else {
            throw NodeError.refused(code: "version.no-plan", "no plan of the version's study has been offered to this node: there are no bounds to hold it against")
        }
        guard package.schema.features == offer.plan.schema.features else {
            throw NodeError.refused(code: "version.schema", "the version has other features than the plan that governs its model: this site's rows do not fit it")
        }
        let includesFeedback = state.offer(study: offer.plan.study)?.consent?.consent.includesFeedbackRows ?? false
        return LocalWork(plan: offer.plan, site: site, dataset: try data.dataset(for: offer.plan, includingFeedback: includesFeedback))
    }

    private func evaluation(
        of package: VerifiedPackage, _ intercept: Double, _ work: LocalWork, at now: Timestamp
    ) throws -> Evaluation {
        let layout = try work.plan.evaluationLayout()
        let counts = try work.histogram(layout, package, intercept: Float(intercept))
        var beside: [String: Double]?
        if let live = live(package.name), live.package.digest != package.digest {
            // The same rows where the live version can read them; else what it reached on the rows of its own time.
            beside =
                live.package.schema.features == work.plan.schema.features
                ? try work.histogram(layout, live.package, intercept: Float(live.intercept)).metrics.named : live.metrics ?? [:]
        }
        return Evaluation(
            metrics: counts.rows > 0 ? counts.metrics.named : ["rows": 0], findings: work.plan.deployment.accept(counts, live: beside), time: now)
    }
}

extension PredictionService {
    /// The version that is live, with its figures here.
    func liveVersion(_ model: String) -> LiveVersion? {
        guard let live = deployments.liveModel(model) else { return nil }
        return LiveVersion(package: live.package, intercept: live.intercept, metrics: deployments.current.versions[live.package.digest]?.metrics)
    }
}
