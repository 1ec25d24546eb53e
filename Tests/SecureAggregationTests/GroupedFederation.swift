// A federation whose sites share within groups: as `Federation`, with the coordinator of grouped rounds.

import Cryptography
import Testing

@testable import SecureAggregation

extension World {
    /// n sites, numbered from 0, in groups of `groupSize` … 2 · `groupSize` − 1.
    init(sites n: Int, groupSize: Int, minimum: Int = 3, elements: Int = 8) {
        self.init(sites: n, elements: elements)
        descriptor.vector.maximumWeight = UInt64(max(1000, n))
        descriptor.cohort.groupSize = groupSize
        descriptor.cohort.minimum = minimum
        policy.acceptsExperimentalGroups = true
        policy.minimumGroupSize = min(groupSize, policy.minimumGroupSize)
    }
}

struct GroupedFederation {
    let world: World
    var clients: [ClientSession]
    var server: GroupedServerSession
    var inboxes: [[[UInt8]]]
    /// A site stops for good when this returns true for the type of message it is about to send.
    var dies: (Int, MessageType) -> Bool = { _, _ in false }
    /// What a lying coordinator makes of a message to a site.
    var tamper: (Int, [UInt8]) -> [UInt8] = { $1 }
    var dead: Set<Int> = []
    var sum: AggregateSum?
    var serverAbort: AggregationRefusal?
    var steps: [RoundStep] = []
    var results: [Int: RoundResult] = [:]
    var refusals: [Int: AggregationRefusal] = [:]
    var dismissed: [Int: AggregationRefusal] = [:]
    let nextModel: Digest? = digest(2)

    init(_ world: World, history: AggregationHistory = AggregationHistory()) {
        self.world = world
        clients = world.indices.indices.map { world.client($0, history: history) }
        server = GroupedServerSession(
            descriptor: world.descriptor, manifest: world.manifest, signingKey: world.coordinator,
            now: World.now)
        inboxes = world.indices.map { _ in [] }
    }

    /// The groups of the round in which every site advertises: positions.
    var groups: [[Int]] {
        var trial = self
        trial.dies = { $1 == .shares }
        trial.run()
        return trial.server.partition.map { $0.map(Int.init) }
    }

    mutating func run() {
        perform(server.open())
        while true {
            var progressed = false
            for position in clients.indices where !inboxes[position].isEmpty {
                let message = inboxes[position].removeFirst()
                progressed = true
                if !dead.contains(position) {
                    perform(clients[position].handle(tamper(position, message)), position)
                }
            }
            if progressed { continue }
            if server.isOver || server.step == .awaitingModel { break }
            perform(server.deadlinePassed())
        }
    }

    private mutating func perform(_ actions: [ServerAction]) {
        for action in actions {
            switch action {
            case .send(let site, let message): inboxes[Int(site)].append(message)
            case .entered(let step, _): steps.append(step)
            case .completed(let sum):
                self.sum = sum
                perform(server.publish(nextModelHash: nextModel))
            case .aborted(let refusal): serverAbort = refusal
            case .suspect: break
            }
        }
    }

    private mutating func perform(_ actions: [ClientAction], _ position: Int) {
        for action in actions {
            switch action {
            case .persistLatch: break
            case .send(let message): deliver(message, position)
            case .uploadSegments(let count):
                for segment in 0..<count where !dead.contains(position) {
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

    private mutating func deliver(_ message: [UInt8], _ position: Int) {
        guard !dead.contains(position) else { return }
        if dies(position, MessageType(rawValue: message[0])!) {
            dead.insert(position)
            return
        }
        if let actions = try? server.handle(message, from: world.indices[position]) {
            perform(actions)
        }
    }

    /// The plain integer sum over the survivors.
    func plainSum(_ survivors: [UInt32]) -> [Int32] {
        var total = [Int32](repeating: 0, count: world.descriptor.vector.elementCount)
        for site in survivors {
            let integers = world.vector(Int(site)).integers
            for index in total.indices { total[index] &+= integers[index] }
        }
        return total
    }
}
