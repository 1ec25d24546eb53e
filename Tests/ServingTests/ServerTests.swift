import AuditLog
import Codec
import Cryptography
import Glibc
import HTTP
import ModelPackage
import Storage
import Tabular
import Telemetry
import Testing
import Transport

@testable import Serving

/// The service as it runs at a site: TLS server on loopback, audit log on disk.
final class RealNode {
    let directory: String
    let log: AuditLog
    let service: PredictionService
    let server: HTTPServer
    let client: HTTPClient
    let key: String
    let keys: AccessKeys
    private let authority: Certificate
    static let signer = SigningKey.generate(random: SeededRandom(seed: 21))

    /// - Parameters:
    ///   - directory: of a node that was stopped with `stop(keeping: true)`; a new one unless given.
    ///   - waitingMax: predictions that may wait; as at a site unless given.
    init(directory existing: String? = nil, clients: TLSContext.ClientAuthentication = .none, waitingMax: Int? = nil) throws {
        directory = existing ?? "/tmp/consilium-serving-\(SystemRandom.shared.word())"
        try DurableFile.createDirectory(directory + "/keys")
        let clock = SystemClock()
        log = try AuditLog.openOrCreate(
            directory: directory + "/log", origin: "basel.test/log", signer: Self.signer,
            clock: clock)
        keys = try AccessKeys(directory: directory + "/keys", clock: clock)
        key = try keys.create(
            AccessKeyRequest(name: "all", roles: Set(AccessRole.allCases)), random: SystemRandom.shared
        ).key
        service = try PredictionService(
            .init(directory: directory, site: "basel", trustedKey: TestNode.key.publicKey),
            log: log, keys: keys, clock: clock,
            random: SystemRandom.shared, metrics: Telemetry.Metrics(),
            logger: Logger(source: "node", sink: { _ in }))
        if existing == nil {
            let package = try TestModel.package(1)
            try service.deployments.install(package, actor: "test")
            try service.deployments.makeLive(package.digest, actor: "test")
        }
        let now = Int64(time(nil))
        let authority = try CertificateAuthority.create(name: "Test", now: now, days: 2)
        let serverKey = CertificateKey.generate()
        let leaf = try authority.issueServer(
            key: serverKey, hosts: ["127.0.0.1"], now: now, lifetimeSeconds: 3600)
        var configuration = HTTPServerConfiguration(
            host: "127.0.0.1", port: 0,
            tls: try TLSContext.server(chain: [leaf, authority.certificate], key: serverKey, clients: clients))
        configuration.bodyLimit = PredictionService.bodyLimit
        configuration.headSeconds = 1
        configuration.work = service.workRules
        if let waitingMax { configuration.work?.requestsMax = waitingMax }
        configuration.observe = { [service] event in if case .answered(let exchange) = event { service.noteAnswered(exchange) } }
        var router = Router()
        service.mount(on: &router)
        let routes = router
        server = HTTPServer(configuration: configuration) { routes.handle($0, $1) }
        try server.start()
        self.authority = authority.certificate
        client = try HTTPClient(
            configuration: HTTPClientConfiguration(
                host: "127.0.0.1", port: server.port,
                tls: try TLSContext.client(trust: .authority(authority.certificate))))
    }

    /// A client that shows a certificate.
    func makeClient(_ identity: (chain: [Certificate], key: CertificateKey)?) throws -> HTTPClient {
        try HTTPClient(
            configuration: HTTPClientConfiguration(
                host: "127.0.0.1", port: server.port,
                tls: try TLSContext.client(trust: .authority(authority), identity: identity)))
    }

    /// Sends bytes as they are over a connection of their own.
    /// - Returns: all that comes back until the server closes.
    func sendRaw(_ bytes: [UInt8]) throws -> String {
        let deadline = Deadline(afterSeconds: 20)
        let stream = try connect(bytes)
        var answer = ReceiveBuffer()
        while (try? stream.read(into: &answer, until: deadline)) == true {}
        return String(decoding: answer.copy(0..<answer.count), as: UTF8.self)
    }

    /// A connection of its own that has sent bytes as they are.
    func connect(_ bytes: [UInt8]) throws -> ClientStream {
        let deadline = Deadline(afterSeconds: 20)
        let stream = try ClientStream(host: "127.0.0.1", port: server.port, interrupter: Interrupter(), until: deadline)
        try stream.startTLS(TLSContext.client(trust: .authority(authority)), peerName: "127.0.0.1", until: deadline)
        try stream.write(bytes, until: deadline)
        return stream
    }

    func stop(keeping: Bool = false) {
        server.stop()
        service.stop()
        log.close()
        guard !keeping else { return }
        TestNode.remove(directory)
        TestNode.remove(directory + ".state")
    }

    func send(_ method: String, _ path: String, _ body: [UInt8] = []) throws -> HTTPResponse {
        try client.send(
            HTTPRequest(
                method: method, target: path, headers: ["Authorization": "Bearer \(key)"],
                body: body))
    }
}

@Suite struct ServerTests {
    @Test func overTLSWithARealLogEveryAnswerIsInTheVerifiedLog() throws {
        let node = try RealNode()
        defer { node.stop() }
        var ids: [String] = []
        for _ in 0..<20 {
            let response = try node.send(
                "POST", "/v1/predict", Array(#"{"row":\#(TestModel.goodRow),"explain":true}"#.utf8))
            #expect(response.status == 200)
            ids.append(try #require(response.rows.first?["id"]?.stringValue))
            // Durable before the answer: the log on disk already has the entry.
            #expect(
                try node.log.entry(at: node.log.size - 1).details["id"]?.stringValue == ids.last)
        }
        #expect(
            try node.send(
                "POST", "/v1/feedback",
                Array(#"{"prediction_id":"\#(ids[0])","outcome":true}"#.utf8)
            ).status == 200)
        let decision = try node.send("GET", "/v1/decisions/\(ids[0])")
        #expect(
            decision.value["features"]?["age"] == 63 && decision.value["features"]?["sex"] == "male"
                && decision.value["outcome"]?["positive"] == true)
        #expect(try node.send("GET", "/v2/health/ready").status == 200)
        let text = try node.send("GET", "/metrics").string
        #expect(text.contains("consilium_predictions_total{model=\"heart\",version=\"1\"} 20"))
        #expect(text.contains("consilium_prediction_seconds_count 20"))
        let report = try AuditVerifier.verify(
            directory: node.directory + "/log", verifierKey: node.log.verifierKey.text)
        #expect(report.size == node.log.size)
    }

    /// A receipt is checked as a stranger would: nothing but its own bytes, the log's key, and SHA-256.
    private func check(_ receipt: JSONValue, _ id: String, key: VerifierKey) throws -> (input: [UInt8], output: [UInt8])? {
        func bytes(_ name: String) -> [UInt8] { receipt[name]?.stringValue.flatMap { Hex.decode($0) } ?? [] }
        let leaf = Array(try #require(receipt["entry"]?.stringValue).utf8)
        let proof = try TlogProof(Array(try #require(receipt["proof"]?.stringValue).utf8))
        let head = try Checkpoint(text: OpenedNote(proof.checkpoint, known: [key]).text, origin: key.name.text)
        #expect(proof.index == UInt64(receipt["index"]?.intValue ?? -1))
        #expect(
            MerkleProof.includes(
                leafHash: MerkleTree.leafHash(leaf), index: proof.index, size: head.size, proof: proof.hashes, root: head.root))
        let details = try StoredEntry(leaf).details
        let salt = bytes("salt")
        guard let rows = details["rows"]?.intValue else {
            #expect(details["id"]?.stringValue == id)
            func commit(_ label: String, _ bytes: [UInt8]) -> String { Commitment.make(Array(label.utf8) + bytes, salt: salt).hex }
            #expect(details["input"]?.stringValue == commit("consilium/input/1\n", bytes("input")))
            #expect(details["output"]?.stringValue == commit("consilium/output/1\n", bytes("output")))
            return (bytes("input"), bytes("output"))
        }
        let row = try #require(receipt["row"]?.intValue)
        #expect(details["id"]?.stringValue.flatMap { PredictionID($0) }?.advanced(by: row).description == id)
        let path = try #require(receipt["path"]?.arrayValue).compactMap { $0.stringValue.flatMap { Digest(hex: $0) } }
        let root = try #require(details["root"]?.stringValue.flatMap { Digest(hex: $0) })
        #expect(
            MerkleProof.includes(
                leafHash: SHA256.hash([0] + Array("consilium/row/1\n".utf8) + salt + bytes("payload")), index: UInt64(row),
                size: UInt64(rows), proof: path, root: root))
        return nil
    }

    @Test func everyDecisionHasAReceiptThatAStrangerCanCheck() throws {
        let node = try RealNode()
        defer { node.stop() }
        for rows in [1, 2, 7, 1000] {
            let body = #"{"rows":[\#(Array(repeating: TestModel.goodRow, count: rows).joined(separator: ","))]}"#
            let before = node.log.size
            let ids = try node.send("POST", "/v1/predict", Array(body.utf8)).rows.compactMap { $0["id"]?.stringValue }
            #expect(ids.count == rows && node.log.size == before + 1)
            for id in Set([ids[0], ids[rows / 2], ids[rows - 1]]) {
                let decision = try node.send("GET", "/v1/decisions/\(id)").value
                #expect(decision["arm"] == "live" && decision["propensity"] == 1 && decision["configuration"] != nil)
                let receipt = try #require(decision["receipt"])
                let opened = try check(receipt, id, key: node.log.verifierKey)
                #expect((opened == nil) == (rows > 1))
                let name = try #require(PredictionID(id))
                let stored = try #require(try node.service.records.decision(name)).decision
                if let opened { #expect(opened.input == stored.inputBytes && opened.output == stored.outputBytes) }
                #expect(decision["score"]?.doubleValue == stored.score)
            }
        }
        // One row goes; the receipts of its neighbours hold.
        let body = #"{"rows":[\#(Array(repeating: TestModel.goodRow, count: 3).joined(separator: ","))]}"#
        let ids = try node.send("POST", "/v1/predict", Array(body.utf8)).rows.compactMap { $0["id"]?.stringValue }
        #expect(try node.send("POST", "/v1/records/erase", Array(#"{"prediction":"\#(ids[1])"}"#.utf8)).status == 200)
        #expect(try node.send("GET", "/v1/decisions/\(ids[1])").status == 404)
        for id in [ids[0], ids[2]] {
            let receipt = try node.send("GET", "/v1/decisions/\(id)").value["receipt"]
            _ = try check(try #require(receipt), id, key: node.log.verifierKey)
        }
    }

    @Test func aBodyOfAHundredMegabytesIsRefusedAndTheNodeGoesOn() throws {
        let node = try RealNode()
        defer { node.stop() }
        let body = [UInt8](repeating: UInt8(ascii: " "), count: 100 << 20)
        // The server answers from the head and closes; the client may see the answer or the closed connection.
        if let response = try? node.send("POST", "/v1/predict", body) {
            #expect(response.status == 413 && response.value["error"] != nil)
        }
        #expect(
            try node.send("POST", "/v1/predict", Array(#"{"row":\#(TestModel.goodRow)}"#.utf8))
                .status == 200)
    }

    @Test func stateComesBackFromTheRealLog() throws {
        var node: RealNode? = try RealNode()
        let directory = try #require(node?.directory)
        let state = node?.service.deployments.current
        let response = try node?.send(
            "POST", "/v1/predict", Array(#"{"row":\#(TestModel.goodRow)}"#.utf8))
        let id = try #require(PredictionID(response?.rows.first?["id"]?.stringValue ?? ""))
        node?.stop(keeping: true)
        node = nil
        let again = try RealNode(directory: directory)
        defer { again.stop() }
        #expect(again.service.isReady)
        #expect(
            again.service.deployments.current.live("heart")?.digest == state?.live("heart")?.digest)
        #expect(try again.service.records.decision(id) != nil)
        #expect(
            try again.send("POST", "/v1/predict", Array(#"{"row":\#(TestModel.goodRow)}"#.utf8))
                .rows.first?["score"] == response?.rows.first?["score"])
    }
}
