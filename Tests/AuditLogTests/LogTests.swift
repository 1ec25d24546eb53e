import Codec
import Cryptography
import Glibc
import Storage
import Telemetry
import Testing

@testable import AuditLog

@Suite struct LogTests {
    @Test(arguments: [0, 1, 2, 255, 256, 257, 513, 1000])
    func isAValidLogAtEverySize(_ size: Int) throws {
        let directory = TemporaryDirectory()
        let log = try Fixture.open(directory.path)
        try Fixture.fill(log, size)
        #expect(log.size == UInt64(size))
        let report = try AuditVerifier.verify(
            directory: directory.path + "/log", verifierKey: Fixture.vkey)
        #expect(report.size == UInt64(size))
        #expect(report.root == log.head.root)
        #expect(report.counts == (size == 0 ? [:] : ["prediction": size]))
        try GoVerifier.check(directory.path + "/log", size: UInt64(size), root: log.head.root)
    }

    @Test func isAValidLogAfterEveryAppend() throws {
        let directory = TemporaryDirectory()
        let log = try Fixture.open(directory.path)
        for number in 0..<270 {
            #expect(try log.append(Fixture.entry(number)) == UInt64(number))
            guard number % 16 == 0 || number > 252 else { continue }
            let report = try AuditVerifier.verify(directory: directory.path + "/log")
            #expect(report.size == UInt64(number + 1))
        }
        // No file but those of this size: older partial ones are gone.
        var want: Set<String> = ["checkpoint", "vkey", "tile/0/000", "tile/entries/000"]
        for path in ["tile/0/001.p/14", "tile/entries/001.p/14", "tile/1/000.p/1"] {
            want.insert(path)
        }
        #expect(try Set(Files.all(directory.path + "/log").keys) == want)
    }

    @Test func survivesReopening() throws {
        let directory = TemporaryDirectory()
        var size: UInt64 = 0
        for count in [1, 254, 1, 0, 300, 700] {
            let log = try Fixture.open(directory.path)
            #expect(log.size == size)
            try Fixture.fill(log, count)
            size += UInt64(count)
            log.close()
        }
        let log = try Fixture.open(directory.path)
        var next: UInt64 = 0
        try log.forEach { entry in
            #expect(entry.seq == next)
            next += 1
        }
        #expect(next == size)
        #expect(try AuditVerifier.verify(directory: directory.path + "/log").size == size)
    }

    @Test func provesItsEntriesAndItsGrowth() throws {
        let directory = TemporaryDirectory()
        let log = try Fixture.open(directory.path)
        try Fixture.fill(log, 700)
        let policy = TrustPolicy(log: log.verifierKey)
        for index in [0, 1, 255, 256, 511, 512, 699] as [UInt64] {
            let receipt = try log.receipt(index)
            try TlogProof(receipt.bytes).verify(entry: try log.bytes(at: index), policy: policy)
            #expect(throws: NoteError.notIncluded) {
                try receipt.verify(entry: Array("another".utf8), policy: policy)
            }
        }
        for size in [1, 2, 255, 256, 257, 512, 699] as [UInt64] {
            #expect(
                MerkleProof.isConsistent(
                    size1: size, root1: try log.root(at: size), size2: 700, root2: log.head.root,
                    proof: try log.consistencyProof(size, 700)))
        }
        #expect(throws: AuditLogError.outOfRange(index: 700, size: 700)) {
            try log.inclusionProof(700)
        }
    }

    @Test func serialisesManyWriters() throws {
        let directory = TemporaryDirectory()
        let log = try Fixture.open(directory.path)
        let seen = Locked<[UInt64: Int]>([:])
        let threads = (0..<16).map { writer in
            WorkerThread {
                for number in 0..<40 {
                    guard let seq = try? log.append(Fixture.entry(writer * 1000 + number)) else {
                        return
                    }
                    seen.withLock { $0[seq] = writer * 1000 + number }
                }
            }
        }
        for thread in threads { thread.join() }
        let numbers = seen.withLock { $0 }
        #expect(numbers.count == 640)
        for (seq, number) in numbers {
            #expect(try log.entry(at: seq).details["number"] == .integer(Int64(number)))
        }
        #expect(try AuditVerifier.verify(directory: directory.path + "/log").size == 640)
    }

    @Test func neverDatesAnEntryBeforeTheOneInFront() throws {
        let directory = TemporaryDirectory()
        let clock = ManualClock()
        let log = try Fixture.open(directory.path, clock: clock)
        try log.append(Fixture.entry(0))
        clock.advance(seconds: -3600)
        try log.append(Fixture.entry(1))
        #expect(try log.entry(at: 1).time == log.entry(at: 0).time)
    }

    @Test func servesItsFilesByPathAndNothingElse() throws {
        let directory = TemporaryDirectory()
        let log = try Fixture.open(directory.path)
        try Fixture.fill(log, 300)
        for (path, bytes) in try Files.all(directory.path + "/log") {
            #expect(try log.file(path)?.bytes == bytes, "\(path)")
        }
        // A partial file of an earlier size is still to be had.
        #expect(
            try log.file("tile/entries/001.p/3")?.bytes
                == EntryBundle.prefix(
                    try #require(try log.file("tile/entries/001.p/44")?.bytes), count: 3))
        for path in [
            "", "..", "../log.state/head", "tile/../checkpoint", "/checkpoint", "checkpoint/",
            "tile/0/002", "tile/0/001.p/45",
            "tile/1/000", "tile/7/000", "tile/entries/001", "tile/0/x001/000", "checkpoint\u{0}",
            "tile/0/000.p/0",
        ] { #expect(try log.file(path) == nil, "\(path)") }
    }

    @Test func refusesWhatAnEntryMustNotHold() throws {
        let directory = TemporaryDirectory()
        let log = try Fixture.open(directory.path)
        var entry = Fixture.entry(0)
        entry.details = ["auc": .number(0.5)]
        #expect(throws: AuditLogError.self) { try log.append(entry) }
        entry.details = ["text": .string(String(repeating: "a", count: 8192))]
        #expect(throws: AuditLogError.self) { try log.append(entry) }
        entry.details = ["\u{e9}": .bool(true)]
        #expect(throws: AuditLogError.self) { try log.append(entry) }
        entry.details = [:]
        entry.actor = ""
        #expect(throws: AuditLogError.self) { try log.append(entry) }
        #expect(log.size == 0)
    }

    @Test func keepsASecondProcessAndAnotherKeyOut() throws {
        let directory = TemporaryDirectory()
        let log = try Fixture.open(directory.path)
        try Fixture.fill(log, 3)
        #expect(throws: AuditLogError.self) { try Fixture.open(directory.path) }
        log.close()
        _ = consume log
        #expect(throws: AuditLogError.otherKey(directory: directory.path + "/log")) {
            try AuditLog.open(
                directory: directory.path + "/log", origin: Fixture.origin, signer: Fixture.key(8),
                clock: SystemClock())
        }
        #expect(throws: AuditLogError.self) {
            try AuditLog.create(
                directory: directory.path + "/log", origin: Fixture.origin, signer: Fixture.logKey,
                clock: SystemClock())
        }
        #expect(try Fixture.open(directory.path).size == 3)
    }

    @Test func goesOnWhenItsFilesCanBeWrittenAgain() throws {
        let directory = TemporaryDirectory()
        let log = try Fixture.open(directory.path)
        try Fixture.fill(log, 10)
        // A file where a directory must be: nothing can be published, as on a full disk.
        let tile = directory.path + "/log/tile"
        #expect(unsafe rename(tile, tile + ".away") == 0)
        try DurableFile.writeAtomically([], to: tile)
        for number in 10..<13 {
            #expect(throws: AuditLogError.self) { try log.append(Fixture.entry(number)) }
        }
        #expect(log.size == 10)
        try DurableFile.remove(tile)
        #expect(unsafe rename(tile + ".away", tile) == 0)
        // The first refused entry was durable and stays; those behind it were never written.
        #expect(try log.append(Fixture.entry(13)) == 11)
        #expect(try AuditVerifier.verify(directory: directory.path + "/log").size == 12)
        log.close()
        _ = consume log
        #expect(try Fixture.open(directory.path).size == 12)
    }

    @Test func canBeReadWhileItIsWritten() throws {
        let directory = TemporaryDirectory()
        let log = try Fixture.open(directory.path)
        try Fixture.fill(log, 100)
        let isDone = Locked(false)
        let writer = WorkerThread {
            for number in 0..<3000 where !isDone.withLock({ $0 }) {
                _ = try? log.append(Fixture.entry(number))
            }
        }
        for _ in 0..<60 {
            let reader = try LogReader(DirectorySource(directory.path + "/log"))
            var count: UInt64 = 0
            try reader.forEach { _ in count += 1 }
            #expect(count == reader.head.size)
            _ = try AuditVerifier.verify(
                directory: directory.path + "/log", verifierKey: Fixture.vkey)
            let receipt = try reader.receipt(count - 1)
            try receipt.verify(
                entry: log.bytes(at: count - 1), policy: TrustPolicy(log: log.verifierKey))
        }
        isDone.withLock { $0 = true }
        writer.join()
    }

    @Test func prunesOnlyWhatIsPastItsRetention() throws {
        #expect(throws: AuditLogError.self) { try Retention(days: 100) }
        let directory = TemporaryDirectory()
        let clock = ManualClock()
        let log = try Fixture.open(directory.path, clock: clock)
        try Fixture.fill(log, 600)
        let retention = try Retention()
        #expect(try log.prune(retention, actor: "operator", now: clock.now()) == 0)
        clock.advance(seconds: Double(retention.days + 1) * 86_400)
        try Fixture.fill(log, 1)
        #expect(try log.prune(retention, actor: "operator", now: clock.now()) == 512)
        #expect(throws: AuditLogError.pruned(below: 512)) { try log.bytes(at: 511) }
        #expect(try log.file("tile/entries/000") == nil)
        #expect(try log.entry(at: log.size - 1).type == .logPruned)
        // State is a fold over all entries, also over those that are not given out any more.
        var replayed = 0
        try log.forEach { _ in replayed += 1 }
        #expect(replayed == 602)
        #expect(try log.inclusionProof(3).isEmpty == false)
        log.close()
        _ = consume log
        #expect(try Fixture.open(directory.path).minimumIndex == 512)
    }

    /// Over HTTP old entries are gone; what is left still leads to the signed root, and an entry says what happened.
    @Test func aPrunedLogVerifiesFromWhatItGivesOut() throws {
        let directory = TemporaryDirectory()
        let clock = ManualClock()
        let log = try Fixture.open(directory.path, clock: clock)
        try Fixture.fill(log, 600)
        clock.advance(seconds: 184 * 86_400)
        try log.prune(try Retention(days: 183), actor: "operator", now: clock.now())
        let source = ServedLog(log)
        let report = try AuditVerifier.verify(source, verifierKey: Fixture.vkey)
        #expect(report.size == 601)
        #expect(report.firstIndex == 512)
        #expect(report.counts == ["prediction": 88, "log.pruned": 1])
        #expect(try AuditVerifier.verify(directory: directory.path + "/log").firstIndex == 0)
        // A tile that stands for entries is held against the root like all others.
        #expect(throws: AuditFinding.self) {
            try AuditVerifier.verify(ServedLog(log) { path, bytes in
                path == "tile/0/001" ? Array(bytes.dropLast()) + [bytes[bytes.count - 1] ^ 1] : bytes
            })
        }
        // Who holds entries back without saying so in the log is found out.
        let whole = TemporaryDirectory()
        let silent = try Fixture.open(whole.path)
        try Fixture.fill(silent, 600)
        #expect(throws: AuditFinding.file("minimum", problem: "holds back entries, but no entry of the log says that they were pruned")) {
            try AuditVerifier.verify(ServedLog(silent) { path, bytes in path == "minimum" ? Array("512\n".utf8) : bytes })
        }
    }

    @Test func keepsItsRetentionFromTheStart() throws {
        let retention = try Retention(days: 183)
        let directory = TemporaryDirectory()
        let clock = ManualClock()
        let log = try Fixture.open(directory.path, clock: clock)
        try Fixture.fill(log, 300)
        clock.advance(seconds: 184 * 86_400)
        let done = Condition()
        let raised = Locked<[UInt64]>([])
        done.withLock {
            log.keep(retention, clock: clock) { result in
                done.withLock {
                    raised.withLock { $0 += [(try? result.get()) ?? 0] }
                    done.broadcast()
                }
            }
            while raised.withLock({ $0.isEmpty }) { done.wait() }
        }
        #expect(raised.withLock { $0 } == [256])
        #expect(log.minimumIndex == 256)
        log.close()
    }
}
