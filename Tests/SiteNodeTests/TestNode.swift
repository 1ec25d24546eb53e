// A node's core with rows, and a coordinator that sends it whatever a test wants.

import AuditLog
import Codec
import Cryptography
import Messages
import ModelPackage
import Models
import SecureAggregation
import Storage
import Study
import Tabular
import Telemetry

@testable import SiteNode

/// Root of the checkout, from this file's place.
let packageRoot = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

/// Rows that a test can change under the node's feet.
final class ChangingRows: SiteData {
    let rows: Locked<Int>
    let reads = Locked<[Bool]>([])

    init(_ count: Int) { rows = Locked(count) }

    /// Made-up rows that the schema of the scenario's plan takes.
    static func csv(_ count: Int) -> [UInt8] {
        var text = ""
        for row in 0..<count {
            text += "\(30 + row % 50),\(row % 2),\(1 + row % 4),\(110 + row % 60),\(180 + row % 90),0,\(row % 3),\(100 + row % 80),\(row % 2),"
            text += "\(Double(row % 30) / 10),\(1 + row % 3),\(row % 4),\([3, 6, 7][row % 3]),\(row % 5 < 2 ? 0 : 1)\n"
        }
        return Array(text.utf8)
    }

    func dataset(for plan: Plan, includingFeedback: Bool) throws -> SiteDataset {
        reads.withLock { $0.append(includingFeedback) }
        let count = rows.withLock { $0 }
        guard count > 0 else { throw NodeError.data("the rows cannot be read") }
        return try SiteDataset(
            source: Ingest.read(csv: ChangingRows.csv(count), schema: plan.schema), feedback: [], plan: plan, site: "a", splitKey: [1, 2, 3])
    }
}

final class TestNode {
    let clock = ManualClock()
    let random = SeededRandom(seed: 5)
    let coordinatorKey: SigningKey
    let memberKeys: [SigningKey]
    let rows = ChangingRows(120)
    var core: NodeCore
    private let store = Locked<[Digest: [UInt8]]>([:])
    private(set) var entries: [(entry: LogEntry, time: Timestamp)] = []
    private(set) var sent: [Report] = []
    private(set) var installed: [Installation] = []
    private(set) var cosigned: [[UInt8]] = []

    init(policy: SitePolicy = .floors) throws {
        coordinatorKey = SigningKey.generate(random: random)
        memberKeys = (0..<4).map { [random] _ in SigningKey.generate(random: random) }
        let store = store
        core = NodeCore(
            site: "a", federation: "test", siteIndex: 1, signingKey: memberKeys[0], coordinatorKey: coordinatorKey.publicKey, policy: policy, random: random, data: rows,
            blobs: { try TestNode.read(store, $0) }, state: NodeState())
    }

    private static func read(_ store: Locked<[Digest: [UInt8]]>, _ digest: Digest) throws -> [UInt8] {
        guard let bytes = store.withLock({ $0[digest] }) else { throw NodeError.corrupt("blob") }
        return bytes
    }

    func put(_ bytes: [UInt8]) -> Digest {
        store.withLock { $0[SHA256.hash(bytes)] = bytes }
        return SHA256.hash(bytes)
    }

    func take(_ actions: [NodeAction]) {
        for action in actions {
            switch action {
            case .store(let bytes): _ = put(bytes)
            case .log(let entry): entries.append((entry, clock.now()))
            case .send(let report): sent.append(report)
            case .install(let installation): installed.append(installation)
            case .cosign(let request): cosigned.append(request)
            case .witnessed: continue
            }
        }
    }

    func hear(_ instruction: Instruction) throws { take(try core.handle(instruction, at: clock.now())) }

    /// A new process over the same log, perhaps with another policy file.
    func restart(policy: SitePolicy? = nil) throws {
        var state = NodeState()
        for (entry, time) in entries {
            let stored = try StoredEntry(entry.encoded(seq: 0, time: time))
            guard let read = stored.entry else { throw NodeError.corrupt("entry") }
            try state.apply(read, at: time) { [store] in try TestNode.read(store, $0) }
        }
        core = NodeCore(
            site: "a", federation: "test", siteIndex: 1, signingKey: core.signingKey, coordinatorKey: core.coordinatorKey, policy: policy ?? core.policy, random: random,
            data: rows, blobs: core.blobs, state: state)
    }

    func consent(_ terms: NodeCore.ConsentTerms = .init(sitesMin: 3, acceptsNoDifferentialPrivacy: true)) throws {
        take(try core.consent(to: "heart-disease", terms: terms, by: "operator", at: clock.now()).actions)
    }

    /// The code of the refusal that `body` throws; nil when it throws none.
    func refusal(_ body: () throws -> Void) -> String? {
        do {
            try body()
            return nil
        } catch let error as NodeError { return error.code } catch { return "\(error)" }
    }

    static func plan(_ title: String = "First") throws -> Plan {
        var plan = try Plan(parsing: DurableFile.read(packageRoot + "/scenarios/plans/heart-disease.json5", maxBytes: 1 << 20))
        plan.statement.title = title
        return plan
    }

    /// Offered and consented to.
    func agree(_ plan: Plan) throws {
        try hear(.planOffer(plan: plan.canonicalBytes))
        try consent()
    }
}

// MARK: - Rounds

extension TestNode {
    /// All four members.
    func makeManifest(sequence: UInt64 = 1, members: Int = 4) throws -> Manifest {
        try Manifest(
            federation: "test", sequence: sequence,
            members: memberKeys.prefix(members).enumerated().map { index, key in
                .init(index: UInt32(index + 1), name: ["a", "b", "c", "d"][index], key: key.publicKey, validFrom: 0, validTo: UInt64(Int64.max))
            })
    }

    /// A list of members with the signatures of `signers`.
    func signed(_ manifest: Manifest, by signers: [Int]) -> SignedManifest {
        var signed = SignedManifest(proposing: manifest)
        for signer in signers { signed.sign(with: memberKeys[signer]) }
        return signed
    }

    /// The first list of members, signed here and elsewhere.
    func pinMembers() throws {
        let manifest = try makeManifest()
        try hear(.manifest(signed: signed(manifest, by: [1, 2, 3]).encoded))
        take(try core.signManifest(manifest.hash.hex, by: "operator", at: clock.now()))
    }

    /// What a coordinator may do wrong with the log entry of a round.
    struct Start {
        var sites: [String]
        var details: [String: JSONValue]
        var cosigners: [Int]
        var logKey: SigningKey
        /// Entries that follow before the head is cosigned.
        var isProofOfAnother = false
    }

    /// The proof of a round as an honest coordinator makes it, with what a test changes.
    func makeStart(_ work: RoundWork, _ descriptor: RoundDescriptor, sites: Int, change: (inout Start) -> Void = { _ in }) throws -> RoundStart {
        let names = ["a", "b", "c", "d"]
        var start = Start(
            sites: Array(names.prefix(sites)), details: RoundStart.details(work, descriptor), cosigners: Array(0..<sites), logKey: coordinatorKey)
        change(&start)
        start.details["sites"] = .array(start.sites.map { .string($0) })
        guard let key = LogKeys.log(federation: "test", party: "coordinator", key: start.logKey.publicKey) else { throw NodeError.corrupt("log key") }
        let log = MemoryLog(origin: key.name, signer: start.logKey)
        let other = LogEntry(.logOpened, actor: "coordinator", role: "coordinator")
        let entry = LogEntry(.roundStart, actor: "coordinator", role: "coordinator", details: start.details)
        try log.append([other, entry, other], at: clock.now())
        var note = try SignedNote(log.checkpoint)
        let text = note.text
        note = note.adding(
            start.cosigners.compactMap { member in
                LogKeys.witness(federation: "test", party: names[member], key: memberKeys[member].publicKey).map {
                    NoteSigner(name: $0.name, kind: .witness, key: memberKeys[member]).cosign(text, timeSeconds: 1)
                }
            })
        let index: UInt64 = start.isProofOfAnother ? 0 : 1
        return RoundStart(entry: try log.bytes(at: 1), proof: TlogProof(index: index, hashes: try log.inclusionProof(index, size: nil), checkpoint: note))
    }

    /// Opens a statistics round as a coordinator would, with what a test changes.
    func openRound(
        _ plan: Plan, number: UInt64 = 1, sites: Int = 4, key: SigningKey? = nil, start: (inout Start) -> Void = { _ in },
        change: (inout RoundDescriptor) -> Void = { _ in }
    ) throws -> RoundWork {
        if core.state.manifest == nil { try pinMembers() }
        let work = RoundWork(kind: .statistics, run: "heart-disease-\(number)", planHash: plan.hash, number: number, step: 0)
        let manifest = try makeManifest()
        var descriptor = RoundDescriptor(
            task: work.task(study: plan.study), round: number, attempt: 1, manifestHash: manifest.hash, modelHash: work.modelHash,
            previousResultHash: .zero, architectureHash: SHA256.hash(plan.family.json.canonicalBytes()), configurationHash: work.hash,
            vector: RoundWork.vector(.statistics, plan: plan, elements: SiteStatistics.layout(plan.schema).count, sites: sites),
            privacy: .none,
            cohort: CohortTerms(minimum: plan.cohort.sitesMin, maximum: sites, threshold: .colluders(plan.cohort.colluders)),
            nonce: random.bytes(32))
        change(&descriptor)
        var session = ServerSession(
            descriptor: descriptor, manifest: manifest, signingKey: key ?? coordinatorKey, invited: (1...UInt32(sites)).map { $0 },
            now: UInt64(clock.now().milliseconds / 1000))
        let opening = session.open().compactMap { action -> [UInt8]? in if case .send(1, let message) = action { message } else { nil } }.first ?? []
        let proof = try makeStart(work, descriptor, sites: sites, change: start)
        try hear(.roundOpen(work: work.canonicalBytes, start: proof.encoded, opening: opening, results: []))
        return work
    }

    /// Messages of the aggregation that left, aborts not counted.
    var aggregationMessages: Int {
        sent.count { if case .aggregation(_, let message) = $0 { message.first != MessageType.abort.rawValue } else { false } }
    }

    /// Codes of the refusals that left.
    var refusals: [String] { sent.compactMap { if case .refusal(_, let code, _) = $0 { code } else { nil } } }
}

// MARK: - Releases

extension TestNode {
    /// A version for the plan, signed by `key`.
    func package(_ plan: Plan, version: Int = 1, planHash: Digest? = nil, key: SigningKey? = nil) throws -> PackageContents {
        let statistics = try GlobalStatistics(of: Ingest.read(csv: ChangingRows.csv(200), schema: plan.schema).table)
        let preprocessor = try Preprocessor(schema: plan.schema, statistics: statistics)
        let parameters = ModelParameters(family: plan.family, inputs: preprocessor.columnCount, seed: SHA256.hash([UInt8(version)]).bytes)
        return try PackageWriter.sign(
            PackageManifest(
                name: plan.study, version: version, created: clock.now().iso8601, study: plan.study, planHash: planHash ?? plan.hash, schema: plan.schema,
                preprocessor: preprocessor, family: plan.family, thresholds: .init(decision: 0.5), background: preprocessor.expectedInputs(statistics),
                provenance: Provenance(run: "heart-disease-1", roster: [.init(site: "a", rounds: 1)])),
            parameters: parameters, with: key ?? coordinatorKey)
    }

    /// Announces a bundle.
    func release(_ contents: PackageContents, version: Int = 1, as digest: Digest? = nil, bundle: [UInt8]? = nil) throws {
        let bytes = bundle ?? contents.bundle()
        try hear(
            .release(
                study: "heart-disease", version: version, package: digest ?? SHA256.hash(contents.files[PackageFile.manifest] ?? []), bundle: put(bytes)))
    }

    /// Verdicts that left: code by acceptance.
    var verdicts: [(accepted: Bool, code: String)] {
        sent.compactMap { if case .versionVerdict(_, let accepted, let code) = $0 { (accepted, code) } else { nil } }
    }
}
