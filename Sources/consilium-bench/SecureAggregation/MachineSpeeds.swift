// What this machine does at best, measured in the run that is judged by it: the physical limit of a row is what
// its primitives alone would cost at these speeds.

import Cryptography
import Glibc
import Kernels
import Simulation
import Storage

/// Times of this process and thread, in seconds.
enum BenchClock {
    /// CPU time of the calling thread.
    static func thread() -> Double { seconds(CLOCK_THREAD_CPUTIME_ID) }
    /// CPU time of all threads.
    static func process() -> Double { seconds(CLOCK_PROCESS_CPUTIME_ID) }
    static func wall() -> Double { seconds(CLOCK_MONOTONIC) }

    private static func seconds(_ clock: clockid_t) -> Double {
        var time = timespec()
        unsafe clock_gettime(clock, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}

/// Speeds of one core.
struct MachineSpeeds {
    /// Bytes a second of `openssl speed -evp aes-256-ctr` at 16 KiB.
    var opensslAES: Double
    /// Bytes a second of the fastest AES-256-CTR here: OpenSSL's, or ours with the tile in the cache.
    var bestAES: Double
    /// Bytes a second of SHA-256.
    var sha: Double
    /// Bytes a second when a vector of 64 MiB is added to another.
    var memory: Double
    /// Seconds of one operation.
    var agree, sign, verify: Double
    /// 64 × 64 → 128 bit multiplications a second, four chains at once.
    var multiply: Double

    private static let tileWords = 4096

    init() throws {
        opensslAES = try MachineSpeeds.opensslSpeed()
        bestAES = max(opensslAES, try MachineSpeeds.vectorSpeed())
        let text = [UInt8](repeating: 1, count: 1 << 22)
        sha = try MachineSpeeds.rate(Double(text.count)) { _ = SHA256.hash(text) }
        memory = try MachineSpeeds.memorySpeed()
        let key = AgreementKey.generate(random: SystemRandom.shared)
        let peer = AgreementKey.generate(random: SystemRandom.shared).publicKey
        agree = 1 / (try MachineSpeeds.rate(1) { _ = try key.agree(with: peer) })
        let signer = SigningKey.generate(random: SystemRandom.shared)
        let message = [UInt8](repeating: 3, count: 32)
        let signature = signer.sign(message)
        sign = 1 / (try MachineSpeeds.rate(1) { _ = signer.sign(message) })
        verify = 1 / (try MachineSpeeds.rate(1) { _ = signer.publicKey.isValid(signature, for: message) })
        multiply = try MachineSpeeds.multiplySpeed()
    }

    /// Units a second of CPU time, over at least a quarter of a second; the best of three stretches.
    private static func rate(_ units: Double, _ work: () throws -> Void) throws -> Double {
        var best = 0.0
        try work()
        for _ in 0..<3 {
            var done = 0.0
            let start = BenchClock.thread()
            var elapsed = 0.0
            while elapsed < 0.25 {
                try work()
                done += units
                elapsed = BenchClock.thread() - start
            }
            best = max(best, done / elapsed)
        }
        return best
    }

    /// Our kernel on one tile that stays in the cache; 0 where there is none.
    private static func vectorSpeed() throws -> Double {
        guard VectorAES.isAvailable else { return 0 }
        var schedule = [UInt8](repeating: 0, count: VectorAES.scheduleBytes)
        let key = [UInt8](repeating: 9, count: 32)
        // Safe: every byte of a byte array is initialised, and any byte is one.
        var output = schedule.mutableSpan
        var bytes = unsafe output.mutableBytes
        unsafe VectorAES.expand(key.span.bytes, into: &bytes, at: 0)
        var tile = [UInt32](repeating: 0, count: tileWords)
        let passes = 100
        return try rate(4 * Double(tileWords * passes)) {
            var words = tile.mutableSpan
            for _ in 0..<passes {
                unsafe VectorAES.add(schedule.span.bytes, at: 0, isAdded: true, firstBlock: 0, to: &words, 0..<tileWords)
            }
        }
    }

    private static func memorySpeed() throws -> Double {
        let count = 16 << 20
        let source = [UInt32](repeating: 1, count: count)
        var target = [UInt32](repeating: 2, count: count)
        return try rate(Double(4 * count)) {
            for index in 0..<count { target[index] = target[index] &+ source[index] }
        }
    }

    private static func multiplySpeed() throws -> Double {
        let rounds = 1_000_000
        var chains: (UInt64, UInt64, UInt64, UInt64) = (3, 5, 7, 11)
        let result = try rate(Double(4 * rounds)) {
            var (a, b, c, d) = chains
            for _ in 0..<rounds {
                a = a.multipliedFullWidth(by: 0x1fff_ffff_ffff_fff1).high | 1
                b = b.multipliedFullWidth(by: 0x1fff_ffff_ffff_fff1).high | 1
                c = c.multipliedFullWidth(by: 0x1fff_ffff_ffff_fff1).high | 1
                d = d.multipliedFullWidth(by: 0x1fff_ffff_ffff_fff1).high | 1
                a ^= 0x5555_5555_5555_5555
                b ^= 0x5555_5555_5555_5555
                c ^= 0x5555_5555_5555_5555
                d ^= 0x5555_5555_5555_5555
            }
            chains = (a, b, c, d)
        }
        guard chains.0 != 0 else { throw ScenarioError.failed(step: "speeds", "the multiplications were lost") }
        return result
    }

    /// The last number of the last line, for instance `AES-256-CTR    8254799.87k`, is in thousands of bytes.
    private static func opensslSpeed() throws -> Double {
        try Bench.inTemporaryDirectory { directory in
            let log = directory + "/openssl.log"
            try ChildProcess.run(
                "/usr/bin/openssl", ["speed", "-seconds", "1", "-bytes", "16384", "-evp", "aes-256-ctr"], logPath: log)
            let text = String(decoding: try DurableFile.read(log, maxBytes: 1 << 16), as: UTF8.self)
            guard let line = text.split(separator: "\n").last(where: { $0.hasPrefix("AES-256-CTR") }),
                let number = line.split(separator: " ").last, number.hasSuffix("k"), let thousands = Double(number.dropLast())
            else { throw ScenarioError.failed(step: "openssl speed", "its last line is not a speed") }
            return thousands * 1000
        }
    }
}
