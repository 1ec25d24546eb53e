// `consilium audit witness`: a witness for logs of others, c2sp.org/tlog-witness. `protocol/audit-log.md` §6.
//
//     key.pem, name, vkey   its signing key, its name, its verifier key as text
//     tls/                  a CA of its own and the certificate of its port; a party with a PKI replaces them
//     logs/                 per log the latest head it cosigned, and evidence of forks

import AuditLog
import Codec
import Cryptography
import Glibc
import HTTP
import Storage
import Study
import Telemetry
import Transport

/// The directory of a witness: its key and name.
struct WitnessDirectory {
    let path: String
    let name: String
    let key: SigningKey
    private let lock: DirectoryLock

    private static let certificateDays: Int64 = 825
    private static let authorityDays = 3650
    private static let nameBytesMax = 255

    /// Opens the directory; makes it with a new key at the first start.
    ///
    /// - Parameter name: of a new witness; has to be the old one later.
    init(_ path: String, name wanted: String?) throws {
        try DurableFile.createDirectory(path)
        lock = try DirectoryLock(path)
        self.path = path
        let keyPath = path + "/key.pem"
        let namePath = path + "/name"
        if !DurableFile.exists(namePath) {
            let name = wanted ?? "consilium/witness/\(Hex.encode(SystemRandom.shared.bytes(8)))"
            guard KeyName(name) != nil else {
                throw Failure(.usage, "usage", "--name must be 1 to \(Self.nameBytesMax) bytes without spaces and plus signs, such as witness.example.org")
            }
            // Key first: a name without its key would be another witness of the same name at the next start.
            if !DurableFile.exists(keyPath) { try KeyFile.write(SigningKey.generate(random: SystemRandom.shared).pem(), to: keyPath) }
            try DurableFile.writeAtomically(Array((name + "\n").utf8), to: namePath)
        }
        name = String(String(decoding: try DurableFile.read(namePath, maxBytes: Self.nameBytesMax + 1), as: UTF8.self).filter { $0 != "\n" })
        guard wanted == nil || wanted == name else {
            throw Failure(.configuration, "witness-name", "\(path) is the witness \(name); one name has one key: use another directory for another name")
        }
        key = try SigningKey(pem: KeyFile.read(keyPath))
    }

    /// The chain and key of the port; made when they are not there.
    func certificate(hosts: [String], listen: ListenAddress, now: Timestamp) throws -> (chain: [Certificate], key: CertificateKey) {
        let tls = path + "/tls"
        if !DurableFile.exists(tls + "/server.crt.pem") {
            try DurableFile.createDirectory(tls)
            if DurableFile.exists(tls + "/server.key.pem") { try DurableFile.remove(tls + "/server.key.pem") }
            let seconds = now.milliseconds / 1000
            let authority = try CertificateAuthority.create(name: "witness", now: seconds, days: Self.authorityDays)
            let key = CertificateKey.generate()
            let names = ListenAddress.certificateNames(hosts, listening: [listen])
            let leaf = try authority.issueServer(
                key: key, hosts: names, now: seconds, lifetimeSeconds: Self.certificateDays * CertificateAuthority.secondsPerDay)
            try KeyFile.write(key.pem(), to: tls + "/server.key.pem")
            try DurableFile.writeAtomically(Array(authority.certificate.pem.utf8), to: tls + "/ca.crt.pem", mode: 0o644)
            try DurableFile.writeAtomically(Array((leaf.pem + authority.certificate.pem).utf8), to: tls + "/server.crt.pem", mode: 0o644)
        }
        let pem = String(decoding: try DurableFile.read(tls + "/server.crt.pem", maxBytes: 1 << 17), as: UTF8.self)
        return (try Certificate.chain(pem: pem), try CertificateKey(pem: KeyFile.read(tls + "/server.key.pem")))
    }

    /// A witness that knows these logs.
    func witness(_ logs: [VerifierKey], logger: Logger) throws -> Witness {
        let witness = try Witness(directory: path + "/logs", name: name, signer: key, logs: logs, clock: SystemClock()) { evidence, path in
            logger.error("witness.fork", [("log", .name(evidence.key.name.text)), ("evidence", .name(path))])
        }
        try DurableFile.writeAtomically(Array((witness.verifierKey.text + "\n").utf8), to: path + "/vkey", mode: 0o644)
        return witness
    }
}

/// A witness behind an HTTP port. Requests are answered one after another on a thread that may wait for the disk.
final class WitnessService: @unchecked Sendable {
    // Unchecked: `server` is set once, by `start`.
    private let witness: Witness
    private let logger: Logger
    private let worker = Worker(name: "witness", waitingMax: WitnessService.waitingMax)
    private var server: HTTPServer?

    /// Requests that may wait; more are told to come back.
    private static let waitingMax = 1024

    init(_ witness: Witness, logger: Logger) { (self.witness, self.logger) = (witness, logger) }

    /// Listens.
    ///
    /// - Returns: the port.
    func start(_ listen: ListenAddress, tls: TLSContext?) throws -> Int {
        var router = Router()
        router.add("POST", "/add-checkpoint") { [self] request, responder in
            let outcome = worker.take { [self] in
                let reply = witness.addCheckpoint(request.body)
                logger.info("witness.request", [("status", .count(reply.status)), ("address", .name(request.remoteAddress))])
                responder.respond(HTTPResponse(status: reply.status, contentType: reply.contentType, body: reply.body))
            }
            if case .taken = outcome { return }
            var busy = HTTPResponse(status: 503, contentType: "text/plain; charset=utf-8", body: Array("too many requests are waiting\n".utf8))
            busy.headers.append("Retry-After", "1")
            responder.respond(busy)
        }
        router.add("GET", "/{origin}/checkpoint") { [witness] _, parameters, responder in
            guard let note = witness.latest(originHash: parameters["origin"]) else {
                let text = Array("this witness has cosigned no such log\n".utf8)
                return responder.respond(HTTPResponse(status: 404, contentType: "text/plain; charset=utf-8", body: text))
            }
            responder.respond(HTTPResponse(contentType: "text/plain; charset=utf-8", body: note.bytes))
        }
        let routes = router
        var configuration = HTTPServerConfiguration(host: listen.host, port: listen.port, tls: tls)
        configuration.bodyLimit = { _ in SignedNote.bytesMax }
        let server = HTTPServer(configuration: configuration) { request, responder in routes.handle(request, responder) }
        try server.start()
        self.server = server
        return server.port
    }

    /// Answers what was taken and closes the port.
    func stop() {
        server?.stop()
        worker.stop()
    }
}
