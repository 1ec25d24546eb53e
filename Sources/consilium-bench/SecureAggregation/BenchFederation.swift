// All parties of one round in one process: real sessions, real signatures, messages handed over in memory. Sites run
// on several threads; the coordinator takes one message at a time, as they come.

import Cryptography
import SecureAggregation
import Simulation
import Synchronization
import Telemetry
import Transport

/// Keys, manifest, policy and descriptor of a cohort of n.
struct BenchCohort: Sendable {
    private static let now: UInt64 = 1_800_000_000
    let coordinator = SigningKey.generate(random: SeededRandom(seed: 1))
    let identities: [SigningKey]
    let manifest: Manifest
    let policy: NodeAggregationPolicy
    let descriptor: RoundDescriptor

    init(sites n: Int, elements: Int) throws {
        let identities = (0..<n).map { SigningKey.generate(random: SeededRandom(seed: UInt64(100 + $0))) }
        self.identities = identities
        manifest = try Manifest(
            federation: "bench", sequence: 1,
            members: (0..<n).map {
                Manifest.Member(
                    index: UInt32($0), name: "site-\($0)", key: identities[$0].publicKey, validFrom: 0, validTo: BenchCohort.now * 2)
            })
        let zero = Digest.zero
        var policy = NodeAggregationPolicy()
        policy.allowedArchitectures = [zero]
        policy.allowedConfigurations = [zero]
        policy.allowedPrivacyModes.insert(.none)
        self.policy = policy
        descriptor = RoundDescriptor(
            task: "bench", round: 1, attempt: 1, manifestHash: manifest.hash, modelHash: zero, previousResultHash: zero,
            architectureHash: zero, configurationHash: zero,
            vector: VectorSpec(
                tensors: [TensorSpec(name: "w", count: elements, clip: 1, cohortMax: n)], maximumWeight: 1000),
            privacy: .none, cohort: CohortTerms(minimum: 5, maximum: n), nonce: [UInt8](repeating: 7, count: 32))
    }

    func client(_ site: Int) -> ClientSession {
        ClientSession(
            identity: identities[site], siteIndex: UInt32(site), manifest: manifest, policy: policy,
            coordinatorKey: coordinator.publicKey, history: AggregationHistory(), random: SystemRandom.shared,
            now: BenchCohort.now)
    }

    func server(parallelism: Int) -> ServerSession {
        ServerSession(
            descriptor: descriptor, manifest: manifest, signingKey: coordinator, now: BenchCohort.now, parallelism: parallelism)
    }
}

/// What a site costs and sends.
struct SiteFigures {
    var seconds = 0.0
    var bytes = 0
}

/// One round under way.
final class BenchFederation: Sendable {
    /// A site. Only one thread works on it at a time.
    struct Site: Sendable {
        var session: ClientSession
        var inbox: [[UInt8]] = []
        var figures = SiteFigures()
        var isSilent = false
    }

    /// The coordinator and what it says.
    struct Server: Sendable {
        var session: ServerSession
        var seconds = 0.0
        var refused: AggregationRefusal?
        var sum: AggregateSum?
        var out: [(site: UInt32, message: [UInt8])] = []
    }

    let cohort: BenchCohort
    let sites: [Locked<Site>]
    let server: Locked<Server>
    private let vector: QuantizedVector
    private let threads: Int
    /// Sees every message that a site sends, in the order in which the coordinator takes them.
    private let tap: (@Sendable (UInt32, [UInt8]) -> Void)?

    init(
        sites n: Int, elements: Int, threads: Int, serverThreads: Int, tap: (@Sendable (UInt32, [UInt8]) -> Void)? = nil
    ) throws {
        let cohort = try BenchCohort(sites: n, elements: elements)
        self.cohort = cohort
        sites = (0..<n).map { Locked(Site(session: cohort.client($0))) }
        server = Locked(Server(session: cohort.server(parallelism: serverThreads)))
        vector = try FixedPoint.encode(
            (0..<elements).map { Float($0 % 2001) / 1000 - 1 }, spec: cohort.descriptor.vector, weight: 10)
        self.threads = threads
        self.tap = tap
    }

    /// The opening goes out.
    func open() {
        server.withLock { server in
            let actions = server.session.open()
            BenchFederation.collect(actions, &server)
        }
        distribute()
    }

    /// Runs to the end. Every site answers every message.
    func run() throws {
        open()
        while try stage() {}
    }

    /// Hands every site what waits for it. False when nothing did.
    ///
    /// - Parameter holdingInput: sites ask for their vector in vain.
    func stage(holdingInput: Bool = false) throws -> Bool {
        let waiting = sites.indices.filter { sites[$0].withLock { !$0.inbox.isEmpty && !$0.isSilent } }
        guard !waiting.isEmpty else { return false }
        forEach(waiting) { self.answer($0, holdingInput: holdingInput) }
        if let refusal = server.withLock({ $0.refused }) {
            throw ScenarioError.failed(step: "round", "\(refusal)")
        }
        distribute()
        return true
    }

    /// Site by site on all threads, in rising order.
    private func forEach(_ list: [Int], _ work: @escaping @Sendable (Int) -> Void) {
        let next = Atomic(0)
        withoutActuallyEscaping(work) { work in
            let pool = (0..<threads).map { _ in
                Thread.start(name: "sites") {
                    while true {
                        let index = next.add(1, ordering: .relaxed).oldValue
                        guard index < list.count else { return }
                        work(list[index])
                    }
                }
            }
            for thread in pool { Thread.join(thread) }
        }
    }

    private func answer(_ index: Int, holdingInput: Bool) {
        sites[index].withLock { site in
            let inbox = site.inbox
            site.inbox = []
            for message in inbox {
                let start = BenchClock.thread()
                let actions = site.session.handle(message)
                site.figures.seconds += BenchClock.thread() - start
                perform(actions, &site, UInt32(index), holdingInput: holdingInput)
            }
        }
    }

    /// Every site's vector is there.
    func provideAllInputs() {
        forEach(Array(sites.indices)) { index in
            self.sites[index].withLock { site in self.provideInput(&site, UInt32(index)) }
        }
        distribute()
    }

    private func provideInput(_ site: inout Site, _ index: UInt32) {
        let start = BenchClock.thread()
        let actions = site.session.provideInput(vector)
        site.figures.seconds += BenchClock.thread() - start
        perform(actions, &site, index, holdingInput: false)
    }

    private func perform(_ actions: [ClientAction], _ site: inout Site, _ index: UInt32, holdingInput: Bool) {
        for action in actions {
            switch action {
            case .send(let message): deliver(message, &site, index)
            case .uploadSegments(let count):
                for segment in 0..<count {
                    let start = BenchClock.thread()
                    let message = site.session.segmentMessage(segment)
                    site.figures.seconds += BenchClock.thread() - start
                    if let message { deliver(message, &site, index) }
                }
            case .needInput: if !holdingInput { provideInput(&site, index) }
            case .finished:
                let start = BenchClock.thread()
                let rest = site.session.confirmResult(computedModel: nil)
                site.figures.seconds += BenchClock.thread() - start
                perform(rest, &site, index, holdingInput: holdingInput)
            case .aborted(let refusal), .abortedByCoordinator(let refusal):
                server.withLock { $0.refused = refusal }
            case .persistLatch: break
            }
        }
    }

    private func deliver(_ message: [UInt8], _ site: inout Site, _ index: UInt32) {
        site.figures.bytes += message.count
        server.withLock { server in
            tap?(index, message)
            BenchFederation.take(message, from: index, &server)
        }
    }

    /// One message into the coordinator.
    static func take(_ message: [UInt8], from site: UInt32, _ server: inout Server) {
        let start = BenchClock.thread()
        let outcome = Result { () throws(AggregationRefusal) in try server.session.handle(message, from: site) }
        server.seconds += BenchClock.thread() - start
        switch outcome {
        case .success(let actions): collect(actions, &server)
        case .failure(let refusal): server.refused = refusal
        }
    }

    static func collect(_ actions: [ServerAction], _ server: inout Server) {
        for action in actions {
            switch action {
            case .send(let site, let message): server.out.append((site, message))
            case .completed(let sum):
                server.sum = sum
                let start = BenchClock.thread()
                let rest = server.session.publish(nextModelHash: nil)
                server.seconds += BenchClock.thread() - start
                collect(rest, &server)
            case .aborted(let refusal): server.refused = refusal
            case .entered, .suspect: break
            }
        }
    }

    private func distribute() {
        let out = server.withLock { server in
            defer { server.out = [] }
            return server.out
        }
        for (site, message) in out { sites[Int(site)].withLock { $0.inbox.append(message) } }
    }
}
