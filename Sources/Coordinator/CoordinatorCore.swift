// The coordinator as a value: requests and reports in, actions out. No sockets, clock or files; the
// shell around it (`CoordinatorService`) owns those.

import AuditLog
import Codec
import Cryptography
import Messages
import SecureAggregation
import Study
import Telemetry

/// The coordinator's whole behaviour.
package struct CoordinatorCore {
    package private(set) var federation: Federation
    let signingKey: SigningKey
    let random: any RandomSource
    /// Reads a blob that was stored before.
    let blobs: Federation.BlobReader
    /// The coordinator's own log, to prove what stands in it.
    let log: any ProvableLog
    /// Size of the log that each site has cosigned, as far as this process knows.
    var witnessedSizes: [String: UInt64] = [:]
    /// Runs under way, one per study.
    var runs: [String: Run] = [:]

    /// Sites of a federation, at most.
    static let sitesMax = 1024
    static let openInvitationsMax = 1024
    /// Difference of the clocks with which a site can join. Below the time that certificates are dated back, so that a
    /// node whose clock is slow takes the certificate that its token paid for.
    static let clockSkewMilliseconds = (CertificateAuthority.clockSkewSeconds - 60) * 1000

    /// - Parameter federation: the fold over the log.
    package init(
        federation: Federation, signingKey: SigningKey, random: any RandomSource, log: any ProvableLog,
        blobs: @escaping Federation.BlobReader
    ) {
        self.federation = federation
        self.log = log
        self.signingKey = signingKey
        self.random = random
        self.blobs = blobs
    }

    /// Takes the entries of a batch into the state; the shell writes them before it does anything else.
    mutating func settle(_ actions: [CoordinatorAction], at now: Timestamp) throws -> [CoordinatorAction] {
        var fresh: [Digest: [UInt8]] = [:]
        for action in actions {
            switch action {
            case .store(let bytes): fresh[SHA256.hash(bytes)] = bytes
            case .log(let entry):
                try federation.apply(entry, at: now) { [blobs] digest in try fresh[digest] ?? blobs(digest) }
            default: continue
            }
        }
        return actions
    }
}

// MARK: - Membership

extension CoordinatorCore {
    /// The first entries of a new coordinator.
    mutating func initialise(name: String, authority: Digest, at now: Timestamp) throws -> [CoordinatorAction] {
        let entry = LogEntry.coordinator(
            .federationInit,
            ["federation": .string(name), "authority": .string(authority.hex), "key": .string(Hex.encode(signingKey.publicKey.bytes))])
        return try settle([.log(entry)], at: now)
    }

    /// Makes a one-time token for a site.
    package mutating func invite(
        site: String, address: String, authorityFingerprint: Digest, by actor: String, at now: Timestamp
    ) throws -> (token: EnrolmentToken, actions: [CoordinatorAction]) {
        guard isName(site) else {
            throw CoordinatorError.refused(code: "site.name", "a site's name is 1 to 64 of a-z, 0-9 and -")
        }
        guard site != WitnessAnswer.coordinator else {
            throw CoordinatorError.refused(code: "site.name", "a site cannot be called `coordinator`: its log and the coordinator's would have one name")
        }
        if let known = federation.sites[site] {
            throw CoordinatorError.refused(
                code: "site.exists",
                known.revoked == nil
                    ? "the site is already a member; revoke it first if its machine was lost"
                    : "the name belongs to a revoked site; choose another name, so that old log entries stay unambiguous")
        }
        guard federation.sites.count < CoordinatorCore.sitesMax else {
            throw CoordinatorError.refused(code: "site.limit", "the federation has \(CoordinatorCore.sitesMax) sites, which is the most")
        }
        let open = federation.invitations.values.filter { !$0.used && $0.expires > now }.count
        guard open < CoordinatorCore.openInvitationsMax else {
            throw CoordinatorError.refused(code: "invitation.limit", "too many invitations are open; wait until they expire")
        }
        let token = EnrolmentToken(
            secret: random.bytes(32), address: address, authorityFingerprint: authorityFingerprint, site: site)
        let entry = LogEntry.operated(
            .siteInvited, by: actor,
            [
                "site": .string(site), "token": .string(EnrolmentToken.hash(secret: token.secret).hex),
                "expires": .integer(now.milliseconds + EnrolmentToken.lifetimeSeconds * 1000),
            ])
        return (token, try settle([.log(entry)], at: now))
    }

    /// Admits a node that holds a token. The certificate is issued by `issue`, which the shell provides.
    package mutating func enrol(
        _ request: EnrolmentRequest, authorityPEM: [UInt8], at now: Timestamp,
        issue: (_ requestDER: [UInt8], _ site: String) throws -> Certificate
    ) throws -> (grant: EnrolmentGrant, actions: [CoordinatorAction]) {
        let skew = abs(now.milliseconds - request.clock)
        guard skew <= CoordinatorCore.clockSkewMilliseconds else {
            throw CoordinatorError.refused(
                code: "enrolment.clock",
                "the clocks of node and coordinator differ by \(skew / 60_000) minutes: set the node's clock (NTP), then join again; the token was not used")
        }
        let hash = EnrolmentToken.hash(secret: request.secret)
        guard let invitation = federation.invitations[hash], invitation.site == request.site else {
            throw CoordinatorError.refused(code: "enrolment.token", "the token is not known here: ask for a new invitation")
        }
        guard !invitation.used else {
            throw CoordinatorError.refused(
                code: "enrolment.token-used", "the token was used before: ask for a new invitation, and find out who used it")
        }
        guard invitation.expires > now else {
            throw CoordinatorError.refused(code: "enrolment.token-expired", "the token has expired: ask for a new invitation")
        }
        guard request.hasValidProof else {
            throw CoordinatorError.refused(code: "enrolment.proof", "the request is not signed by the key it registers")
        }
        guard federation.sites[request.site] == nil else {
            throw CoordinatorError.refused(code: "site.exists", "the site is already a member")
        }
        guard !federation.sites.values.contains(where: { $0.key == request.signingKey }) else {
            throw CoordinatorError.refused(code: "enrolment.key", "the signing key belongs to another site")
        }
        let certificate: Certificate
        do {
            certificate = try issue(request.certificateRequest, request.site)
        } catch {
            throw CoordinatorError.refused(code: "enrolment.certificate-request", "the certificate request is refused: \(error)")
        }
        let index = (federation.sites.values.map(\.index).max() ?? 0) + 1
        let entry = LogEntry.site(
            .siteJoined, request.site,
            [
                "site": .string(request.site), "index": .integer(Int64(index)), "token": .string(hash.hex),
                "key": .string(Hex.encode(request.signingKey.bytes)), "serial": .string(certificate.serialHex),
            ])
        let actions = try settle([.log(entry)], at: now)
        let grant = EnrolmentGrant(
            federation: federation.name, siteIndex: index, certificatePEM: Array(certificate.pem.utf8), authorityPEM: authorityPEM,
            coordinatorKey: signingKey.publicKey)
        return (grant, actions)
    }

    /// Cuts a site off.
    package mutating func revoke(site: String, by actor: String, at now: Timestamp) throws -> [CoordinatorAction] {
        guard let known = federation.sites[site] else {
            throw CoordinatorError.refused(code: "site.unknown", "no site of that name is a member")
        }
        guard known.revoked == nil else {
            throw CoordinatorError.refused(code: "site.revoked", "the site is revoked already")
        }
        let entry = LogEntry.operated(
            .siteRevoked, by: actor, ["site": .string(site), "serial": .string(known.certificateSerial)])
        var actions = try settle([.log(entry), .disconnect(site: site)], at: now)
        for study in runs.keys.sorted() {
            guard var run = runs[study] else { continue }
            actions += try settle(run.siteRevoked(known.index, at: now), at: now)
            runs[study] = run.isOver ? nil : run
        }
        return actions
    }
}

// MARK: - Plans, consents, verdicts

extension CoordinatorCore {
    /// Publishes a plan to every member; the newest plan of a study replaces the one before.
    package mutating func publish(_ bytes: [UInt8], by actor: String, at now: Timestamp) throws -> (hash: Digest, actions: [CoordinatorAction]) {
        let plan = try Plan(parsing: bytes)
        if let known = federation.plans[plan.hash] {
            throw CoordinatorError.refused(
                code: "plan.published",
                known.withdrawn == nil
                    ? "this very plan is published already"
                    : "this very plan was published before and another one replaced it; change its text, such as the title, to publish it anew")
        }
        guard runs[plan.study] == nil else {
            throw CoordinatorError.refused(code: "run.active", "a run of this study is under way; publish the new plan when it has ended")
        }
        let canonical = plan.canonicalBytes
        var actions: [CoordinatorAction] = [.store(canonical)]
        if let old = federation.currentPlan(of: plan.study) {
            actions.append(.log(.operated(.planWithdrawn, by: actor, ["plan": .string(old.hash.hex), "study": .string(plan.study)])))
            actions += federation.activeSites.map { .send(to: $0.name, .planWithdrawn(planHash: old.hash)) }
        }
        actions.append(.log(.operated(.planPublished, by: actor, ["plan": .string(plan.hash.hex), "study": .string(plan.study)])))
        actions += federation.activeSites.map { .send(to: $0.name, .planOffer(plan: canonical)) }
        return (plan.hash, try settle(actions, at: now))
    }

    /// What a node is told when it opens a session: the plans and versions in force.
    package func standingInstructions(for site: String) -> [Instruction] {
        let studies = Set(federation.plans.values.map(\.plan.study)).sorted()
        // A site that was away when its plan was replaced hears of it now.
        var instructions = [federation.manifest, federation.proposal].compactMap { $0 }.map { Instruction.manifest(signed: $0.encoded) }
        instructions += federation.plans.values.filter { $0.withdrawn != nil && $0.consents[site] != nil }
            .map(\.hash).sorted().map { Instruction.planWithdrawn(planHash: $0) }
        for study in studies {
            guard let current = federation.currentPlan(of: study) else { continue }
            instructions.append(.planOffer(plan: current.plan.canonicalBytes))
            if current.consents[site] != nil, let release = federation.releases.last(where: { $0.study == study }) {
                instructions.append(
                    .release(study: study, version: release.version, package: release.package, bundle: release.bundle))
            }
        }
        return instructions
    }

    /// Takes a site's report.
    package mutating func handle(_ report: Report, from name: String, at now: Timestamp) throws -> [CoordinatorAction] {
        guard let site = federation.sites[name], site.revoked == nil else {
            throw CoordinatorError.refused(code: "site.unknown", "the sender is not a member of this federation")
        }
        heard(from: site.index)
        switch report {
        case .consent(let encoded):
            return try settle(acceptConsent(encoded, from: site, at: now), at: now)
        case .consentWithdrawn(let hash):
            guard federation.plans[hash]?.consents[name] != nil else { return [] }
            return try settle([.log(.site(.consentWithdrawn, name, ["site": .string(name), "plan": .string(hash.hex)]))], at: now)
        case .aggregation(let number, let message):
            guard let study = runs.keys.sorted().first(where: { runs[$0]?.openRoundNumber == number }), var run = runs[study] else {
                return []  // A message of a round that is over: a late site, nothing to do.
            }
            let actions = try settle(run.receive(message, from: site.index, at: now), at: now)
            runs[study] = run.isOver ? nil : run
            return actions
        case .refusal(let subject, let code, _):
            let entry = LogEntry.site(
                .instructionRefused, name,
                ["site": .string(name), "subject": .string(subject.hex), "code": .string(String(code.prefix(64)))])
            var actions = try settle([.log(entry)], at: now)
            // Who will not take part in the open round is not waited for.
            if let study = runs.keys.sorted().first(where: { runs[$0]?.openWorkHash == subject }), var run = runs[study] {
                actions += try settle(run.siteLost(site.index, at: now), at: now)
                runs[study] = run.isOver ? nil : run
            }
            return actions
        case .versionVerdict(let package, let accepted, let code):
            // A node repeats its verdict when the version is announced to it again: the same one is logged once.
            guard let release = federation.releases.last(where: { $0.package == package }), release.verdicts[name] != accepted else { return [] }
            let entry = LogEntry.site(
                .versionVerdict, name,
                [
                    "site": .string(name), "package": .string(package.hex), "accepted": .bool(accepted),
                    "code": .string(String(code.prefix(64))),
                ])
            return try settle([.log(entry)], at: now)
        case .manifestSignature(let manifest, let signature):
            return try settle(acceptSignature(signature, under: manifest, from: site, at: now), at: now)
        case .witnessRequest(let witness, let request): return try relay(request, to: witness, from: site)
        case .witnessAnswer(let answer): return try take(answer, from: site, at: now)
        case .forkEvidence(let bytes): return try take(forkEvidence: bytes, from: name, at: now)
        }
    }

    private func acceptConsent(_ encoded: [UInt8], from site: Federation.Site, at now: Timestamp) throws -> [CoordinatorAction] {
        let signed = try SignedConsent(encoded: encoded, signer: site.key)
        let consent = signed.consent
        guard consent.site == site.name else {
            throw CoordinatorError.refused(code: "consent.site", "the consent is in another site's name")
        }
        guard let published = federation.plans[consent.planHash], published.withdrawn == nil, published.plan.study == consent.study else {
            throw CoordinatorError.refused(code: "consent.plan", "the consent is to a plan that is not in force")
        }
        // A node repeats its consents at every connection: the same one is logged once.
        guard published.consents[site.name] != signed else { return [] }
        guard consent.expires > now.milliseconds else {
            throw CoordinatorError.refused(code: "consent.expired", "the consent has expired")
        }
        guard !published.plan.privacy.withoutDifferentialPrivacy || consent.acceptsNoDifferentialPrivacy else {
            throw CoordinatorError.refused(
                code: "consent.differential-privacy", "the plan runs without differential privacy and the consent does not repeat that")
        }
        let entry = LogEntry.site(
            .consentGiven, site.name,
            [
                "site": .string(site.name), "plan": .string(consent.planHash.hex), "consent": .string(signed.hash.hex),
                "expires": .integer(consent.expires),
            ])
        return [.store(signed.encoded), .log(entry)]
    }
}

// MARK: - Runs

extension CoordinatorCore {
    /// Starts a run of the study's current plan with every site whose consent is in force.
    package mutating func startRun(study: String, by actor: String, at now: Timestamp) throws -> (run: String, actions: [CoordinatorAction]) {
        guard let published = federation.currentPlan(of: study) else {
            throw CoordinatorError.refused(code: "study.unknown", "no plan of that study is in force: publish one first")
        }
        guard runs[study] == nil else {
            throw CoordinatorError.refused(code: "run.active", "a run of this study is under way")
        }
        guard !federation.pausedStudies.contains(study) else {
            throw CoordinatorError.refused(
                code: "study.paused",
                "the study waits because two histories of one log were signed: look at the evidence, then let it go on with `coordinator resume`")
        }
        guard let manifest = federation.manifest?.proposal else {
            throw CoordinatorError.refused(
                code: "run.manifest",
                "no list of members is in force: `consilium manifest propose` here, then `consilium manifest sign` at the sites")
        }
        let consenting = federation.consentingSites(to: published.hash, at: now)
        // Who joined after the list was signed is in no sum until the sites have signed a new one.
        let sites = Array(consenting.filter { manifest.member($0.index)?.key == $0.key }.prefix(published.plan.cohort.sitesMax))
        guard sites.count >= published.plan.cohort.sitesMin else {
            throw CoordinatorError.refused(
                code: "run.cohort",
                "\(sites.count) sites of the list of members have consented; the plan needs \(published.plan.cohort.sitesMin) in every sum"
                    + (consenting.count > sites.count ? ". \(consenting.count - sites.count) that consented are not in the list: propose a new one" : ""))
        }
        let identifier = "\(study)-\(federation.runOrder.filter { federation.runs[$0]?.study == study }.count + 1)"
        var run = try Run(
            identifier: String(identifier.suffix(64)), published: published, sites: sites,
            version: (federation.releases.last { $0.study == study }?.version ?? 0) + 1,
            previousPackage: federation.releases.last { $0.study == study }?.package,
            ordinal: federation.runOrder.count + 1, manifest: manifest, ledgerHeads: federation.ledgerHeads,
            signingKey: signingKey, random: random)
        let actions = try settle(run.start(by: actor, at: now), at: now)
        runs[study] = run.isOver ? nil : run
        return (run.identifier, actions)
    }

    /// Stops a run; nothing of it is released.
    package mutating func cancelRun(study: String, by actor: String, at now: Timestamp) throws -> [CoordinatorAction] {
        guard var run = runs[study] else {
            throw CoordinatorError.refused(code: "run.none", "no run of that study is under way")
        }
        runs[study] = nil
        return try settle(run.fail("cancelled by \(actor)", at: now), at: now)
    }

    /// Runs that the log calls running but that no process drives any more: the coordinator stopped
    /// in the middle. They end here; the operator starts a new one.
    package mutating func closeOrphanedRuns(at now: Timestamp) throws -> [CoordinatorAction] {
        let orphans = federation.runs.values.filter { $0.status == .running && runs[$0.study]?.identifier != $0.identifier }
        let actions = orphans.sorted { $0.identifier < $1.identifier }.map { run in
            CoordinatorAction.log(
                .coordinator(
                    .runAborted,
                    [
                        "run": .string(run.identifier), "status": .string(RunHistory.Status.failed.rawValue),
                        "reason": "the coordinator stopped during the run",
                    ]))
        }
        return try settle(actions, at: now)
    }

    /// The site is there: rounds are offered to it again. The shell says so of every poll.
    package mutating func heard(from site: UInt32) {
        for study in runs.keys { runs[study]?.heard(from: site) }
    }

    /// Moves every round past its deadline on.
    package mutating func tick(at now: Timestamp) throws -> [CoordinatorAction] {
        var actions: [CoordinatorAction] = []
        for study in runs.keys.sorted() {
            guard var run = runs[study], let deadline = run.deadline, deadline <= now else { continue }
            actions += try settle(run.deadlinePassed(at: now), at: now)
            runs[study] = run.isOver ? nil : run
        }
        return actions
    }

    /// When `tick` is due next; nil while nothing waits.
    package var nextDeadline: Timestamp? { runs.values.compactMap(\.deadline).min() }
}
