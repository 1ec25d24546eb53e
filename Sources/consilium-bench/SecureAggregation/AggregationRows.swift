// The rows of the table, and the arithmetic of their limits. `protocol/secure-aggregation.md` §11.

import SecureAggregation
import Simulation
import Telemetry

enum AggregationRows {
    /// Mask expansion and add, one core: a vector larger than the caches, and the peers of a cohort of 100.
    static func masks(_ speeds: MachineSpeeds) throws -> [BenchRow] {
        let words = 1 << 20
        let streams = 99
        return try [false, true].map { withOpenSSL in
            var vector = [UInt32](repeating: 0, count: words)
            var best = Double.infinity
            for _ in 0..<3 {
                let start = BenchClock.thread()
                try AggregationCosts.addMasks(
                    streams: streams, to: &vector, segmentElements: words, withOpenSSL: withOpenSSL)
                best = min(best, BenchClock.thread() - start)
            }
            let percent = 4 * Double(words * streams) / best / speeds.opensslAES * 100
            return BenchRow(
                name: "masks", what: "mask expansion and add\(withOpenSSL ? ", without vector AES" : "")",
                unit: "% of openssl speed", measured: percent,
                limit: (withOpenSSL ? speeds.opensslAES : speeds.bestAES) / speeds.opensslAES * 100, aim: 70, isRate: true)
        }
    }

    /// Both secrets of a client, 100 holders.
    static func sharing(_ speeds: MachineSpeeds) throws -> [BenchRow] {
        let (n, t, rounds) = (100, 67, 50)
        let start = BenchClock.thread()
        for _ in 0..<rounds {
            guard AggregationCosts.shareSecrets(sites: n, threshold: t).combine() else {
                throw ScenarioError.failed(step: "shamir", "the secrets did not come back")
            }
        }
        let milliseconds = (BenchClock.thread() - start) / Double(rounds) * 1000
        // Dealing: 5 limbs × n × (t − 1) for each secret. Combining: 5t each, and 2t² once for the coefficients.
        let products = Double(2 * 5 * n * (t - 1) + 2 * 5 * t + 2 * t * t)
        return [
            BenchRow(
                name: "shamir", what: "share and combine both secrets of a client, n = 100", unit: "ms", measured: milliseconds,
                limit: products / speeds.multiply * 1000, aim: 1)
        ]
    }

    /// What a client's primitives cost.
    static func clientLimit(sites n: Int, elements m: Int, _ speeds: MachineSpeeds) -> Double {
        let t = 2 * n / 3 + 1
        let curve = Double(2 * (n - 1) + 2) * speeds.agree + Double(n + t + 2) * speeds.verify + 5 * speeds.sign
        return curve + 4 * Double(m) * (Double(n) / speeds.bestAES + 2 / speeds.sha)
    }

    /// What the coordinator's primitives cost with `dropped` sites gone before their masked vector.
    static func coordinatorLimit(sites n: Int, elements m: Int, dropped d: Int, _ speeds: MachineSpeeds) -> Double {
        let t = 2 * n / 3 + 1
        let streams = Double(n - d + d * (n - d))
        let curve = Double(d * (n - d) + d) * speeds.agree + Double(3 * n - d + 2 * t) * speeds.verify
        return curve + 4 * Double(m) * (streams / speeds.bestAES + Double(n - d + 1) / speeds.sha + Double(n - d) / speeds.memory)
    }

    /// A whole round of all parties on two threads; at 100 × 10^6 also what one client takes and sends.
    static func round(sites n: Int, elements m: Int, aim: Double, _ speeds: MachineSpeeds) throws -> [BenchRow] {
        let federation = try BenchFederation(sites: n, elements: m, threads: 2, serverThreads: 2)
        let (wall, cpu) = (BenchClock.wall(), BenchClock.process())
        try federation.run()
        let (wallSeconds, cpuSeconds) = (BenchClock.wall() - wall, BenchClock.process() - cpu)
        try checkSum(federation, survivors: n)
        let limit = Double(n) * clientLimit(sites: n, elements: m, speeds)
            + coordinatorLimit(sites: n, elements: m, dropped: 0, speeds)
        let name = "\(n) x 10^\(exponent(m))"
        var rows = [
            BenchRow(
                name: "round", what: "\(name), all parties, 2 threads: wall", unit: "s", measured: wallSeconds, limit: limit / 2,
                aim: aim),
            BenchRow(name: "round", what: "\(name): CPU of all threads", unit: "core-s", measured: cpuSeconds, limit: limit, aim: 2 * aim),
        ]
        guard n == 100, m == 1_000_000 else { return rows }
        let sites = federation.sites.map { $0.withLock(\.figures) }
        rows.append(
            BenchRow(
                name: "client", what: "n = 100, 10^6 parameters, all of M0 to M10", unit: "core-s",
                measured: sites.reduce(0) { $0 + $1.seconds } / Double(n), limit: clientLimit(sites: n, elements: m, speeds),
                aim: 0.25))
        let plain = Double(4 * m)
        rows.append(
            BenchRow(
                name: "bytes", what: "sent by a client over the plain float32 upload", unit: "x",
                measured: Double(sites.map(\.bytes).max() ?? 0) / plain, limit: 1, aim: 1.01))
        return rows
    }

    /// One cohort of 500 for four rows: the sites' messages up to their masked vectors are made once, on two threads;
    /// a coordinator of its own takes them for each row, on one.
    static func cohort500(_ speeds: MachineSpeeds) throws -> [BenchRow] {
        let (n, m) = (500, 100_000)
        let messages = Locked<[(site: UInt32, message: [UInt8])]>([])
        let federation = try BenchFederation(sites: n, elements: m, threads: 2, serverThreads: 1) { site, message in
            messages.withLock { $0.append((site, message)) }
        }
        federation.open()
        while try federation.stage(holdingInput: true) {}
        let setup = messages.withLock { $0 }
        messages.withLock { $0 = [] }
        federation.provideAllInputs()
        let uploads = messages.withLock { $0 }
        let masking = federation.sites.reduce(0) { $0 + $1.withLock(\.figures.seconds) } / Double(n)
        var client = 0.0
        let coordinator = try [(0, 0.5), (50, 2.5), (150, 5.0)].map { dropped, aim in
            let (server, seconds) = try finish(federation, setup, uploads, dropped: dropped)
            if dropped == 0 { client = masking + seconds }
            return BenchRow(
                name: "coordinator", what: "n = 500, 10^5 parameters, \(dropped * 100 / n) % dropped", unit: "core-s",
                measured: server.seconds, limit: coordinatorLimit(sites: n, elements: m, dropped: dropped, speeds), aim: aim)
        }
        return [
            BenchRow(
                name: "client", what: "n = 500, 10^5 parameters, all of M0 to M10", unit: "core-s", measured: client,
                limit: clientLimit(sites: n, elements: m, speeds), aim: 0.35)
        ] + coordinator
    }

    /// A coordinator from the opening on; the first `dropped` sites are silent after their shares, and of the rest the
    /// first t answer to the end.
    /// - Returns: the coordinator, and what one site took for its last messages.
    private static func finish(
        _ federation: BenchFederation, _ setup: [(site: UInt32, message: [UInt8])],
        _ uploads: [(site: UInt32, message: [UInt8])], dropped: Int
    ) throws -> (BenchFederation.Server, Double) {
        let n = federation.sites.count
        var server = BenchFederation.Server(session: federation.cohort.server(parallelism: 1))
        let opening = server.session.open()
        BenchFederation.collect(opening, &server)
        for (site, message) in setup { BenchFederation.take(message, from: site, &server) }
        for (site, message) in uploads where site >= dropped { BenchFederation.take(message, from: site, &server) }
        server.out = server.out.filter { $0.message.first == MessageType.survivors.rawValue }
        if server.session.step == .maskedInput {
            let start = BenchClock.thread()
            let actions = server.session.deadlinePassed()
            server.seconds += BenchClock.thread() - start
            BenchFederation.collect(actions, &server)
        }
        guard let t = server.session.threshold else { throw ScenarioError.failed(step: "cohort", "no threshold") }
        var sessions = (dropped..<dropped + t).map { site in (site, federation.sites[site].withLock { $0.session }) }
        var seconds = 0.0
        while server.refused == nil, !server.out.isEmpty {
            let inboxes = Dictionary(grouping: server.out) { Int($0.site) }
            server.out = []
            for index in sessions.indices {
                for (_, message) in inboxes[sessions[index].0] ?? [] {
                    let start = BenchClock.thread()
                    let actions = sessions[index].1.handle(message)
                    seconds += BenchClock.thread() - start
                    for case .send(let reply) in actions {
                        BenchFederation.take(reply, from: UInt32(sessions[index].0), &server)
                    }
                }
            }
        }
        guard let sum = server.sum, sum.survivors.count == n - dropped else {
            throw ScenarioError.failed(step: "cohort", "\(dropped) dropped: no sum (\(String(describing: server.refused)))")
        }
        return (server, seconds / Double(t))
    }

    private static func checkSum(_ federation: BenchFederation, survivors: Int) throws {
        guard federation.server.withLock({ $0.sum?.survivors.count }) == survivors,
            federation.sites.allSatisfy({ $0.withLock(\.session.isOver) })
        else { throw ScenarioError.failed(step: "round", "it did not come to its end") }
    }

    private static func exponent(_ value: Int) -> Int { value < 10 ? 0 : 1 + exponent(value / 10) }
}
