// Everything a coordinator owns lies under one directory, mode 0700:
//
//     config.json5         names and addresses; written by `init`, edited by people
//     keys/                CA, server certificate, signing key, operator key: each 0600
//     log/                 the audit log in the tlog-tiles layout
//     blobs/               plans, consents, models, packages, by SHA-256
//     endpoint.json        where the running process listens

import AuditLog
import Codec
import Cryptography
import Storage
import Study

/// The coordinator's configuration file.
package struct CoordinatorConfiguration: Equatable, Sendable {
    /// Name of the federation, `[a-z0-9-]{1,64}`.
    package var federation: String
    /// Where nodes connect.
    package var listen: ListenAddress
    /// Where operators connect.
    package var operatorListen: ListenAddress
    /// Names and addresses in the server certificate: how nodes and operators call this machine.
    package var hosts: [String]
    /// Address that tokens carry; `hosts[0]` and the port unless set.
    package var advertise: String?
    /// Days for which the log gives its entries out.
    package var retentionDays = Retention.daysDefault

    package init(
        federation: String, listen: ListenAddress, operatorListen: ListenAddress, hosts: [String], advertise: String? = nil
    ) {
        self.federation = federation
        self.listen = listen
        self.operatorListen = operatorListen
        self.hosts = hosts
        self.advertise = advertise
    }

    /// - Throws: `JSONError` or `FieldError` that names what is wrong with the JSON5 text.
    package init(parsing bytes: [UInt8]) throws {
        var fields = try JSONFields(try JSONValue.parse(bytes, dialect: .json5), path: "config")
        federation = try fields.string("federation", maxBytes: 64)
        listen = try ListenAddress(text: fields.string("listen", maxBytes: 256), path: "config.listen")
        operatorListen = try ListenAddress(text: fields.string("operatorListen", maxBytes: 256), path: "config.operatorListen")
        hosts = try fields.strings("hosts", maxCount: CertificateAuthority.hostCountMax)
        advertise = try fields.optionalString("advertise", maxBytes: 256)
        retentionDays = try fields.optionalInteger("retentionDays", in: Retention.daysMin...Retention.daysMax) ?? Retention.daysDefault
        try fields.finish()
        guard isName(federation) else { throw FieldError(path: "config.federation", problem: "must be 1 to 64 of a-z, 0-9 and -") }
        guard !hosts.isEmpty else { throw FieldError(path: "config.hosts", problem: "must name at least one host") }
    }

    var json: JSONValue {
        var object: [String: JSONValue] = [
            "federation": .string(federation), "listen": .string(listen.text),
            "operatorListen": .string(operatorListen.text), "hosts": .array(hosts.map { .string($0) }),
            "retentionDays": .integer(Int64(retentionDays)),
        ]
        if let advertise { object["advertise"] = .string(advertise) }
        return .object(object)
    }
}

/// The opened directory: configuration and keys.
package struct CoordinatorDirectory: Sendable {
    package let path: String
    package var configuration: CoordinatorConfiguration
    package let authority: CertificateAuthority
    package let serverKey: CertificateKey
    package let serverCertificate: Certificate
    package let signingKey: SigningKey
    /// The key that operators' commands send; whoever can read the directory is an operator.
    package let operatorKey: String

    static let authorityDays = 3650
    static let serverDays: Int64 = 825

    private static let secretNames = ["ca.key.pem", "server.key.pem", "signing.key.pem", "operator.key"]

    /// Makes a new coordinator: CA, keys, configuration.
    ///
    /// - Throws: when the directory holds a coordinator already or cannot be written.
    package static func create(_ path: String, _ configuration: CoordinatorConfiguration, now: Int64) throws -> CoordinatorDirectory {
        guard isName(configuration.federation) else {
            throw CoordinatorError.refused(code: "federation.name", "a federation's name is 1 to 64 of a-z, 0-9 and -")
        }
        guard !DurableFile.exists(path + "/config.json5") else {
            throw CoordinatorError.refused(code: "coordinator.exists", "\(path) holds a coordinator already: choose another directory")
        }
        guard !DurableFile.exists(path + "/log") else {
            throw CoordinatorError.refused(
                code: "coordinator.exists", "\(path) holds the log of a coordinator but no config.json5: restore that file, or choose another directory")
        }
        let keys = path + "/keys"
        try DurableFile.createDirectory(keys)
        // What an attempt that was cut short left behind; nobody has ever used those keys.
        for name in secretNames where DurableFile.exists(keys + "/" + name) { try DurableFile.remove(keys + "/" + name) }
        let authority = try CertificateAuthority.create(name: configuration.federation, now: now, days: authorityDays)
        let serverKey = CertificateKey.generate()
        let server = try authority.issueServer(
            key: serverKey,
            hosts: ListenAddress.certificateNames(
                configuration.hosts, listening: [configuration.listen, configuration.operatorListen]), now: now, lifetimeSeconds: serverDays * CertificateAuthority.secondsPerDay)
        try KeyFile.write(authority.key.pem(), to: keys + "/ca.key.pem")
        try DurableFile.writeAtomically(Array(authority.certificate.pem.utf8), to: keys + "/ca.crt.pem", mode: 0o644)
        try KeyFile.write(serverKey.pem(), to: keys + "/server.key.pem")
        try DurableFile.writeAtomically(Array(server.pem.utf8), to: keys + "/server.crt.pem", mode: 0o644)
        try KeyFile.write(SigningKey.generate(random: SystemRandom.shared).pem(), to: keys + "/signing.key.pem")
        try KeyFile.write(Array(Base64.urlEncode(SystemRandom.shared.bytes(32)).utf8), to: keys + "/operator.key")
        try DurableFile.writeAtomically(configuration.json.prettyBytes(), to: path + "/config.json5")
        return try CoordinatorDirectory(opening: path)
    }

    /// Reads configuration and keys.
    ///
    /// - Throws: with the file at fault; a key that others can read is refused.
    package init(opening path: String) throws {
        self.path = path
        let keys = path + "/keys"
        let file = path + "/config.json5"
        let text = try DurableFile.read(file, maxBytes: 1 << 16)
        do { configuration = try CoordinatorConfiguration(parsing: text) } catch {
            throw CoordinatorError.configuration(path: file, problem: "\(error)")
        }
        authority = try CertificateAuthority(
            certificate: Certificate(pem: CoordinatorDirectory.text(keys + "/ca.crt.pem")),
            key: CertificateKey(pem: KeyFile.read(keys + "/ca.key.pem")))
        serverKey = try CertificateKey(pem: KeyFile.read(keys + "/server.key.pem"))
        serverCertificate = try Certificate(pem: CoordinatorDirectory.text(keys + "/server.crt.pem"))
        signingKey = try SigningKey(pem: KeyFile.read(keys + "/signing.key.pem"))
        operatorKey = String(decoding: try KeyFile.read(keys + "/operator.key").exposedCopy(), as: UTF8.self)
    }

    private static func text(_ path: String) throws -> String {
        String(decoding: try DurableFile.read(path, maxBytes: 1 << 16), as: UTF8.self)
    }
}
