// `consilium node join`: keys are made here and never leave; the token names the right coordinator.

import Codec
import Cryptography
import HTTP
import Messages
import Serving
import Storage
import Study
import Tabular
import Telemetry
import Transport

/// Joins a federation with a one-time token.
package enum Enrolment {
    static let servingAuthorityDays = 3650
    private static let secretNames = ["site-signing.key.pem", "client.key.pem", "split.key", "serving.key.pem", "api-keys.json", "operator.key"]

    /// Makes keys, enrols, and writes the node's directory. A failure leaves nothing behind that a
    /// second attempt would trip over.
    ///
    /// - Throws: `NodeError.refused` with the coordinator's sentence, or what went wrong on the way.
    package static func join(
        _ token: EnrolmentToken, directory path: String, listen: ListenAddress, hosts: [String], data: [String: DataSource],
        proxy: String?, policy: SitePolicy = SitePolicy(), clock: any Clock
    ) throws -> NodeDirectory {
        guard !DurableFile.exists(path + "/config.json5") else {
            throw NodeError.refused(code: "node.exists", "\(path) holds a node already: choose another directory")
        }
        guard !DurableFile.exists(path + "/log") else {
            throw NodeError.refused(
                code: "node.exists", "\(path) holds the log of a node but no config.json5: restore that file, or choose another directory")
        }
        let keys = path + "/keys"
        try DurableFile.createDirectory(keys)
        // What an attempt that was cut short left behind, and nothing else that may lie there.
        for name in secretNames where DurableFile.exists(keys + "/" + name) { try DurableFile.remove(keys + "/" + name) }
        let address = try ListenAddress(text: token.address, path: "token.address")
        let signingKey = SigningKey.generate(random: SystemRandom.shared)
        let clientKey = CertificateKey.generate()
        let now = clock.now()
        // Everything that does not depend on the answer is on disk before the token is used up: a full disk or a bad
        // host name must not cost the site its name.
        try KeyFile.write(signingKey.pem(), to: keys + "/site-signing.key.pem")
        try KeyFile.write(clientKey.pem(), to: keys + "/client.key.pem")
        try KeyFile.write(SystemRandom.shared.bytes(32), to: keys + "/split.key")
        try makeServingCertificate(keys, site: token.site, hosts: hosts, listen: listen, now: now)
        let operators = try AccessKeys(directory: keys, clock: clock).create(
            AccessKeyRequest(name: "operator at this machine", roles: [.operator, .overseer, .auditor], rate: .unlimited),
            random: SystemRandom.shared)
        try KeyFile.write(Array(operators.key.utf8), to: keys + "/operator.key")
        if !DurableFile.exists(path + "/policy.json5") {
            try DurableFile.writeAtomically(policy.documented, to: path + "/policy.json5")
        }
        let request = EnrolmentRequest(
            secret: token.secret, site: token.site,
            certificateRequest: try CertificateRequest.make(key: clientKey, commonName: token.site),
            key: signingKey, clock: now.milliseconds)
        let grant = try send(request, to: address, token: token, proxy: proxy)

        let certificate = try Certificate(pem: String(decoding: grant.certificatePEM, as: UTF8.self))
        let authority = try Certificate(pem: String(decoding: grant.authorityPEM, as: UTF8.self))
        guard authority.fingerprint == token.authorityFingerprint, certificate.matches(clientKey), certificate.siteName == token.site,
            certificate.isValid(issuedBy: authority, at: now.milliseconds / 1000, for: .client)
        else {
            throw NodeError.refused(
                code: "enrolment.grant",
                "the coordinator's grant does not fit the token or our key; if the clocks differ by more than a few minutes, set them and ask for a new invitation")
        }
        try DurableFile.writeAtomically(grant.certificatePEM, to: keys + "/client.crt.pem", mode: 0o644)
        try DurableFile.writeAtomically(grant.authorityPEM, to: keys + "/coordinator-ca.crt.pem", mode: 0o644)
        let membership: JSONValue = [
            "index": .integer(Int64(grant.siteIndex)), "coordinatorKey": .string(Hex.encode(grant.coordinatorKey.bytes)),
            "federation": .string(grant.federation), "joined": .string(now.iso8601),
        ]
        try DurableFile.writeAtomically(membership.prettyBytes(), to: keys + "/membership.json")
        let configuration = NodeConfiguration(
            site: token.site, federation: grant.federation, coordinator: address, proxy: proxy, listen: listen, hosts: hosts, data: data)
        try DurableFile.writeAtomically(configuration.json.prettyBytes(), to: path + "/config.json5")
        return try NodeDirectory(opening: path)
    }

    private static func send(
        _ request: EnrolmentRequest, to address: ListenAddress, token: EnrolmentToken, proxy: String?
    ) throws -> EnrolmentGrant {
        let tls = try TLSContext.client(trust: .fingerprint(token.authorityFingerprint), protocols: [EnrolmentToken.applicationProtocol])
        let client = try HTTPClient(
            configuration: HTTPClientConfiguration(
                host: address.host, port: address.port, tls: tls, proxy: try proxy.map { try HTTPProxy(url: $0) }))
        defer { client.close() }
        let response = try client.send(
            HTTPRequest(method: "POST", target: "/federation/v1/enrol", body: request.encoded), timeoutSeconds: 30)
        guard response.isSuccess else {
            let code = (try? JSONValue.parse(response.body, dialect: .strict))?["code"]?.stringValue ?? "enrolment.refused"
            throw NodeError.refused(code: code, response.errorMessage ?? "the coordinator refused the request")
        }
        return try EnrolmentGrant(encoded: response.body)
    }

    /// The site's own small CA and the certificate of its HTTPS port; a site that has a PKI replaces both
    /// files with its own.
    static func makeServingCertificate(_ keys: String, site: String, hosts: [String], listen: ListenAddress, now: Timestamp) throws {
        let seconds = now.milliseconds / 1000
        let authority = try CertificateAuthority.create(name: "\(site) serving", now: seconds, days: servingAuthorityDays)
        let key = CertificateKey.generate()
        let leaf = try authority.issueServer(
            key: key, hosts: ListenAddress.certificateNames(hosts, listening: [listen]), siteName: site, now: seconds, lifetimeSeconds: 825 * CertificateAuthority.secondsPerDay)
        try KeyFile.write(key.pem(), to: keys + "/serving.key.pem")
        try DurableFile.writeAtomically(Array((leaf.pem + authority.certificate.pem).utf8), to: keys + "/serving.crt.pem", mode: 0o644)
        try DurableFile.writeAtomically(Array(authority.certificate.pem.utf8), to: keys + "/serving-ca.crt.pem", mode: 0o644)
    }
}
