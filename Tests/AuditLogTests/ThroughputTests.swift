import Glibc
import Storage
import Telemetry
import Testing

@testable import AuditLog

/// Measures, when asked to: `CONSILIUM_BENCH=1 swift test -c release -Xswiftc -enable-testing --filter ThroughputTests`.
@Suite(.serialized) struct ThroughputTests {
    private static let isWanted = environment("CONSILIUM_BENCH") != nil

    private func now() -> Double {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    private func quantile(_ sorted: [Double], _ share: Double) -> Double {
        sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
    }

    private func milliseconds(_ seconds: Double) -> String {
        String(Double(Int(seconds * 1e6)) / 1e3) + " ms"
    }

    /// What the disk itself does: append 4 KiB, fdatasync, 500 times.
    private func diskLatency(_ directory: String) throws -> (median: Double, p99: Double) {
        let file = try AppendFile(directory + "/probe")
        var times: [Double] = []
        for _ in 0..<500 {
            let start = now()
            try file.append([UInt8](repeating: 1, count: 4096))
            try file.sync()
            times.append(now() - start)
        }
        times.sort()
        return (quantile(times, 0.5), quantile(times, 0.99))
    }

    @Test func appendsDurablyWithManyWriters() throws {
        guard Self.isWanted else { return print("skipped: benchmarks (set CONSILIUM_BENCH=1)") }
        let directory = TemporaryDirectory()
        let disk = try diskLatency(directory.path)
        let log = try Fixture.open(directory.path)
        let seconds = Double(environment("CONSILIUM_BENCH_SECONDS") ?? "") ?? 10
        let times = Locked<[Double]>([])
        let start = now()
        let threads = (0..<64).map { writer in
            WorkerThread {
                var own: [Double] = []
                var number = 0
                while now() - start < seconds {
                    let before = now()
                    guard (try? log.append(entry(writer, number))) != nil else { return }
                    own.append(now() - before)
                    number += 1
                }
                times.withLock { $0 += own }
            }
        }
        for thread in threads { thread.join() }
        let elapsed = now() - start
        let sorted = times.withLock { $0.sorted() }
        print(
            "fdatasync of the disk: median \(milliseconds(disk.median)), p99 \(milliseconds(disk.p99))"
        )
        print(
            "appends: \(sorted.count) in \(elapsed) s, \(Int(Double(sorted.count) / elapsed)) a second, entry of \(try log.bytes(at: 5).count) bytes"
        )
        print(
            "acknowledgement: median \(milliseconds(quantile(sorted, 0.5))), p99 \(milliseconds(quantile(sorted, 0.99))), max \(milliseconds(sorted.last ?? 0))"
        )
        log.close()
        let report = try AuditVerifier.verify(directory: directory.path + "/log")
        #expect(report.size == UInt64(sorted.count))
    }

    private func entry(_ writer: Int, _ number: Int) -> LogEntry {
        var entry = Fixture.entry(writer &* 1_000_003 &+ number)
        entry.payloadCommitment = entry.subjectCommitment
        return entry
    }

    @Test func verifiesAMillionEntries() throws {
        guard Self.isWanted else { return }
        let directory = TemporaryDirectory()
        let log = try Fixture.open(directory.path)
        let count = Int(environment("CONSILIUM_BENCH_ENTRIES") ?? "") ?? 1_000_000
        var start = now()
        try Fixture.fill(log, count)
        print("wrote \(count) entries in \(now() - start) s through callbacks")
        log.close()
        _ = consume log
        for threads in [1, 2] {
            start = now()
            let report = try AuditVerifier.verify(
                directory: directory.path + "/log", threads: threads)
            print("verified \(report.size) entries in \(now() - start) s on \(threads) threads")
        }
        start = now()
        let again = try Fixture.open(directory.path)
        print("opened again in \(now() - start) s")
        start = now()
        var predictions = 0
        try again.forEach { if $0.type == .prediction { predictions += 1 } }
        print("folded over \(predictions) entries in \(now() - start) s")
    }

    @Test func storesRecordsDurably() throws {
        guard Self.isWanted else { return }
        let directory = TemporaryDirectory()
        let store = try RecordStore(directory: directory.path + "/records")
        let done = Locked(0)
        let start = now()
        let threads = (0..<64).map { writer in
            WorkerThread {
                for number in 0..<2000 {
                    let salt = [UInt8](repeating: 1, count: 32)
                    let record = Record(
                        id: RecordID(high: UInt64(number) << 16 | 0x7000, low: 1 << 63 | UInt64(writer)), kind: "decision",
                        subject: .init(text: "s\(number)", salt: salt), salts: salt, payloads: [UInt8](repeating: 7, count: 300))
                    guard (try? store.put(record)) != nil else { return }
                }
                done.withLock { $0 += 2000 }
            }
        }
        for thread in threads { thread.join() }
        let count = done.withLock { $0 }
        print(
            "records: \(count) in \(now() - start) s, \(Int(Double(count) / (now() - start))) a second"
        )
    }
}
