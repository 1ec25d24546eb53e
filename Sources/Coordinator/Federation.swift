// What the coordinator knows: a fold over its log. Nothing in here is stored anywhere else; documents
// that entries refer to by digest are blobs.
//
// `apply` is the only way in, for a live event and for a replay alike.

import AuditLog
import Codec
import Cryptography
import SecureAggregation
import Study
import Telemetry

/// The coordinator's state.
package struct Federation: Sendable {
    /// A member.
    package struct Site: Sendable, Equatable {
        package var name: String
        /// Position in manifests; never used twice.
        package var index: UInt32
        package var key: VerifyingKey
        package var certificateSerial: String
        package var joined: Timestamp
        package var revoked: Timestamp?
    }

    /// A token that was handed out.
    package struct Invitation: Sendable, Equatable {
        package var site: String
        package var expires: Timestamp
        package var used: Bool
    }

    /// A published plan and who consented to it.
    package struct PublishedPlan: Sendable {
        package var plan: Plan
        package var hash: Digest
        package var published: Timestamp
        package var withdrawn: Timestamp?
        package var consents: [String: SignedConsent] = [:]
    }

    /// One signed version of a model.
    package struct Release: Sendable, Equatable {
        package var study: String
        package var version: Int
        package var planHash: Digest
        package var run: String
        package var package: Digest
        package var bundle: Digest
        package var time: Timestamp
        /// Site → whether it accepted the version.
        package var verdicts: [String: Bool] = [:]
    }

    package private(set) var name = ""
    package private(set) var sites: [String: Site] = [:]
    package private(set) var invitations: [Digest: Invitation] = [:]
    package private(set) var plans: [Digest: PublishedPlan] = [:]
    package private(set) var runs: [String: RunHistory] = [:]
    package private(set) var runOrder: [String] = []
    package private(set) var releases: [Release] = []
    /// The list of members in force.
    package private(set) var manifest: SignedManifest?
    /// A newer list that waits for signatures.
    package private(set) var proposal: SignedManifest?
    /// Studies that wait for an operator.
    package private(set) var pausedStudies: Set<String> = []
    /// Evidence of forks that was taken: digests of the files.
    package private(set) var forks: Set<Digest> = []

    /// Heads of the sites' privacy ledgers, by site, as last seen in a round.
    package private(set) var ledgerHeads: [String: LedgerHead] = [:]

    package init() {}

    /// The current plan of a study: the newest that is not withdrawn.
    package func currentPlan(of study: String) -> PublishedPlan? {
        plans.values.filter { $0.plan.study == study && $0.withdrawn == nil }
            .max { ($0.published, $0.hash) < ($1.published, $1.hash) }
    }

    /// Members that are not revoked, in order of their index.
    package var activeSites: [Site] {
        sites.values.filter { $0.revoked == nil }.sorted { $0.index < $1.index }
    }

    /// Members whose consent to the plan is in force.
    package func consentingSites(to hash: Digest, at now: Timestamp) -> [Site] {
        guard let published = plans[hash], published.withdrawn == nil else { return [] }
        return activeSites.filter { site in
            guard let consent = published.consents[site.name]?.consent else { return false }
            return consent.expires > now.milliseconds
        }
    }
}

extension Federation {
    /// Reads a document that an entry refers to.
    package typealias BlobReader = (Digest) throws -> [UInt8]

    /// Takes one entry of the coordinator's log into the state.
    ///
    /// - Throws: `CoordinatorError.corrupt` when an entry cannot be read, which a verified log rules
    ///   out unless it was written by a newer program.
    package mutating func apply(_ entry: LogEntry, at time: Timestamp, blobs: BlobReader) throws {
        let details = EntryDetails(entry)
        switch entry.type {
        case .federationInit:
            name = try details.text("federation")
        case .siteInvited:
            invitations[try details.digest("token")] = Invitation(
                site: try details.text("site"), expires: Timestamp(milliseconds: try details.integer("expires")), used: false)
        case .siteJoined:
            let site = Site(
                name: try details.text("site"), index: UInt32(try details.integer("index")),
                key: try details.key("key"), certificateSerial: try details.text("serial"), joined: time)
            invitations[try details.digest("token")]?.used = true
            sites[site.name] = site
        case .siteRevoked:
            sites[try details.text("site")]?.revoked = time
        case .manifestProposed:
            let manifest = try blobs(details.digest("blob"))
            proposal = SignedManifest(proposing: try Manifest(canonicalBytes: manifest))
        case .manifestSigned:
            guard let key = sites[try details.text("site")]?.key, let signature = Hex.decode(try details.text("signature")) else {
                throw CoordinatorError.corrupt("manifest signature")
            }
            let hash = try details.digest("manifest")
            if proposal?.proposal.hash == hash { try proposal?.add(signature, by: key) }
            if manifest?.proposal.hash == hash { try manifest?.add(signature, by: key) }
        case .manifestAdopted:
            manifest = try SignedManifest(encoded: blobs(details.digest("blob")))
            if proposal?.proposal.hash == manifest?.proposal.hash { proposal = nil }
        case .forkDetected:
            forks.insert(try details.digest("evidence"))
        case .studyPaused:
            pausedStudies.insert(try details.text("study"))
        case .studyResumed:
            pausedStudies.remove(try details.text("study"))
        case .planPublished:
            let hash = try details.digest("plan")
            let plan = try Plan(parsing: blobs(hash))
            plans[hash] = PublishedPlan(plan: plan, hash: hash, published: time)
        case .planWithdrawn:
            plans[try details.digest("plan")]?.withdrawn = time
        case .consentGiven:
            let site = try details.text("site")
            guard let key = sites[site]?.key else { throw CoordinatorError.corrupt("consent of an unknown site") }
            let consent = try SignedConsent(encoded: blobs(details.digest("consent")), signer: key)
            plans[consent.consent.planHash]?.consents[site] = consent
        case .consentWithdrawn:
            plans[try details.digest("plan")]?.consents[try details.text("site")] = nil
        case .runStarted, .roundStart, .roundCompleted, .roundAborted, .evaluationCompleted, .gatesChecked, .runCompleted, .runAborted:
            try applyToRun(entry.type, details, at: time)
        case .releaseSigned:
            let release = Release(
                study: try details.text("study"), version: Int(try details.integer("version")),
                planHash: try details.digest("plan"), run: try details.text("run"),
                package: try details.digest("package"), bundle: try details.digest("bundle"), time: time)
            releases.append(release)
            runs[release.run]?.version = release.version
        case .versionVerdict:
            let package = try details.digest("package")
            guard let position = releases.lastIndex(where: { $0.package == package }) else { return }
            releases[position].verdicts[try details.text("site")] = try details.flag("accepted")
        default:
            return
        }
    }

    private mutating func applyToRun(_ type: EntryType, _ details: EntryDetails, at time: Timestamp) throws {
        let identifier = try details.text("run")
        if type == .runStarted {
            runs[identifier] = RunHistory(
                identifier: identifier, study: try details.text("study"), planHash: try details.digest("plan"),
                sites: try details.texts("sites"), started: time)
            runOrder.append(identifier)
            return
        }
        guard var run = runs[identifier] else { throw CoordinatorError.corrupt("round of an unknown run") }
        try run.apply(type, details, at: time)
        runs[identifier] = run
        for (site, head) in details.value("ledgers")?.objectValue ?? [:] {
            if let head = head.stringValue.flatMap(LedgerHead.init(text:)) { ledgerHeads[site] = head }
        }
    }
}

/// Reads the small JSON object of an entry.
struct EntryDetails {
    private let values: [String: JSONValue]

    init(_ entry: LogEntry) { values = entry.details }

    func text(_ key: String) throws -> String {
        guard let text = values[key]?.stringValue else { throw CoordinatorError.corrupt(key) }
        return text
    }

    func integer(_ key: String) throws -> Int64 {
        guard let number = values[key]?.intValue else { throw CoordinatorError.corrupt(key) }
        return Int64(number)
    }

    func flag(_ key: String) throws -> Bool {
        guard let flag = values[key]?.boolValue else { throw CoordinatorError.corrupt(key) }
        return flag
    }

    func digest(_ key: String) throws -> Digest {
        guard let digest = Digest(hex: try text(key)) else { throw CoordinatorError.corrupt(key) }
        return digest
    }

    func key(_ key: String) throws -> VerifyingKey {
        guard let bytes = Hex.decode(try text(key)), let result = VerifyingKey(bytes: bytes) else {
            throw CoordinatorError.corrupt(key)
        }
        return result
    }

    func texts(_ key: String) throws -> [String] {
        guard let values = values[key]?.arrayValue else { throw CoordinatorError.corrupt(key) }
        return values.compactMap(\.stringValue)
    }

    /// Decimal texts by name, such as metrics: entries hold no binary floating point.
    func decimals(_ key: String) throws -> [String: Double] {
        guard let object = values[key]?.objectValue else { throw CoordinatorError.corrupt(key) }
        return object.compactMapValues { $0.stringValue.flatMap(Double.init) }
    }

    func value(_ key: String) -> JSONValue? { values[key] }
}
