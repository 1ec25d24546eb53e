import Cryptography
import Storage
import Telemetry
import Testing

@testable import AuditLog

/// Crashes, played in one process: the files of a log are taken, spoilt as a crash spoils them, and opened again.
@Suite struct RecoveryTests {
    /// A log with a few commits, closed; its files and those of its state.
    private func makeLog(_ directory: TemporaryDirectory, _ commits: [Int]) throws -> (
        log: [String: [UInt8]], state: [String: [UInt8]], segment: String
    ) {
        let log = try Fixture.open(directory.path)
        for count in commits { try Fixture.fill(log, count) }
        log.close()
        _ = consume log
        let state = try Files.all(directory.path + "/log.state")
        let segment = try #require(state.keys.filter { $0.hasPrefix("pending-") }.sorted().last)
        return (try Files.all(directory.path + "/log"), state, segment)
    }

    @Test func cutsATailAtEveryByteAndLosesNothingPublished() throws {
        let directory = TemporaryDirectory()
        let (log, state, segment) = try makeLog(directory, [3])
        let all = try #require(state[segment])
        let bytes = Array(all[..<PendingContents(all).goodBytes])
        // As after a crash in the next commit: the segment has any part of one more frame, over zeros or not, published files
        // do not.
        let frame = try nextFrame(after: bytes)
        for cut in 0..<frame.count {
            try Files.restore(log, to: directory.path + "/log")
            try Files.restore(
                state.merging([segment: bytes + frame[..<cut] + [UInt8](repeating: 0, count: cut % 2 * 512)]) { $1 },
                to: directory.path + "/log.state")
            let opened = try Fixture.open(directory.path)
            #expect(opened.size == 3, "cut at \(cut)")
            #expect(try opened.append(Fixture.entry(3)) == 3)
            #expect(
                try AuditVerifier.verify(directory: directory.path + "/log").size == 4,
                "cut at \(cut)")
        }
        // The whole frame was durable: it is kept, whether it was acknowledged or not.
        try Files.restore(log, to: directory.path + "/log")
        try Files.restore(
            state.merging([segment: bytes + frame]) { $1 }, to: directory.path + "/log.state")
        #expect(try Fixture.open(directory.path).size == 4)
        #expect(try AuditVerifier.verify(directory: directory.path + "/log").size == 4)
    }

    private func nextFrame(after bytes: [UInt8]) throws -> [UInt8] {
        let contents = PendingContents(bytes)
        var edge = TreeEdge()
        for frame in contents.frames {
            for entry in frame.entries.dropFirst(Int(edge.size) - Int(frame.first)) {
                edge.append(entry) { _, _ in }
            }
        }
        let entry = try Fixture.entry(3).encoded(
            seq: edge.size, time: Timestamp(milliseconds: 1_900_000_000_000))
        var frame = PendingFrame(first: edge.size, entries: [entry], note: [])
        edge.append(entry) { _, _ in }
        frame.note =
            Checkpoint(origin: Fixture.origin, size: edge.size, root: edge.root).signed(
                by: Fixture.logSigner
            ).bytes
        return frame.encoded(after: Array(bytes.suffix(32))).bytes
    }

    @Test(arguments: [3, 255, 256, 257, 600])
    func rebuildsFilesThatACrashTore(_ size: Int) throws {
        let directory = TemporaryDirectory()
        let (log, state, _) = try makeLog(directory, [size])
        for path in log.keys.sorted() {
            for damage in [
                nil, [], Array(log[path]!.dropLast()),
                [UInt8](repeating: 0, count: log[path]!.count),
            ] as [[UInt8]?] {
                var torn = log
                torn[path] = damage
                // A vkey of other bytes is another key's log, not a torn file.
                if path == "vkey", let damage, !damage.isEmpty { continue }
                try Files.restore(torn, to: directory.path + "/log")
                try Files.restore(state, to: directory.path + "/log.state")
                let opened = try Fixture.open(directory.path)
                #expect(opened.size == UInt64(size), "\(path)")
                #expect(try Files.all(directory.path + "/log") == log, "\(path)")
            }
        }
    }

    @Test func recoversFromFilesThatWereNeverPublished() throws {
        let directory = TemporaryDirectory()
        let (log, state, _) = try makeLog(directory, [200, 150])
        // Only the empty log's files reached the disk, the segment holds the rest.
        let early = log.filter { $0.key == "vkey" }
        try Files.restore(early, to: directory.path + "/log")
        try Files.restore(state, to: directory.path + "/log.state")
        #expect(try Fixture.open(directory.path).size == 350)
        #expect(try Files.all(directory.path + "/log") == log)
    }

    @Test func refusesALogOlderThanItsSignedHead() throws {
        let directory = TemporaryDirectory()
        let old = try makeLog(directory, [300])
        let new = try makeLog(directory, [300])
        // The log's directory alone comes from yesterday: the state holds what was signed since.
        try Files.restore(old.log, to: directory.path + "/log")
        try Files.restore(new.state, to: directory.path + "/log.state")
        let opened = try? Fixture.open(directory.path)
        // Entries since yesterday's full bundles are in the segment, so it may be whole again; never shorter.
        if let opened { #expect(opened.size == 600) }
        _ = consume opened
        // Log and segments from yesterday, the head from today.
        try Files.restore(old.log, to: directory.path + "/log")
        try Files.restore(
            old.state.merging(["head": try #require(new.log["checkpoint"])]) { $1 },
            to: directory.path + "/log.state")
        #expect(throws: AuditLogError.rolledBack(signed: 600, found: 300)) {
            try Fixture.open(directory.path)
        }
        // All of it from yesterday: only a witness can tell.
        try Files.restore(old.log, to: directory.path + "/log")
        try Files.restore(old.state, to: directory.path + "/log.state")
        let behind = try Fixture.open(directory.path)
        #expect(throws: AuditLogError.behindWitness(witnessed: 600, own: 300)) {
            try behind.confirm(witnessed: try #require(new.log["checkpoint"]))
        }
        #expect(throws: AuditLogError.behindWitness(witnessed: 600, own: 300)) {
            try behind.append(Fixture.entry(0))
        }
    }

    @Test func refusesAnotherHistoryOfTheSameSize() throws {
        let directory = TemporaryDirectory()
        let other = TemporaryDirectory()
        let log = try Fixture.open(directory.path)
        try Fixture.fill(log, 5)
        let fork = try Fixture.open(other.path)
        for number in 0..<5 { try fork.append(Fixture.entry(number + 50)) }
        #expect(throws: AuditLogError.forked(size: 5)) {
            try log.confirm(witnessed: fork.checkpoint)
        }
        #expect(throws: AuditLogError.forked(size: 5)) { try log.append(Fixture.entry(5)) }
    }

    @Test func namesTheEntryOfASpoiltBundle() throws {
        let directory = TemporaryDirectory()
        var made = try makeLog(directory, [700])
        _ = try Fixture.open(directory.path)  // a new segment: the first bundles are in files only
        made.state = try Files.all(directory.path + "/log.state")
        made.log["tile/entries/000"]![5000] ^= 1
        try Files.restore(made.log, to: directory.path + "/log")
        #expect(throws: AuditLogError.self) { try Fixture.open(directory.path) }
        // Nothing was changed on disk by the refusal.
        #expect(try Files.all(directory.path + "/log") == made.log)
        #expect(try Files.all(directory.path + "/log.state") == made.state)
    }

    @Test func adoptsACopyThatLostItsState() throws {
        let directory = TemporaryDirectory()
        let made = try makeLog(directory, [300])
        Files.removeTree(directory.path + "/log.state")
        #expect(throws: AuditLogError.self) { try Fixture.open(directory.path) }
        let log = try AuditLog.adopt(
            directory: directory.path + "/log", origin: Fixture.origin, signer: Fixture.logKey,
            clock: SystemClock())
        #expect(log.size == 300)
        #expect(log.checkpoint == made.log["checkpoint"])
        try log.append(Fixture.entry(300))
    }
}
