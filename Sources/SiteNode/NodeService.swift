// The shell around `NodeCore`: a thread that polls, a thread that owns the core and carries out its actions in
// order, and the HTTPS port of the site.

import AuditLog
import Codec
import Cryptography
import Glibc
import HTTP
import Messages
import Serving
import Storage
import Study
import Tabular
import Telemetry
import Transport

/// A running node.
package final class NodeService: @unchecked Sendable {
    // Unchecked: the core and the link are touched by the node's own thread only; the rest is guarded.
    package let directory: NodeDirectory
    let clock: any Clock
    let logger: Logger
    package let metrics = Metrics()
    let log: AuditLog
    let blobs: BlobStore
    let egress: EgressRecord
    package let predictions: PredictionService
    let data: FileSiteData
    var core: NodeCore
    let link: CoordinatorLink
    /// Cosigns the logs of the coordinator and of other members.
    let witness: Witness
    /// Forks that the witness found, for the node's thread.
    let forks = Locked<[(evidence: ForkEvidence, path: String)]>([])
    /// What this node knows of the witnesses of its own log; touched by the node's thread only.
    var ownHeads = OwnHeads()
    private let lock: DirectoryLock
    private let queue = Condition()
    private var jobs: [(NodeService) -> Void] = []
    private let isStopping = Locked(false)
    private let running = Locked(0)
    /// What the last contact with the coordinator brought; for people.
    let connection = Locked<String>("not connected yet")
    private var server: HTTPServer?

    static let blobBytesMax = 512 << 20

    /// Opens the directory: replays the log.
    package init(directory: NodeDirectory, clock: any Clock = SystemClock(), logger: Logger) throws {
        self.directory = directory
        self.clock = clock
        self.logger = logger
        let path = directory.path
        let configuration = directory.configuration
        lock = try DirectoryLock(path)
        let blobs = try BlobStore(path + "/blobs") { SHA256.hash($0).hex }
        self.blobs = blobs
        let origin = LogKeys.origin(federation: configuration.federation, party: configuration.site)
        let log = try AuditLog.openOrCreate(directory: path + "/log", origin: origin, signer: directory.signingKey, clock: clock, pace: .serving)
        self.log = log
        egress = try EgressRecord(directory: path + "/records", clock: clock)
        let link = try CoordinatorLink(directory, egress: egress)
        self.link = link
        let predictions = try PredictionService(
            .init(directory: path, site: configuration.site, trustedKey: directory.coordinatorKey, ownKey: directory.signingKey.publicKey, rate: configuration.rate),
            log: LogWriter(log, metrics: metrics),
            replay: { take in try log.forEach(take) }, keys: AccessKeys(directory: path + "/keys", clock: clock), clock: clock, random: SystemRandom.shared, metrics: metrics, logger: logger)
        try predictions.writeRecords(with: log)
        self.predictions = predictions
        let data = FileSiteData(directory) { plan in
            try predictions.labelledRows(plan.schema).map { FedBackRow(row: $0.row, positive: $0.label, subject: $0.subject.map { Array($0.utf8) }) }
        }
        self.data = data
        let stored: NodeState.BlobReader = { try blobs.get($0.hex, maxBytes: NodeService.blobBytesMax) }
        // Results of rounds that this node missed are fetched when they are needed.
        let read: NodeState.BlobReader = { digest in
            if !blobs.contains(digest.hex) { try blobs.put(try link.blob(digest)) }
            return try stored(digest)
        }
        core = NodeCore(
            site: configuration.site, federation: configuration.federation, siteIndex: directory.siteIndex, signingKey: directory.signingKey,
            coordinatorKey: directory.coordinatorKey, policy: directory.policy, random: SystemRandom.shared, data: data,
            blobs: read, state: try NodeService.replay(log, blobs: stored), live: { predictions.liveVersion($0) })
        let forks = forks
        witness = try Witness(directory: path + "/witness", name: origin, signer: directory.signingKey, logs: core.witnessedLogs, clock: clock) {
            evidence, path in forks.withLock { $0.append((evidence, path)) }
        }
    }

    /// The state that follows from what is durable.
    private static func replay(_ log: AuditLog, blobs: @escaping NodeState.BlobReader) throws -> NodeState {
        var state = NodeState()
        try log.forEach { stored in
            guard let entry = stored.entry else { return }
            try state.apply(entry, at: stored.time, blobs: blobs)
        }
        return state
    }

    /// Listens, and starts the node's threads.
    package func start() throws {
        let listen = directory.configuration.listen
        let tls = try TLSContext.server(
            chain: directory.servingChain, key: directory.servingKey, clients: NodeDirectory.clients(keys: directory.path + "/keys"))
        var configuration = HTTPServerConfiguration(host: listen.host, port: listen.port, tls: tls)
        configuration.bodyLimit = { PredictionService.bodyLimit(path: $0) }
        configuration.work = predictions.workRules
        configuration.beforeSleep = { [log] in log.commitWaiting() }
        configuration.observe = observer()
        let server = HTTPServer(configuration: configuration, handler: handler())
        try server.start()
        log.deliver(
            through: { [weak server] tell in server.map { $0.answeringTogether(tell) } ?? tell() }, commits: { [weak server] in server?.isLoopThread ?? false })
        self.server = server
        try writeEndpoint()
        try keepRetention()
        running.withLock { $0 = 2 }
        Thread.detach(Thread.start(name: "node") { [self] in work() })
        Thread.detach(Thread.start(name: "poll") { [self] in poll() })
        logger.info("node.ready", [("site", .name(directory.configuration.site)), ("url", .name(url))])
    }

    /// Where the site's own users and systems connect, as seen from this machine.
    package var url: String {
        let configuration = directory.configuration
        return "https://" + ListenAddress(host: configuration.listen.dialledHost(names: configuration.hosts), port: server?.port ?? 0).text
    }

    /// Closes the port, ends the poll, stops the threads.
    package func stop() {
        isStopping.withLock { $0 = true }
        link.stop()
        queue.withLock { queue.broadcast() }
        while running.withLock({ $0 }) > 0 { usleep(2000) }
        server?.stop()
        predictions.stop()
        log.close()
        try? DurableFile.remove(directory.path + "/endpoint.json")
        logger.info("node.stopped", [("site", .name(directory.configuration.site))])
    }

    private func writeEndpoint() throws {
        let endpoint: JSONValue = [
            "role": "node", "site": .string(directory.configuration.site), "pid": .integer(Int64(getpid())), "url": .string(url),
        ]
        try DurableFile.writeAtomically(endpoint.prettyBytes(), to: directory.path + "/endpoint.json")
    }

    private func observer() -> @Sendable (HTTPServerEvent) -> Void {
        let answered = AnswerCounters(metrics)
        return { [metrics, logger, predictions] event in
            switch event {
            case .answered(let exchange):
                answered.count(exchange.status)
                predictions.noteAnswered(exchange)
            case .handshakeFailed:
                metrics.count("consilium_handshakes_failed_total", help: "TLS handshakes that failed")
            case .connectionRefused:
                metrics.count("consilium_connections_refused_total", help: "Connections over a limit")
            case .starved(let error): logger.error("connections.starved", [("error", .name("\(error)"))])
            }
        }
    }
}

// MARK: - Threads

extension NodeService {
    /// Has something done by the node's own thread.
    func onNode(_ job: @escaping (NodeService) -> Void) {
        queue.withLock {
            jobs.append(job)
            queue.signal()
        }
    }

    private func work() {
        while true {
            let batch = queue.withLock { () -> [(NodeService) -> Void] in
                while jobs.isEmpty, !isStopping.withLock({ $0 }) { _ = queue.wait(seconds: 1) }
                defer { jobs = [] }
                return jobs
            }
            if batch.isEmpty { break }
            for job in batch { job(self) }
        }
        running.withLock { $0 -= 1 }
    }

    /// Carries out actions in order; what cannot be made durable stops the rest of the batch, and the core goes back
    /// to what is.
    func perform(_ actions: [NodeAction]) throws {
        // Entries that follow one another share a commit; they are durable before anything after them.
        var entries: [LogEntry] = []
        func writeEntries() throws {
            guard !entries.isEmpty else { return }
            try durably { try log.append(entries.map(seal)) }
            for entry in entries { note(entry) }
            if entries.contains(where: { $0.type == .manifestAdopted }) {
                try vouchForMembers()
                requestCosignatures()
            }
            entries = []
        }
        for action in actions {
            if case .log(let entry) = action {
                entries.append(entry)
                continue
            }
            try writeEntries()
            switch action {
            case .store(let bytes): try durably { try blobs.put(bytes) }
            case .log: continue
            case .send(let report): try send(report)
            case .install(let installation):
                // The core counts on what is not done: it goes back to what the log holds, and the version is announced again.
                do { try install(installation) } catch {
                    core.fallBack(to: try NodeService.replay(log, blobs: core.blobs))
                    throw error
                }
            case .cosign(let request): try cosign(request)
            case .witnessed(let answer): try take(answer)
            }
        }
        try writeEntries()
    }

    private func durably<Result>(_ write: () throws -> Result) throws {
        do { _ = try write() } catch {
            metrics.countRefusedEntry()
            // The core's state is ahead of the disk: a consent that no log holds must not be acted on.
            core.fallBack(to: try NodeService.replay(log, blobs: core.blobs))
            throw error
        }
    }

    /// Sends a report. What the coordinator hears again at the next connection anyway does not fail for want of one.
    func send(_ report: Report) throws {
        do { try link.send(report) } catch let error as HTTPClientError {
            if case .aggregation = report { throw error }
            logger.warning("report.postponed", [("type", .name(report.egressType)), ("reason", .name("\(error)"))])
        }
    }

    /// A completed round's entry commits to the egress record as it stood.
    private func seal(_ entry: LogEntry) throws -> LogEntry {
        guard entry.type == .roundCompleted else { return entry }
        var entry = entry
        entry.details["egress"] = .string(try egress.seal().hex)
        return entry
    }

    private func install(_ installation: Installation) throws {
        let (digest, node) = (installation.package.digest, Actor.node(directory.configuration.site))
        let deployments = predictions.deployments
        try deployments.install(installation.package, intercept: installation.intercept, rules: installation.rules, by: node)
        try deployments.note(installation.evaluation, of: digest, by: node)
        deployments.beginIfAutomatic(digest)
    }

    private func note(_ entry: LogEntry) {
        metrics.count("consilium_log_entries_total", [("type", entry.type.rawValue)], help: "Entries of the audit log by type")
        var fields: [(String, Logger.Field)] = []
        for key in ["study", "run", "kind", "code"] {
            if let text = entry.details[key]?.stringValue { fields.append((key, .name(text))) }
        }
        for key in ["number", "participants", "version"] {
            if let number = entry.details[key]?.intValue { fields.append((key, .count(number))) }
        }
        logger.log(entry.type == .aggregationLatch ? .debug : .info, entry.type.rawValue, fields)
    }

    private func poll() {
        var after: UInt64 = 0
        var nextHead = EventLoop.monotonicMilliseconds()
        var isConnected = false
        var failures = 0
        while !isStopping.withLock({ $0 }) {
            do {
                let batch = try link.poll(after: after)
                failures = 0
                if !isConnected {
                    isConnected = true
                    connection.withLock { $0 = "connected" }
                    logger.info("coordinator.connected")
                    onNode { $0.reportStanding() }
                    nextHead = 0
                }
                let now = EventLoop.monotonicMilliseconds()
                if now >= nextHead {
                    nextHead = now + NodeService.headMilliseconds
                    onNode { $0.requestCosignatures() }
                }
                for item in batch.items {
                    // What could not be taken for want of a connection comes again.
                    try take(item)
                    after = item.sequence
                }
            } catch {
                guard !isStopping.withLock({ $0 }) else { break }
                isConnected = false
                failures += 1
                connection.withLock { $0 = "\(error)" }
                if failures == 1 || failures % 20 == 0 {
                    logger.warning("coordinator.unreachable", [("attempts", .count(failures)), ("reason", .name("\(error)"))])
                }
                pause(seconds: min(5, 0.2 * Double(failures)))
            }
        }
        running.withLock { $0 -= 1 }
    }

    /// - Throws: when the connection failed; an instruction that cannot be used is reported and passed over.
    private func take(_ item: InstructionBatch.Item) throws {
        let instruction: Instruction
        do {
            instruction = try Instruction(encoded: item.instruction)
            for digest in instruction.references where !blobs.contains(digest.hex) {
                try blobs.put(try link.blob(digest))
            }
        } catch let error where error is MessageError || error is NodeError {
            return report(error)
        }
        onNode { node in
            do {
                try node.perform(node.core.handle(instruction, at: node.clock.now()))
                if node.core.hasWork { try node.perform(node.core.work(at: node.clock.now())) }
                if case .runEnded = instruction { node.requestCosignatures() }
            } catch {
                node.core.abandonRound()
                node.report(error)
            }
        }
    }

    private func reportStanding() {
        if let reminder = coordinatorHead { try? send(.witnessAnswer(reminder)) }
        // One that the coordinator does not take, such as a consent to a plan that it replaced, holds no other back.
        for report in core.standingReports(at: clock.now()) {
            do { try send(report) } catch { self.report(error) }
        }
    }

    func report(_ error: any Error) {
        metrics.count("consilium_node_failures_total", help: "Instructions that could not be carried out")
        logger.error("node.failed", [("error", .name("\(error)"))])
    }

    private func pause(seconds: Double) {
        let end = EventLoop.monotonicMilliseconds() + UInt64(seconds * 1000)
        while EventLoop.monotonicMilliseconds() < end, !isStopping.withLock({ $0 }) { usleep(20_000) }
    }
}
