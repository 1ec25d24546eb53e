// The node's two connections to the coordinator: one that waits for instructions, one that sends. Nodes only
// dial out. `protocol/federation.md` §3.

import Codec
import Cryptography
import Glibc
import HTTP
import Messages
import Transport

/// Talks to the coordinator; blocking.
final class CoordinatorLink: Sendable {
    private let polling: HTTPClient
    private let sending: HTTPClient
    private let session: [UInt8]
    private let egress: EgressRecord

    /// Seconds that a poll may take: what the coordinator holds it, and time for the way.
    private static let pollTimeoutSeconds = 40.0

    init(_ directory: NodeDirectory, egress: EgressRecord) throws {
        let tls = try TLSContext.client(
            trust: .authority(directory.coordinatorAuthority), identity: ([directory.clientCertificate], directory.clientKey),
            protocols: ["http/1.1"])
        let address = directory.configuration.coordinator
        let proxy = try directory.configuration.proxy.map { try HTTPProxy(url: $0) }
        var configuration = HTTPClientConfiguration(host: address.host, port: address.port, tls: tls, proxy: proxy)
        configuration.limits.bodyBytesMax = Instruction.bytesMax
        polling = try HTTPClient(configuration: configuration)
        sending = try HTTPClient(configuration: configuration)
        session = SystemRandom.shared.bytes(16)
        self.egress = egress
    }

    /// Waits for instructions after a sequence number; empty when none came in time.
    func poll(after sequence: UInt64) throws -> InstructionBatch {
        var writer = ByteWriter()
        writer.raw(session)
        writer.u64(sequence)
        try egress.note("poll", writer.bytes)
        let request = HTTPRequest(method: "POST", target: "/federation/v1/poll", body: writer.bytes)
        let response = try polling.send(request, timeoutSeconds: CoordinatorLink.pollTimeoutSeconds)
        guard response.isSuccess else { throw refusal(response) }
        return try InstructionBatch(encoded: response.body)
    }

    /// Fetches a blob that an instruction named and checks it.
    func blob(_ digest: Digest) throws -> [UInt8] {
        let response = try sending.send(HTTPRequest(method: "GET", target: "/federation/v1/blobs/\(digest.hex)"), timeoutSeconds: 120)
        guard response.isSuccess else { throw refusal(response) }
        guard SHA256.hash(response.body) == digest else {
            throw NodeError.refused(code: "blob.digest", "the coordinator sent other bytes than it named")
        }
        return response.body
    }

    /// Sends a report; noted in the egress record first.
    func send(_ report: Report) throws {
        let body = report.encoded
        try egress.note(report.egressType, body)
        var isAggregation = false
        if case .aggregation = report { isAggregation = true }
        for attempt in 1... {
            let response = try sending.send(
                HTTPRequest(method: "POST", target: "/federation/v1/reports", body: body), timeoutSeconds: 120)
            if response.isSuccess { return }
            let error = refusal(response)
            // The coordinator takes only so many uploads at a time: the same bytes, a little later.
            if error.code == "round.uploads-busy", attempt < 600 {
                usleep(100_000)
                continue
            }
            // A message that came too late or was not needed any more: the round says what comes next.
            if isAggregation, error.code.hasPrefix("round.") { return }
            throw error
        }
    }

    /// Ends a waiting poll, for good.
    func stop() {
        polling.interrupt()
        sending.interrupt()
    }

    private func refusal(_ response: HTTPResponse) -> NodeError {
        let code = (try? JSONValue.parse(response.body, dialect: .strict))?["code"]?.stringValue ?? "coordinator.\(response.status)"
        return .refused(code: code, response.errorMessage ?? "the coordinator answered with status \(response.status)")
    }
}
