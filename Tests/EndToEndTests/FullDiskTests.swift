// A disk that is full: the operation is refused, what was acknowledged stays, and with room everything goes on.

import Codec
import Glibc
import HTTP
import Simulation
import Storage
import Testing

/// A small file system of its own.
final class SmallDisk {
    let path: String
    private let scratch: Scratch

    /// - Returns: nil, with a printed message, where this process may not mount.
    init?(_ path: String, kilobytes: Int, in scratch: Scratch) throws {
        (self.path, self.scratch) = (path, scratch)
        let mounted = try Program.shell("mkdir -p \(path) && mount -t tmpfs -o size=\(kilobytes)k,mode=700 tmpfs \(path)", in: scratch)
        guard mounted.code == 0 else {
            print("a test of full disks is skipped: a small file system cannot be mounted here (\(mounted.text.split(separator: "\n").first ?? ""))")
            return nil
        }
    }

    /// Leaves no byte free.
    func fill() throws { _ = try Program.shell("dd if=/dev/zero of=\(path)/filler bs=4k; true", in: scratch) }
    func empty() throws { try DurableFile.remove(path + "/filler") }

    deinit { _ = try? Program.shell("umount -l \(path)", in: scratch) }
}

@Suite(.serialized, .enabled(if: Program.isThere)) struct FullDiskTests {
    @Test func aNodeWithAFullDiskPredictsNothingAndLosesNothing() throws {
        var disk: SmallDisk?
        let federation = try TestFederation(sites: Array(StandInHospitals.sites.prefix(3)), rounds: 1) { scratch in
            disk = try SmallDisk(scratch.path + "/cleveland", kilobytes: 16 << 10, in: scratch)
        }
        guard let disk else { return }
        defer { federation.stop() }
        try federation.agree()
        try federation.train()
        let key = try federation.key(at: "cleveland", roles: ["predict"])
        let auditor = try federation.key(at: "cleveland", roles: ["auditor"])
        let body = (["row": .object(TestFederation.row)] as JSONValue).canonicalBytes()
        var acknowledged: [String] = []
        var refusal: APIFailure?
        let client = try federation.client("cleveland", key: key)
        func predict() throws {
            let answer = try client.call("POST", "/v1/predict", body: body)
            acknowledged.append(answer["predictions"]?.arrayValue?.first?["id"]?.stringValue ?? "")
        }
        for _ in 0..<5 { try predict() }
        try disk.fill()
        for _ in 0..<200 {
            do { try predict() } catch let failure as APIFailure { refusal = failure; break }
        }
        #expect(refusal?.status == 503, "\(acknowledged.count) predictions on a full disk")
        #expect(refusal?.message.contains("nothing was decided") == true, "\(refusal?.message ?? "")")
        // A consent is refused as well, and not acted on.
        let operators = try federation.operators(at: "cleveland")
        let metrics = try federation.metrics(at: "cleveland")
        #expect((metrics["consilium_log_refused_total"] ?? 0) + (metrics["consilium_durability_failures_total"] ?? 0) > 0, "\(metrics)")
        let before = try operators.call("GET", "/v1/node/plans")["plans"]?.arrayValue?.last?["consent"]
        let consent = #expect(throws: APIFailure.self) {
            try operators.call("POST", "/v1/node/studies/\(federation.study)/consent", body: Array("{\"acceptsNoDifferentialPrivacy\": true}".utf8))
        }
        #expect(consent?.status == 503, "\(consent?.message ?? "")")
        #expect(try operators.call("GET", "/v1/node/plans")["plans"]?.arrayValue?.last?["consent"] == before)
        #expect(try federation.metrics(at: "cleveland")["consilium_log_refused_total"] ?? 0 > 0)
        try disk.empty()
        // With room again a restart is clean, if it does not go on by itself.
        federation.kill("cleveland")
        try federation.startNode("cleveland")
        let again = try federation.client("cleveland", key: key)
        let answer = try again.call("POST", "/v1/predict", body: body)
        acknowledged.append(answer["predictions"]?.arrayValue?.first?["id"]?.stringValue ?? "")
        let reader = try federation.client("cleveland", key: auditor)
        for identifier in acknowledged { _ = try reader.call("GET", "/v1/decisions/\(identifier)") }
        let verified = try federation.verify("cleveland")
        #expect(verified.code == 0, "\(verified.text)")
    }

    /// A disk that is full when a site joins must not cost it the token and its name.
    @Test func joiningOntoAFullDiskKeepsTheToken() throws {
        let federation = try TestFederation(sites: [])
        guard let disk = try SmallDisk(federation.scratch.path + "/cleveland", kilobytes: 256, in: federation.scratch) else { return }
        try disk.fill()
        let token = try federation.invite("cleveland")
        let full = try Program.run(try federation.joinArguments("cleveland", token: token), in: federation.scratch)
        #expect([73, 74, 77].contains(full.code), "\(full.code) \(full.text)")
        #expect(full.text.contains(disk.path) && full.text.contains("full"), "\(full.text)")
        try disk.empty()
        let again = try Program.run(try federation.joinArguments("cleveland", token: token), in: federation.scratch)
        #expect(again.code == 0, "\(again.text)")
    }

    @Test func aCoordinatorWithAFullDiskRefusesAndForgetsNothing() throws {
        let scratch = try Scratch()
        guard let disk = try SmallDisk(scratch.path + "/coordinator", kilobytes: 2048, in: scratch) else { return }
        let made = try Program.run(
            ["coordinator", "init", "--dir", disk.path, "--name", "test", "--listen", "127.0.0.1:0", "--operator-listen", "127.0.0.1:0"], in: scratch)
        #expect(made.code == 0, "\(made.text)")
        var child = try TestFederation.serve("coordinator", disk.path, scratch)
        defer { child.stop() }
        func invite(_ number: Int) throws -> Program.Result {
            try Program.run(["coordinator", "invite", "--dir", disk.path, "--site", "site-\(number)"], in: scratch)
        }
        for number in 0..<3 { #expect(try invite(number).code == 0) }
        try disk.fill()
        var invited = 3
        var refused: Program.Result?
        while invited < 60 {
            let result = try invite(invited)
            if result.code != 0 {
                refused = result
                break
            }
            invited += 1
        }
        let refusal = try #require(refused)
        #expect([69, 74, 75].contains(refusal.code), "\(refusal.code) \(refusal.text)")
        // The process may have ended, because its memory was ahead of its disk; its log says why.
        if !child.isRunning { #expect(child.lastLines.contains("space") || child.lastLines.contains("full"), "\(child.lastLines)") } else { child.stop() }
        try disk.empty()
        child = try TestFederation.serve("coordinator", disk.path, scratch)
        let status = try Program.run(["coordinator", "status", "--dir", disk.path, "--json"], in: scratch)
        let open = status.json?["openInvitations"]?.arrayValue ?? []
        // The one that was refused may have reached the log before the disk was full; nobody has its token.
        #expect((invited...invited + 1).contains(open.count), "\(open.count) of \(invited) acknowledged invitations")
        #expect(try invite(99).code == 0)
        let verified = try Program.run(["audit", "verify", disk.path], in: scratch)
        #expect(verified.code == 0, "\(verified.text)")
    }
}
