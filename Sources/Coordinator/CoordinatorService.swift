// The shell around `CoordinatorCore`: one thread owns the core, the outboxes and the log; the HTTP loops hand
// it work and never block. Every effect of an event is durable before anybody hears of it.

import AuditLog
import Codec
import Cryptography
import HTTP
import Messages
import Storage
import Study
import Telemetry
import Transport
import Glibc

/// A running coordinator.
package final class CoordinatorService: @unchecked Sendable {
    // Unchecked: everything below `queue` is touched by the coordinator's own thread only, except where said.
    package let directory: CoordinatorDirectory
    let clock: any Clock
    let logger: Logger
    package let metrics = Metrics()
    private let queue = Condition()
    private var jobs: [(CoordinatorService) -> Void] = []
    private var isStopping = false
    private let stopped = Locked(false)

    var core: CoordinatorCore
    let log: AuditLog
    /// Cosigns the logs of the sites.
    private let witness: Witness
    /// Forks that the witness found, for the coordinator's thread.
    private let forks = Locked<[(ForkEvidence, String)]>([])
    let blobs: BlobStore
    var outboxes: [String: Outbox] = [:]
    /// Serials of revoked certificates, also read by handshakes on the loop threads.
    let revoked = Locked<Set<String>>([])
    /// Failed enrolments by address, for the lock-out.
    var failedEnrolments: [String: (count: Int, since: Timestamp)] = [:]
    private var federationServer: HTTPServer?
    private var operatorServer: HTTPServer?
    private let lock: DirectoryLock

    /// Seconds that a poll waits for an instruction.
    static let pollSeconds: UInt64 = 25
    static let blobBytesMax = 512 << 20

    /// Opens the directory: replays the log, ends runs that a stop cut off.
    package init(directory: CoordinatorDirectory, clock: any Clock = SystemClock(), logger: Logger) throws {
        self.directory = directory
        self.clock = clock
        self.logger = logger
        lock = try DirectoryLock(directory.path)
        let blobs = try BlobStore(directory.path + "/blobs") { SHA256.hash($0).hex }
        self.blobs = blobs
        let logDirectory = directory.path + "/log"
        let origin = LogKeys.origin(federation: directory.configuration.federation, party: WitnessAnswer.coordinator)
        log = try AuditLog.openOrCreate(directory: logDirectory, origin: origin, signer: directory.signingKey, clock: clock)
        let forks = forks
        witness = try Witness(
            directory: directory.path + "/witness", name: origin, signer: directory.signingKey, logs: [], clock: clock
        ) { evidence, path in
            forks.withLock { $0.append((evidence, path)) }
        }
        let read: Federation.BlobReader = { try blobs.get($0.hex, maxBytes: CoordinatorService.blobBytesMax) }
        var federation = Federation()
        try log.forEach { stored in
            guard let entry = stored.entry else { return }
            try federation.apply(entry, at: stored.time, blobs: read)
        }
        core = CoordinatorCore(
            federation: federation, signingKey: directory.signingKey, random: SystemRandom.shared, log: log, blobs: read)
        revoked.withLock { set in
            for site in federation.sites.values where site.revoked != nil { set.insert(site.certificateSerial) }
        }
        for site in federation.sites.values { try vouch(for: site) }
        if federation.name.isEmpty {
            try perform(core.initialise(name: directory.configuration.federation, authority: directory.authority.certificate.fingerprint, at: clock.now()))
        }
        try perform(core.closeOrphanedRuns(at: clock.now()))
    }

    /// Listens and starts the coordinator's thread.
    package func start() throws {
        let configuration = directory.configuration
        let chain = [directory.serverCertificate, directory.authority.certificate]
        let federationTLS = try TLSContext.server(
            chain: chain, key: directory.serverKey, clients: .required(clientCA: directory.authority.certificate),
            enrolmentProtocol: EnrolmentToken.applicationProtocol, isRevoked: { [revoked] serial in revoked.withLock { $0.contains(serial) } })
        var federation = HTTPServerConfiguration(host: configuration.listen.host, port: configuration.listen.port, tls: federationTLS)
        federation.bodyLimit = { path in path == "/federation/v1/reports" ? Report.bytesMax : 64 << 10 }
        federation.answerSeconds = 120
        federation.idleSeconds = 300
        federation.observe = observer("federation")
        let federationServer = HTTPServer(configuration: federation, handler: federationHandler())
        var operators = HTTPServerConfiguration(
            host: configuration.operatorListen.host, port: configuration.operatorListen.port,
            tls: try TLSContext.server(chain: chain, key: directory.serverKey))
        operators.bodyLimit = { _ in Plan.bytesMax }
        operators.observe = observer("operator")
        let operatorServer = HTTPServer(configuration: operators, handler: operatorHandler())
        try federationServer.start()
        do { try operatorServer.start() } catch {
            federationServer.stop()
            throw error
        }
        self.federationServer = federationServer
        self.operatorServer = operatorServer
        try writeEndpoint()
        Thread.detach(Thread.start(name: "coordinator") { [self] in work() })
        logger.info("coordinator.ready", [("federation", .name(federationURL)), ("operator", .name(operatorURL))])
    }

    /// Where nodes connect.
    package var federationURL: String { "https://" + ListenAddress(host: directory.configuration.listen.host, port: federationServer?.port ?? 0).text }
    /// Where operators connect, as seen from this machine.
    package var operatorURL: String {
        let configuration = directory.configuration
        return "https://" + ListenAddress(host: configuration.operatorListen.dialledHost(names: configuration.hosts), port: operatorServer?.port ?? 0).text
    }
    /// Address in tokens.
    var advertisedAddress: String {
        let configuration = directory.configuration
        return configuration.advertise
            ?? ListenAddress(host: configuration.hosts[0], port: federationServer?.port ?? configuration.listen.port).text
    }

    /// Ends waiting polls, closes the ports, stops the thread. Runs under way end as failed at the next start.
    package func stop() {
        onCoordinator { service in
            for site in service.outboxes.keys { service.outboxes[site]?.close("the coordinator is stopping") }
        }
        queue.withLock { isStopping = true; queue.signal() }
        while !stopped.withLock({ $0 }) { usleep(2000) }
        federationServer?.stop()
        operatorServer?.stop()
        log.close()
        try? DurableFile.remove(directory.path + "/endpoint.json")
        logger.info("coordinator.stopped")
    }

    private func writeEndpoint() throws {
        let endpoint: JSONValue = [
            "role": "coordinator", "pid": .integer(Int64(getpid())), "federation": .string(federationURL), "operator": .string(operatorURL),
        ]
        try DurableFile.writeAtomically(endpoint.prettyBytes(), to: directory.path + "/endpoint.json")
    }
}

// MARK: - The coordinator's thread

extension CoordinatorService {
    /// Has something done by the coordinator's thread.
    func onCoordinator(_ job: @escaping (CoordinatorService) -> Void) {
        queue.withLock {
            jobs.append(job)
            queue.signal()
        }
    }

    private func work() {
        while true {
            let batch = queue.withLock { () -> [(CoordinatorService) -> Void]? in
                if jobs.isEmpty, !isStopping { _ = queue.wait(seconds: secondsToNextDeadline()) }
                if jobs.isEmpty, isStopping { return nil }
                let batch = jobs
                jobs = []
                return batch
            }
            guard let batch else { break }
            for job in batch { job(self) }
            tick()
        }
        stopped.withLock { $0 = true }
    }

    private func secondsToNextDeadline() -> Double {
        var wait = 1.0
        if let deadline = core.nextDeadline {
            wait = min(wait, Double(deadline.milliseconds - clock.now().milliseconds) / 1000)
        }
        return max(wait, 0.001)
    }

    private func tick() {
        do { try perform(core.tick(at: clock.now())) } catch { report(error) }
        let now = EventLoop.monotonicMilliseconds()
        for site in outboxes.keys { outboxes[site]?.expire(at: now) }
    }

    /// Carries out a batch: blobs, then log, then everything that others can see.
    func perform(_ actions: [CoordinatorAction]) throws {
        var entries: [LogEntry] = []
        var numbers: [UInt64] = []
        do {
            for action in actions {
                switch action {
                case .store(let bytes): try blobs.put(bytes)
                case .log(let entry): entries.append(entry)
                default: continue
                }
            }
            if !entries.isEmpty { numbers = try log.append(entries) }
        } catch {
            giveUp(error)
        }
        var touched: Set<String> = []
        for action in actions {
            switch action {
            case .send(let site, let instruction):
                outboxes[site, default: Outbox()].put(instruction)
                touched.insert(site)
            case .disconnect(let site):
                cutOff(site)
            case .cosign(let site, let request):
                outboxes[site, default: Outbox()].put(.witnessed(cosign(request, for: site)))
                touched.insert(site)
            default: continue
            }
        }
        for site in touched { outboxes[site]?.flush() }
        for entry in entries { note(entry) }
        for (entry, number) in zip(entries, numbers) {
            switch entry.type {
            case .roundStart:
                guard let round = entry.details["number"]?.intValue else { continue }
                try perform(core.roundLogged(number: UInt64(round), index: number, at: clock.now()))
            case .siteJoined:
                if let site = core.federation.sites[entry.details["site"]?.stringValue ?? ""] { try vouch(for: site) }
            default: continue
            }
        }
        for (evidence, path) in forks.withLock({ found in defer { found = [] }; return found }) {
            logger.error("log.fork", [("log", .name(evidence.key.name.text)), ("evidence", .name(path))])
            try perform(core.detectedFork(evidence, reportedBy: WitnessAnswer.coordinator, at: clock.now()))
        }
    }

    /// Takes a site's log on as its witness.
    private func vouch(for site: Federation.Site) throws {
        guard let key = LogKeys.log(federation: directory.configuration.federation, party: site.name, key: site.key) else { return }
        try witness.add(key)
    }

    private func cosign(_ request: [UInt8], for site: String) -> WitnessAnswer {
        let origin = LogKeys.origin(federation: core.federation.name, party: site)
        let reply = witness.addCheckpoint(request)
        return WitnessAnswer(reply, origin: origin, witness: WitnessAnswer.coordinator, latest: witness.latest(origin: origin))
    }

    /// What is in memory is ahead of what is on disk: nobody has heard of it, and nobody must. State is a
    /// fold over the log, so the process ends and the next one starts from what is durable.
    func giveUp(_ error: any Error) -> Never {
        logger.error("coordinator.stopping", [("reason", .name("\(error)"))])
        // Not `exit`: it would take OpenSSL apart under the threads that still use it.
        _exit(74)
    }

    private func cutOff(_ site: String) {
        guard let serial = core.federation.sites[site]?.certificateSerial else { return }
        revoked.withLock { _ = $0.insert(serial) }
        outboxes[site]?.close("this site's membership is revoked")
        federationServer?.closeConnections { $0?.serialHex == serial }
    }

    /// A log that cannot be written stops the coordinator from doing anything; say so loudly.
    func report(_ error: any Error) {
        metrics.count("consilium_coordinator_failures_total", help: "Operations refused because the log or a blob could not be written")
        logger.error("coordinator.failed", [("error", .name("\(error)"))])
    }

    private func note(_ entry: LogEntry) {
        metrics.count("consilium_log_entries_total", [("type", entry.type.rawValue)], help: "Entries of the audit log by type")
        var fields: [(String, Logger.Field)] = []
        for key in ["site", "study", "run", "kind", "code", "status"] {
            if let text = entry.details[key]?.stringValue { fields.append((key, .name(text))) }
        }
        for key in ["step", "weight", "version"] {
            if let number = entry.details[key]?.intValue { fields.append((key, .count(number))) }
        }
        logger.info(entry.type.rawValue, fields)
    }

    private func observer(_ port: String) -> @Sendable (HTTPServerEvent) -> Void {
        { [metrics, logger] event in
            switch event {
            case .answered(let exchange):
                metrics.count(
                    "consilium_http_requests_total", [("port", port), ("status", "\(exchange.status)")], help: "Requests by port and status")
            case .handshakeFailed(let address, _):
                metrics.count("consilium_handshakes_failed_total", [("port", port)], help: "TLS handshakes that failed")
                logger.warning("handshake.failed", [("port", .name(port)), ("address", .name(address))])
            case .connectionRefused: metrics.count("consilium_connections_refused_total", [("port", port)], help: "Connections over a limit")
            case .starved(let error): logger.error("connections.starved", [("error", .name("\(error)"))])
            }
        }
    }
}
