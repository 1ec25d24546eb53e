// A directory that was restored from an old backup: the witnesses know better, and the party signs nothing more.
// And a coordinator that shows two sites two histories.

import Codec
import Glibc
import Simulation
import Storage
import Testing

@Suite(.serialized, .enabled(if: Program.isThere)) struct OldCopyTests {
    private func logFailure(_ federation: TestFederation, _ site: String) throws -> String? {
        try federation.operators(at: site).call("GET", "/v1/node")["log"]?["failure"]?.stringValue
    }

    @Test func witnessesCosignEveryLogOfAFederation() throws {
        let federation = try TestFederation(rounds: 1)
        try federation.agree()
        try federation.train()
        for site in federation.names {
            let node = try federation.operators(at: site)
            var cosigned: [String: JSONValue] = [:]
            let isCosigned = try holds(within: 15) {
                cosigned = try node.call("GET", "/v1/node")["log"]?["cosigned"]?.objectValue ?? [:]
                return cosigned.count == 3 && cosigned.values.allSatisfy { $0.intValue ?? 0 > 10 }
            }
            #expect(isCosigned && cosigned["coordinator"] != nil, "\(site): \(cosigned)")
            // The coordinator's log, and those of the two sites before this one in the ring.
            let kept = try DurableFile.list(federation.directory(site) + "/witness")
            #expect(kept.count == 3, "\(site): \(kept.count)")
        }
    }

    @Test func aNodeFromAnOldCopySignsNothingMore() throws {
        let federation = try TestFederation(rounds: 1)
        try federation.agree()
        let (directory, backup) = (federation.directory("va"), federation.scratch.path + "/va-yesterday")
        federation.stopNode("va")
        try copy(directory, backup)
        try federation.startNode("va")
        try federation.train()
        let node = try federation.operators(at: "va")
        #expect(try holds(within: 15) { (try node.call("GET", "/v1/node")["log"]?["cosigned"]?["coordinator"]?.intValue ?? 0) > 20 })
        federation.stopNode("va")
        try restore(directory, from: backup)
        try federation.startNode("va")
        var failure: String?
        let isStopped = try holds(within: 15) {
            failure = try logFailure(federation, "va")
            return failure != nil
        }
        #expect(isStopped && failure?.contains("old copy") == true, "\(failure ?? "no failure")")
        // The others go on without it; what it says to a person names the way out.
        #expect(failure?.contains("restore the newest copy") == true)
        #expect(try logFailure(federation, "cleveland") == nil)
    }

    @Test func aCoordinatorFromAnOldCopyEnds() throws {
        let federation = try TestFederation(rounds: 1)
        try federation.agree()
        let (directory, backup) = (federation.directory("coordinator"), federation.scratch.path + "/coordinator-yesterday")
        federation.stopCoordinator()
        try copy(directory, backup)
        try federation.startCoordinator()
        try federation.train()
        federation.stopCoordinator()
        try restore(directory, from: backup)
        try federation.startCoordinator()
        #expect(federation.coordinator.wait() == 74)
        #expect(federation.coordinator.lastLines.contains("old copy"), "\(federation.coordinator.lastLines)")
        #expect(try federation.verify("coordinator").code == 0, "the old copy itself is as it was")
    }
}

// MARK: - Backups

/// A directory as a backup has it.
func copy(_ source: String, _ target: String) throws {
    let result = try ChildProcess("/bin/cp", ["-a", source, target], logPath: target + ".copy-log")
    guard result.wait() == 0 else { throw ScenarioError.failed(step: "copy", result.lastLines) }
}

/// The directory is gone and a backup takes its place.
func restore(_ directory: String, from backup: String) throws {
    let result = try ChildProcess("/bin/rm", ["-rf", directory], logPath: backup + ".remove-log")
    guard result.wait() == 0 else { throw ScenarioError.failed(step: "remove", result.lastLines) }
    try copy(backup, directory)
}
