// The node as a value: instructions in, actions out. It decides; the shell (`NodeService`) talks, writes and
// waits. Deny by default: without a consent in force nothing is computed, let alone sent.

import AuditLog
import Codec
import Cryptography
import Messages
import ModelPackage
import Models
import SecureAggregation
import Study
import Tabular
import Telemetry

/// The node's whole behaviour towards the coordinator.
package struct NodeCore {
    package let site: String
    let federation: String
    let siteIndex: UInt32
    let signingKey: SigningKey
    let coordinatorKey: VerifyingKey
    let policy: SitePolicy
    let random: any RandomSource
    let data: any SiteData
    /// Reads a blob that was stored or fetched before.
    let blobs: NodeState.BlobReader
    package private(set) var state: NodeState

    /// The round that this node takes part in.
    var active: ActiveRound?
    /// Rows of the run under way: loaded once, so that no row crosses over within a run.
    var dataset: (run: String, dataset: SiteDataset)?
    /// What the next model of a run must be, from results this node saw itself.
    var expected: ExpectedModel?

    /// - Parameter state: the fold over the node's log.
    package init(
        site: String, federation: String, siteIndex: UInt32, signingKey: SigningKey, coordinatorKey: VerifyingKey, policy: SitePolicy,
        random: any RandomSource, data: any SiteData, blobs: @escaping NodeState.BlobReader, state: NodeState
    ) {
        self.site = site
        self.federation = federation
        self.siteIndex = siteIndex
        self.signingKey = signingKey
        self.coordinatorKey = coordinatorKey
        self.policy = policy
        self.random = random
        self.data = data
        self.blobs = blobs
        self.state = state
    }

    /// Takes the entries of a batch into the state; the shell writes them in the order of the batch.
    mutating func settle(_ actions: [NodeAction], at now: Timestamp) throws -> [NodeAction] {
        var fresh: [Digest: [UInt8]] = [:]
        for action in actions {
            switch action {
            case .store(let bytes): fresh[SHA256.hash(bytes)] = bytes
            case .log(let entry):
                try state.apply(entry, at: now) { [blobs] digest in try fresh[digest] ?? blobs(digest) }
            default: continue
            }
        }
        return actions
    }

    /// Takes an instruction. Blobs that it refers to are already at hand.
    package mutating func handle(_ instruction: Instruction, at now: Timestamp) throws -> [NodeAction] {
        switch instruction {
        case .planOffer(let bytes): return try settle(receivePlan(bytes), at: now)
        case .planWithdrawn(let hash):
            guard let offer = state.offers[hash], offer.withdrawn == nil else { return [] }
            return try settle([.log(.node(.planWithdrawn, site: site, ["plan": .string(hash.hex)]))], at: now)
        case .roundOpen(let work, let start, let opening, let results):
            return try settle(openRound(work: work, start: start, opening: opening, results: results, at: now), at: now)
        case .aggregation(let number, let message):
            guard active?.work.number == number else { return [] }
            return try settle(advance(with: message, at: now), at: now)
        case .runEnded(let run, _):
            if active?.work.run == run { active = nil }
            if dataset?.run == run { dataset = nil }
            expected = nil
            return []
        case .release(let study, let version, let package, let bundle):
            return try settle(receiveRelease(study: study, version: version, package: package, bundle: bundle, at: now), at: now)
        case .manifest(let signed): return try settle(receiveManifest(signed), at: now)
        case .witness(let request): return [.cosign(request: request)]
        case .witnessed(let answer): return [.witnessed(answer)]
        }
    }

    /// Goes back to a state that follows from the log, as a restart would.
    mutating func fallBack(to durable: NodeState) {
        state = durable
        (active, dataset, expected) = (nil, nil, nil)
    }

    /// The node stops taking part in whatever is open; a restart does the same by forgetting.
    package mutating func abandonRound() { active = nil }
}

// MARK: - Plans and consent

extension NodeCore {
    private func receivePlan(_ bytes: [UInt8]) throws -> [NodeAction] {
        let plan: Plan
        do { plan = try Plan(parsing: bytes) } catch {
            return [
                .send(.refusal(subject: SHA256.hash(bytes), code: error.code.rawValue, sentence: "the plan cannot be read by this node"))
            ]
        }
        if let known = state.offers[plan.hash], known.withdrawn == nil { return [] }
        var actions: [NodeAction] = [
            .store(plan.canonicalBytes),
            .log(.node(.planReceived, site: site, ["plan": .string(plan.hash.hex), "study": .string(plan.study)])),
        ]
        do { try policy.check(plan, roundsUsed: state.roundsUsed) } catch {
            actions.append(
                .log(.node(.planRefused, site: site, ["plan": .string(plan.hash.hex), "code": .string(error.code)])))
            actions.append(.send(.refusal(subject: plan.hash, code: error.code, sentence: error.description)))
        }
        return actions
    }

    /// What a person at the site decides before consenting.
    package struct ConsentTerms: Sendable {
        package var sitesMin: Int
        package var roundsMax: Int
        package var validDays: Int
        package var acceptsNoDifferentialPrivacy: Bool
        package var includesFeedbackRows: Bool
        /// Fingerprints of datasets that hold none of the people of this one, for the privacy ledger; said once a dataset.
        package var parallelTo: [String] = []

        package init(
            sitesMin: Int, roundsMax: Int = 1000, validDays: Int = 365, acceptsNoDifferentialPrivacy: Bool = false,
            includesFeedbackRows: Bool = true
        ) {
            self.sitesMin = sitesMin
            self.roundsMax = roundsMax
            self.validDays = validDays
            self.acceptsNoDifferentialPrivacy = acceptsNoDifferentialPrivacy
            self.includesFeedbackRows = includesFeedbackRows
        }
    }

    /// Signs a consent in the site's name, after the plan and the rows have passed the site's policy.
    package mutating func consent(
        to study: String, terms: ConsentTerms, by actor: String, at now: Timestamp
    ) throws -> (consent: SignedConsent, actions: [NodeAction]) {
        guard let offer = state.offer(study: study) else {
            throw NodeError.refused(code: "consent.no-plan", "no plan of that study has been offered to this node")
        }
        do { try policy.check(offer.plan, roundsUsed: state.roundsUsed) } catch {
            throw NodeError.refused(code: error.code, error.description)
        }
        guard !offer.plan.privacy.withoutDifferentialPrivacy || terms.acceptsNoDifferentialPrivacy else {
            throw NodeError.refused(
                code: "consent.differential-privacy",
                "the plan runs without differential privacy: what the model says about single patients is not bounded. A consent must say that the site accepts this (--accept-no-differential-privacy)")
        }
        guard terms.sitesMin >= policy.sitesMin else {
            throw NodeError.refused(code: "policy.cohort", "the consent's sitesMin is below the site's policy (\(policy.sitesMin))")
        }
        guard offer.plan.cohort.sitesMin >= terms.sitesMin else {
            throw NodeError.refused(
                code: "consent.cohort",
                "the plan's smallest cohort (\(offer.plan.cohort.sitesMin)) is below the consent's sitesMin (\(terms.sitesMin)): this site would refuse every round; ask for another plan")
        }
        let dataset = try data.dataset(for: offer.plan, includingFeedback: terms.includesFeedbackRows)
        try policy.check(dataset)
        let ledger = try ledgerEntries(consentTo: offer.plan, dataset, parallelTo: terms.parallelTo, at: now)
        let consent = Consent(
            site: site, study: study, planHash: offer.hash, datasetFingerprint: dataset.sourceFingerprint,
            bounds: .init(sitesMin: terms.sitesMin, roundsMax: terms.roundsMax),
            acceptsNoDifferentialPrivacy: terms.acceptsNoDifferentialPrivacy,
            includesFeedbackRows: terms.includesFeedbackRows, issued: now.milliseconds,
            expires: now.milliseconds + Int64(terms.validDays) * 86_400_000)
        let signed = SignedConsent(consent, signedBy: signingKey)
        let entry = LogEntry.operated(
            .consentGiven, site: site, by: actor,
            [
                "plan": .string(offer.hash.hex), "study": .string(study), "consent": .string(signed.hash.hex),
                "key": .string(Hex.encode(signingKey.publicKey.bytes)), "expires": .integer(consent.expires),
            ])
        let actions = try settle(
            [.store(signed.encoded)] + ledger.map { .log($0) } + [.log(entry), .send(.consent(signed.encoded))], at: now)
        return (signed, actions)
    }

    /// Takes the consent back; an open round of the study ends here.
    package mutating func withdrawConsent(to study: String, by actor: String, at now: Timestamp) throws -> [NodeAction] {
        guard let offer = state.offer(study: study), offer.consent != nil else {
            throw NodeError.refused(code: "consent.none", "there is no consent of this site to that study")
        }
        if active?.plan.study == study { active = nil }
        let entry = LogEntry.operated(.consentWithdrawn, site: site, by: actor, ["plan": .string(offer.hash.hex), "study": .string(study)])
        return try settle([.log(entry), .send(.consentWithdrawn(planHash: offer.hash))], at: now)
    }

    /// Says again what the coordinator may have missed, consents and withdrawals; it takes the same one twice.
    package func standingReports(at now: Timestamp) -> [Report] {
        standingSignatures + state.offers.values.filter { $0.withdrawn == nil }.sorted { $0.hash < $1.hash }.compactMap { offer in
            guard let consent = offer.consent else { return offer.isConsentWithdrawn ? .consentWithdrawn(planHash: offer.hash) : nil }
            return consent.consent.expires > now.milliseconds ? .consent(consent.encoded) : nil
        }
    }
}

// MARK: - Releases

extension NodeCore {
    private mutating func receiveRelease(
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
            installation = try accept(
                PackageContents(bundle: blobs(bundle)), package, version, offer.plan, includingFeedback: consent.includesFeedbackRows)
        } catch {
            let code = (error as? NodeError)?.code ?? (error as? SitePolicy.Refusal)?.code ?? "package.invalid"
            actions.append(
                .log(.node(.packageRefused, site: site, ["package": .string(package.hex), "code": .string(code), "reason": .string(String("\(error)".prefix(400)))])))
            actions.append(.send(.versionVerdict(package: package, accepted: false, code: code)))
            return actions
        }
        actions.append(
            .log(
                .node(
                    .packageVerified, site: site,
                    [
                        "package": .string(package.hex), "study": .string(study), "version": .integer(Int64(version)),
                        "metrics": .object(installation.metrics.mapValues { .string(decimal($0, places: 6)) }),
                    ])))
        actions.append(.install(installation))
        actions.append(.send(.versionVerdict(package: package, accepted: true, code: "accepted")))
        return actions
    }

    /// Verifies a version and runs it on the site's own held-out rows.
    private func accept(
        _ contents: PackageContents, _ digest: Digest, _ version: Int, _ plan: Plan, includingFeedback: Bool
    ) throws -> Installation {
        let package = try VerifiedPackage.verify(contents, trustedKey: coordinatorKey)
        guard package.digest == digest, package.version == version, package.manifest.study == plan.study,
            package.manifest.planHash == plan.hash
        else {
            throw NodeError.refused(code: "package.other", "the package is not the version that was announced for the plan this site consented to")
        }
        let work = LocalWork(plan: plan, site: site, dataset: try data.dataset(for: plan, includingFeedback: includingFeedback))
        var metrics: [String: Double] = ["rows": 0]
        if work.dataset.heldOut.rowCount > 0 {
            metrics = try work.histogram(plan.evaluationLayout(), package.preprocessor, package.parameters).metrics.named
        }
        let missed = plan.deployment.siteGates.map { $0.check(metrics) }.filter { !$0.passed }
        guard missed.isEmpty else {
            let names = missed.map(\.gate.metric.rawValue).joined(separator: ", ")
            throw NodeError.refused(code: "package.site-gates", "the version misses the plan's site gates on this site's own rows: \(names)")
        }
        return Installation(
            package: package, intercept: Double(try work.intercept(package.preprocessor, package.parameters)),
            metrics: metrics, goesLive: plan.deployment.automatic)
    }
}
