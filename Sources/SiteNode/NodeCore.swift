// The node as a value: instructions in, actions out. It decides; the shell (`NodeService`) talks, writes and
// waits. Deny by default: without a consent in force nothing is computed, let alone sent.

import AuditLog
import Codec
import Cryptography
import Messages
import ModelPackage
import Models
import SecureAggregation
import Serving
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
    /// The version of a model that is live here.
    let live: @Sendable (String) -> LiveVersion?
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
        random: any RandomSource, data: any SiteData, blobs: @escaping NodeState.BlobReader, state: NodeState,
        live: @escaping @Sendable (String) -> LiveVersion? = { _ in nil }
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
        self.live = live
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
