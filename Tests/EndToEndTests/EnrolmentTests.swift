// Joining, with everything that can be wrong about a token, a clock, a way or a caller.

import Codec
import Cryptography
import Glibc
import HTTP
import Simulation
import Storage
import Testing
import Transport

@Suite(.serialized, .enabled(if: Program.isThere)) struct EnrolmentTests {
    let federation: TestFederation

    init() throws { federation = try TestFederation(sites: []) }

    private func join(_ site: String, token: String, variables: [String] = [], extra: [String] = []) throws -> (result: Program.Result, directory: String) {
        let directory = federation.scratch.fresh(site)
        let arguments = try federation.joinArguments(site, token: token, directory: directory) + extra
        return (try Program.run(arguments, in: federation.scratch, variables: variables), directory)
    }

    /// The random part of a token must stand in no message.
    private func silent(_ result: Program.Result, _ token: String) -> Bool {
        let secret = token.dropFirst(14).prefix(24)
        return secret.count < 24 || !result.text.contains(secret)
    }

    @Test func aTokenIsGoodOnceAndForItsSiteOnly() throws {
        let token = try federation.invite("cleveland")
        let first = try join("cleveland", token: token)
        #expect(first.result.code == 0, "\(first.result.text)")
        let second = try join("cleveland", token: token)
        #expect(second.result.code == 77 && second.result.text.contains("used before"), "\(second.result.code) \(second.result.text)")
        #expect(silent(second.result, token))
        #expect(!DurableFile.exists(second.directory + "/config.json5"))
        // The token's hash is in the log, the token is nowhere.
        let grep = try Program.shell("grep -rl \(token.dropFirst(14).prefix(24)) \(federation.scratch.path)/coordinator", in: federation.scratch)
        #expect(grep.code == 1, "\(grep.text)")
    }

    @Test func aMistypedTokenIsNoticedBeforeAnythingIsSent() throws {
        let token = try federation.invite("cleveland")
        var letters = Array(token)
        letters[20] = letters[20] == "A" ? "B" : "A"
        for wrong in [String(letters), String(token.dropLast()), "consilium-1.", "", "x", token + "A"] {
            let (result, _) = try join("cleveland", token: wrong)
            #expect(result.code == 77, "exit \(result.code)")
            #expect(result.text.contains("mistyped") && silent(result, wrong), "\(result.text)")
        }
        #expect(try join("cleveland", token: token).result.code == 0)
    }

    @Test func aWrongTokenAndThenTheLockout() throws {
        let port = try federation.federationPort()
        let authority = try Certificate(pem: federation.text(federation.directory("coordinator") + "/keys/ca.crt.pem"))
        // Another coordinator's CA: the node refuses to talk.
        let elsewhere = token(port, authority: Digest.zero)
        let (stranger, _) = try join("cleveland", token: elsewhere)
        #expect(stranger.code == 69 || stranger.code == 77, "\(stranger.code)")
        #expect(stranger.text.lowercased().contains("fingerprint"), "\(stranger.text)")
        // The right CA and a secret that was never handed out.
        for attempt in 1...11 {
            let wrong = token(port, authority: authority.fingerprint)
            let (result, _) = try join("cleveland", token: wrong)
            #expect(result.code == (attempt <= 10 ? 77 : 75), "attempt \(attempt): exit \(result.code): \(result.text)")
            #expect(result.text.contains(attempt <= 10 ? "new invitation" : "too many failed attempts"), "\(result.text)")
        }
    }

    private func token(_ port: Int, authority: Digest) -> String {
        var writer = ByteWriter()
        writer.raw(SystemRandom.shared.bytes(32))
        writer.raw(authority.bytes)
        writer.text("127.0.0.1:\(port)")
        writer.text("cleveland")
        return "consilium-1." + Base64.urlEncode(writer.bytes + SHA256.hash(writer.bytes).bytes.prefix(4))
    }

    @Test(arguments: [3600, -3600]) func aClockThatIsAnHourOffIsNamedAndTheTokenIsKept(_ seconds: Int) throws {
        let token = try federation.invite("cleveland")
        guard let wrong = try ClockShim.variables(seconds: seconds, in: federation.scratch) else { return }
        let (off, directory) = try join("cleveland", token: token, variables: wrong)
        #expect(off.code == 69 || off.code == 65 || off.code == 77, "exit \(off.code)")
        #expect(off.text.contains("clock"), "\(off.text)")
        #expect(!DurableFile.exists(directory + "/config.json5"))
        let right = try join("cleveland", token: token)
        #expect(right.result.code == 0, "\(right.result.text)")
    }

    /// As far off as the coordinator lets it be: the certificate must be valid by the node's own clock.
    @Test(arguments: [230, -230]) func aClockThatIsMinutesOffJoins(_ seconds: Int) throws {
        guard let wrong = try ClockShim.variables(seconds: seconds, in: federation.scratch) else { return }
        let (result, _) = try join("cleveland", token: try federation.invite("cleveland"), variables: wrong)
        #expect(result.code == 0, "\(result.text)")
    }

    @Test func aTokenExpiresAlsoOverARestart() throws {
        let token = try federation.invite("cleveland")
        federation.stopCoordinator()
        guard let later = try ClockShim.variables(seconds: 601, in: federation.scratch) else { return }
        try federation.startCoordinator(variables: later)
        let (result, _) = try join("cleveland", token: token, variables: later)
        #expect(result.code == 77 && result.text.contains("expired"), "\(result.code) \(result.text)")
    }

    /// At the same time, over real connections: one gets in, the others are told why not.
    @Test func ofTwentyUsesAtOnceOneSucceeds() throws {
        let token = try federation.invite("cleveland")
        let children = try (0..<20).map { _ in
            let directory = federation.scratch.fresh("node")
            return try Program.start(
                federation.joinArguments("cleveland", token: token, directory: directory), in: federation.scratch, log: directory + ".log")
        }
        let codes = children.map { $0.wait() }
        #expect(codes.count { $0 == 0 } == 1, "\(codes)")
        #expect(codes.allSatisfy { [0, 75, 77].contains($0) }, "\(codes)")
        #expect(try federation.operators().call("GET", "/v1/federation")["sites"]?.arrayValue?.count == 1)
    }

    @Test func aUsedTokenIsUsedAlsoAfterACrash() throws {
        let token = try federation.invite("cleveland")
        #expect(try join("cleveland", token: token).result.code == 0)
        federation.killCoordinator()
        try federation.startCoordinator()
        let (result, _) = try join("cleveland", token: token)
        #expect(result.code == 77 && result.text.contains("used before"), "\(result.code) \(result.text)")
    }

    @Test func whatElseCanBeWrong() throws {
        let token = try federation.invite("cleveland")
        let file = try federation.scratch.write("x", "file")
        let below = try Program.run(["node", "join", "--token", token, "--dir", file + "/below", "--host", "127.0.0.1"], in: federation.scratch)
        #expect(below.code == 73 && below.text.contains(file), "\(below.code) \(below.text)")
        let noData = try Program.run(
            ["node", "join", "--token", token, "--dir", federation.scratch.fresh("n"), "--data", "x=/nowhere.csv"], in: federation.scratch)
        #expect(noData.code == 66 && noData.text.contains("/nowhere.csv"), "\(noData.code) \(noData.text)")
        let folder = try Program.run(
            ["node", "join", "--token", token, "--dir", federation.scratch.fresh("n"), "--data", "x=/tmp"], in: federation.scratch)
        #expect(folder.code == 66 && folder.text.contains("/tmp"), "\(folder.code) \(folder.text)")
        // Somebody's own files in a directory called keys survive.
        let home = federation.scratch.fresh("home")
        try DurableFile.createDirectory(home + "/keys")
        try DurableFile.writeAtomically([1], to: home + "/keys/mine")
        let joined = try Program.run(try federation.joinArguments("cleveland", token: token, directory: home), in: federation.scratch)
        #expect(joined.code == 0, "\(joined.text)")
        #expect(DurableFile.exists(home + "/keys/mine"))
        federation.stopCoordinator()
        let (gone, _) = try join("cleveland", token: token)
        #expect(gone.code == 69 && gone.text.contains("127.0.0.1"), "\(gone.code) \(gone.text)")
    }

    /// TLS 1.3 lets a client believe it is connected before the server has looked at its certificate: ask for data.
    @Test func withoutACertificateOfThisFederationThereIsNoApplicationData() throws {
        #expect(try join("cleveland", token: federation.invite("cleveland")).result.code == 0)
        let port = try federation.federationPort()
        let authority = try Certificate(pem: federation.text(federation.directory("coordinator") + "/keys/ca.crt.pem"))
        let now = Int64(Glibc.time(nil))
        let other = try CertificateAuthority.create(name: "other", now: now, days: 10)
        let key = CertificateKey.generate()
        let request = try CertificateRequest.make(key: key, commonName: "cleveland")
        let foreign = try other.issueSite(requestDER: request, siteName: "cleveland", now: now, lifetimeSeconds: 3600)
        let identities: [(chain: [Certificate], key: CertificateKey)?] = [nil, ([foreign], key)]
        for identity in identities {
            for path in ["/federation/v1/poll", "/federation/v1/reports", "/audit/checkpoint", "/federation/v1/enrol"] {
                let tls = try TLSContext.client(trust: .authority(authority), identity: identity, protocols: ["http/1.1"])
                let client = try HTTPClient(configuration: HTTPClientConfiguration(host: "127.0.0.1", port: port, tls: tls))
                #expect(throws: HTTPClientError.self) {
                    _ = try client.send(HTTPRequest(method: "POST", target: path, body: [UInt8](repeating: 0, count: 24)), timeoutSeconds: 5)
                }
                client.close()
            }
        }
        // The one kind of connection without a certificate may enrol and nothing else.
        let tls = try TLSContext.client(trust: .authority(authority), protocols: ["consilium-enrol/1"])
        let client = try HTTPClient(configuration: HTTPClientConfiguration(host: "127.0.0.1", port: port, tls: tls))
        for (method, path) in [("POST", "/federation/v1/poll"), ("POST", "/federation/v1/reports"), ("GET", "/audit/checkpoint"), ("GET", "/federation/v1/enrol")] {
            #expect(try client.send(HTTPRequest(method: method, target: path, body: []), timeoutSeconds: 5).status == 403, "\(path)")
        }
        #expect(try client.send(HTTPRequest(method: "POST", target: "/federation/v1/enrol", body: [1, 2, 3]), timeoutSeconds: 5).status == 400)
    }

    @Test func theOperatorPortWantsItsKey() throws {
        let authority = try Certificate(pem: federation.text(federation.directory("coordinator") + "/keys/ca.crt.pem"))
        let port = Int(try federation.endpoint("coordinator", "operator").split(separator: ":").last ?? "") ?? 0
        let client = try HTTPClient(configuration: HTTPClientConfiguration(host: "127.0.0.1", port: port, tls: try .client(trust: .authority(authority))))
        for key in [nil, "", "Bearer ", "Bearer wrong", "Basic d3Jvbmc="] as [String?] {
            for (method, path) in [("GET", "/v1/federation"), ("POST", "/v1/invitations"), ("POST", "/v1/plans"), ("POST", "/v1/sites/cleveland/revoke"), ("GET", "/v1/runs")] {
                let headers: HTTPHeaders = key.map { ["Authorization": $0] } ?? [:]
                let response = try client.send(HTTPRequest(method: method, target: path, headers: headers), timeoutSeconds: 5)
                #expect(response.status == 401 && !response.body.isEmpty)
            }
        }
    }
}
