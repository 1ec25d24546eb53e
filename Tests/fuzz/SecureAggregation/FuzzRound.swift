// One real round of four sites with fixed keys, kept as what an attacker would have: every message, and every party
// as it stood before each.

import Cryptography

@testable import SecureAggregation

/// Draws from a counter, so that every start of the fuzzer has the same round.
final class FixedRandom: RandomSource, @unchecked Sendable {
    private var counter: UInt64

    init(_ seed: UInt64) { counter = seed << 32 }

    func bytes(_ count: Int) -> [UInt8] {
        var output: [UInt8] = []
        while output.count < count {
            counter += 1
            output += SHA256.hash((0..<8).map { UInt8(truncatingIfNeeded: counter >> (8 * $0)) }).bytes
        }
        return Array(output.prefix(count))
    }

    func secret(_ count: Int) -> SecretBytes { SecretBytes(copying: bytes(count)) }
}

struct FuzzRound: Sendable {
    static let sites = 4
    static let now: UInt64 = 1_800_000_000

    let coordinator = SigningKey.generate(random: FixedRandom(1))
    let identities = (0..<sites).map { SigningKey.generate(random: FixedRandom(UInt64(10 + $0))) }
    let manifest: Manifest
    let signedManifest: SignedManifest
    let policy: NodeAggregationPolicy
    let descriptor: RoundDescriptor
    let vector: QuantizedVector
    var roster: Roster { Roster(advertisements, context: descriptor.context) }
    private(set) var advertisements: [Advertisement] = []
    /// What the coordinator sent to site 0, in order.
    private(set) var toClient: [[UInt8]] = []
    /// Site 0 before each of those messages, and at the end.
    private(set) var clients: [ClientSession] = []
    /// What the sites sent, in order.
    private(set) var toServer: [(site: UInt32, message: [UInt8])] = []
    /// The coordinator before each of those messages, and at the end.
    private(set) var servers: [ServerSession] = []
    private(set) var latches: [LatchRecord] = []

    init() throws {
        let zero = Digest.zero
        let identities = identities
        manifest = try Manifest(
            federation: "fuzz", sequence: 1,
            members: identities.indices.map {
                Manifest.Member(
                    index: UInt32($0), name: "site-\($0)", key: identities[$0].publicKey, validFrom: 0, validTo: 2 * FuzzRound.now)
            })
        var signed = SignedManifest(proposing: manifest)
        signed.sign(with: identities[0])
        signed.sign(with: identities[1])
        signedManifest = signed
        var policy = NodeAggregationPolicy()
        policy.minimumCohort = 3
        policy.minimumHonest = 2
        policy.allowedArchitectures = [zero]
        policy.allowedConfigurations = [zero]
        policy.allowedPrivacyModes.insert(.none)
        self.policy = policy
        descriptor = RoundDescriptor(
            task: "fuzz", round: 1, attempt: 1, manifestHash: manifest.hash, modelHash: zero, previousResultHash: zero,
            architectureHash: zero, configurationHash: zero,
            vector: VectorSpec(
                tensors: [
                    TensorSpec(name: "a", count: 200, clip: 1, cohortMax: 4), TensorSpec(name: "b", count: 100, clip: 2, cohortMax: 4),
                ], maximumWeight: 10, segmentLog2: 8),
            privacy: .none, cohort: CohortTerms(minimum: 3, maximum: 4), nonce: [UInt8](repeating: 7, count: 32))
        vector = try FixedPoint.encode([Float](repeating: 0.5, count: 300), spec: descriptor.vector, weight: 2)
        try play()
    }

    func client(_ site: Int) -> ClientSession {
        ClientSession(
            identity: identities[site], siteIndex: UInt32(site), manifest: manifest, policy: policy,
            coordinatorKey: coordinator.publicKey, history: AggregationHistory(), random: FixedRandom(UInt64(100 + site)),
            now: FuzzRound.now)
    }

    private mutating func play() throws {
        var sessions = (0..<FuzzRound.sites).map(client)
        var server = ServerSession(descriptor: descriptor, manifest: manifest, signingKey: coordinator, now: FuzzRound.now)
        var inboxes: [[[UInt8]]] = Array(repeating: [], count: FuzzRound.sites)
        func post(_ actions: [ServerAction], _ server: inout ServerSession) {
            for action in actions {
                if case .send(let site, let message) = action { inboxes[Int(site)].append(message) }
                if case .completed = action { post(server.publish(nextModelHash: nil), &server) }
            }
        }
        post(server.open(), &server)
        while let site = inboxes.indices.first(where: { !inboxes[$0].isEmpty }) {
            let message = inboxes[site].removeFirst()
            if site == 0 {
                clients.append(sessions[0])
                toClient.append(message)
            }
            var pending = sessions[site].handle(message)
            while !pending.isEmpty {
                let action = pending.removeFirst()
                var out: [[UInt8]] = []
                switch action {
                case .send(let message): out = [message]
                case .uploadSegments(let count): out = (0..<count).compactMap { sessions[site].segmentMessage($0) }
                case .needInput: pending += sessions[site].provideInput(vector)
                case .finished: pending += sessions[site].confirmResult(computedModel: nil)
                case .persistLatch(let record): if site == 0 { latches.append(record) }
                case .aborted(let refusal), .abortedByCoordinator(let refusal): throw refusal
                }
                for message in out {
                    if message.first == MessageType.advertisement.rawValue { advertisements.append(try Advertisement(message: message)) }
                    servers.append(server)
                    toServer.append((UInt32(site), message))
                    post(try server.handle(message, from: UInt32(site)), &server)
                }
            }
        }
        clients.append(sessions[0])
        servers.append(server)
        precondition(server.step == .published, "the honest round runs to its end")
    }
}
