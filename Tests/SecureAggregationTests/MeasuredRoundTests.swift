// Costs of whole rounds, for a release build:
//     CONSILIUM_SECAGG_MEASURE=10x0,10x1000000,100x100000 swift test -c release -Xswiftc -enable-testing --filter Measured
// Without the variable one small round runs, so that this file does not rot.

import Cryptography
import Testing

@testable import SecureAggregation

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

@Suite("Measured rounds") struct MeasuredRoundTests {
    /// CPU milliseconds of this process.
    private func cpu() -> Double {
        var time = timespec()
        unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) * 1e3 + Double(time.tv_nsec) / 1e6
    }

    private func wall() -> Double {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) * 1e3 + Double(time.tv_nsec) / 1e6
    }

    @Test func costOfARound() throws {
        for spec in TestSettings.text("CONSILIUM_SECAGG_MEASURE", default: "4x1000").split(
            separator: ",")
        {
            let parts = spec.split(separator: "x").compactMap { Int($0) }
            let (sites, elements) = (parts[0], parts[1])
            let dropped = parts.count > 2 ? parts[2] : 0
            let world = World(sites: sites, elements: elements)
            var federation = Federation(world)
            federation.dies = { position, type in position < dropped && type == .maskedInput }
            var serverCost = 0.0
            var clientCost = 0.0
            let vector = try FixedPoint.encode(
                [Float](repeating: 0.25, count: elements), spec: world.descriptor.vector, weight: 10
            )
            let (startCPU, startWall) = (cpu(), wall())
            // The loop of `Federation.run`, with each side's time told apart and one input for all sites.
            var outbox: [(Int, [UInt8])] = []
            func serve(_ actions: [ServerAction], _ federation: inout Federation) {
                for action in actions {
                    switch action {
                    case .send(let site, let message): federation.inboxes[Int(site)].append(message)
                    case .completed(let sum):
                        federation.sum = sum
                        serve(federation.server.publish(nextModelHash: nil), &federation)
                    default: break
                    }
                }
            }
            func react(_ actions: [ClientAction], _ site: Int, _ federation: inout Federation) {
                for action in actions {
                    switch action {
                    case .send(let message):
                        if site < dropped, message[0] == MessageType.maskedInput.rawValue {
                            federation.dead.insert(site)
                        }
                        if !federation.dead.contains(site) { outbox.append((site, message)) }
                    case .uploadSegments(let count):
                        if !federation.dead.contains(site) {
                            for segment in 0..<count {
                                outbox.append(
                                    (site, federation.clients[site].segmentMessage(segment)!))
                            }
                        }
                    case .needInput:
                        react(federation.clients[site].provideInput(vector), site, &federation)
                    case .finished(let result):
                        federation.results[site] = result
                        react(
                            federation.clients[site].confirmResult(computedModel: nil), site,
                            &federation)
                    case .aborted(let refusal): Issue.record("\(refusal)")
                    default: break
                    }
                }
            }
            serve(federation.server.open(), &federation)
            while federation.server.step != .published {
                var progressed = false
                for site in 0..<sites where !federation.inboxes[site].isEmpty {
                    progressed = true
                    let message = federation.inboxes[site].removeFirst()
                    if federation.dead.contains(site) { continue }
                    var before = cpu()
                    react(federation.clients[site].handle(message), site, &federation)
                    clientCost += cpu() - before
                    before = cpu()
                    for (site, message) in outbox {
                        serve(
                            try federation.server.handle(message, from: UInt32(site)), &federation)
                    }
                    outbox = []
                    serverCost += cpu() - before
                }
                if !progressed {
                    let before = cpu()
                    serve(federation.server.deadlinePassed(), &federation)
                    serverCost += cpu() - before
                }
            }
            let (totalCPU, totalWall) = (cpu() - startCPU, wall() - startWall)
            #expect(federation.sum != nil)
            print(
                "secure aggregation: \(sites) sites x \(elements) elements, \(dropped) dropped: round \(rounded(totalCPU)) ms CPU"
                    + " (\(rounded(totalWall)) ms wall), server \(rounded(serverCost)) ms, client \(rounded(clientCost / Double(sites))) ms each"
            )
        }
    }

    @Test func costOfSharing() {
        let n = TestSettings.count("CONSILIUM_SECAGG_SHARES", default: 20)
        let t = 2 * n / 3 + 1
        let secret = seed32(7)
        let random = SeededRandom(seed: 5)
        let start = cpu()
        for _ in 0..<2 {
            let polynomials = SecretSharing.Polynomials(
                secret: secret, threshold: t, random: random)
            let table = SecretBytes(count: 40 * n) { output in
                for x in 1...n {
                    polynomials.writeShare(of: UInt32(x), to: &output, at: 40 * (x - 1))
                }
            }
            #expect(table.count == 40 * n)
        }
        let shared = cpu() - start
        let polynomials = SecretSharing.Polynomials(secret: secret, threshold: t, random: random)
        let shares = (1...t).map { x in
            SecretShare(
                bytes: SecretBytes(count: 40) {
                    polynomials.writeShare(of: UInt32(x), to: &$0, at: 0)
                }.exposedCopy()[...])!
        }
        let setUp = cpu()
        let interpolation = Interpolation(coordinates: (1...UInt32(t)).map { $0 })
        let ready = cpu()
        for _ in 0..<2 {
            let isThere = interpolation.secret(from: shares) != nil
            #expect(isThere)
        }
        print(
            "secret sharing n = \(n), t = \(t): share two secrets \(rounded(shared, 100)) ms, coefficients once \(rounded(ready - setUp, 100)) ms,"
                + " combine two \(rounded(cpu() - ready, 100)) ms")
    }

    private func rounded(_ value: Double, _ scale: Double = 10) -> Double {
        (value * scale).rounded() / scale
    }
}
