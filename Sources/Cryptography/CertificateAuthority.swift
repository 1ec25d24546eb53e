import CShims

/// A certificate authority for transport identities (mutual TLS) of one federation.
///
/// It says who may connect. It does not say whose masks or consents count: those are Ed25519
/// identities in the manifest, which this authority cannot issue (see
/// `protocol/secure-aggregation.md` §2.1). Reads no clock.
package struct CertificateAuthority: Sendable {
    /// For lifetimes.
    package static let secondsPerDay: Int64 = 86_400
    /// Issued certificates start this much before `now`, because clocks of institutions differ.
    package static let clockSkewSeconds: Int64 = 300
    /// About ten years.
    package static let lifetimeSecondsMax: Int64 = 3_660 * secondsPerDay
    /// Names in one server certificate.
    package static let hostCountMax = 32

    package let certificate: Certificate
    package let key: CertificateKey
    private let random: any RandomSource

    /// An authority kept on disk.
    /// - Throws: `.refused` when the certificate is not an authority's or not of this key.
    package init(
        certificate: Certificate, key: CertificateKey,
        random: any RandomSource = SystemRandom.shared
    ) throws(CryptographyError) {
        guard certificate.isAuthority else {
            throw .refused(
                what: "authority certificate", reason: "it is not a certificate authority's")
        }
        guard certificate.matches(key) else {
            throw .refused(
                what: "authority certificate", reason: "it belongs to another private key")
        }
        (self.certificate, self.key, self.random) = (certificate, key, random)
    }

    /// A new self-signed authority with a new key.
    /// - Parameters:
    ///   - name: 1 to 64 bytes, shown in certificate viewers.
    ///   - now: unix seconds.
    ///   - days: 1 to 3660.
    /// - Throws: `.refused` for a bad name or lifetime.
    package static func create(
        name: String, now: Int64, days: Int, random: any RandomSource = SystemRandom.shared
    ) throws(CryptographyError) -> CertificateAuthority {
        guard (1...lifetimeSecondsMax / secondsPerDay).contains(Int64(days)) else {
            throw .refused(
                what: "authority lifetime",
                reason: "it must be 1 to \(lifetimeSecondsMax / secondsPerDay) days")
        }
        try Draft.check(time: now)
        let key = CertificateKey.generate()
        let draft = try Draft(
            key: key.handle, commonName: name, usage: Int32(CONSILIUM_USAGE_AUTHORITY), names: [],
            notBefore: max(now - clockSkewSeconds, 0), notAfter: now + Int64(days) * secondsPerDay)
        let certificate = try draft.signed(by: key, issuer: nil, serial: serial(random))
        return try CertificateAuthority(certificate: certificate, key: key, random: random)
    }

    /// A client certificate for a site's node.
    /// - Parameters:
    ///   - requestDER: PKCS#10; only its key is used, after proof of possession.
    ///   - siteName: `[a-z0-9-]{1,64}`, decided by the coordinator's enrolment, never by the
    ///     request.
    ///   - now: unix seconds.
    ///   - lifetimeSeconds: at least 1; cut off where the authority's own certificate ends.
    /// - Throws: `.malformed`, `.refused`.
    package func issueSite(
        requestDER: [UInt8], siteName: String, now: Int64, lifetimeSeconds: Int64
    ) throws(CryptographyError) -> Certificate {
        let request = try CertificateRequest(der: requestDER)
        try Self.check(siteName: siteName)
        return try issue(
            to: request.key, commonName: siteName, usage: .client,
            names: Self.uri(ofSite: siteName), now: now, lifetimeSeconds: lifetimeSeconds)
    }

    /// A server certificate for a key that is at hand.
    /// - Parameters:
    ///   - hosts: 1 to 32 DNS names or IP addresses; no wildcards.
    ///   - siteName: set when the server is a site's own.
    ///   - now, lifetimeSeconds: as for ``issueSite(requestDER:siteName:now:lifetimeSeconds:)``.
    /// - Throws: `.refused`.
    package func issueServer(
        key: CertificateKey, hosts: [String], siteName: String? = nil, now: Int64,
        lifetimeSeconds: Int64
    ) throws(CryptographyError) -> Certificate {
        try issueServer(
            publicKey: key.handle, hosts: hosts, siteName: siteName, now: now,
            lifetimeSeconds: lifetimeSeconds)
    }

    /// A server certificate for a request from elsewhere. See the other forms.
    package func issueServer(
        requestDER: [UInt8], hosts: [String], siteName: String? = nil, now: Int64,
        lifetimeSeconds: Int64
    ) throws(CryptographyError) -> Certificate {
        let request = try CertificateRequest(der: requestDER)
        return try issueServer(
            publicKey: request.key, hosts: hosts, siteName: siteName, now: now,
            lifetimeSeconds: lifetimeSeconds)
    }

    private func issueServer(
        publicKey: PrivateKeyHandle, hosts: [String], siteName: String?, now: Int64,
        lifetimeSeconds: Int64
    ) throws(CryptographyError) -> Certificate {
        guard (1...Self.hostCountMax).contains(hosts.count) else {
            throw .refused(
                what: "server certificate", reason: "it needs 1 to \(Self.hostCountMax) host names")
        }
        var names: [UInt8] = []
        for host in hosts { names += try Self.name(ofHost: host) }
        if let siteName {
            try Self.check(siteName: siteName)
            names += Self.uri(ofSite: siteName)
        }
        return try issue(
            to: publicKey, commonName: siteName ?? "server", usage: .server,
            names: names, now: now, lifetimeSeconds: lifetimeSeconds)
    }

    private func issue(
        to key: PrivateKeyHandle, commonName: String, usage: Certificate.Usage, names: [UInt8],
        now: Int64, lifetimeSeconds: Int64
    ) throws(CryptographyError) -> Certificate {
        guard (1...Self.lifetimeSecondsMax).contains(lifetimeSeconds) else {
            throw .refused(
                what: "certificate lifetime",
                reason: "it must be 1 to \(Self.lifetimeSecondsMax) seconds")
        }
        guard (certificate.notBefore..<certificate.notAfter).contains(now) else {
            throw .refused(
                what: "certificate",
                reason: "the authority's own certificate is not valid at this time")
        }
        let draft = try Draft(
            key: key, commonName: commonName, usage: usage.code, names: names,
            notBefore: max(now - Self.clockSkewSeconds, certificate.notBefore),
            notAfter: min(now + lifetimeSeconds, certificate.notAfter))
        return try draft.signed(by: self.key, issuer: certificate, serial: Self.serial(random))
    }

    private static func check(siteName: String) throws(CryptographyError) {
        guard SiteName.isValid(siteName) else {
            throw .refused(what: "site name", reason: "it must match [a-z0-9-]{1,64}")
        }
    }

    /// 16 bytes, 126 of their bits random: positive and never shorter, so every serial prints as 32
    /// digits.
    private static func serial(_ random: any RandomSource) -> [UInt8] {
        var serial = random.bytes(Int(CONSILIUM_SERIAL_BYTES))
        serial[0] = serial[0] & 0x3f | 0x40
        return serial
    }

    private static func uri(ofSite name: String) -> [UInt8] {
        entry(kind: CONSILIUM_NAME_URI, Array((Certificate.siteURIPrefix + name).utf8))
    }

    private static func name(ofHost text: String) throws(CryptographyError) -> [UInt8] {
        switch HostName(text) {
        case .dns(let name): entry(kind: CONSILIUM_NAME_DNS, Array(name.utf8))
        case .address(let bytes): entry(kind: CONSILIUM_NAME_IP, bytes)
        case nil:
            throw .refused(
                what: "host name",
                reason: "each host must be a DNS name or an IP address, no wildcard")
        }
    }

    /// One entry of the shim's name list; names are at most 253 bytes.
    private static func entry(kind: Int, _ bytes: [UInt8]) -> [UInt8] {
        [UInt8(kind), UInt8(bytes.count)] + bytes
    }
}

/// A certificate before it is signed.
private struct Draft {
    let key: PrivateKeyHandle
    let commonName: [UInt8]
    let usage: Int32
    let names: [UInt8]
    let notBefore, notAfter: Int64

    /// Years 1970 to 9999, what X.509 times can say.
    static let times: Range<Int64> = 0..<253_402_300_800

    init(
        key: PrivateKeyHandle, commonName: String, usage: Int32, names: [UInt8], notBefore: Int64,
        notAfter: Int64
    ) throws(CryptographyError) {
        try Self.check(time: notBefore)
        try Self.check(time: notAfter)
        (self.key, self.usage, self.names) = (key, usage, names)
        (self.notBefore, self.notAfter) = (notBefore, notAfter)
        self.commonName = try CommonName.bytes(commonName)
    }

    static func check(time: Int64) throws(CryptographyError) {
        guard times.contains(time) else {
            throw .refused(
                what: "certificate time", reason: "it must lie between the years 1970 and 9999")
        }
    }

    func signed(
        by signer: CertificateKey, issuer: Certificate?, serial: [UInt8]
    ) throws(CryptographyError) -> Certificate {
        ErrorQueue.clear()
        let issuerDER = issuer?.der ?? []
        // Safe: bytes and counts belong together, the serial has 16 bytes, the handles outlive the
        // call.
        let der = unsafe takeBytes(
            consilium_certificate_issue(
                key.pointer, commonName, commonName.count, issuerDER, issuerDER.count,
                signer.handle.pointer,
                serial, notBefore, notAfter, usage, names, names.count))
        guard let der else {
            throw .library(operation: "sign a certificate", reason: ErrorQueue.drain())
        }
        return try Certificate(der: der)
    }
}
