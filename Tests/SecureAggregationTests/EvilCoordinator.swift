// A coordinator that holds its real signing key and sends what it likes, when it likes, to whom it likes. It also
// owns the identities of the sites that collude with it.

import Cryptography
import Testing

@testable import SecureAggregation

struct EvilCoordinator {
    let world: World
    var clients: [ClientSession]
    /// Everything that left a site, by site.
    var sent: [[[UInt8]]]
    var refusals: [AggregationRefusal?]

    init(_ world: World, histories: [AggregationHistory]? = nil) {
        self.world = world
        clients = world.indices.indices.map {
            world.client($0, history: histories?[$0] ?? AggregationHistory())
        }
        sent = world.indices.map { _ in [] }
        refusals = world.indices.map { _ in nil }
    }

    /// Sends one message; the site's input is at hand when it asks.
    @discardableResult
    mutating func send(_ message: [UInt8], to position: Int) -> [[UInt8]] {
        take(clients[position].handle(message), position)
    }

    private mutating func take(_ actions: [ClientAction], _ position: Int) -> [[UInt8]] {
        var out: [[UInt8]] = []
        for action in actions {
            switch action {
            case .send(let message): out.append(message)
            case .uploadSegments(let count):
                for segment in 0..<count { out.append(clients[position].segmentMessage(segment)!) }
            case .needInput:
                out += take(clients[position].provideInput(world.vector(position)), position)
            case .aborted(let refusal): refusals[position] = refusal
            case .finished, .persistLatch, .abortedByCoordinator: break
            }
        }
        sent[position] += out
        return out
    }

    /// The last message of a kind that a site sent.
    func last(_ type: MessageType, from position: Int) -> [UInt8]? {
        sent[position].last { $0.first == type.rawValue }
    }

    func count(_ type: MessageType) -> Int { sent.joined().count { $0.first == type.rawValue } }

    // Honest steps, to get to the point where the evil begins.

    mutating func openAll(_ descriptor: RoundDescriptor? = nil) {
        let message = RoundOpening.encoded(descriptor ?? world.descriptor, key: world.coordinator)
        for position in clients.indices { send(message, to: position) }
    }

    /// The advertisements that came back for the world's own descriptor.
    var entries: [Advertisement] {
        sent.compactMap { messages in
            messages.first { $0.first == MessageType.advertisement.rawValue }.flatMap {
                try? Advertisement(message: $0)
            }
        }
    }

    var context: Digest { world.descriptor.context }
    var roster: Roster { Roster(entries, context: context) }

    mutating func rosterToAll() {
        let message = roster.message
        for position in clients.indices { send(message, to: position) }
    }

    func delivery(to position: Int, sharers: [Int]? = nil) -> Delivery {
        let roster = roster
        let ordinals = sharers ?? Array(0..<roster.count)
        let boxes = ordinals.filter { $0 != position }.map { sender in
            let shares = try! EncryptedShares(message: last(.shares, from: sender)!)
            return EncryptedShares.Box(
                peer: world.indices[sender],
                sealed: shares.boxes.first { $0.peer == world.indices[position] }!.sealed)
        }
        return Delivery(sharers: SiteSet(ordinals, capacity: roster.count), boxes: boxes)
    }

    mutating func deliverToAll() {
        for position in clients.indices { send(delivery(to: position).message, to: position) }
    }

    /// Up to and including M5 of every site.
    mutating func runToMaskedInput() {
        openAll()
        rosterToAll()
        deliverToAll()
    }

    var sharersHash: Digest {
        Delivery.hash(
            SiteSet(Array(clients.indices), capacity: clients.count), context: context,
            roster: roster)
    }

    func survivors(_ positions: [Int]) -> SiteSet { SiteSet(positions, capacity: clients.count) }

    func transcript(_ positions: [Int]) -> ConfirmedTranscript {
        ConfirmedTranscript(
            context: context, roster: roster.hash, sharers: sharersHash,
            survivors: SurvivorList.hash(
                survivors(positions), context: context, roster: roster, sharers: sharersHash))
    }

    /// A confirmation by a colluding site's own key.
    func forged(_ position: Int, _ transcript: ConfirmedTranscript) -> SurvivorConfirmation {
        SurvivorConfirmation(
            site: world.indices[position],
            signature: transcript.sign(with: world.identities[position]))
    }
}

/// χ² of bytes against the uniform distribution, 255 degrees of freedom.
func chiSquare(_ bytes: [UInt8]) -> Double {
    var counts = [Double](repeating: 0, count: 256)
    for byte in bytes { counts[Int(byte)] += 1 }
    let expected = Double(bytes.count) / 256
    return counts.reduce(0) { $0 + ($1 - expected) * ($1 - expected) / expected }
}

/// The 99 % point of χ² with 255 degrees of freedom is 310.5; these tests use 340 (about 0.03 %), with fixed seeds.
let chiSquareMax = 340.0
