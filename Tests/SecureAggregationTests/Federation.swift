// A whole federation in one process: n sessions and a server, messages in queues that a test can look into.

import Codec
import Cryptography
import Testing

@testable import SecureAggregation

/// Draws from SHA-256 in counter mode, so that the Python reference can draw the same bytes.
final class VectorRandom: RandomSource, @unchecked Sendable {
    private let seed: [UInt8]
    private var counter: UInt64 = 0

    init(_ seed: String) { self.seed = Array(seed.utf8) }

    /// SHA-256(seed ‖ u64 counter) blocks, the counter increasing over all draws; a draw starts a new block.
    func bytes(_ count: Int) -> [UInt8] {
        var output: [UInt8] = []
        while output.count < count {
            var writer = ByteWriter()
            writer.raw(seed)
            writer.u64(counter)
            counter += 1
            output += SHA256.hash(writer.bytes).bytes
        }
        return Array(output.prefix(count))
    }

    func secret(_ count: Int) -> SecretBytes { SecretBytes(copying: bytes(count)) }
}

func seed32(_ byte: UInt8) -> SecretBytes {
    SecretBytes(copying: [UInt8](repeating: byte, count: 32))
}

func digest(_ byte: UInt8) -> Digest { Digest(bytes: [UInt8](repeating: byte, count: 32))! }

func hex(_ text: String) -> [UInt8] { Hex.decode(text.filter { !$0.isWhitespace })! }

/// Keys, manifest, policies and a descriptor for n sites with indices 0 ..< n (times `stride`).
struct World {
    static let now: UInt64 = 1_800_000_000
    var coordinator: SigningKey
    var identities: [SigningKey]
    var indices: [UInt32]
    var manifest: Manifest
    var policy: NodeAggregationPolicy
    var descriptor: RoundDescriptor

    init(
        sites n: Int, elements: Int = 8, segmentLog2: Int = 20, rule: ThresholdRule = .twoThirds,
        stride: UInt32 = 1
    ) {
        coordinator = SigningKey.generate(random: SeededRandom(seed: 999))
        let indices = (0..<n).map { UInt32($0) * stride }
        let identities = indices.map {
            SigningKey.generate(random: SeededRandom(seed: UInt64(1000 + $0)))
        }
        self.indices = indices
        self.identities = identities
        manifest = try! Manifest(
            federation: "test", sequence: 1,
            members: zip(indices, identities).map {
                Manifest.Member(
                    index: $0, name: "site-\($0)", key: $1.publicKey, validFrom: World.now - 1000,
                    validTo: World.now + 1000)
            })
        policy = NodeAggregationPolicy()
        policy.minimumCohort = 3
        policy.minimumHonest = 2
        policy.assumedColluders = 1
        policy.allowedArchitectures = [digest(3)]
        policy.allowedConfigurations = [digest(4)]
        policy.allowedPrivacyModes.insert(.none)
        let tensors =
            elements == 0 ? [] : [TensorSpec(name: "w", count: elements, clip: 1, cohortMax: n + 2)]
        descriptor = RoundDescriptor(
            task: "study/training", round: 1, attempt: 1, manifestHash: manifest.hash,
            modelHash: digest(1),
            previousResultHash: .zero, architectureHash: digest(3), configurationHash: digest(4),
            vector: VectorSpec(tensors: tensors, maximumWeight: 1000, segmentLog2: segmentLog2),
            privacy: .none,
            cohort: CohortTerms(minimum: 3, maximum: n + 2, threshold: rule),
            nonce: [UInt8](repeating: 7, count: 32))
    }

    func client(
        _ position: Int, history: AggregationHistory = AggregationHistory(),
        random: (any RandomSource)? = nil
    ) -> ClientSession {
        ClientSession(
            identity: identities[position], siteIndex: indices[position], manifest: manifest,
            policy: policy,
            coordinatorKey: coordinator.publicKey, history: history,
            random: random ?? SeededRandom(seed: UInt64(5000 + position)), now: World.now)
    }

    func server() -> ServerSession {
        ServerSession(
            descriptor: descriptor, manifest: manifest, signingKey: coordinator, now: World.now)
    }

    /// Site `position`'s values: whole numbers of 2^−10 in [−1, 1].
    func values(_ position: Int) -> [Double] {
        let random = SeededRandom(seed: UInt64(77_000 + position))
        return (0..<descriptor.vector.elementCount).map { _ in
            Double(random.uniform(below: 2049)) / 1024 - 1
        }
    }

    func vector(_ position: Int) -> QuantizedVector {
        try! FixedPoint.encode(
            values(position), spec: descriptor.vector, weight: UInt64(position + 1),
            loss: Double(position) / 4)
    }
}

/// One round, run to its end with given faults.
struct Federation {
    let world: World
    var clients: [ClientSession]
    var server: ServerSession
    /// Messages under way to each site, oldest first.
    var inboxes: [[[UInt8]]]
    /// A site stops for good when this returns true for the type of message it is about to send.
    var dies: (Int, MessageType) -> Bool = { _, _ in false }
    var dead: Set<Int> = []
    var sum: AggregateSum?
    var serverAbort: AggregationRefusal?
    var suspects: [UInt32] = []
    var results: [Int: RoundResult] = [:]
    var refusals: [Int: AggregationRefusal] = [:]
    var dismissed: [Int: AggregationRefusal] = [:]
    var latches: [Int: [LatchRecord]] = [:]
    /// Types of all messages each site sent.
    var sent: [Int: [MessageType]] = [:]
    var nextModel: Digest? = digest(2)
    var tamper: (Int, [UInt8]) -> [UInt8] = { $1 }

    init(_ world: World, histories: [AggregationHistory]? = nil) {
        self.world = world
        clients = world.indices.indices.map {
            world.client($0, history: histories?[$0] ?? AggregationHistory())
        }
        server = world.server()
        inboxes = world.indices.map { _ in [] }
    }

    mutating func run() {
        perform(server.open())
        while true {
            var progressed = false
            for position in clients.indices where !inboxes[position].isEmpty {
                let message = inboxes[position].removeFirst()
                progressed = true
                if !dead.contains(position) { perform(clients[position].handle(message), position) }
            }
            if progressed { continue }
            if server.isOver || server.step == .awaitingModel { break }
            perform(server.deadlinePassed())
        }
    }

    mutating func perform(_ actions: [ServerAction]) {
        for action in actions {
            switch action {
            case .send(let site, let message):
                inboxes[world.indices.firstIndex(of: site)!].append(message)
            case .entered: break
            case .completed(let sum):
                self.sum = sum
                perform(server.publish(nextModelHash: nextModel))
            case .aborted(let refusal): serverAbort = refusal
            case .suspect(let site, _): suspects.append(site)
            }
        }
    }

    mutating func perform(_ actions: [ClientAction], _ position: Int) {
        for action in actions {
            guard !dead.contains(position) else { return }
            switch action {
            case .persistLatch(let record): latches[position, default: []].append(record)
            case .send(let message): deliver(message, position)
            case .uploadSegments(let count):
                for segment in 0..<count {
                    deliver(clients[position].segmentMessage(segment)!, position)
                }
            case .needInput:
                perform(clients[position].provideInput(world.vector(position)), position)
            case .finished(let result):
                results[position] = result
                perform(clients[position].confirmResult(computedModel: nextModel), position)
            case .aborted(let refusal): refusals[position] = refusal
            case .abortedByCoordinator(let refusal): dismissed[position] = refusal
            }
        }
    }

    mutating func deliver(_ message: [UInt8], _ position: Int) {
        guard !dead.contains(position) else { return }
        let type = MessageType(rawValue: message[0])!
        if dies(position, type) {
            dead.insert(position)
            return
        }
        sent[position, default: []].append(type)
        if let actions = try? server.handle(
            tamper(position, message), from: world.indices[position])
        {
            perform(actions)
        }
    }

    /// The plain integer sum over the survivors.
    func plainSum(_ survivors: [UInt32]) -> [Int32] {
        var total = [Int32](repeating: 0, count: world.descriptor.vector.elementCount)
        for site in survivors {
            let integers = world.vector(world.indices.firstIndex(of: site)!).integers
            for index in total.indices { total[index] &+= integers[index] }
        }
        return total
    }
}
