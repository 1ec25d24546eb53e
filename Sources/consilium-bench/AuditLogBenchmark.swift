import AuditLog
import Codec
import Cryptography
import Glibc
import Simulation
import Storage
import Study
import Telemetry
import Transport

/// The audit log under load, beside what the disk can do: durable appends of many writers, and the check of a long log.
/// `consilium-bench audit-log [SECONDS [ENTRIES [DIRECTORY]]]`; the directory says which disk. `consilium-bench audit-log flips
/// [ENTRIES]` is `AuditLogFlips`.
enum AuditLogBenchmark {
    private static let writers = 64
    private static let probeWrites = 500
    private static let probeBytes = 4096
    /// What issue and protocol page promise.
    private static let appendsFloor = 20_000
    private static let acknowledgementMilliseconds = 50.0
    private static let verifySecondsMax = 60.0

    static func run(_ arguments: [String]) throws {
        if arguments.first == "flips" {
            guard let entries = arguments.count > 1 ? Int(arguments[1]) : 300, entries > 0, arguments.count <= 2 else {
                throw ScenarioError.unusable("consilium-bench audit-log flips [ENTRIES]: a positive number")
            }
            return try Bench.inTemporaryDirectory { try AuditLogFlips.run($0, entries: entries) }
        }
        let seconds = arguments.first.flatMap { Double($0) } ?? 10
        let entries = arguments.dropFirst().first.flatMap { Int($0) } ?? 1_000_000
        guard seconds > 0, entries > 0, arguments.count <= 3 else {
            throw ScenarioError.unusable("consilium-bench audit-log [SECONDS [ENTRIES [DIRECTORY]]]: the first two are positive numbers")
        }
        try inDirectory(arguments.dropFirst(2).first) { directory in
            try appends(directory, seconds: seconds)
            try verification(directory, entries: entries)
        }
    }

    private static func inDirectory(_ parent: String?, _ body: (String) throws -> Void) throws {
        guard let parent else { return try Bench.inTemporaryDirectory(body) }
        let path = parent + "/consilium-bench-\(getpid())"
        try DurableFile.createDirectory(path)
        defer { try? ChildProcess.run("/bin/rm", ["-rf", path], logPath: "/dev/null") }
        try body(path)
    }

    private static func appends(_ directory: String, seconds: Double) throws {
        let before = try diskLatency(directory)
        let log = try open(directory + "/writers")
        let times = Locked<[Double]>([])
        let failure = Locked<String?>(nil)
        let start = now()
        let threads = (0..<writers).map { writer in
            Thread.start(name: "writer") {
                var own: [Double] = []
                var number = 0
                while now() - start < seconds {
                    let asked = now()
                    do { try log.append(entry(writer &* 1_000_003 &+ number)) } catch {
                        failure.withLock { $0 = "\(error)" }
                        return
                    }
                    own.append(now() - asked)
                    number += 1
                }
                times.withLock { $0 += own }
            }
        }
        for thread in threads { Thread.join(thread) }
        let elapsed = now() - start
        if let failure = failure.withLock({ $0 }) { throw ScenarioError.failed(step: "append", failure) }
        let bytes = try log.bytes(at: 5).count
        log.close()
        let after = try diskLatency(directory)
        let sorted = times.withLock { $0.sorted() }
        let report = try AuditVerifier.verify(directory: directory + "/writers")
        guard report.size == UInt64(sorted.count) else {
            throw ScenarioError.failed(step: "append", "\(sorted.count) entries were acknowledged, the log has \(report.size)")
        }
        print("fdatasync of the disk, \(probeBytes) bytes appended: before \(before), after \(after)")
        print("\(Int(Double(sorted.count) / elapsed)) durable appends a second, \(writers) writers, entries of \(bytes) bytes (promised: \(appendsFloor))")
        print("acknowledged after \(milliseconds(quantile(sorted, 0.5))) (p50), \(milliseconds(quantile(sorted, 0.99))) (p99, promised: \(acknowledgementMilliseconds) ms), \(milliseconds(sorted.last ?? 0)) (longest)")
    }

    private static func verification(_ directory: String, entries: Int) throws {
        let path = directory + "/long"
        let log = try open(path)
        let progress = Progress("Writing", total: entries, unit: "entries")
        var written = 0
        while written < entries {
            let count = min(AuditLog.batchEntriesMax, entries - written)
            try log.append((written..<written + count).map(entry))
            written += count
            progress.update(written)
        }
        progress.finish()
        log.close()
        for threads in [1, 2] {
            sync()
            evict(path)
            let start = now()
            let report = try AuditVerifier.verify(directory: path, threads: threads)
            print("verified \(report.size) entries in \(decimal(now() - start, places: 2)) s on \(threads) threads, files out of the page cache (promised: \(decimal(verifySecondsMax * Double(entries) / 1e6, places: 1)) s)")
        }
    }

    private static func open(_ path: String) throws -> AuditLog {
        try AuditLog.create(
            directory: path, origin: "bench.example/log", signer: SigningKey.generate(random: SystemRandom.shared), clock: SystemClock())
    }

    /// A prediction as a node writes it, with digests that do not compress.
    static func entry(_ number: Int) -> LogEntry {
        let digest = SHA256.hash(Array("\(number)".utf8))
        return LogEntry(
            .prediction, actor: "clinician-7", role: "clinician", model: "heart-v3", subjectCommitment: digest, payloadCommitment: digest,
            details: ["id": .string("p-\(number)")])
    }

    /// What the disk itself takes for an appended block: median and p99.
    private static func diskLatency(_ directory: String) throws -> String {
        let path = directory + "/probe"
        let file = try AppendFile(path)
        var times: [Double] = []
        for _ in 0..<probeWrites {
            try file.append([UInt8](repeating: 1, count: probeBytes))
            let start = now()
            try file.sync()
            times.append(now() - start)
        }
        try DurableFile.remove(path)
        times.sort()
        return "\(milliseconds(quantile(times, 0.5))) (p50), \(milliseconds(quantile(times, 0.99))) (p99)"
    }

    /// Asks the kernel to forget the pages of all files below a directory; they are durable.
    private static func evict(_ path: String) {
        for name in (try? DurableFile.list(path)) ?? [] {
            let child = path + "/" + name
            if DurableFile.isDirectory(child) {
                evict(child)
                continue
            }
            let file = unsafe Glibc.open(child, O_RDONLY | O_CLOEXEC)
            guard file >= 0 else { continue }
            _ = posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED)
            close(file)
        }
    }

    private static func now() -> Double {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    private static func quantile(_ sorted: [Double], _ share: Double) -> Double {
        sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
    }

    private static func milliseconds(_ seconds: Double) -> String { decimal(seconds * 1000, places: 2) + " ms" }
}
