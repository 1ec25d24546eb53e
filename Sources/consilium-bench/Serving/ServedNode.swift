import Codec
import Cryptography
import Glibc
import HTTP
import Simulation
import Storage
import Study
import Telemetry
import Transport

/// A node that is measured, as its callers see it.
final class ServedNode: Sendable {
    let process: ChildProcess
    /// A key of role predict.
    let key: String
    /// From the start of the process to its first answer.
    let startMilliseconds: Int
    private let address: ListenAddress
    private let authority: Certificate?

    init(_ state: String, _ process: ChildProcess, isPlain: Bool, started: UInt64) throws {
        self.process = process
        var url: String?
        for _ in 0..<10_000 where url == nil {
            usleep(1000)
            url = (try? DurableFile.read(state + "/endpoint.json", maxBytes: 4096))
                .flatMap { try? JSONValue.parse($0, dialect: .strict) }?["url"]?.stringValue
        }
        guard let url, let scheme = url.firstRange(of: "://") else {
            throw ScenarioError.failed(step: "serving", "the node was not ready within 10 seconds")
        }
        address = try ListenAddress(text: String(url[scheme.upperBound...]), path: "url")
        key = String(decoding: try KeyFile.read(state + "/keys/predict.key").exposedCopy(), as: UTF8.self)
        authority = isPlain
            ? nil : try Certificate(pem: String(decoding: DurableFile.read(state + "/keys/serving-ca.crt.pem", maxBytes: 1 << 16), as: UTF8.self))
        let first = try ClosedLoad.client(address, authority)
        _ = try first.send(HTTPRequest(method: "GET", target: "/v2/health/ready"), timeoutSeconds: 10)
        startMilliseconds = Int((EventLoop.monotonicNanoseconds() - started) / 1_000_000)
        first.close()
    }

    /// Sends one request again and again.
    /// - Parameter rate: requests a second in all; as fast as answers come where nil.
    func load(_ request: HTTPRequest, connections: Int, seconds: Double, rate: Double? = nil, accepting refused: Int? = nil) throws -> ClosedLoad.Result {
        try ClosedLoad.run(address, authority, request, connections: connections, seconds: seconds, rate: rate, accepting: refused)
    }

    /// Resident memory, KiB.
    var residentKilobytes: Int {
        let text = (try? DurableFile.read("/proc/\(process.identifier)/status", maxBytes: 1 << 16)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        return line?.split(separator: " ").compactMap { Int($0) }.first ?? 0
    }
}

/// Load: a thread and a kept connection each, one request at a time, as fast as answers come or at a rate.
enum ClosedLoad {
    struct Result {
        /// Microseconds of every request that was answered with 200, ascending.
        var times: [Int]
        /// Of every request that was answered with the status that may be, ascending.
        var refused: [Int]
        var seconds: Double

        var line: String {
            guard let last = times.last else { return "no request was answered" }
            return "\(times.count) requests, \(Int(Double(times.count) / seconds)) a second; p50 \(times[times.count / 2]) us, "
                + "p99 \(times[times.count * 99 / 100]) us, slowest \(last) us"
        }
    }

    static func client(_ address: ListenAddress, _ authority: Certificate?) throws -> HTTPClient {
        try HTTPClient(
            configuration: HTTPClientConfiguration(
                host: address.host, port: address.port, tls: try authority.map { try TLSContext.client(trust: .authority($0)) }))
    }

    /// - Parameters:
    ///   - rate: requests a second over all connections. One that is due while its connection waits for an answer is left out.
    ///   - refused: a status other than 200 that may come.
    static func run(
        _ address: ListenAddress, _ authority: Certificate?, _ request: HTTPRequest, connections: Int, seconds: Double, rate: Double? = nil,
        accepting refused: Int? = nil
    ) throws -> Result {
        let results = Locked<(answered: [Int], refused: [Int])>(([], []))
        let problem = Locked<String?>(nil)
        let clients = try (0..<connections).map { _ in try client(address, authority) }
        let interval = rate.map { UInt64(1e9 * Double(connections) / $0) } ?? 0
        let begin = EventLoop.monotonicNanoseconds()
        let end = begin + UInt64(seconds * 1e9)
        let threads = clients.enumerated().map { number, client in
            Thread.start(name: "load-\(number)") {
                defer { client.close() }
                var (answered, shed): ([Int], [Int]) = ([], [])
                var due = begin + interval * UInt64(number) / UInt64(connections)
                while EventLoop.monotonicNanoseconds() < end {
                    var start = EventLoop.monotonicNanoseconds()
                    if interval > 0 {
                        while due + interval < start { due += interval }
                        if due > start { usleep(UInt32((due - start) / 1000)) }
                        due += interval
                        start = EventLoop.monotonicNanoseconds()
                    }
                    guard let response = try? client.send(request, timeoutSeconds: 30), response.isSuccess || response.status == refused else {
                        problem.withLock { $0 = "a request was not answered as it must be" }
                        break
                    }
                    let time = Int(EventLoop.monotonicNanoseconds() - start) / 1000
                    if response.isSuccess { answered.append(time) } else { shed.append(time) }
                }
                results.withLock {
                    $0.answered += answered
                    $0.refused += shed
                }
            }
        }
        for thread in threads { Thread.join(thread) }
        if let problem = problem.withLock({ $0 }) { throw ScenarioError.failed(step: "serving", problem) }
        let all = results.withLock { $0 }
        return Result(times: all.answered.sorted(), refused: all.refused.sorted(), seconds: seconds)
    }
}
