// A member that does not keep to the protocol: its certificate is good, nothing else is.

import Codec
import Cryptography
import Glibc
import HTTP
import Simulation
import Storage
import Testing
import Telemetry
import Transport

@Suite(.serialized, .enabled(if: Program.isThere)) struct FederationPortTests {
    let federation: TestFederation

    init() throws {
        federation = try TestFederation(sites: [])
        for site in ["cleveland", "va"] { try federation.join(site) }
    }

    /// A client with a member's own certificate.
    private func member(_ site: String) throws -> HTTPClient {
        let keys = federation.directory(site) + "/keys"
        let tls = try TLSContext.client(
            trust: .authority(try Certificate(pem: federation.text(keys + "/coordinator-ca.crt.pem"))),
            identity: ([try Certificate(pem: federation.text(keys + "/client.crt.pem"))], try CertificateKey(pem: KeyFile.read(keys + "/client.key.pem"))),
            protocols: ["http/1.1"])
        return try HTTPClient(configuration: HTTPClientConfiguration(host: "127.0.0.1", port: federation.federationPort(), tls: tls))
    }

    private func poll(_ session: UInt8, after: UInt64 = 0) -> HTTPRequest {
        var writer = ByteWriter()
        writer.raw([UInt8](repeating: session, count: 16))
        writer.u64(after)
        return HTTPRequest(method: "POST", target: "/federation/v1/poll", body: writer.bytes)
    }

    @Test func garbageIsRefusedAndChangesNothing() throws {
        let client = try member("cleveland")
        let entries = try federation.verify("coordinator").json?["entries"]?.intValue
        let bodies: [[UInt8]] = [[], [0], [1, 2, 3], [UInt8](repeating: 0xff, count: 24), [UInt8](repeating: 0xff, count: 60_000)]
        for path in ["/federation/v1/poll", "/federation/v1/reports", "/federation/v1/enrol", "/federation/v1/wibble"] {
            for body in bodies {
                let response = try client.send(HTTPRequest(method: "POST", target: path, body: body), timeoutSeconds: 5)
                #expect([400, 403, 404, 409, 413].contains(response.status), "\(path) \(body.count): \(response.status)")
            }
        }
        for path in ["/audit/../keys/ca.key.pem", "/audit/..%2f..%2fkeys%2fca.key.pem", "/audit/%2e%2e/config.json5", "/audit//etc/passwd", "/audit/tile/0/../../../config.json5"] {
            let response = try client.send(HTTPRequest(method: "GET", target: path), timeoutSeconds: 5)
            #expect([400, 404].contains(response.status), "\(path): \(response.status)")
        }
        for name in ["", "zz", String(repeating: "0", count: 64), "../config.json5"] {
            let response = try client.send(HTTPRequest(method: "GET", target: "/federation/v1/blobs/" + name), timeoutSeconds: 5)
            #expect([400, 404].contains(response.status), "\(name): \(response.status)")
        }
        #expect(try federation.verify("coordinator").json?["entries"]?.intValue == entries, "none of it is an entry")
        #expect(try client.send(HTTPRequest(method: "GET", target: "/audit/checkpoint"), timeoutSeconds: 5).status == 200)
    }

    @Test func aReportThatIsTooLongIs413() throws {
        let client = try member("cleveland")
        let start = monotonicSeconds()
        let response = try client.send(
            HTTPRequest(method: "POST", target: "/federation/v1/reports", body: [UInt8](repeating: 1, count: 100 << 20)), timeoutSeconds: 20)
        #expect(response.status == 413 && monotonicSeconds() - start < 3)
    }

    /// Blobs are for those whom an instruction named them to: a plan of the store is not.
    @Test func noBlobWithoutAnInstruction() throws {
        let client = try member("cleveland")
        _ = try federation.operators().call("POST", "/v1/plans", body: federation.plan.canonicalBytes())
        #expect(try client.send(poll(1), timeoutSeconds: 5).status == 200)
        let blobs = federation.directory("coordinator") + "/blobs"
        let listed = try Program.shell("find \(blobs) -type f -printf '%f\\n'", in: federation.scratch).text.split(separator: "\n")
        #expect(!listed.isEmpty)
        for name in listed {
            #expect(try client.send(HTTPRequest(method: "GET", target: "/federation/v1/blobs/\(name)"), timeoutSeconds: 5).status == 404)
        }
    }

    @Test func aSecondProcessOfASiteTakesOverAndAnotherSiteDoesNot() throws {
        let first = try member("cleveland")
        #expect(try first.send(poll(1), timeoutSeconds: 5).status == 200)
        let waiting = Waiting { try first.send(self.poll(1), timeoutSeconds: 10).status }
        usleep(200_000)
        // Another site's poll does not touch it.
        #expect(try member("va").send(poll(9), timeoutSeconds: 5).status == 200)
        usleep(100_000)
        #expect(waiting.result == nil)
        #expect(try member("cleveland").send(poll(2), timeoutSeconds: 5).status == 200)
        #expect(holds(within: 2) { waiting.result == 409 })
    }

    /// A certificate of a revoked site is refused in the handshake, whatever is asked.
    @Test func afterRevocationThereIsNoApplicationData() throws {
        let client = try member("va")
        #expect(try client.send(poll(1), timeoutSeconds: 5).status == 200)
        _ = try federation.operators().call("POST", "/v1/sites/va/revoke")
        #expect(throws: HTTPClientError.self) { _ = try client.send(poll(1), timeoutSeconds: 5) }
        for _ in 0..<3 { #expect(throws: HTTPClientError.self) { _ = try member("va").send(poll(1), timeoutSeconds: 5) } }
        // Also in the next life of the coordinator.
        federation.killCoordinator()
        try federation.startCoordinator()
        #expect(throws: HTTPClientError.self) { _ = try member("va").send(poll(1), timeoutSeconds: 5) }
        #expect(try member("cleveland").send(poll(1), timeoutSeconds: 5).status == 200)
    }
}

/// A blocking call on a thread of its own.
final class Waiting: @unchecked Sendable {
    // Unchecked: the one field is behind the lock.
    private let lock = Lock()
    private var value: Int?

    var result: Int? { lock.withLock { value } }

    init(_ body: @escaping @Sendable () throws -> Int) {
        Thread.detach(Thread.start(name: "waiting") { [self] in
            let status = (try? body()) ?? -1
            lock.withLock { value = status }
        })
    }
}
