import Cryptography
import Telemetry
import Testing
import Transport

/// Who gets in, who does not, and what both sides are told.
@Suite struct MutualTLSTests {
    let trusted: TestAuthority
    let server: EchoServer

    init() throws {
        trusted = try TestAuthority()
        server = try EchoServer(Self.context(trusted, try trusted.server()))
    }

    static func context(
        _ trusted: TestAuthority, _ identity: TestIdentity, enrolment: String? = nil,
        isRevoked: @escaping @Sendable (String) -> Bool = { _ in false }
    ) throws -> TLSContext {
        try TLSContext.server(
            chain: identity.chain, key: identity.key,
            clients: .required(clientCA: trusted.authority.certificate),
            enrolmentProtocol: enrolment, isRevoked: isRevoked)
    }

    /// Tries to get an echo; expects to be refused before a byte of application data reaches the
    /// server.
    private func expectRefusal(_ identity: TestIdentity?, client: String, server told: String)
        throws
    {
        let text = failure { _ = try echo(server, trusted.clientContext(identity)) }
        #expect(text.contains(client), "\(text)")
        let seen = try #require(server.nextSeen())
        #expect(seen.bytes == 0)
        #expect(seen.site == nil)
        #expect(seen.failure?.contains(told) == true, "\(seen.failure ?? "no failure")")
    }

    @Test func aSiteIsKnownByItsCertificate() throws {
        let site = try trusted.site("hospital-1")
        #expect(try echo(server, trusted.clientContext(site)) == Array("hello".utf8))
        #expect(server.nextSeen()?.site == "hospital-1")
    }

    @Test func refusesNoCertificate() throws {
        try expectRefusal(
            nil, client: "requires a client certificate", server: "offered no client certificate")
    }

    @Test func refusesSelfSigned() throws {
        let other = try TestAuthority("Self")
        let own = TestIdentity(chain: [other.authority.certificate], key: other.authority.key)
        try expectRefusal(
            own, client: "refused this machine's certificate",
            server: "does not come from the certificate authority")
    }

    @Test func refusesOtherAuthority() throws {
        let other = try TestAuthority("Other CA")
        try expectRefusal(
            other.site(), client: "refused this machine's certificate",
            server: "does not come from the certificate authority")
        var withChain = try other.site()
        withChain.chain.append(other.authority.certificate)
        try expectRefusal(
            withChain, client: "refused this machine's certificate",
            server: "does not come from the certificate authority")
    }

    @Test func refusesOtherAuthorityOfTheSameName() throws {
        let twin = try TestAuthority()
        try expectRefusal(
            twin.site(), client: "refused this machine's certificate",
            server: "does not come from the certificate authority")
    }

    @Test func refusesExpired() throws {
        try expectRefusal(
            trusted.site(shift: -7_200, lifetime: 3_600), client: "check date and NTP",
            server: "it expired about 60 min ago")
    }

    @Test func refusesNotYetValid() throws {
        try expectRefusal(
            trusted.site(shift: 3_900), client: "check date and NTP",
            server: "it becomes valid in about 60 min")
    }

    @Test func refusesWrongKeyUsage() throws {
        try expectRefusal(
            trusted.server(), client: "refused this machine's certificate",
            server: "extended key usage")
    }

    @Test func refusesTheAuthorityItselfAsAClient() throws {
        let authority = TestIdentity(
            chain: [trusted.authority.certificate], key: trusted.authority.key)
        try expectRefusal(
            authority, client: "refused this machine's certificate", server: "certificate")
    }

    @Test func refusesRevokedSerials() throws {
        let site = try trusted.site()
        let revoked = Locked<Set<String>>([])
        let server = try EchoServer(
            Self.context(
                trusted, try trusted.server(),
                isRevoked: { serial in revoked.withLock { $0.contains(serial) } }))
        #expect(try echo(server, trusted.clientContext(site)) == Array("hello".utf8))
        revoked.withLock { _ = $0.insert(site.chain[0].serialHex) }
        let text = failure { _ = try echo(server, trusted.clientContext(site)) }
        #expect(text.contains("has been revoked"), "\(text)")
        _ = server.nextSeen()
        #expect(server.nextSeen()?.failure?.contains("has been revoked") == true)
    }

    @Test func clientRefusesServerOfAnotherAuthority() throws {
        let other = try TestAuthority("Other CA")
        let text = failure { _ = try echo(server, other.clientContext(nil)) }
        #expect(text.contains("does not come from the certificate authority"), "\(text)")
    }

    @Test func clientRefusesWrongHostName() throws {
        let context = try trusted.clientContext(trusted.site())
        #expect(try echo(server, context, peerName: "localhost") == Array("hello".utf8))
        for name in ["example.org", "127.0.0.2"] {
            let text = failure { _ = try echo(server, context, peerName: name) }
            #expect(text.contains("another name"), "\(text)")
        }
    }

    @Test func clientRefusesSiteCertificateAsServer() throws {
        let site = try trusted.site()
        let impostor = try EchoServer(TLSContext.server(chain: site.chain, key: site.key))
        let text = failure { _ = try echo(impostor, trusted.clientContext(nil)) }
        #expect(text.contains("extended key usage") || text.contains("another name"), "\(text)")
    }

    @Test func skewedClocksAreNamedWithTheirDifference() throws {
        let context = try trusted.clientContext(trusted.site())
        let early = try EchoServer(Self.context(trusted, trusted.server(shift: 3_900)))
        let text = failure { _ = try echo(early, context) }
        #expect(
            text.contains(
                "the clocks of this machine and of 127.0.0.1 differ or the certificate has expired: check date and NTP"
            ), "\(text)")
        #expect(text.contains("60 min"), "\(text)")
        let late = try EchoServer(Self.context(trusted, trusted.server(shift: -7_200)))
        #expect(failure { _ = try echo(late, context) }.contains("it expired about 60 min ago"))
    }

    @Test func pinsTheAuthorityByFingerprint() throws {
        let pinned = try TLSContext.client(
            trust: .fingerprint(trusted.authority.certificate.fingerprint), protocols: ["enrol/1"])
        let enrolling = try EchoServer(
            Self.context(trusted, trusted.server(), enrolment: "enrol/1"))
        #expect(try echo(enrolling, pinned) == Array("hello".utf8))
        #expect(enrolling.nextSeen()?.negotiated == "enrol/1")
        let wrong = try TLSContext.client(
            trust: .fingerprint(TestAuthority("Other").authority.certificate.fingerprint),
            protocols: ["enrol/1"])
        let text = failure { _ = try echo(enrolling, wrong) }
        #expect(text.contains("does not come from the certificate authority"), "\(text)")
        #expect(
            failure { _ = try echo(enrolling, pinned, peerName: "example.org") }.contains(
                "another name"))
    }

    @Test func aPinnedAuthorityMustHaveSignedTheLeaf() throws {
        let other = try TestAuthority("Other")
        var identity = try other.server()
        identity.chain = [identity.chain[0], trusted.authority.certificate]
        let impostor = try EchoServer(TLSContext.server(chain: identity.chain, key: identity.key))
        let pinned = try TLSContext.client(
            trust: .fingerprint(trusted.authority.certificate.fingerprint))
        let text = failure { _ = try echo(impostor, pinned) }
        #expect(text.contains("does not come from the certificate authority"), "\(text)")
    }

    @Test func onlyTheEnrolmentProtocolComesInWithoutCertificate() throws {
        let enrolling = try EchoServer(
            Self.context(trusted, trusted.server(), enrolment: "enrol/1"))
        let authority = TLSContext.Trust.authority(trusted.authority.certificate)
        #expect(
            try echo(enrolling, TLSContext.client(trust: authority, protocols: ["enrol/1"]))
                == Array("hello".utf8))
        let first = try #require(enrolling.nextSeen())
        #expect(first.site == nil && first.negotiated == "enrol/1")
        for protocols in [[], ["http/1.1"]] {
            let text = failure {
                _ = try echo(enrolling, TLSContext.client(trust: authority, protocols: protocols))
            }
            #expect(text.contains("requires a client certificate"), "\(text)")
            #expect(enrolling.nextSeen()?.bytes == 0)
        }
        let unknown = failure {
            _ = try echo(
                enrolling, TLSContext.client(trust: authority, protocols: ["enrol/2", "h2"]))
        }
        #expect(unknown.contains("does not speak"), "\(unknown)")
    }

    @Test func plainClientsOfATLSPortAreTurnedAway() throws {
        let answer = try? echo(server, nil, bytes: Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
        #expect(answer?.starts(with: "GET".utf8) != true)
        #expect(server.nextSeen()?.bytes == 0)
    }

    @Test func tlsClientsOfAPlainPortAreToldSo() throws {
        let plain = try EchoServer(nil)
        let text = failure { _ = try echo(plain, trusted.clientContext(nil)) }
        #expect(text.contains("127.0.0.1"), "\(text)")
    }

    @Test func largeRecordsPassBothWays() throws {
        let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        #expect(try echo(server, trusted.clientContext(trusted.site()), bytes: bytes) == bytes)
    }
}
