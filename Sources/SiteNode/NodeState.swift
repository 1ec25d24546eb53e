// What a node knows about its studies: a fold over its own log. Deployments and predictions are
// `Serving`'s fold over the same log.

import AuditLog
import Codec
import Cryptography
import DifferentialPrivacy
import SecureAggregation
import Study
import Telemetry

/// The node's state.
package struct NodeState: Sendable {
    /// A plan that the coordinator offered.
    package struct Offer: Sendable {
        package var plan: Plan
        package var hash: Digest
        package var received: Timestamp
        package var withdrawn: Timestamp?
        package var consent: SignedConsent?
        /// Whether a consent was given and taken back.
        package var isConsentWithdrawn = false
    }

    package private(set) var offers: [Digest: Offer] = [:]
    /// Masked vectors that this node ever sent or was about to send; the budget counts them all.
    package private(set) var roundsUsed = 0
    /// The same, under the consent to one plan.
    package private(set) var roundsUsedByPlan: [Digest: Int] = [:]
    /// What the aggregation must remember over a crash.
    package private(set) var aggregation = AggregationHistory()
    /// Versions that passed verification here, with their metrics on the site's own held-out rows.
    package private(set) var versions: [Version] = []
    /// Versions that this node decided on.
    package private(set) var verdicts: [Digest: Bool] = [:]
    /// Rounds that this node saw completed, newest last; for people.
    package private(set) var rounds: [CompletedRound] = []

    /// A round as this node saw it.
    package struct CompletedRound: Sendable, Equatable {
        package var run: String
        package var number: UInt64
        package var kind: String
        package var participants: Int
        package var rows: Int64
        package var time: Timestamp
    }

    /// A verified version as this site measured it.
    package struct Version: Sendable, Equatable {
        package var study: String
        package var version: Int
        package var package: Digest
        package var metrics: [String: Double]
        package var time: Timestamp
    }

    /// The list of members that this node goes by.
    package private(set) var manifest: SignedManifest?
    /// A newer list, or the first one, that waits for signatures.
    package private(set) var proposal: SignedManifest?
    /// Lists that a person here has signed.
    package private(set) var signedManifests: [Digest: [UInt8]] = [:]
    /// Evidence of logs with two histories, by digest. While there is any that nobody has looked at, no round is taken part in.
    package private(set) var forks: Set<Digest> = []
    /// Whether the node waits for a person to look at evidence.
    package private(set) var isPaused = false

    /// What was spent of the privacy budgets, over all studies.
    package private(set) var ledger = PrivacyLedger()
    /// The last round that was refused for the sake of privacy: code, sentence, time.
    package private(set) var privacyRefusal: (code: String, sentence: String, time: Timestamp)?
    /// Whether the federation refused this site's privacy ledger as older than one it has seen, and nothing has gone well since.
    package private(set) var isLedgerBehind = false

    static let roundsKept = 10_000

    package init() {}

    /// Reads a document that an entry refers to.
    package typealias BlobReader = (Digest) throws -> [UInt8]

    /// Takes one entry of the node's log into the state. Entries of other parts of the node pass by.
    package mutating func apply(_ entry: LogEntry, at time: Timestamp, blobs: BlobReader) throws {
        switch entry.type {
        case .planReceived:
            let hash = try digest(entry, "plan")
            let plan = try Plan(parsing: blobs(hash))
            if offers[hash] == nil {
                offers[hash] = Offer(plan: plan, hash: hash, received: time)
            } else {
                offers[hash]?.withdrawn = nil
            }
        case .planWithdrawn:
            offers[try digest(entry, "plan")]?.withdrawn = time
        case .consentGiven:
            let bytes = try blobs(try digest(entry, "consent"))
            let key = try text(entry, "key")
            guard let signer = Hex.decode(key).flatMap(VerifyingKey.init(bytes:)) else { throw NodeError.corrupt("consent") }
            let consent = try SignedConsent(encoded: bytes, signer: signer)
            offers[consent.consent.planHash]?.consent = consent
            offers[consent.consent.planHash]?.isConsentWithdrawn = false
            roundsUsedByPlan[consent.consent.planHash] = 0
        case .consentWithdrawn:
            let hash = try digest(entry, "plan")
            offers[hash]?.consent = nil
            offers[hash]?.isConsentWithdrawn = true
        case .aggregationLatch:
            guard let record = Hex.decode(try text(entry, "record")) else { throw NodeError.corrupt("latch") }
            aggregation.apply(try LatchRecord(encoded: record))
            if entry.details["charged"]?.boolValue ?? false {
                roundsUsed += 1
                roundsUsedByPlan[try digest(entry, "plan"), default: 0] += 1
            }
        case .budgetSpent:
            try ledger.take(Array(try text(entry, "record").utf8))
        case .roundRefused:
            guard let reason = entry.details["reason"]?.stringValue else { return }
            privacyRefusal = (try text(entry, "code"), reason, time)
        case .roundAborted:
            if try text(entry, "code") == RefusalCode.ledgerHeadRegressed.name { isLedgerBehind = true }
        case .roundCompleted:
            isLedgerBehind = false
            rounds.append(
                CompletedRound(
                    run: try text(entry, "run"), number: UInt64(try integer(entry, "number")), kind: try text(entry, "kind"),
                    participants: try integer(entry, "participants"), rows: Int64(try integer(entry, "rows")), time: time))
            if rounds.count > NodeState.roundsKept { rounds.removeFirst() }
        case .packageVerified:
            let package = try digest(entry, "package")
            verdicts[package] = true
            versions.append(
                Version(
                    study: try text(entry, "study"), version: try integer(entry, "version"), package: package,
                    metrics: (entry.details["metrics"]?.objectValue ?? [:]).compactMapValues { $0.stringValue.flatMap(Double.init) },
                    time: time))
        case .manifestProposed:
            proposal = try SignedManifest(encoded: blobs(digest(entry, "blob")))
        case .manifestSigned:
            guard let signature = Hex.decode(try text(entry, "signature")) else { throw NodeError.corrupt("signature") }
            signedManifests[try digest(entry, "manifest")] = signature
        case .manifestAdopted:
            manifest = try SignedManifest(encoded: blobs(digest(entry, "blob")))
            if let adopted = manifest?.proposal, (proposal?.proposal.sequence ?? 0) <= adopted.sequence { proposal = nil }
        case .forkDetected:
            forks.insert(try digest(entry, "evidence"))
            isPaused = true
        case .studyResumed:
            isPaused = false
        case .packageRefused:
            verdicts[try digest(entry, "package")] = false
        default:
            return
        }
    }

    /// The offer in force for a study, newest first.
    package func offer(study: String) -> Offer? {
        offers.values.filter { $0.plan.study == study && $0.withdrawn == nil }
            .max { ($0.received, $0.hash) < ($1.received, $1.hash) }
    }

    /// What an `aggregation.latch` entry holds.
    static func latch(_ entry: LogEntry) -> LatchRecord? {
        (entry.details["record"]?.stringValue).flatMap(Hex.decode).flatMap { try? LatchRecord(encoded: $0) }
    }

    private func text(_ entry: LogEntry, _ key: String) throws -> String {
        guard let text = entry.details[key]?.stringValue else { throw NodeError.corrupt(key) }
        return text
    }

    private func integer(_ entry: LogEntry, _ key: String) throws -> Int {
        guard let number = entry.details[key]?.intValue else { throw NodeError.corrupt(key) }
        return Int(number)
    }

    private func digest(_ entry: LogEntry, _ key: String) throws -> Digest {
        guard let digest = Digest(hex: try text(entry, key)) else { throw NodeError.corrupt(key) }
        return digest
    }
}
