// Every way to hold the command line wrong: an exit code of sysexits, a sentence that says what, where and what to do,
// and the same as JSON on demand. No value of a row and no secret in either.

import Codec
import Glibc
import Simulation
import Storage
import Testing

@Suite(.serialized, .enabled(if: Program.isThere)) struct CommandLineTests {
    let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private func coordinator() throws -> String {
        let directory = scratch.fresh("coordinator")
        let made = try Program.run(
            ["coordinator", "init", "--dir", directory, "--name", "test", "--listen", "127.0.0.1:0", "--operator-listen", "127.0.0.1:0"], in: scratch)
        try #require(made.code == 0, "\(made.text)")
        return directory
    }

    /// Usage.
    @Test(arguments: [
        (["coordinator", "init", "--dir", "x", "--nmae", "y"], "--nmae"),
        (["coordinator", "init", "--dir", "x"], "--name"),
        (["coordinator", "serve", "--dir"], "--dir"),
        (["coordinator", "serve", "--dir", "a", "--dir", "b"], "twice"),
        (["node", "join", "--dir", "x"], "--token"),
        (["node", "consent", "--dir", "x", "--study", "y", "--sites-min", "2"], "--sites-min"),
        (["node", "serve", "--dir", "x", "--verbose=yes"], "no value"),
        (["audit", "verify"], "Usage"),
        (["audit", "verify", "a", "b"], "Usage"),
        (["model", "verify", "x", "--key", "12"], "--key"),
        (["wibble"], "wibble"),
        (["coordinator", "revoke", "--dir", "x", "--site", "a b"], "--site"),
        (["coordinator", "revoke", "--dir", "x", "--site", "../a"], "--site"),
        (["coordinator", "revoke", "--dir", "x", "--site", "ä\n"], "--site"),
        (["coordinator", "run", "--dir", "x", "--study", ""], "--study"),
        (["coordinator", "cancel", "--dir", "x", "--study", "a/b?c"], "--study"),
        (["node", "check", "--dir", "x", "--study", "%2e%2e"], "--study"),
        (["node", "key", "revoke", "--dir", "x", "--id", "a b"], "--id"),
        (["coordinator", "init", "--dir", "x", "--name", "t", "--listen", "127.0.0.1:99999"], "--listen"),
        (["audit", "show", "x", "--type", "wibble"], "--type"),
    ])
    func aWrongCommandLineIs64(_ arguments: [String], _ word: String) throws {
        let result = try Program.run(arguments, in: scratch)
        #expect(result.code == 64)
        #expect(result.text.contains(word), "\(result.text)")
        #expect(result.text.hasPrefix("consilium: "))
    }

    /// With --json, every failure is one object with the sentence, a stable code and the exit code.
    @Test(arguments: [
        ["coordinator", "init", "--dir", "x", "--nmae", "y", "--json"], ["wibble", "--json"], ["audit", "verify", "/nowhere", "--json"],
        ["coordinator", "status", "--dir", "/nowhere", "--json"], ["node", "status", "--dir", "/nowhere", "--json"],
        ["scenario", "run", "/nowhere", "--out", "/nowhere/out", "--json"], ["model", "verify", "/nowhere", "--key", "12", "--json"],
        ["coordinator", "--json"],
    ])
    func failuresAreJSONOnDemand(_ arguments: [String]) throws {
        let result = try Program.run(arguments, in: scratch)
        let json = try #require(result.json, "\(result.text)")
        #expect(json["error"]?.stringValue?.isEmpty == false)
        #expect(json["code"]?.stringValue?.isEmpty == false)
        #expect(json["exit"]?.intValue == Int(result.code))
        #expect(result.code >= 64 && result.code <= 78)
    }

    @Test func aDirectoryBelowAFileCannotBeMade() throws {
        let file = try scratch.write("a file", "file")
        let result = try Program.run(["coordinator", "init", "--dir", file + "/below", "--name", "test"], in: scratch)
        #expect(result.code == 73)
        #expect(result.text.contains(file), "\(result.text)")
    }

    @Test func aSecondCoordinatorInOneDirectoryIsRefused() throws {
        let directory = try coordinator()
        let again = try Program.run(["coordinator", "init", "--dir", directory, "--name", "test"], in: scratch)
        #expect(again.code == 65 && again.text.contains("already"), "\(again.text)")
        let first = try TestFederation.serve("coordinator", directory, scratch)
        defer { first.stop() }
        let second = try Program.run(["coordinator", "serve", "--dir", directory], in: scratch)
        #expect(second.code == 75, "exit \(second.code): \(second.text)")
        #expect(second.text.contains(directory), "\(second.text)")
    }

    /// A first attempt that failed half way must not stand in the way of the second; a coordinator that lost its
    /// configuration must not lose its CA as well.
    @Test func initCanBeRepeatedAfterItFailedButNotOverALog() throws {
        let directory = try coordinator()
        try DurableFile.remove(directory + "/config.json5")
        let again = try Program.run(["coordinator", "init", "--dir", directory, "--name", "test", "--listen", "127.0.0.1:0", "--operator-listen", "127.0.0.1:0"], in: scratch)
        #expect(again.code == 0, "\(again.text)")
        try TestFederation.serve("coordinator", directory, scratch).stop()
        let authority = try DurableFile.read(directory + "/keys/ca.key.pem", maxBytes: 4096)
        try DurableFile.remove(directory + "/config.json5")
        let third = try Program.run(["coordinator", "init", "--dir", directory, "--name", "test"], in: scratch)
        #expect(third.code == 65 && third.text.contains("restore"), "\(third.text)")
        #expect(try DurableFile.read(directory + "/keys/ca.key.pem", maxBytes: 4096) == authority)
    }

    @Test func aKeyFileThatOthersCanReadIsRefused() throws {
        let directory = try coordinator()
        for name in ["signing.key.pem", "ca.key.pem", "server.key.pem", "operator.key"] {
            let key = directory + "/keys/" + name
            let secret = String(decoding: try DurableFile.read(key, maxBytes: 4096), as: UTF8.self)
            try Program.chmod(key, 0o644)
            let result = try Program.run(["coordinator", "serve", "--dir", directory], in: scratch)
            #expect(result.code == 77, "\(name): exit \(result.code)")
            #expect(result.text.contains(key) && result.text.contains("chmod 600"), "\(result.text)")
            #expect(!secret.split(separator: "\n").contains { $0.count > 20 && !$0.hasPrefix("-----") && result.text.contains($0) })
            try Program.chmod(key, 0o600)
        }
        let child = try TestFederation.serve("coordinator", directory, scratch)
        child.stop()
    }

    @Test func aPortInUseIs69AndNamesThePort() throws {
        let first = try coordinator()
        let running = try TestFederation.serve("coordinator", first, scratch)
        defer { running.stop() }
        let endpoint = try JSONValue.parse(DurableFile.read(first + "/endpoint.json", maxBytes: 4096), dialect: .strict)
        let port = String(endpoint["federation"]?.stringValue?.split(separator: ":").last ?? "")
        let directory = scratch.fresh("coordinator")
        _ = try Program.run(
            ["coordinator", "init", "--dir", directory, "--name", "test", "--listen", "127.0.0.1:\(port)", "--operator-listen", "127.0.0.1:0"], in: scratch)
        let result = try Program.run(["coordinator", "serve", "--dir", directory], in: scratch)
        #expect(result.code == 69, "exit \(result.code)")
        #expect(result.text.contains(port) && result.text.contains("another process uses this port"), "\(result.text)")
    }

    @Test func aConfigurationThatMakesNoSenseIs78() throws {
        let directory = try coordinator()
        for (text, word) in [("{", "line"), ("{federation: 'test', wibble: 1}", "config"), ("{federation: 'T'}", "config")] {
            try DurableFile.writeAtomically(Array(text.utf8), to: directory + "/config.json5")
            let result = try Program.run(["coordinator", "serve", "--dir", directory], in: scratch)
            #expect(result.code == 78, "\(text): exit \(result.code)")
            #expect(result.text.contains(word), "\(result.text)")
        }
    }

    @Test func nothingRunsInADirectory() throws {
        let directory = try coordinator()
        let result = try Program.run(["coordinator", "status", "--dir", directory], in: scratch)
        #expect(result.code == 69)
        #expect(result.text.contains("consilium coordinator serve --dir \(directory)"), "\(result.text)")
        // What a killed process left behind names a process that is gone.
        let stale = "{\"role\":\"coordinator\",\"pid\":4194303,\"federation\":\"https://127.0.0.1:1\",\"operator\":\"https://127.0.0.1:1\"}"
        try DurableFile.writeAtomically(Array(stale.utf8), to: directory + "/endpoint.json")
        #expect(try Program.run(["coordinator", "status", "--dir", directory], in: scratch).code == 69)
    }

    /// A damaged log is noticed offline; a process that opens it puts the file right from its own copy or does not start.
    @Test(arguments: ["tile/entries/000.p/1", "checkpoint"]) func aDamagedLogIsNoticed(_ file: String) throws {
        let directory = try coordinator()
        try TestFederation.serve("coordinator", directory, scratch).stop()
        let damaged = try Program.shell("printf X | dd of=\(directory)/log/\(file) bs=1 seek=30 conv=notrunc", in: scratch)
        #expect(damaged.code == 0, "\(damaged.text)")
        let verified = try Program.run(["audit", "verify", directory], in: scratch)
        #expect(verified.code == 65 && verified.text.count > 30, "\(verified.code) \(verified.text)")
        do {
            try TestFederation.serve("coordinator", directory, scratch).stop()
            let healed = try Program.run(["audit", "verify", directory], in: scratch)
            #expect(healed.code == 0, "\(healed.text)")
        } catch let error as ScenarioError {
            #expect("\(error)".contains("log") || "\(error)".contains("checkpoint"), "\(error)")
        }
    }

    @Test func anEditedOperatorKeyStillWorks() throws {
        let directory = try coordinator()
        let child = try TestFederation.serve("coordinator", directory, scratch)
        defer { child.stop() }
        _ = try Program.shell("echo >> \(directory)/keys/operator.key", in: scratch)
        #expect(try Program.run(["coordinator", "status", "--dir", directory], in: scratch).code == 0)
        _ = try Program.shell("printf '\\303\\244' > \(directory)/keys/operator.key", in: scratch)
        #expect(try Program.run(["coordinator", "status", "--dir", directory], in: scratch).code == 78)
    }

    @Test func fileSizeLimitsDoNotKillTheProcess() throws {
        let directory = try coordinator()
        // The limit stops every write; the process has to say so and leave with a code, not die of a signal.
        let result = try Program.shell("ulimit -f 0; exec \"$0\" coordinator serve --dir \(directory)", in: scratch)
        #expect(result.code == 74, "exit \(result.code): \(result.text)")
    }
}
