// Everything a node owns lies under one directory, mode 0700:
//
//     config.json5         names, addresses, data sources; written by `join`, edited by people
//     policy.json5         the site's own rules (`SitePolicy`); written with the defaults by `join`
//     keys/                each 0600: client key, site signing key, serving key, split key, API keys
//     log/                 the audit log in the tlog-tiles layout
//     blobs/               plans, consents, models, bundles, by SHA-256
//     packages/            verified model packages, one directory each
//     records/             prediction inputs and outcomes, erasable; egress record
//     endpoint.json        where the running process listens

import AuditLog
import Codec
import Cryptography
import Serving
import Storage
import Study
import Tabular
import Transport

/// The node's configuration file.
package struct NodeConfiguration: Equatable, Sendable {
    package var site: String
    package var federation: String
    /// The coordinator's federation port.
    package var coordinator: ListenAddress
    /// An HTTP CONNECT proxy such as `http://proxy.hospital.example:3128`.
    package var proxy: String?
    /// Where the site's own users and systems connect.
    package var listen: ListenAddress
    /// Names and addresses in the serving certificate.
    package var hosts: [String]
    /// Where rows come from, by study; `*` stands for any study.
    package var data: [String: DataSource]
    /// Days for which the node's log gives its entries out.
    package var retentionDays = Retention.daysDefault
    /// Requests of a caller whose key has no limit of its own.
    package var rate = RateLimit.unlimited

    package init(
        site: String, federation: String, coordinator: ListenAddress, proxy: String?, listen: ListenAddress, hosts: [String],
        data: [String: DataSource]
    ) {
        self.site = site
        self.federation = federation
        self.coordinator = coordinator
        self.proxy = proxy
        self.listen = listen
        self.hosts = hosts
        self.data = data
    }

    /// - Throws: `JSONError` or `FieldError` that names what is wrong with the JSON5 text.
    package init(parsing bytes: [UInt8]) throws {
        var fields = try JSONFields(try JSONValue.parse(bytes, dialect: .json5), path: "config")
        site = try fields.string("site", maxBytes: 64)
        federation = try fields.string("federation", maxBytes: 64)
        coordinator = try ListenAddress(text: fields.string("coordinator", maxBytes: 256), path: "config.coordinator")
        proxy = try fields.optionalString("proxy", maxBytes: 512)
        listen = try ListenAddress(text: fields.string("listen", maxBytes: 256), path: "config.listen")
        hosts = try fields.strings("hosts", maxCount: CertificateAuthority.hostCountMax)
        data = [:]
        let sources = try fields.optionalFields("data")
        for study in sources?.names ?? [] {
            var sources = sources
            data[study] = try DataSource(json: sources?.value(study) ?? .null, path: "config.data.\(study)")
        }
        retentionDays = try fields.optionalInteger("retentionDays", in: Retention.daysMin...Retention.daysMax) ?? Retention.daysDefault
        if let text = try fields.optionalString("rate", maxBytes: 16) {
            guard let rate = RateLimit(text) else { throw FieldError(path: "config.rate", problem: RateLimit.form) }
            self.rate = rate
        }
        try fields.finish()
        guard isName(site) else { throw FieldError(path: "config.site", problem: "must be 1 to 64 of a-z, 0-9 and -") }
        guard !hosts.isEmpty else { throw FieldError(path: "config.hosts", problem: "must name at least one host") }
    }

    /// The form in `config.json5`.
    package var json: JSONValue {
        var object: [String: JSONValue] = [
            "site": .string(site), "federation": .string(federation), "coordinator": .string(coordinator.text),
            "listen": .string(listen.text), "hosts": .array(hosts.map { .string($0) }),
            "data": .object(data.mapValues(\.json)), "retentionDays": .integer(Int64(retentionDays)),
        ]
        if let proxy { object["proxy"] = .string(proxy) }
        if rate != .unlimited { object["rate"] = .string(rate.text) }
        return .object(object)
    }

    /// The rows' source for a study.
    package func source(for study: String) -> DataSource? { data[study] ?? data["*"] }
}

/// The opened directory: configuration, policy and keys.
package struct NodeDirectory: Sendable {
    package let path: String
    package var configuration: NodeConfiguration
    package var policy: SitePolicy
    package let siteIndex: UInt32
    package let signingKey: SigningKey
    package let coordinatorKey: VerifyingKey
    package let coordinatorAuthority: Certificate
    package let clientKey: CertificateKey
    package let clientCertificate: Certificate
    package let servingKey: CertificateKey
    /// Leaf first, the site's own CA last.
    package let servingChain: [Certificate]
    let splitKey: [UInt8]

    /// Reads everything.
    ///
    /// - Throws: with the file at fault; a key that others can read is refused.
    package init(opening path: String) throws {
        self.path = path
        let keys = path + "/keys"
        configuration = try NodeDirectory.read(path + "/config.json5", NodeConfiguration.init(parsing:))
        policy = try NodeDirectory.read(path + "/policy.json5", SitePolicy.init(parsing:))
        var fields = try JSONFields(
            try JSONValue.parse(DurableFile.read(keys + "/membership.json", maxBytes: 1 << 14), dialect: .strict), path: "membership")
        siteIndex = UInt32(try fields.integer("index", in: 1...Int(UInt32.max)))
        guard let key = Hex.decode(try fields.string("coordinatorKey", maxBytes: 64)).flatMap(VerifyingKey.init(bytes:)) else {
            throw FieldError(path: "membership.coordinatorKey", problem: "is not a key; join again with a new token")
        }
        coordinatorKey = key
        signingKey = try SigningKey(pem: KeyFile.read(keys + "/site-signing.key.pem"))
        coordinatorAuthority = try Certificate(pem: NodeDirectory.text(keys + "/coordinator-ca.crt.pem"))
        clientKey = try CertificateKey(pem: KeyFile.read(keys + "/client.key.pem"))
        clientCertificate = try Certificate(pem: NodeDirectory.text(keys + "/client.crt.pem"))
        servingKey = try CertificateKey(pem: KeyFile.read(keys + "/serving.key.pem"))
        servingChain = try Certificate.chain(pem: NodeDirectory.text(keys + "/serving.crt.pem"))
        splitKey = try KeyFile.read(keys + "/split.key").exposedCopy()
    }

    /// Whose packages the node takes: the coordinator's release key, and its own for models that the site imported.
    package var trustedKeys: [VerifyingKey] { [coordinatorKey, signingKey.publicKey] }

    private static func read<Document>(_ path: String, _ parse: ([UInt8]) throws -> Document) throws -> Document {
        let text = try DurableFile.read(path, maxBytes: 1 << 16)
        do { return try parse(text) } catch { throw NodeError.configuration(path: path, problem: "\(error)") }
    }

    /// Whether callers may show certificates: when `keys/client-ca.crt.pem` holds the authorities that issue them.
    static func clients(keys: String) throws -> TLSContext.ClientAuthentication {
        let path = keys + "/client-ca.crt.pem"
        guard DurableFile.exists(path) else { return .none }
        return .optional(clientCAs: try Certificate.chain(pem: text(path)))
    }

    static func text(_ path: String) throws -> String {
        String(decoding: try DurableFile.read(path, maxBytes: 1 << 17), as: UTF8.self)
    }
}
