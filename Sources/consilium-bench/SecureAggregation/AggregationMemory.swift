// What a coordinator holds of a round: a process that plays nothing but the coordinator gets every message of 100
// sites through a pipe, and says how far its resident memory grew at the most.

import Glibc
import SecureAggregation
import Simulation
import Storage
import Synchronization
import Telemetry

enum AggregationMemory {
    static let childArgument = "--play-coordinator"
    private static let (sites, elements) = (100, 1_000_000)

    static func row(_ speeds: MachineSpeeds) throws -> [BenchRow] {
        let megabytes = try Bench.inTemporaryDirectory { directory in
            guard let program = ChildProcess.ownProgram else { throw ScenarioError.unusable("/proc/self/exe cannot be read") }
            let (pipe, log) = (directory + "/messages", directory + "/child.log")
            guard unsafe mkfifo(pipe, 0o600) == 0 else { throw ScenarioError.unusable("no pipe can be made in \(directory)") }
            let child = try ChildProcess(program, ["secure-aggregation", childArgument, pipe], logPath: log)
            let output = PipeEnd(pipe, O_WRONLY)
            let federation = try BenchFederation(sites: sites, elements: elements, threads: 2, serverThreads: 1) { site, message in
                output.write(site, message)
            }
            try federation.run()
            output.close()
            guard child.wait() == 0, let text = String(validating: try DurableFile.read(log, maxBytes: 4096), as: UTF8.self),
                let kilobytes = Double(text.split(separator: "\n").last ?? "")
            else { throw ScenarioError.failed(step: "coordinator process", child.lastLines) }
            return kilobytes / 1024
        }
        let vector = Double(4 * elements) / 1048576
        return [
            BenchRow(
                name: "memory", what: "coordinator, n = 100, 10^6 parameters: growth of resident memory", unit: "MB",
                measured: megabytes, limit: vector, aim: 2.5 * vector + 64)
        ]
    }

    /// The child: reads messages until the round is over; prints the growth in kilobytes.
    static func child(_ arguments: [String]) throws {
        guard arguments.count == 1 else { throw ScenarioError.unusable("\(childArgument) takes a pipe") }
        let cohort = try BenchCohort(sites: sites, elements: elements)
        let input = PipeEnd(arguments[0], O_RDONLY)
        let before = try status("VmRSS:")
        var server = BenchFederation.Server(session: cohort.server(parallelism: 1))
        let opening = server.session.open()
        BenchFederation.collect(opening, &server)
        while let (site, message) = input.read() {
            BenchFederation.take(message, from: site, &server)
            // Sent: the transport's queue is not what is measured here.
            server.out = []
            if let refusal = server.refused { throw ScenarioError.failed(step: "round", "\(refusal)") }
        }
        guard server.sum?.survivors.count == sites else { throw ScenarioError.failed(step: "round", "no sum") }
        print(try status("VmHWM:") - before)
    }

    private static func status(_ field: String) throws -> Int {
        let text = String(decoding: try DurableFile.read("/proc/self/status", maxBytes: 1 << 16), as: UTF8.self)
        for line in text.split(separator: "\n") where line.hasPrefix(field) {
            return line.split(whereSeparator: { $0 == " " || $0 == "\t" }).compactMap { Int($0) }.first ?? 0
        }
        throw ScenarioError.unusable("/proc/self/status has no \(field)")
    }
}

/// One end of a pipe with messages: u32 site, u32 length, both as they lie in memory, then the bytes.
private final class PipeEnd: Sendable {
    private let file: Int32

    init(_ path: String, _ flags: Int32) { file = unsafe open(path, flags | O_CLOEXEC) }

    func close() { _ = Glibc.close(file) }

    func write(_ site: UInt32, _ message: [UInt8]) {
        let frame = [site, UInt32(message.count)].flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
        for bytes in [frame, message] {
            var done = 0
            while done < bytes.count {
                // Safe: the pointer and what is left of the array belong together.
                let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(file, $0.baseAddress! + done, bytes.count - done) }
                guard count > 0 else { return }
                done += count
            }
        }
    }

    /// Nil at the end.
    func read() -> (UInt32, [UInt8])? {
        guard let frame = read(8) else { return nil }
        let words = [0, 4].map { start in (0..<4).reduce(UInt32(0)) { $0 | UInt32(frame[start + $1]) << UInt32(8 * $1) } }
        return read(Int(words[1])).map { (words[0], $0) }
    }

    private func read(_ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            // Safe: as above.
            let read = unsafe bytes.withUnsafeMutableBytes { unsafe Glibc.read(file, $0.baseAddress! + done, count - done) }
            guard read > 0 else { return nil }
            done += read
        }
        return bytes
    }
}
