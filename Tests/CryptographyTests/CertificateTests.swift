import Cryptography
import Testing

/// What a certificate of ours says, who believes it, and what the reader refuses.
@Suite struct CertificateTests {
    static let now: Int64 = 1_795_000_000
    static let day: Int64 = 86_400

    static func authority() throws -> CertificateAuthority {
        try CertificateAuthority.create(name: "Test federation", now: now, days: 365)
    }

    @Test func authorityIsSelfSignedAndNothingElse() throws {
        let authority = try Self.authority()
        #expect(authority.certificate.isAuthority)
        #expect(authority.certificate.siteName == nil)
        #expect(!authority.certificate.allowsClient && !authority.certificate.allowsServer)
        #expect(authority.certificate.notBefore == Self.now - 300)
        #expect(authority.certificate.notAfter == Self.now + 365 * Self.day)
        #expect(authority.certificate.matches(authority.key))
    }

    @Test func siteCertificateNamesTheSiteAndIsForClientsOnly() throws {
        let authority = try Self.authority()
        let key = CertificateKey.generate()
        let request = try CertificateRequest.make(key: key, commonName: "whatever")
        let site = try authority.issueSite(
            requestDER: request, siteName: "mercy-hospital-1", now: Self.now,
            lifetimeSeconds: 90 * Self.day)
        #expect(site.siteName == "mercy-hospital-1")
        #expect(site.allowsClient && !site.allowsServer && !site.isAuthority)
        #expect(site.notBefore == Self.now - 300)
        #expect(site.notAfter == Self.now + 90 * Self.day)
        #expect(site.matches(key))
        #expect(!site.matches(authority.key))
        #expect(site.fingerprint == SHA256.hash(site.der))
        #expect(site.isValid(issuedBy: authority.certificate, at: Self.now, for: .client))
        #expect(!site.isValid(issuedBy: authority.certificate, at: Self.now, for: .server))
    }

    @Test func validityHoldsExactlyBetweenItsTimes() throws {
        let authority = try Self.authority()
        let server = try authority.issueServer(
            key: .generate(), hosts: ["localhost"], now: Self.now + 1000, lifetimeSeconds: 60)
        func isValid(_ time: Int64) -> Bool {
            server.isValid(issuedBy: authority.certificate, at: time, for: .server)
        }
        #expect(server.notBefore == Self.now + 700 && server.notAfter == Self.now + 1060)
        #expect(!isValid(server.notBefore - 1))
        #expect(isValid(server.notBefore))
        #expect(isValid(server.notAfter - 1))
        #expect(!isValid(server.notAfter))
    }

    @Test func anotherAuthorityOfTheSameNameIsNotBelieved() throws {
        let (one, two) = (try Self.authority(), try Self.authority())
        let server = try one.issueServer(
            key: .generate(), hosts: ["localhost"], now: Self.now, lifetimeSeconds: 60)
        #expect(server.isValid(issuedBy: one.certificate, at: Self.now, for: .server))
        #expect(!server.isValid(issuedBy: two.certificate, at: Self.now, for: .server))
        #expect(!server.isValid(issuedBy: server, at: Self.now, for: .server))
    }

    /// pathlen 0 and CA:FALSE: a site cannot issue for another.
    @Test func aLeafCannotIssue() throws {
        let authority = try Self.authority()
        let key = CertificateKey.generate()
        let leaf = try authority.issueServer(
            key: key, hosts: ["localhost"], now: Self.now, lifetimeSeconds: 60)
        #expect(throws: CryptographyError.self) {
            _ = try CertificateAuthority(certificate: leaf, key: key)
        }
        #expect(throws: CryptographyError.self) {
            _ = try CertificateAuthority(certificate: authority.certificate, key: key)
        }
        let again = try CertificateAuthority(certificate: authority.certificate, key: authority.key)
        #expect(again.certificate == authority.certificate)
    }

    @Test func everyChangedByteIsNoticed() throws {
        let authority = try Self.authority()
        let request = try CertificateRequest.make(key: .generate(), commonName: "x")
        let site = try authority.issueSite(
            requestDER: request, siteName: "a", now: Self.now, lifetimeSeconds: 60)
        for index in site.der.indices {
            var der = site.der
            der[index] ^= 0x01
            guard let changed = try? Certificate(der: der) else { continue }
            #expect(
                !changed.isValid(issuedBy: authority.certificate, at: Self.now, for: .client),
                "byte \(index)")
        }
    }

    @Test func refusesTruncatedAndOverlongBytes() throws {
        let der = try Self.authority().certificate.der
        for count in 0..<der.count {
            #expect(throws: CryptographyError.self) {
                _ = try Certificate(der: Array(der[..<count]))
            }
        }
        #expect(throws: CryptographyError.self) { _ = try Certificate(der: der + [0]) }
        #expect(throws: CryptographyError.self) { _ = try Certificate(der: der + der) }
        #expect(throws: CryptographyError.self) {
            _ = try Certificate(der: [UInt8](repeating: 0x30, count: 20_000))
        }
    }

    @Test func serialsAreLongPositiveAndDifferent() throws {
        let authority = try Self.authority()
        let key = CertificateKey.generate()
        var serials = Set([authority.certificate.serialHex])
        for _ in 0..<20 {
            let one = try authority.issueServer(
                key: key, hosts: ["localhost"], now: Self.now, lifetimeSeconds: 60)
            #expect(one.serialHex.count == 32)
            #expect("4567".contains(one.serialHex.first ?? "0"))
            serials.insert(one.serialHex)
        }
        #expect(serials.count == 21)
    }

    @Test func pemRoundTrips() throws {
        let authority = try Self.authority()
        let leaf = try authority.issueServer(
            key: .generate(), hosts: ["::1"], now: Self.now, lifetimeSeconds: 60)
        #expect(try Certificate(pem: leaf.pem) == leaf)
        #expect(
            leaf.pem.hasPrefix("-----BEGIN CERTIFICATE-----\n")
                && leaf.pem.hasSuffix("-----END CERTIFICATE-----\n"))
        #expect(
            try Certificate.chain(pem: leaf.pem + authority.certificate.pem) == [
                leaf, authority.certificate,
            ])
    }

    @Test func refusesPEMThatIsNotCertificatesOnly() throws {
        let pem = try Self.authority().certificate.pem
        let key = String(decoding: try CertificateKey.generate().pem().exposedCopy(), as: UTF8.self)
        for bad in [
            "", "hello", key, key + pem, pem + key, String(pem.dropLast(30)),
            pem + String(pem.dropLast(30)),
            pem + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            String(repeating: pem, count: 5), String(repeating: "x", count: 200_000),
        ] {
            #expect(throws: CryptographyError.self) { _ = try Certificate.chain(pem: bad) }
        }
        #expect(throws: CryptographyError.self) { _ = try Certificate(pem: pem + pem) }
    }

    @Test func readsCertificatesOfOthers() throws {
        let good = try Certificate(der: Fixtures.goodSite)
        #expect(good.siteName == "mercy")
        #expect(try Certificate(der: Fixtures.otherNames).siteName == nil)
        for bad in [
            Fixtures.twoSites, Fixtures.upperCaseSite, Fixtures.emptySite, Fixtures.longSite,
            Fixtures.nullInSite,
        ] {
            #expect(
                throws: CryptographyError.malformed(
                    what: "certificate", reason: "it must name one site, as [a-z0-9-]{1,64}")
            ) {
                _ = try Certificate(der: bad)
            }
        }
    }

    @Test func keyPEMRoundTripsAndOtherKindsAreRefused() throws {
        let key = CertificateKey.generate()
        let pem = try key.pem()
        #expect(try CertificateKey(pem: pem).publicKeyDER == key.publicKeyDER)
        #expect(key.publicKeyDER.count == 91)
        _ = try CertificateKey(pem: SecretBytes(copying: text(Fixtures.keyP256)))
        for bad in [
            Fixtures.keyEd25519, Fixtures.keyP384, Fixtures.keyX25519, Fixtures.keyEncrypted, "",
            "x",
        ] {
            #expect(throws: CryptographyError.self) {
                _ = try CertificateKey(pem: SecretBytes(copying: text(bad)))
            }
        }
    }
}
