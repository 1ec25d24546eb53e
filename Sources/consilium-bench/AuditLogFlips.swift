import AuditLog
import Cryptography
import Simulation
import Storage
import Telemetry
import Transport

/// Every bit of every file of a log changed, one at a time: the verifier must refuse each.
/// `consilium-bench audit-log flips [ENTRIES]`.
enum AuditLogFlips {
    private static let threads = 2

    static func run(_ directory: String, entries: Int) throws {
        let key = SigningKey.generate(random: SystemRandom.shared)
        let log = try AuditLog.create(directory: directory + "/flips", origin: "bench.example/log", signer: key, clock: SystemClock())
        for number in 0..<entries { try log.append(AuditLogBenchmark.entry(number)) }
        let vkey = log.verifierKey.text
        log.close()
        let files = try read(directory + "/flips")
        let places = files.keys.sorted().flatMap { path in (0..<8 * (files[path]?.count ?? 0)).map { (path, $0) } }
        let progress = Progress("Flipping", total: places.count, unit: "bits")
        let missed = Locked<[String]>([])
        let done = Locked(0)
        let helpers = (0..<threads).map { thread in
            Transport.Thread.start(name: "flips") {
                for place in stride(from: thread, to: places.count, by: threads) {
                    let (path, bit) = places[place]
                    var spoilt = files
                    spoilt[path]?[bit / 8] ^= 1 << UInt8(bit % 8)
                    if (try? AuditVerifier.verify(MemorySource(spoilt), verifierKey: vkey, threads: 1)) != nil {
                        missed.withLock { $0.append("\(path), bit \(bit)") }
                    }
                    let count = done.withLock { done in
                        done += 1
                        return done
                    }
                    if count % 256 == 0 { progress.update(count) }
                }
            }
        }
        for helper in helpers { Transport.Thread.join(helper) }
        progress.finish()
        let found = missed.withLock { $0 }
        print("\(places.count) one-bit changes of \(files.count) files, a log of \(entries) entries: \(found.count) not found")
        guard found.isEmpty else { throw ScenarioError.failed(step: "flips", found.prefix(5).joined(separator: "; ")) }
    }

    /// All files below a directory by their path in it.
    private static func read(_ directory: String, _ prefix: String = "") throws -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        for name in try DurableFile.list(directory) {
            let path = directory + "/" + name
            if DurableFile.isDirectory(path) {
                files.merge(try read(path, prefix + name + "/")) { old, _ in old }
            } else {
                files[prefix + name] = try DurableFile.read(path, maxBytes: 64 << 20)
            }
        }
        return files
    }
}
