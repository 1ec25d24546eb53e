import Codec
import Cryptography
import Glibc
import HTTP
import Telemetry
import Testing
import Transport

@testable import Serving

/// A client certificate in place of a key, over real TLS 1.3. What TLS refuses is seen by the client at its first read.
@Suite struct ClientCertificateTests {
    /// An institution's own authority and what it issued.
    private struct Issuer {
        let authority: CertificateAuthority
        let now = Int64(time(nil))

        init(_ name: String) throws { authority = try CertificateAuthority.create(name: name, now: Int64(time(nil)) - 86_400, days: 10) }

        func caller(_ name: String, lifetime: Int64 = 3600, shift: Int64 = 0) throws -> (chain: [Certificate], key: CertificateKey) {
            let key = CertificateKey.generate()
            let request = try CertificateRequest.make(key: key, commonName: name)
            return (
                [try authority.issueSite(requestDER: request, siteName: name, now: now + shift, lifetimeSeconds: lifetime)], key
            )
        }
    }

    private let body = Array(#"{"row":\#(TestModel.goodRow)}"#.utf8)

    private func send(_ node: RealNode, as identity: (chain: [Certificate], key: CertificateKey)?, key: String? = nil) throws -> HTTPResponse {
        let client = try node.makeClient(identity)
        defer { client.close() }
        var headers = HTTPHeaders()
        if let key { headers.append("Authorization", "Bearer \(key)") }
        return try client.send(HTTPRequest(method: "POST", target: "/v1/predict", headers: headers, body: body))
    }

    @Test func aCertificateIsLetInByItsFingerprintOrItsSubject() throws {
        let issuer = try Issuer("Hospital CA")
        let node = try RealNode(clients: .optional(clientCAs: [issuer.authority.certificate]))
        defer { node.stop() }
        let (ward, lab) = (try issuer.caller("ward-7"), try issuer.caller("lab"))
        #expect(try send(node, as: nil).status == 401)
        #expect(try send(node, as: ward).status == 401, "a certificate without a record is nobody")
        #expect(try send(node, as: ward, key: node.key).status == 200)
        let record = try node.keys.admit(
            AccessKeyRequest(name: "ward", roles: [.predict]), .certificate(ward.chain[0].fingerprint), random: SystemRandom.shared)
        _ = try node.keys.admit(AccessKeyRequest(name: "lab", roles: [.feedback]), .subject("CN=lab"), random: SystemRandom.shared)
        #expect(try send(node, as: ward).status == 200)
        #expect(try node.log.entry(at: node.log.size - 1).actor == "certificate:\(record.id)")
        #expect(try send(node, as: lab).status == 403)
        // The header is what counts when there is one.
        #expect(try send(node, as: ward, key: "ck_wrong").status == 401)
        // A certificate renewed under its subject, and one of the same subject by its fingerprint first.
        let renewed = try issuer.caller("lab")
        #expect(try send(node, as: renewed).status == 403)
        _ = try node.keys.admit(
            AccessKeyRequest(name: "lab 2", roles: [.predict]), .certificate(renewed.chain[0].fingerprint), random: SystemRandom.shared)
        #expect(try send(node, as: renewed).status == 200)
        #expect(try send(node, as: lab).status == 403)
        try node.keys.revoke(id: record.id)
        #expect(try send(node, as: ward).status == 401)
    }

    @Test func aCertificateOfAnotherAuthorityDoesNotGetThroughTLS() throws {
        let issuer = try Issuer("Hospital CA")
        // The same name, another key.
        let twin = try Issuer("Hospital CA")
        let node = try RealNode(clients: .optional(clientCAs: [issuer.authority.certificate]))
        defer { node.stop() }
        let theirs = try twin.caller("ward-7")
        _ = try node.keys.admit(
            AccessKeyRequest(name: "ward", roles: [.predict]), .certificate(theirs.chain[0].fingerprint), random: SystemRandom.shared)
        _ = try node.keys.admit(AccessKeyRequest(name: "ward", roles: [.predict]), .subject("CN=ward-7"), random: SystemRandom.shared)
        #expect(throws: (any Error).self) { try send(node, as: theirs) }
        #expect(throws: (any Error).self) { try send(node, as: try issuer.caller("ward-7", shift: -7200)) }
        #expect(throws: (any Error).self) { try send(node, as: ([issuer.authority.certificate], issuer.authority.key)) }
        #expect(try send(node, as: try issuer.caller("ward-7")).status == 200)
    }

    @Test func withoutAuthoritiesNobodyIsAskedForACertificate() throws {
        let issuer = try Issuer("Hospital CA")
        let node = try RealNode()
        defer { node.stop() }
        let ward = try issuer.caller("ward-7")
        _ = try node.keys.admit(
            AccessKeyRequest(name: "ward", roles: [.predict]), .certificate(ward.chain[0].fingerprint), random: SystemRandom.shared)
        #expect(try send(node, as: ward).status == 401)
    }

    @Test func aCertificateThatRunsOutOnAKeptConnectionIsNobody() throws {
        let node = try TestNode()
        try node.deploy()
        let issuer = try Issuer("Hospital CA")
        let ward = try issuer.caller("ward-7")
        var peer = PeerIdentity(ward.chain[0])
        _ = try node.keys.admit(AccessKeyRequest(name: "ward", roles: [.predict]), .subject(peer.subject), random: SystemRandom.shared)
        node.clock.advance(seconds: 1)
        peer.notAfter = node.clock.now().milliseconds / 1000 + 10
        #expect(node.send("POST", "/v1/predict", body, key: nil, peer: peer).status == 200)
        node.clock.advance(seconds: 10)
        #expect(node.send("POST", "/v1/predict", body, key: nil, peer: peer).status == 401)
    }
}
