// A node without a coordinator: it serves verified packages at an air-gapped site, at the edge, or as one of many
// replicas behind a load balancer.
//
// ```
// STATE/keys/        log signing key, serving certificate, API keys; operator.key and predict.key are made at the first start
// STATE/log/         the audit log: every prediction is in it before it is answered
// STATE/records/     inputs and outcomes, erasable
// STATE/packages/    the packages, as verified
// STATE/endpoint.json   where the running process listens
// ```

import AuditLog
import Codec
import Cryptography
import Glibc
import HTTP
import ModelPackage
import Serving
import Storage
import Study
import Telemetry
import Transport

/// A running node that no federation knows.
package final class StandaloneNode {
    /// What it serves, and how.
    package struct Options: Sendable {
        /// Package directories, one per model.
        package var packages: [String]
        /// Where keys, log and records lie; made at the first start.
        package var state: String
        /// The key that must have signed the packages.
        package var trustedKey: VerifyingKey
        package var listen: ListenAddress
        /// HTTP without TLS: on loopback, or behind a proxy that ends TLS.
        package var isPlain: Bool
        /// Names and addresses in the serving certificate.
        package var hosts: [String]
        /// The name in log entries.
        package var site: String
        /// Requests of a caller whose key has no limit of its own.
        package var rate = RateLimit.unlimited
        /// Days for which the log gives its entries out.
        package var retentionDays = Retention.daysDefault

        package init(
            packages: [String], state: String, trustedKey: VerifyingKey, listen: ListenAddress, isPlain: Bool, hosts: [String],
            site: String
        ) {
            (self.packages, self.state, self.trustedKey, self.listen) = (packages, state, trustedKey, listen)
            (self.isPlain, self.hosts, self.site) = (isPlain, hosts, site)
        }
    }

    private let options: Options
    private let logger: Logger
    private let metrics = Metrics()
    private let log: AuditLog
    /// Signs what is imported here.
    private let ownKey: VerifyingKey
    private let lock: DirectoryLock
    private let predictions: PredictionService
    private let routes: Router
    private var server: HTTPServer?

    /// Verifies the packages, opens the state directory and makes the packages' versions live.
    ///
    /// - Throws: `PackageError` for a package that is not exactly what the key signed; nothing was opened then. Storage, log
    ///   and key errors with the file at fault.
    package init(_ options: Options, clock: any Clock = SystemClock(), logger: Logger) throws {
        self.options = options
        self.logger = logger
        let releases = try options.packages.map { try VerifiedPackage.verify(directory: $0, trustedKey: options.trustedKey) }
        let keys = options.state + "/keys"
        try DurableFile.createDirectory(keys)
        lock = try DirectoryLock(options.state)
        let access = try StandaloneNode.prepareKeys(keys, options, clock)
        let signer = try SigningKey(pem: KeyFile.read(keys + "/log-signing.key.pem"))
        ownKey = signer.publicKey
        log = try AuditLog.openOrCreate(
            directory: options.state + "/log", origin: "consilium/standalone/\(options.site)", signer: signer, clock: clock,
            pace: .serving)
        predictions = try PredictionService(
            .init(directory: options.state, site: options.site, trustedKey: options.trustedKey, ownKey: signer.publicKey, rate: options.rate), log: LogWriter(log, metrics: metrics),
            replay: { [log] take in try log.forEach(take) }, keys: access, clock: clock,
            random: SystemRandom.shared, metrics: metrics, logger: logger)
        try predictions.writeRecords(with: log)
        for release in releases { try StandaloneNode.begin(release, predictions.deployments, options.site, logger) }
        log.keep(try Retention(days: options.retentionDays), clock: clock)
        var router = Router()
        predictions.mount(on: &router)
        router.add("GET", "/audit/{path...}") { [log, predictions] request, parameters, responder in
            guard predictions.admit(request, Set(AccessRole.allCases), endpoint: "auditLog", responder) != nil else { return }
            guard let file = try? log.file(parameters["path"]) else {
                return responder.respond(predictions.counted(.error(404, "the log has no such file"), "auditLog"))
            }
            responder.respond(HTTPResponse(contentType: file.contentType, body: file.bytes))
        }
        routes = router
    }

    /// Answers a request without a port: for batch scoring in the same process. Waits; not for a loop thread.
    package func answer(_ request: HTTPRequest) -> HTTPResponse {
        HTTPResponder.answer { routes.handle(request, $0) }
    }

    /// A package that is new here goes live. One that was here before is what the log says it is: a restart with the same
    /// packages neither brings back what a person took out nor ends what a person began. Where the site's rules ask for evaluation or
    /// approvals, it waits for them.
    private static func begin(_ release: VerifiedPackage, _ deployments: Deployments, _ site: String, _ logger: Logger) throws {
        let state = deployments.current
        if let known = state.versions[release.digest] {
            let isIdle = [.candidate, .evaluated, .approved, .superseded].contains(known.status) && !known.wasRolledBack
            guard known.status == .live || (state.live(release.name) == nil && isIdle) else { return }
        } else {
            try deployments.install(release, actor: site)
        }
        do { try deployments.makeLive(release.digest, actor: site) } catch {
            guard error.isOfRules else { throw error }
            logger.warning("version.waits", [("model", .name(release.name)), ("digest", .name(release.digest.hex)), ("for", .name("\(error)"))])
        }
    }

    /// Makes what a first start needs and leaves what is there.
    private static func prepareKeys(_ keys: String, _ options: Options, _ clock: any Clock) throws -> AccessKeys {
        if !DurableFile.exists(keys + "/log-signing.key.pem") {
            try KeyFile.write(SigningKey.generate(random: SystemRandom.shared).pem(), to: keys + "/log-signing.key.pem")
        }
        if !options.isPlain, !DurableFile.exists(keys + "/serving.crt.pem") {
            for name in ["serving.key.pem", "serving.crt.pem"] where DurableFile.exists(keys + "/" + name) {
                try DurableFile.remove(keys + "/" + name)
            }
            try Enrolment.makeServingCertificate(keys, site: options.site, hosts: options.hosts, listen: options.listen, now: clock.now())
        }
        let access = try AccessKeys(directory: keys, clock: clock)
        let first: [(file: String, name: String, roles: Set<AccessRole>)] = [
            ("operator.key", "operator at this machine", [.operator, .overseer, .auditor]),
            ("predict.key", "first caller", [.predict, .feedback]),
        ]
        for (file, name, roles) in first where !DurableFile.exists(keys + "/" + file) {
            let rate: RateLimit? = roles.contains(.operator) ? .unlimited : nil
            let made = try access.create(AccessKeyRequest(name: name, roles: roles, rate: rate), random: SystemRandom.shared)
            try KeyFile.write(Array(made.key.utf8), to: keys + "/" + file)
        }
        return access
    }

    /// Listens.
    /// - Throws: `TransportError` when the address cannot be had.
    package func start() throws {
        var tls: TLSContext?
        if !options.isPlain {
            let keys = options.state + "/keys"
            tls = try TLSContext.server(
                chain: Certificate.chain(pem: NodeDirectory.text(keys + "/serving.crt.pem")),
                key: CertificateKey(pem: KeyFile.read(keys + "/serving.key.pem")), clients: NodeDirectory.clients(keys: keys))
        }
        var configuration = HTTPServerConfiguration(host: options.listen.host, port: options.listen.port, tls: tls)
        configuration.bodyLimit = { PredictionService.bodyLimit(path: $0) }
        configuration.work = predictions.workRules
        configuration.beforeSleep = { [log] in log.commitWaiting() }
        let answered = AnswerCounters(metrics)
        configuration.observe = { [predictions] event in
            guard case .answered(let exchange) = event else { return }
            answered.count(exchange.status)
            predictions.noteAnswered(exchange)
        }
        let routes = routes
        let server = HTTPServer(configuration: configuration) { routes.handle($0, $1) }
        try server.start()
        log.deliver(
            through: { [weak server] tell in server.map { $0.answeringTogether(tell) } ?? tell() }, commits: { [weak server] in server?.isLoopThread ?? false })
        self.server = server
        let endpoint: JSONValue = [
            "role": "standalone", "site": .string(options.site), "pid": .integer(Int64(getpid())), "url": .string(url),
            "trustedKeys": .array([options.trustedKey, ownKey].map { .string(Hex.encode($0.bytes)) }),
        ]
        try DurableFile.writeAtomically(endpoint.prettyBytes(), to: options.state + "/endpoint.json")
        logger.info("node.ready", [("site", .name(options.site)), ("url", .name(url))])
    }

    /// Where callers connect, as seen from this machine.
    package var url: String {
        let host = options.listen.dialledHost(names: options.hosts)
        return (options.isPlain ? "http://" : "https://") + ListenAddress(host: host, port: server?.port ?? 0).text
    }

    /// Answers what is being answered, then closes everything.
    package func stop() {
        server?.stop()
        predictions.stop()
        log.close()
        try? DurableFile.remove(options.state + "/endpoint.json")
        logger.info("node.stopped", [("site", .name(options.site))])
    }
}
