// A coordinator's core with the little that its shell does: keeps blobs and entries, in memory.

import AuditLog
import Codec
import Cryptography
import Messages
import SecureAggregation
import Study
import Telemetry

@testable import Coordinator

/// Root of the checkout, from this file's place.
let packageRoot = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

final class TestCoordinator {
    let clock = ManualClock()
    let authority: CertificateAuthority
    let random: SeededRandom
    private(set) var entries: [(entry: LogEntry, time: Timestamp)] = []
    private(set) var sent: [(site: String, instruction: Instruction)] = []
    private(set) var disconnected: [String] = []
    private let store = Locked<[Digest: [UInt8]]>([:])
    private(set) var keys: [String: SigningKey] = [:]
    var core: CoordinatorCore
    let log: MemoryLog
    /// What each site has cosigned of the coordinator's log.
    private var witnessed: [String: WitnessedLog] = [:]
    /// Sites that do not answer as witnesses.
    var asleep: Set<String> = []

    init(seed: UInt64 = 1) throws {
        random = SeededRandom(seed: seed)
        authority = try CertificateAuthority.create(name: "test", now: clock.now().milliseconds / 1000, days: 30)
        let store = store
        let key = SigningKey.generate(random: random)
        guard let logKey = LogKeys.log(federation: "test", party: "coordinator", key: key.publicKey) else { throw CoordinatorError.corrupt("log key") }
        log = MemoryLog(origin: logKey.name, signer: key)
        core = CoordinatorCore(
            federation: Federation(), signingKey: key, random: random, log: log, blobs: { try TestCoordinator.read(store, $0) })
        take(try core.initialise(name: "test", authority: authority.certificate.fingerprint, at: clock.now()))
    }

    private static func read(_ store: Locked<[Digest: [UInt8]]>, _ digest: Digest) throws -> [UInt8] {
        guard let bytes = store.withLock({ $0[digest] }) else { throw CoordinatorError.corrupt("blob") }
        return bytes
    }

    /// Carries out actions as the shell does.
    func take(_ actions: [CoordinatorAction]) {
        var batch: [LogEntry] = []
        var requests: [(site: String, request: [UInt8])] = []
        for action in actions {
            switch action {
            case .store(let bytes): store.withLock { $0[SHA256.hash(bytes)] = bytes }
            case .log(let entry): batch.append(entry)
            case .send(let site, .witness(let request)): requests.append((site, request))
            case .send(let site, let instruction): sent.append((site, instruction))
            case .disconnect(let site): disconnected.append(site)
            case .cosign: continue
            }
        }
        entries += batch.map { ($0, clock.now()) }
        let numbers = (try? log.append(batch, at: clock.now())) ?? []
        for (entry, index) in zip(batch, numbers) where entry.type == .roundStart {
            guard let round = entry.details["number"]?.intValue else { continue }
            take((try? core.roundLogged(number: UInt64(round), index: index, at: clock.now())) ?? [])
        }
        for (site, request) in requests where !asleep.contains(site) { try? cosign(request, by: site) }
    }

    /// A site answers as an honest witness does.
    func cosign(_ request: [UInt8], by site: String) throws {
        guard let key = keys[site], let name = LogKeys.witness(federation: "test", party: site, key: key.publicKey)?.name else { return }
        var state = witnessed[site] ?? WitnessedLog(key: log.verifierKey)
        let reply = state.answer(
            try AddCheckpoint(request), signer: NoteSigner(name: name, kind: .witness, key: key), timeSeconds: 1)
        witnessed[site] = state
        try report(.witnessAnswer(WitnessAnswer(reply, origin: log.origin, witness: site, latest: state.latest)), from: site)
    }

    /// The members' list, signed by every active site.
    func signMembers() throws {
        let proposed = try core.proposeManifest(by: "operator", at: clock.now())
        take(proposed.actions)
        for site in core.federation.activeSites {
            guard let key = keys[site.name] else { continue }
            try report(.manifestSignature(manifest: proposed.manifest.hash, signature: SignedManifest.signature(under: proposed.manifest, with: key)), from: site.name)
        }
    }

    /// Forgets what was sent so far.
    func forgetSent() { sent = [] }

    /// The state as a restarted process finds it.
    func replayed() throws -> Federation {
        var federation = Federation()
        for (entry, time) in entries {
            // Through the log's own bytes, as a restart reads them.
            let stored = try StoredEntry(entry.encoded(seq: 0, time: time))
            guard let read = stored.entry else { throw CoordinatorError.corrupt("entry") }
            try federation.apply(read, at: time) { [store] in try TestCoordinator.read(store, $0) }
        }
        return federation
    }

    func count(_ type: EntryType) -> Int { entries.count { $0.entry.type == type } }
}

// MARK: - What operators and sites do

extension TestCoordinator {
    func invite(_ site: String) throws -> EnrolmentToken {
        let result = try core.invite(
            site: site, address: "127.0.0.1:1", authorityFingerprint: authority.certificate.fingerprint, by: "operator", at: clock.now())
        take(result.actions)
        return result.token
    }

    func request(_ token: EnrolmentToken, key: SigningKey? = nil, clock offset: Int64 = 0) throws -> EnrolmentRequest {
        EnrolmentRequest(
            secret: token.secret, site: token.site,
            certificateRequest: try CertificateRequest.make(key: CertificateKey.generate(), commonName: "anything"),
            key: key ?? SigningKey.generate(random: random), clock: clock.now().milliseconds + offset)
    }

    @discardableResult func enrol(_ request: EnrolmentRequest) throws -> EnrolmentGrant {
        let now = clock.now()
        let result = try core.enrol(request, authorityPEM: Array(authority.certificate.pem.utf8), at: now) { [authority] der, site in
            try authority.issueSite(requestDER: der, siteName: site, now: now.milliseconds / 1000, lifetimeSeconds: 86_400)
        }
        take(result.actions)
        return result.grant
    }

    /// Members by name.
    func admit(_ sites: [String] = ["a", "b", "c", "d"]) throws {
        for site in sites {
            let key = SigningKey.generate(random: random)
            keys[site] = key
            try enrol(request(invite(site), key: key))
        }
    }

    func publish(_ plan: Plan) throws { take(try core.publish(plan.canonicalBytes, by: "operator", at: clock.now()).actions) }

    func report(_ report: Report, from site: String) throws { take(try core.handle(report, from: site, at: clock.now())) }

    /// A consent as `site` would sign it, with one thing changed.
    func consent(_ site: String, _ plan: Plan, change: (inout Consent) -> Void = { _ in }) throws -> SignedConsent {
        let now = clock.now().milliseconds
        var consent = Consent(
            site: site, study: plan.study, planHash: plan.hash, datasetFingerprint: SHA256.hash(Array(site.utf8)),
            bounds: .init(sitesMin: 3, roundsMax: 100), acceptsNoDifferentialPrivacy: true, includesFeedbackRows: true, issued: now,
            expires: now + 86_400_000)
        change(&consent)
        guard let key = keys[site] else { throw CoordinatorError.corrupt("test key") }
        return SignedConsent(consent, signedBy: key)
    }

    func agree(_ plan: Plan, sites: [String] = ["a", "b", "c", "d"]) throws {
        for site in sites { try report(.consent(consent(site, plan).encoded), from: site) }
    }

    @discardableResult func startRun(_ study: String = "heart-disease") throws -> String {
        if core.federation.manifest == nil { try? signMembers() }
        let result = try core.startRun(study: study, by: "operator", at: clock.now())
        take(result.actions)
        return result.run
    }

    /// The code of the refusal that `body` throws; nil when it throws none.
    func refusal(_ body: () throws -> Void) -> String? {
        do {
            try body()
            return nil
        } catch let error as CoordinatorError {
            return error.code
        } catch let error as StudyError {
            return error.code.rawValue
        } catch { return "\(error)" }
    }

    /// The plan of the repository with a title of its own.
    static func plan(_ title: String = "First") throws -> Plan {
        var plan = try Plan(parsing: readPlan())
        plan.statement.title = title
        plan.cohort.messageSeconds = 1
        return plan
    }

    /// Four members who have consented to the published plan.
    static func ready() throws -> (TestCoordinator, Plan) {
        let (coordinator, plan) = (try TestCoordinator(), try plan())
        try coordinator.admit()
        try coordinator.publish(plan)
        try coordinator.agree(plan)
        return (coordinator, plan)
    }
}
