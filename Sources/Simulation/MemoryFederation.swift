// A whole federation in one process: the same cores as the real one, over a network that lives in memory and
// delivers in whatever order a seed says. No sockets, no threads, no wall clock: same seed, same bytes.

import AuditLog
import Codec
import Coordinator
import Cryptography
import DifferentialPrivacy
import Messages
import SecureAggregation
import SiteNode
import Study
import Tabular
import Telemetry

/// Tables for the nodes of a simulation.
package final class MemorySiteData: SiteData {
    private let site: String
    private let make: @Sendable (Plan, String) throws -> SiteDataset

    /// - Parameter make: the rows of a site for a plan.
    package init(site: String, make: @escaping @Sendable (Plan, String) throws -> SiteDataset) {
        self.site = site
        self.make = make
    }

    package func dataset(for plan: Plan, includingFeedback: Bool) throws -> SiteDataset { try make(plan, site) }
}

/// A federation in memory.
package final class MemoryFederation {
    /// What can go wrong on the way; decided per message.
    package struct Faults: Sendable {
        /// Sites that stop answering for good, with the number of their messages that still get through.
        package var dies: [String: Int] = [:]

        package init(dies: [String: Int] = [:]) { self.dies = dies }
    }

    private struct Party {
        var core: NodeCore
        let signer: NoteSigner
        /// What the site has cosigned of the coordinator's log.
        var witnessed: WitnessedLog
        var sent = 0
    }

    private enum Delivery {
        case instruction(site: String, Instruction)
        case report(site: String, [UInt8])
    }

    package let clock: ManualClock
    package private(set) var coordinator: CoordinatorCore
    private let store: BlobMap
    private var nodes: [String: Party] = [:]
    private var wire: [Delivery] = []
    private let order: SeededRandom
    private let faults: Faults
    private let log: MemoryLog
    /// Entries of the coordinator's log, in order.
    package private(set) var entries: [LogEntry] = []
    /// Bytes that each site sent, by type.
    package private(set) var egress: [String: [String: Int]] = [:]
    /// Versions that went into service, by site.
    package private(set) var installed: [String: [Installation]] = [:]
    /// Reports that the coordinator refused, for tests.
    package private(set) var refusals: [String] = []

    /// - Parameters:
    ///   - seed: of every key, nonce and mask.
    ///   - orderSeed: of the order in which messages arrive; another one must not change any model.
    package init(
        name: String, sites: [(name: String, data: any SiteData)], policy: SitePolicy = .floors, seed: UInt64,
        orderSeed: UInt64, faults: Faults = Faults()
    ) throws {
        let random = SeededRandom(seed: seed)
        clock = ManualClock()
        order = SeededRandom(seed: orderSeed).child("order")
        self.faults = faults
        let store = BlobMap()
        self.store = store
        let signingKey = SigningKey.generate(random: random.child("coordinator key"))
        guard let logKey = LogKeys.log(federation: name, party: WitnessAnswer.coordinator, key: signingKey.publicKey) else {
            throw CoordinatorError.corrupt("federation name")
        }
        log = MemoryLog(origin: logKey.name, signer: signingKey)
        var federation = Federation()
        let start = LogEntry(.federationInit, actor: "coordinator", role: "coordinator", details: ["federation": .string(name)])
        try federation.apply(start, at: clock.now(), blobs: store.read)
        for (index, site) in sites.enumerated() {
            let key = SigningKey.generate(random: random.child("site key \(site.name)"))
            let joined = LogEntry(
                .siteJoined, actor: site.name, role: "site", site: site.name,
                details: [
                    "site": .string(site.name), "index": .integer(Int64(index + 1)), "key": .string(Hex.encode(key.publicKey.bytes)),
                    "serial": .string("00"), "token": .string(SHA256.hash(Array(site.name.utf8)).hex),
                ])
            try federation.apply(joined, at: clock.now(), blobs: store.read)
            let own = BlobMap()
            let core = NodeCore(
                site: site.name, federation: name, siteIndex: UInt32(index + 1), signingKey: key, coordinatorKey: signingKey.publicKey, policy: policy,
                random: random.child("site \(site.name)"), data: site.data, blobs: { try own.read($0, or: store) }, state: NodeState())
            guard let key = LogKeys.witness(federation: name, party: site.name, key: key.publicKey) else {
                throw CoordinatorError.corrupt("site name")
            }
            nodes[site.name] = Party(
                core: core, signer: NoteSigner(name: key.name, kind: .witness, key: core.witnessKey), witnessed: WitnessedLog(key: logKey))
            blobMaps[site.name] = own
        }
        coordinator = CoordinatorCore(
            federation: federation, signingKey: signingKey, random: random.child("coordinator"), log: log, blobs: store.read)
    }

    private var blobMaps: [String: BlobMap] = [:]

    /// Has the coordinator draw up the list of members and every site sign it; nothing when that has happened.
    private func signManifest() throws {
        guard coordinator.federation.manifest == nil else { return }
        let proposed = try coordinator.proposeManifest(by: "operator", at: clock.now())
        try perform(proposed.actions)
        try settle()
        for site in nodes.keys.sorted() {
            guard var party = nodes[site] else { continue }
            let actions = try party.core.signManifest(proposed.manifest.hash.hex, by: "operator", at: clock.now())
            nodes[site] = party
            try perform(actions, of: site)
        }
        try settle()
    }

    /// Publishes a plan and has every site consent to it.
    package func agree(on plan: Plan) throws {
        try signManifest()
        let published = try coordinator.publish(plan.canonicalBytes, by: "operator", at: clock.now())
        try perform(published.actions)
        try settle()
        for site in nodes.keys.sorted() {
            guard var party = nodes[site] else { continue }
            let result = try party.core.consent(
                to: plan.study,
                terms: .init(sitesMin: plan.cohort.sitesMin, roundsMax: 1_000_000, acceptsNoDifferentialPrivacy: true), by: "operator",
                at: clock.now())
            nodes[site] = party
            try perform(result.actions, of: site)
        }
        try settle()
    }

    /// What a site's privacy ledger says.
    package func privacyLedger(of site: String) -> PrivacyLedger? { nodes[site]?.core.state.ledger }

    /// A site as its disk holds it now; `restore` puts an older one back, as a backup would.
    package func disk(of site: String) -> NodeCore? { nodes[site]?.core }

    /// Puts a site back to what `disk(of:)` gave.
    package func restore(_ core: NodeCore) { nodes[core.site]?.core = core }

    /// Runs the study's current plan to its end.
    ///
    /// - Parameter progress: called after every delivered message with the run as the log tells it.
    package func run(study: String, progress: (RunHistory) -> Void = { _ in }) throws -> RunHistory {
        let started = try coordinator.startRun(study: study, by: "operator", at: clock.now())
        try perform(started.actions)
        while true {
            try settle { if let run = coordinator.federation.runs[started.run] { progress(run) } }
            guard let run = coordinator.federation.runs[started.run] else { throw CoordinatorError.corrupt("run") }
            if run.status != .running { return run }
            // Nothing is on the way: whoever is silent is silent for good, and the deadline comes.
            guard let deadline = coordinator.nextDeadline else { return run }
            clock.set(deadline)
            try perform(coordinator.tick(at: clock.now()))
        }
    }

    /// Delivers what is on the wire, in the seed's order, until nothing is.
    private func settle(_ step: () -> Void = {}) throws {
        while !wire.isEmpty {
            // Messages of one sender to one receiver keep their order, as over one connection.
            let index = order.uniform(below: wire.count)
            let delivery = wire.remove(at: first(like: wire[index]))
            switch delivery {
            case .instruction(let site, let instruction):
                guard var party = nodes[site], isAlive(site, party) else { continue }
                var actions = try party.core.handle(instruction, at: clock.now())
                if party.core.hasWork { actions += try party.core.work(at: clock.now()) }
                nodes[site] = party
                try perform(actions, of: site)
            case .report(let site, let bytes):
                do { try perform(coordinator.handle(Report(encoded: bytes), from: site, at: clock.now())) } catch let error as CoordinatorError {
                    refusals.append(error.code)
                }
            }
            step()
        }
    }

    private func first(like delivery: Delivery) -> Int {
        wire.firstIndex { other in
            switch (delivery, other) {
            case (.instruction(let site, _), .instruction(let another, _)): site == another
            case (.report(let site, _), .report(let another, _)): site == another
            default: false
            }
        } ?? 0
    }

    private func isAlive(_ site: String, _ party: Party) -> Bool {
        guard let last = faults.dies[site] else { return true }
        return party.sent < last
    }

    private func perform(_ actions: [CoordinatorAction]) throws {
        var batch: [LogEntry] = []
        for action in actions {
            switch action {
            case .store(let bytes): store.put(bytes)
            case .log(let entry): batch.append(entry)
            case .send(let site, let instruction): wire.append(.instruction(site: site, instruction))
            case .disconnect, .cosign: continue
            }
        }
        entries += batch
        for (entry, index) in zip(batch, try log.append(batch, at: clock.now())) where entry.type == .roundStart {
            guard let number = entry.details["number"]?.intValue else { continue }
            try perform(coordinator.roundLogged(number: UInt64(number), index: index, at: clock.now()))
        }
    }

    /// A site answers as a witness of the coordinator's log, from state that it keeps.
    private func cosign(_ request: [UInt8], by site: String) throws -> Report? {
        guard var party = nodes[site] else { return nil }
        let reply = party.witnessed.answer(
            try AddCheckpoint(request), signer: party.signer, timeSeconds: UInt64(clock.now().milliseconds / 1000))
        nodes[site] = party
        return .witnessAnswer(WitnessAnswer(reply, origin: log.origin, witness: site, latest: party.witnessed.latest))
    }

    private func perform(_ actions: [NodeAction], of site: String) throws {
        for action in actions {
            switch action {
            case .store(let bytes): blobMaps[site]?.put(bytes)
            case .log, .witnessed: continue
            case .install(let installation): installed[site, default: []].append(installation)
            case .send(let report): send(report, from: site)
            case .cosign(let request):
                if let answer = try cosign(request, by: site) { send(answer, from: site) }
            }
        }
    }

    private func send(_ report: Report, from site: String) {
        guard let party = nodes[site], isAlive(site, party) else { return }
        nodes[site]?.sent += 1
        let bytes = report.encoded
        egress[site, default: [:]][report.egressType, default: 0] += bytes.count
        wire.append(.report(site: site, bytes))
    }
}

/// Blobs in memory.
package final class BlobMap: Sendable {
    private let blobs = Locked<[Digest: [UInt8]]>([:])

    package init() {}

    /// Stores bytes under their hash.
    package func put(_ bytes: [UInt8]) { blobs.withLock { $0[SHA256.hash(bytes)] = bytes } }

    package func read(_ digest: Digest) throws -> [UInt8] {
        guard let bytes = blobs.withLock({ $0[digest] }) else { throw CoordinatorError.corrupt("blob") }
        return bytes
    }

    func read(_ digest: Digest, or other: BlobMap) throws -> [UInt8] {
        if let bytes = blobs.withLock({ $0[digest] }) { return bytes }
        return try other.read(digest)
    }
}
