// The audit log as an auditor meets it: over HTTPS from a running party, and cosigned by a witness that runs by itself.

import Codec
import Cryptography
import Glibc
import HTTP
import Simulation
import Storage
import Testing

@Suite(.serialized, .enabled(if: Program.isThere)) struct AuditTests {
    /// A federation with a node, and enough entries in the coordinator's log to fill a tile.
    private func federation(entries: Int = 300) throws -> TestFederation {
        let federation = try TestFederation(sites: ["cleveland"])
        let operators = try federation.operators()
        for number in 0..<entries {
            _ = try operators.call("POST", "/v1/invitations", body: (["site": .string("site-\(number)")] as JSONValue).canonicalBytes())
        }
        return federation
    }

    @Test func aRunningPartysLogIsVerifiedOverHTTPS() throws {
        let federation = try federation()
        defer { federation.stop() }
        let (scratch, coordinator, node) = (federation.scratch, federation.directory("coordinator"), federation.directory("cleveland"))
        let url = try federation.endpoint("coordinator", "operator")
        let offline = try #require(try federation.verify("coordinator").json)
        let online = try Program.run(["audit", "verify", url, "--dir", coordinator, "--json"], in: scratch)
        #expect(online.code == 0 && online.json == offline, "\(online.text)")
        #expect(online.json?["entries"]?.intValue ?? 0 > 300)
        let vkey = try federation.text(coordinator + "/log/vkey").filter { $0 != "\n" }
        let trusted = try Program.run(["audit", "verify", url + "/audit", "--ca", coordinator + "/keys/ca.crt.pem", "--vkey", vkey], in: scratch)
        #expect(trusted.code == 0 && trusted.text.contains("signed by the key you gave"), "\(trusted.text)")
        let proved = try Program.run(["audit", "prove", url, "7", "--dir", coordinator], in: scratch)
        #expect(proved.code == 0 && proved.text.hasPrefix("c2sp.org/tlog-proof@v1\nindex 7\n"), "\(proved.text)")
        let shown = try Program.run(["audit", "show", url, "--dir", coordinator, "--type", "site.joined"], in: scratch)
        #expect(shown.code == 0 && shown.text.split(separator: "\n").count == 1, "\(shown.text)")
        // A node gives its log out to whoever has a key.
        let nodeURL = try federation.endpoint("cleveland", "url")
        let authority = ["--ca", node + "/keys/serving-ca.crt.pem"]
        #expect(try Program.run(["audit", "verify", nodeURL] + authority, in: scratch).code == 77)
        let key = scratch.fresh("key")
        try KeyFile.write(Array(try federation.key(at: "cleveland", roles: ["auditor"]).utf8), to: key)
        let audited = try Program.run(["audit", "verify", nodeURL, "--key-file", key] + authority, in: scratch)
        #expect(audited.code == 0, "\(audited.text)")
        // Whom to believe has to be said, and nothing but this machine is spoken to in the clear.
        #expect(try Program.run(["audit", "verify", url], in: scratch).code == 64)
        #expect(try Program.run(["audit", "verify", url] + authority, in: scratch).code == 69)
        #expect(try Program.run(["audit", "verify", "http://192.0.2.1/"], in: scratch).code == 64)
        #expect(try Program.run(["audit", "verify", "https://127.0.0.1:\(freePort())", "--dir", coordinator], in: scratch).code == 69)
    }

    @Test func theFirstBadEntryIsNamedOverHTTP() throws {
        let federation = try federation()
        federation.stop()
        let log = federation.directory("coordinator") + "/log/"
        let spoilt = Spoilt()
        let server = HTTPServer(configuration: HTTPServerConfiguration(host: "127.0.0.1", port: 0)) { request, responder in
            guard request.path.hasPrefix("/logs/coordinator/"), let bytes = try? DurableFile.read(log + request.path.dropFirst(18), maxBytes: 1 << 24)
            else { return responder.respond(.error(404, "no such file")) }
            responder.respond(HTTPResponse(contentType: "application/octet-stream", body: spoilt.serve(request.path, bytes)))
        }
        try server.start()
        defer { server.stop() }
        let words = ["audit", "verify", "http://127.0.0.1:\(server.port)/logs/coordinator/"]
        let good = try Program.run(words, in: federation.scratch)
        #expect(good.code == 0, "\(good.text)")
        spoilt.replace("\"seq\":201,", "\"seq\":901,", in: "entries/000")
        let bad = try Program.run(words, in: federation.scratch)
        #expect(bad.code == 65 && bad.text.contains("entry 201 in tile/entries/000"), "\(bad.text)")
        spoilt.replace("site-200", "site-9ab", in: "entries/000")
        let other = try Program.run(words, in: federation.scratch)
        #expect(other.code == 65 && other.text.contains("tile/0/000") && other.text.contains("entry"), "\(other.text)")
    }

    @Test func aWitnessCosignsALogAndCatchesARewrittenOne() throws {
        let federation = try federation(entries: 5)
        defer { federation.stop() }
        federation.stopNode("cleveland")
        let (scratch, coordinator) = (federation.scratch, federation.directory("coordinator"))
        let log = coordinator + "/log"
        var witness = try Witness(federation, "witness", plain: false, name: "witness.example/one")
        defer { witness.process.stop(seconds: 3) }
        let second = try Witness(federation, "second", plain: true, name: nil)
        defer { second.process.stop(seconds: 3) }
        for witness in [witness, second] {
            let cosigned = try Program.run(["audit", "cosign", log] + witness.options, in: scratch)
            #expect(cosigned.code == 0, "\(cosigned.text)")
        }
        let policy = try scratch.write(
            "log \(try federation.text(log + "/vkey"))witness one \(witness.vkey)\nwitness two \(second.vkey)\ngroup both all one two\nquorum both\n", "policy")
        for place in [coordinator, try federation.endpoint("coordinator", "operator")] {
            let verified = try Program.run(["audit", "verify", place, "--policy", policy] + (place == coordinator ? [] : ["--dir", coordinator]), in: scratch)
            #expect(verified.code == 0 && verified.text.contains("witness.example/one"), "\(verified.text)")
        }
        // The head with its cosignatures is a checkpoint for other people's verifiers too.
        let copy = scratch.fresh("copy")
        #expect(try Program.shell("cp -r \(log) \(copy) && cp \(log).state/cosigned \(copy)/checkpoint", in: scratch).code == 0)
        try GoProgram.expectAccepted(copy, in: scratch)
        // A key of another witness, or a missing one, is no quorum.
        let stricter = try scratch.write(try federation.text(policy).replacing(second.vkey, with: "\(Witness.stranger)"), "policy")
        #expect(try Program.run(["audit", "verify", coordinator, "--policy", stricter], in: scratch).code == 65)

        // The coordinator's machine is set back to a copy, and goes on from there under the same key.
        federation.stopCoordinator()
        #expect(try Program.shell("cp -r \(coordinator) \(coordinator)-old", in: scratch).code == 0)
        try federation.startCoordinator()
        _ = try federation.invite("once")
        #expect(try Program.run(["audit", "cosign", log] + witness.options, in: scratch).code == 0)
        Glibc.kill(witness.process.identifier, SIGKILL)
        _ = witness.process.wait()
        witness = try Witness(federation, "witness", plain: false, name: nil)
        federation.stopCoordinator()
        #expect(try Program.shell("rm -r \(coordinator) && mv \(coordinator)-old \(coordinator)", in: scratch).code == 0)
        let behind = try Program.run(["audit", "cosign", log] + witness.options, in: scratch)
        #expect(behind.code == 65 && behind.text.contains("old copy"), "\(behind.text)")
        try federation.startCoordinator()
        _ = try federation.invite("another")
        let evidence = scratch.fresh("evidence")
        let fork = try Program.run(["audit", "cosign", log, "--evidence", evidence] + witness.options, in: scratch)
        #expect(fork.code == 65 && fork.text.contains("another history"), "\(fork.text)")
        let checked = try Program.run(["audit", "check-fork", evidence], in: scratch)
        #expect(checked.code == 0 && checked.text.contains("two histories"), "\(checked.text)")
        #expect(try Program.run(["audit", "check-fork", policy], in: scratch).code == 65)
        // What the witness keeps is still the first history.
        let shown = try Program.run(["audit", "witness", "show", "--dir", witness.directory, "--json"], in: scratch)
        #expect(shown.json?["logs"]?.arrayValue?.count == 1, "\(shown.text)")
    }
}

/// What a person's erasure and the passing of years leave of a party's directory.
@Suite(.serialized, .enabled(if: Program.isThere)) struct ErasureAndRetentionTests {
    @Test func anErasedPersonIsNowhereBelowTheNodesDirectory() throws {
        let federation = try TestFederation(sites: Array(StandInHospitals.sites.prefix(3)), rounds: 1)
        defer { federation.stop() }
        try federation.agree()
        try federation.train()
        let (scratch, node) = (federation.scratch, federation.directory("cleveland"))
        let client = try federation.client("cleveland", key: try federation.key(at: "cleveland", roles: ["predict", "feedback"]))
        func predict(_ subject: String) throws -> String {
            let body: JSONValue = ["row": .object(TestFederation.row), "subject": .string(subject)]
            let answer = try client.call("POST", "/v1/predict", body: body.canonicalBytes())
            return try #require(answer["predictions"]?.arrayValue?.first?["id"]?.stringValue)
        }
        let (first, second) = ("mrn-7331-0042", "mrn-7331-0043")
        var theirs: [String] = []
        for _ in 0..<20 { theirs.append(try predict(first)) }
        let other = try predict(second)
        let feedback: JSONValue = ["prediction_id": .string(theirs[3]), "outcome": true, "source": .string("chart of " + first)]
        _ = try client.call("POST", "/v1/feedback", body: feedback.canonicalBytes())
        // The receipt of a prediction, as it was handed out.
        let shown = try Program.run(["audit", "show", node, "--json", "--prediction", theirs[0]], in: scratch)
        let index = try #require(shown.json?["seq"]?.intValue)
        #expect(shown.json?["subject_commit"]?.stringValue?.utf8.count == 64)
        let (receipt, entry) = (scratch.fresh("receipt"), scratch.fresh("entry"))
        #expect(try Program.run(["audit", "prove", node, "\(index)", "--output", receipt, "--entry", entry], in: scratch).code == 0)
        func places(_ text: String) throws -> Int {
            let found = try Program.shell("grep -rlaF -- '\(text)' \(node) | wc -l", in: scratch)
            return Int(found.text.filter(\.isNumber)) ?? -1
        }
        #expect(try places(first) > 0)
        let erased = try Program.run(["records", "erase", "--dir", node, "--subject", first, "--json"], in: scratch)
        #expect(erased.code == 0 && erased.json?["predictions"] == 20 && erased.json?["outcomes"] == 1, "\(erased.text)")
        #expect(try places(first) == 0)
        #expect(try places(second) > 0)
        #expect(try Program.run(["records", "erase", "--dir", node, "--subject", first], in: scratch).code == 65)
        #expect(try Program.run(["records", "erase", "--dir", node], in: scratch).code == 64)
        let single = try Program.run(["records", "erase", "--dir", node, "--prediction", other], in: scratch)
        #expect(single.code == 0, "\(single.text)")
        federation.kill("cleveland")
        #expect(try places(first) == 0 && places(second) == 0)
        try federation.startNode("cleveland")
        #expect(try places(first) == 0 && places(second) == 0)
        // Every proof holds, those from before too.
        let vkey = try federation.text(node + "/log/vkey").filter { $0 != "\n" }
        #expect(try Program.run(["audit", "check-receipt", receipt, "--entry", entry, "--vkey", vkey], in: scratch).code == 0)
        let verified = try federation.verify("cleveland")
        #expect(verified.code == 0 && verified.json?["counts"]?["records.erased"] == 2, "\(verified.text)")
    }

    @Test func aRetentionBelowSixMonthsIsRefusedAtStart() throws {
        let federation = try TestFederation(sites: ["cleveland"])
        defer { federation.stop() }
        federation.stopNode("cleveland")
        federation.stopCoordinator()
        for (role, party) in [("coordinator", "coordinator"), ("node", "cleveland")] {
            let file = federation.directory(party) + "/config.json5"
            let text = try federation.text(file)
            #expect(text.contains("\"retentionDays\": 2192"), "\(text)")
            try DurableFile.writeAtomically(Array(text.replacing("2192", with: "182").utf8), to: file)
            let refused = try Program.run([role, "serve", "--dir", federation.directory(party)], in: federation.scratch)
            #expect(refused.code == 78 && refused.text.contains("retentionDays") && refused.text.contains("183"), "\(refused.text)")
            try DurableFile.writeAtomically(Array(text.replacing("2192", with: "183").utf8), to: file)
        }
        try federation.startCoordinator()
    }

    /// Six years later the old entries are not given out any more, the coordinator still knows its members, and an entry
    /// says what happened.
    @Test func entriesPastTheirRetentionAreHeldBack() throws {
        let federation = try TestFederation(sites: [])
        defer { federation.stop() }
        let (scratch, directory) = (federation.scratch, federation.directory("coordinator"))
        let operators = try federation.operators()
        for number in 0..<600 {
            _ = try operators.call("POST", "/v1/invitations", body: (["site": .string("site-\(number)")] as JSONValue).canonicalBytes())
        }
        federation.stopCoordinator()
        guard let later = try ClockShim.variables(seconds: 2200 * 86_400, in: scratch) else { return }
        try federation.startCoordinator(variables: later)
        let isPruned = try holds(within: 10) {
            try Program.run(["audit", "show", directory, "--type", "log.pruned", "--json"], in: scratch).json?["details"]?["below"] == 512
        }
        #expect(isPruned)
        // The server's certificate has run out by then: its clients live in the same year.
        let url = try federation.endpoint("coordinator", "operator")
        let words = ["audit", "verify", url, "--dir", directory, "--json"]
        let online = try Program.run(words, in: scratch)
        #expect(online.code == 0 && online.json?["readFrom"] == 512 && online.json?["entries"] == 602, "\(online.text)")
        #expect(try federation.verify("coordinator").json?["readFrom"] == 0)
        federation.stopCoordinator()
        try federation.startCoordinator(variables: later)
        #expect(try federation.operators().call("GET", "/v1/federation")["federation"]?.stringValue == "test")
        #expect(try Program.run(["audit", "show", directory, "--type", "federation.init"], in: scratch).text.split(separator: "\n").count == 1)
    }
}

/// A witness as a process of its own.
private struct Witness {
    /// A good key that belongs to nobody.
    static let stranger = "stranger.example+b2c1083b+BBl/ayPhbIUyxqvIOPrNXqeJvgx2spIDNAOb+os9No1h"

    let directory: String
    let process: ChildProcess
    let vkey: String
    let url: String
    private let isPlain: Bool

    init(_ federation: TestFederation, _ directory: String, plain: Bool, name: String?) throws {
        self.directory = federation.directory(directory)
        isPlain = plain
        let endpoint = self.directory + "/endpoint.json"
        if DurableFile.exists(endpoint) { try DurableFile.remove(endpoint) }
        let words = ["audit", "witness", "--dir", self.directory, "--log", federation.directory("coordinator") + "/log/vkey", "--listen", "127.0.0.1:0"]
        let child = try Program.start(
            words + (plain ? ["--plain"] : []) + (name.map { ["--name", $0] } ?? []), in: federation.scratch, log: federation.scratch.fresh("witness"))
        guard holds(within: 10, { DurableFile.exists(endpoint) || !child.isRunning }), child.isRunning else {
            throw ScenarioError.failed(step: "audit witness", child.lastLines)
        }
        process = child
        vkey = try federation.text(self.directory + "/vkey").filter { $0 != "\n" }
        url = try federation.endpoint(directory, "url")
    }

    /// How `audit cosign` is told of it.
    var options: [String] {
        ["--witness", url, "--witness-vkey", vkey] + (isPlain ? [] : ["--witness-ca", directory + "/tls/ca.crt.pem"])
    }
}

/// Changes what a server gives out.
private final class Spoilt: @unchecked Sendable {
    // Unchecked: changed only while no request is under way.
    private var change: (file: String, old: [UInt8], new: [UInt8])?

    func replace(_ old: String, _ new: String, in file: String) { change = (file, Array(old.utf8), Array(new.utf8)) }

    func serve(_ path: String, _ bytes: [UInt8]) -> [UInt8] {
        guard let change, path.hasSuffix(change.file) else { return bytes }
        var bytes = bytes
        for start in 0...(bytes.count - change.old.count) where bytes[start...].starts(with: change.old) {
            bytes.replaceSubrange(start..<start + change.old.count, with: change.new)
            break
        }
        return bytes
    }
}

/// The independent verifier among the vectors; skipped, with a message, where it cannot be built.
private enum GoProgram {
    static func expectAccepted(_ log: String, in scratch: Scratch) throws {
        let vectors = [environment("CONSILIUM_VECTORS"), packageRoot + "/../shared/vectors"].compactMap { $0 }.first { DurableFile.exists($0 + "/verifier") }
        guard let vectors else { return print("skipped: the Go verifier (no vectors; set CONSILIUM_VECTORS)") }
        let build = scratch.fresh("go")
        let made = try Program.shell(
            "GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=\(build)/cache go build -o \(build)/verify-log \(vectors)/verifier/verify-log.go", in: scratch)
        guard made.code == 0 else { return print("skipped: the Go verifier (needs golang-go and golang-golang-x-mod-dev)") }
        let verified = try Program.shell("\(build)/verify-log \"$(cat \(log)/vkey)\" \(log)", in: scratch)
        #expect(verified.code == 0 && verified.text.hasPrefix("OK "), "\(verified.text)")
    }
}
