import Cryptography
import Testing

/// What the authority refuses to put its name to.
@Suite struct CertificateAuthorityTests {
    static let now = CertificateTests.now
    let authority: CertificateAuthority

    init() throws { authority = try CertificateTests.authority() }

    func issueSite(_ request: [UInt8], name: String = "mercy", lifetime: Int64 = 60) throws
        -> Certificate
    {
        try authority.issueSite(
            requestDER: request, siteName: name, now: Self.now, lifetimeSeconds: lifetime)
    }

    @Test(arguments: [Fixtures.requestP256, Fixtures.requestEd25519])
    func takesOnlyTheKeyFromARequest(_ request: [UInt8]) throws {
        let site = try issueSite(request)
        #expect(site.siteName == "mercy")
        #expect(!site.isAuthority && !site.allowsServer)
        #expect(site.isValid(issuedBy: authority.certificate, at: Self.now, for: .client))
        for asked in ["evil", "admin", "coordinator"] {
            let letters = Array(asked.utf8)
            let isThere = (0...site.der.count - letters.count).contains {
                site.der[$0...].starts(with: letters)
            }
            #expect(!isThere, "the request's \(asked) is in the certificate")
        }
    }

    @Test(arguments: [Fixtures.requestP384, Fixtures.requestRSA, Fixtures.requestExplicitCurve])
    func refusesOtherKeyTypes(_ request: [UInt8]) {
        #expect(
            throws: CryptographyError.refused(
                what: "certificate request",
                reason: "its key must be ECDSA P-256 (named curve) or Ed25519")
        ) {
            _ = try issueSite(request)
        }
    }

    /// Each bit matters: to the signature, to the key or to the encoding.
    @Test func refusesEveryChangedRequest() throws {
        for request in [
            try CertificateRequest.make(key: .generate(), commonName: "a site"),
            Fixtures.requestEd25519,
        ] {
            for index in request.indices {
                var changed = request
                changed[index] ^= 1 << UInt8(index % 8)
                #expect(throws: CryptographyError.self, "byte \(index)") {
                    _ = try CertificateRequest(der: changed)
                }
            }
        }
    }

    @Test func refusesAKeyThatTheSenderDoesNotHold() throws {
        // Another's key in place of one's own, the rest as it was.
        let (mine, other) = (CertificateKey.generate(), CertificateKey.generate())
        let request = try CertificateRequest.make(key: mine, commonName: "a site")
        let start = try #require(
            (0..<request.count - 91).first { request[$0...].starts(with: mine.publicKeyDER) })
        var stolen = request
        stolen.replaceSubrange(start..<start + 91, with: other.publicKeyDER)
        #expect(
            throws: CryptographyError.refused(
                what: "certificate request", reason: "it is not signed by the key it is for")
        ) {
            _ = try issueSite(stolen)
        }
    }

    @Test func refusesTruncatedOverlongAndOversizedRequests() throws {
        let request = try CertificateRequest.make(key: .generate(), commonName: "a site")
        for count in 0..<request.count {
            #expect(throws: CryptographyError.self) {
                _ = try CertificateRequest(der: Array(request[..<count]))
            }
        }
        #expect(throws: CryptographyError.self) { _ = try CertificateRequest(der: request + [0]) }
        #expect(
            throws: CryptographyError.malformed(
                what: "certificate request", reason: "larger than 16384 bytes")
        ) {
            _ = try CertificateRequest(der: request + [UInt8](repeating: 0, count: 16_384))
        }
    }

    @Test(arguments: [
        "", "Mercy", "mercy hospital", "mercy_1", "mercy.example", "a,DNS:b", "a\0b", "é", "../etc",
        String(repeating: "a", count: 65),
    ])
    func refusesSiteName(_ name: String) throws {
        #expect(
            throws: CryptographyError.refused(
                what: "site name", reason: "it must match [a-z0-9-]{1,64}")
        ) {
            _ = try issueSite(Fixtures.requestP256, name: name)
        }
        #expect(throws: CryptographyError.self) {
            _ = try authority.issueServer(
                key: .generate(), hosts: ["localhost"], siteName: name, now: Self.now,
                lifetimeSeconds: 60)
        }
    }

    @Test(arguments: ["a", "0", "-", "mercy-hospital-01", String(repeating: "z", count: 64)])
    func takesSiteName(_ name: String) throws {
        #expect(try issueSite(Fixtures.requestP256, name: name).siteName == name)
    }

    @Test(arguments: [
        "", ".", "a.", ".a", "a..b", "*.example.org", "-a.example", "a-.example", "a b", "a,DNS:b",
        "a\0",
        "bücher.example", "a_b", "1.2.3", "1.2.3.4.5", "256.1.1.1", "example.123", "[::1]",
        "http://a", "a:443",
        String(repeating: "a", count: 64), String(repeating: "a.", count: 126) + "aa",
    ])
    func refusesHost(_ host: String) {
        #expect(
            throws: CryptographyError.refused(
                what: "host name",
                reason: "each host must be a DNS name or an IP address, no wildcard")
        ) {
            _ = try authority.issueServer(
                key: .generate(), hosts: [host], now: Self.now, lifetimeSeconds: 60)
        }
    }

    @Test func serverCertificateHoldsItsNames() throws {
        let server = try authority.issueServer(
            key: .generate(),
            hosts: ["Coordinator.Example.ORG", "localhost", "127.0.0.1", "2001:db8::7"],
            siteName: "mercy", now: Self.now, lifetimeSeconds: 60)
        #expect(server.allowsServer && !server.allowsClient && server.siteName == "mercy")
        #expect(server.isValid(issuedBy: authority.certificate, at: Self.now, for: .server))
        #expect(!server.isValid(issuedBy: authority.certificate, at: Self.now, for: .client))
        // GeneralName: [2] IA5String for DNS, [7] OCTET STRING for addresses (RFC 5280 §4.2.1.6).
        let names: [[UInt8]] = [
            [0x82, 23] + text("coordinator.example.org"), [0x82, 9] + text("localhost"),
            [0x87, 4, 127, 0, 0, 1],
            [0x87, 16] + hex("20010db8000000000000000000000007"),
            [0x86, 20] + text("consilium:site:mercy"),
        ]
        for name in names {
            #expect(
                (0..<server.der.count - name.count).contains {
                    server.der[$0...].starts(with: name)
                })
        }
    }

    @Test func serverCertificateFromARequest() throws {
        let key = CertificateKey.generate()
        let request = try CertificateRequest.make(key: key, commonName: "x")
        let server = try authority.issueServer(
            requestDER: request, hosts: ["a.example"], now: Self.now, lifetimeSeconds: 60)
        #expect(server.matches(key) && server.allowsServer && server.siteName == nil)
    }

    @Test func refusesNoHostsAndTooMany() {
        for hosts in [[], (0...32).map { "h\($0)" }] {
            #expect(throws: CryptographyError.self) {
                _ = try authority.issueServer(
                    key: .generate(), hosts: hosts, now: Self.now, lifetimeSeconds: 60)
            }
        }
    }

    @Test func aLeafNeverOutlivesItsAuthority() throws {
        let end = authority.certificate.notAfter
        let site = try issueSite(Fixtures.requestP256, lifetime: 3000 * CertificateTests.day)
        #expect(site.notAfter == end)
        for now in [authority.certificate.notBefore - 1, end, end + 1, .max, .min] {
            #expect(throws: CryptographyError.self) {
                _ = try authority.issueSite(
                    requestDER: Fixtures.requestP256, siteName: "a", now: now, lifetimeSeconds: 60)
            }
        }
        for lifetime in [0, -1, .min, .max, 3661 * CertificateTests.day] {
            #expect(throws: CryptographyError.self) {
                _ = try issueSite(Fixtures.requestP256, lifetime: lifetime)
            }
        }
    }

    @Test func refusesBadAuthorities() {
        for days in [0, -1, 3661, .max, .min] {
            #expect(throws: CryptographyError.self) {
                _ = try CertificateAuthority.create(name: "x", now: Self.now, days: days)
            }
        }
        for name in ["", String(repeating: "a", count: 65), "a\nb", "a\0"] {
            #expect(throws: CryptographyError.self) {
                _ = try CertificateAuthority.create(name: name, now: Self.now, days: 1)
            }
        }
        for now in [-1, .min, .max, 253_402_300_800, 253_402_300_799] as [Int64] {
            #expect(throws: CryptographyError.self) {
                _ = try CertificateAuthority.create(name: "x", now: now, days: 1)
            }
        }
    }

    /// Simulated clocks start at zero; X.509 changes its time format in 2050.
    @Test(arguments: [0, 299, 2_524_607_000, 4_102_444_800] as [Int64])
    func worksAtUnusualTimes(_ now: Int64) throws {
        let authority = try CertificateAuthority.create(name: "Föderation 1", now: now, days: 30)
        let site = try authority.issueSite(
            requestDER: Fixtures.requestP256, siteName: "a", now: now + 5000,
            lifetimeSeconds: 86_400)
        #expect(authority.certificate.notBefore == max(0, now - 300))
        #expect(site.notAfter == now + 91_400)
        #expect(site.isValid(issuedBy: authority.certificate, at: now + 5000, for: .client))
    }
}
