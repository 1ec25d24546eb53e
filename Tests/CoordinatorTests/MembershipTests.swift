// Invitations, tokens, certificates, revocation.

import Codec
import Cryptography
import Messages
import Study
import Telemetry
import Testing

@testable import Coordinator

@Suite struct MembershipTests {
    @Test func ofAHundredUsesOfOneTokenExactlyOneSucceeds() throws {
        let coordinator = try TestCoordinator()
        let token = try coordinator.invite("basel")
        var codes: [String?] = []
        let base = try coordinator.request(token)
        for _ in 0..<100 {
            let key = SigningKey.generate(random: coordinator.random)
            let request = EnrolmentRequest(
                secret: token.secret, site: "basel", certificateRequest: base.certificateRequest, key: key, clock: base.clock)
            codes.append(coordinator.refusal { try coordinator.enrol(request) })
        }
        #expect(codes.count { $0 == nil } == 1)
        #expect(codes.dropFirst().allSatisfy { $0 == "enrolment.token-used" })
        #expect(coordinator.core.federation.sites.count == 1)
        // And none after a restart.
        #expect(try coordinator.replayed().invitations.values.allSatisfy { $0.used })
    }

    @Test func aWrongTokenIsRefused() throws {
        let coordinator = try TestCoordinator()
        let token = try coordinator.invite("basel")
        let unknown = EnrolmentToken(
            secret: coordinator.random.bytes(32), address: token.address, authorityFingerprint: token.authorityFingerprint, site: "basel")
        #expect(coordinator.refusal { try coordinator.enrol(coordinator.request(unknown)) } == "enrolment.token")
        // The right secret for another site, with a proof that fits the lie.
        let elsewhere = EnrolmentToken(
            secret: token.secret, address: token.address, authorityFingerprint: token.authorityFingerprint, site: "bern")
        #expect(coordinator.refusal { try coordinator.enrol(coordinator.request(elsewhere)) } == "enrolment.token")
        // Two invitations: each token admits its own site only.
        _ = try coordinator.invite("bern")
        #expect(coordinator.refusal { try coordinator.enrol(coordinator.request(elsewhere)) } == "enrolment.token")
        #expect(coordinator.refusal { try coordinator.enrol(coordinator.request(token)) } == nil)
        #expect(Array(coordinator.core.federation.sites.keys) == ["basel"])
    }

    @Test func aTokenExpiresToTheMillisecond() throws {
        let coordinator = try TestCoordinator()
        let (first, second) = (try coordinator.invite("basel"), try coordinator.invite("bern"))
        coordinator.clock.advance(seconds: Double(EnrolmentToken.lifetimeSeconds) - 0.001)
        #expect(coordinator.refusal { try coordinator.enrol(coordinator.request(first)) } == nil)
        coordinator.clock.advance(seconds: 0.001)
        #expect(coordinator.refusal { try coordinator.enrol(coordinator.request(second)) } == "enrolment.token-expired")
    }

    @Test(arguments: [3_600_000, -3_600_000, 240_001, -240_001] as [Int64])
    func aClockThatIsOffIsNamedAndTheTokenIsKept(_ offset: Int64) throws {
        let coordinator = try TestCoordinator()
        let token = try coordinator.invite("basel")
        let request = try coordinator.request(token, clock: offset)
        do {
            try coordinator.enrol(request)
            Issue.record("joined with a clock that is \(offset) ms off")
        } catch let error as CoordinatorError {
            #expect(error.code == "enrolment.clock")
            #expect(error.description.contains("\(abs(offset) / 60_000) minutes") && error.description.contains("not used"))
        }
        #expect(coordinator.refusal { try coordinator.enrol(coordinator.request(token)) } == nil)
    }

    /// The certificate of a site must be valid by a clock that the coordinator let pass.
    @Test(arguments: [240_000, -240_000, 0] as [Int64]) func theCertificateIsValidByTheClockThatWasLetPass(_ offset: Int64) throws {
        let coordinator = try TestCoordinator()
        let grant = try coordinator.enrol(coordinator.request(coordinator.invite("basel"), clock: offset))
        let certificate = try Certificate(pem: String(decoding: grant.certificatePEM, as: UTF8.self))
        let nodeTime = (coordinator.clock.now().milliseconds + offset) / 1000
        #expect(certificate.isValid(issuedBy: coordinator.authority.certificate, at: nodeTime, for: .client))
        #expect(certificate.siteName == "basel", "the name comes from the invitation, not from the request")
    }

    @Test func aRequestThatProvesNothingIsRefused() throws {
        let coordinator = try TestCoordinator()
        let token = try coordinator.invite("basel")
        let good = try coordinator.request(token)
        let others: [(inout EnrolmentRequest) throws -> Void] = [
            { $0.proof = [UInt8](repeating: 0, count: 64) },
            { $0.proof[5] ^= 1 },
            { $0.signingKey = SigningKey.generate(random: coordinator.random).publicKey },
            { $0.certificateRequest = try CertificateRequest.make(key: CertificateKey.generate(), commonName: "other") },
        ]
        for change in others {
            var request = good
            try change(&request)
            #expect(coordinator.refusal { try coordinator.enrol(request) } == "enrolment.proof")
        }
        #expect(coordinator.refusal { try coordinator.enrol(good) } == nil, "the token was not used up by the attempts")
    }

    @Test func anUnusableCertificateRequestDoesNotUseTheToken() throws {
        let coordinator = try TestCoordinator()
        let token = try coordinator.invite("basel")
        let key = SigningKey.generate(random: coordinator.random)
        let good = try CertificateRequest.make(key: CertificateKey.generate(), commonName: "basel")
        var forged = good
        forged[forged.count - 3] ^= 1
        for bytes in [[], [0x30], forged, Array(good.dropLast()), good + [0], [UInt8](repeating: 0x30, count: 4000)] {
            let request = EnrolmentRequest(
                secret: token.secret, site: "basel", certificateRequest: bytes, key: key, clock: coordinator.clock.now().milliseconds)
            #expect(coordinator.refusal { try coordinator.enrol(request) } == "enrolment.certificate-request")
        }
        #expect(coordinator.refusal { try coordinator.enrol(coordinator.request(token, key: key)) } == nil)
    }

    @Test func aSigningKeyBelongsToOneSite() throws {
        let coordinator = try TestCoordinator()
        let key = SigningKey.generate(random: coordinator.random)
        try coordinator.enrol(coordinator.request(coordinator.invite("basel"), key: key))
        let token = try coordinator.invite("bern")
        #expect(coordinator.refusal { try coordinator.enrol(coordinator.request(token, key: key)) } == "enrolment.key")
        // Not even when the other site is gone.
        coordinator.take(try coordinator.core.revoke(site: "basel", by: "operator", at: coordinator.clock.now()))
        #expect(coordinator.refusal { try coordinator.enrol(coordinator.request(token, key: key)) } == "enrolment.key")
        #expect(coordinator.refusal { try coordinator.enrol(coordinator.request(token)) } == nil)
    }

    @Test(arguments: ["", "Basel", "a b", "../x", "a/b", "ä", String(repeating: "a", count: 65), "a\u{0}"]) func aSiteNeedsAName(_ name: String) throws {
        let coordinator = try TestCoordinator()
        #expect(coordinator.refusal { _ = try coordinator.invite(name) } == "site.name")
        #expect(coordinator.entries.count == 1)
    }

    @Test func invitationsHaveALimitThatTimeLifts() throws {
        let coordinator = try TestCoordinator()
        for number in 0..<CoordinatorCore.openInvitationsMax { _ = try coordinator.invite("site-\(number)") }
        #expect(coordinator.refusal { _ = try coordinator.invite("one-more") } == "invitation.limit")
        coordinator.clock.advance(seconds: Double(EnrolmentToken.lifetimeSeconds))
        #expect(coordinator.refusal { _ = try coordinator.invite("one-more") } == nil)
    }

    @Test func aRevokedSiteIsOutForGood() throws {
        let coordinator = try TestCoordinator()
        try coordinator.admit()
        let plan = try TestCoordinator.plan()
        try coordinator.publish(plan)
        try coordinator.agree(plan)
        #expect(coordinator.refusal { coordinator.take(try coordinator.core.revoke(site: "zz", by: "o", at: coordinator.clock.now())) } == "site.unknown")
        coordinator.take(try coordinator.core.revoke(site: "b", by: "operator", at: coordinator.clock.now()))
        #expect(coordinator.disconnected == ["b"])
        #expect(coordinator.refusal { coordinator.take(try coordinator.core.revoke(site: "b", by: "o", at: coordinator.clock.now())) } == "site.revoked")
        let consent = try coordinator.consent("b", plan)
        #expect(coordinator.refusal { try coordinator.report(.consent(consent.encoded), from: "b") } == "site.unknown")
        #expect(coordinator.core.federation.consentingSites(to: plan.hash, at: coordinator.clock.now()).map(\.name) == ["a", "c", "d"])
        #expect(coordinator.refusal { _ = try coordinator.invite("b") } == "site.exists", "a name is never used twice")
        coordinator.forgetSent()
        try coordinator.publish(TestCoordinator.plan("Second"))
        #expect(!coordinator.sent.contains { $0.site == "b" })
        // Indices are never used twice either.
        try coordinator.admit(["e"])
        #expect(coordinator.core.federation.sites["e"]?.index == 5)
        #expect(try coordinator.replayed().sites == coordinator.core.federation.sites)
    }

    @Test func aSecretStandsInNoEntry() throws {
        let coordinator = try TestCoordinator()
        let token = try coordinator.invite("basel")
        try coordinator.enrol(coordinator.request(token))
        let secret = Hex.encode(token.secret)
        for (entry, _) in coordinator.entries {
            let text = String(decoding: JSONValue.object(entry.details).canonicalBytes(), as: UTF8.self)
            #expect(!text.contains(secret) && !text.contains(token.text))
        }
    }
}
