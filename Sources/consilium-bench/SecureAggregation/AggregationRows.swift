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

    /// One cohort of 500 for four rows: set up once; the coordinator goes on with everybody, two copies of it lose 50 and
    /// 150 sites after the shares.
    static func cohort500(_ speeds: MachineSpeeds) throws -> [BenchRow] {
        let (n, m) = (500, 100_000)
        let uploads = Locked<[[[UInt8]]]>(Array(repeating: [], count: n))
        let isUploading = Locked(false)
        let federation = try BenchFederation(sites: n, elements: m, threads: 2, serverThreads: 1) { site, message in
            if isUploading.withLock({ $0 }) { uploads.withLock { $0[Int(site)].append(message) } }
        }
        federation.open()
        while try federation.stage(holdingInput: true) {}
        let before = federation.server.withLock { $0 }
        isUploading.withLock { $0 = true }
        federation.provideAllInputs()
        let lossy = try [(50, 2.5), (150, 5.0)].map { dropped, aim in
            (dropped, aim, try finish(federation, before, uploads.withLock { $0 }, dropped: dropped).seconds)
        }
        // The round itself goes on without dropouts.
        while try federation.stage() {}
        try checkSum(federation, survivors: n)
        let client = federation.sites.reduce(0) { $0 + $1.withLock(\.figures.seconds) } / Double(n)
        let costs = [(0, 0.5, federation.server.withLock { $0.seconds })] + lossy
        return [
            BenchRow(
                name: "client", what: "n = 500, 10^5 parameters, all of M0 to M10", unit: "core-s", measured: client,
                limit: clientLimit(sites: n, elements: m, speeds), aim: 0.35)
        ] + costs.map { dropped, aim, seconds in
            BenchRow(
                name: "coordinator", what: "n = 500, 10^5 parameters, \(dropped * 100 / n) % dropped", unit: "core-s",
                measured: seconds, limit: coordinatorLimit(sites: n, elements: m, dropped: dropped, speeds), aim: aim)
        }
    }

    /// The coordinator from M5 on, `dropped` sites silent; the first t survivors answer.
    private static func finish(
        _ federation: BenchFederation, _ before: BenchFederation.Server, _ uploads: [[[UInt8]]], dropped: Int
    ) throws -> BenchFederation.Server {
        var server = before
        for site in dropped..<uploads.count {
            for message in uploads[site] { BenchFederation.take(message, from: UInt32(site), &server) }
        }
        if server.session.step == .maskedInput {
            let start = BenchClock.thread()
            let actions = server.session.deadlinePassed()
            server.seconds += BenchClock.thread() - start
            BenchFederation.collect(actions, &server)
        }
        guard let t = server.session.threshold else { throw ScenarioError.failed(step: "cohort", "no threshold") }
        var sessions = (dropped..<dropped + t).map { site in (site, federation.sites[site].withLock { $0.session }) }
        while !server.session.isOver, server.refused == nil, !server.out.isEmpty {
            let out = server.out
            server.out = []
            var inboxes: [Int: [[UInt8]]] = [:]
            for (site, message) in out { inboxes[Int(site), default: []].append(message) }
            for index in sessions.indices {
                for message in inboxes[sessions[index].0] ?? [] {
                    for case .send(let reply) in sessions[index].1.handle(message) {
                        BenchFederation.take(reply, from: UInt32(sessions[index].0), &server)
                    }
                }
            }
        }
        guard let sum = server.sum, sum.survivors.count == uploads.count - dropped else {
            throw ScenarioError.failed(step: "cohort", "\(dropped) dropped: no sum (\(String(describing: server.refused)))")
        }
        return server
    }

    private static func checkSum(_ federation: BenchFederation, survivors: Int) throws {
        guard federation.server.withLock({ $0.sum?.survivors.count }) == survivors,
            federation.sites.allSatisfy({ $0.withLock(\.session.isOver) })
        else { throw ScenarioError.failed(step: "round", "it did not come to its end") }
    }

    private static func exponent(_ value: Int) -> Int { value < 10 ? 0 : 1 + exponent(value / 10) }
}
