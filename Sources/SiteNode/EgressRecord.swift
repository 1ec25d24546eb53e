// Everything that ever left this site, for its privacy officer: one line a message with time, type, size and
// SHA-256, in `records/egress.jsonl`. The audit log holds a digest over the record at every completed round,
// so lines cannot be taken out later.

import Codec
import Cryptography
import Storage
import Telemetry

/// The record of outbound messages.
package final class EgressRecord: Sendable {
    /// Messages of one type.
    package struct Total: Equatable, Sendable {
        package var messages = 0
        package var bytes = 0
    }

    private struct State {
        var totals: [String: Total] = [:]
        var chain = SHA256.hash(Array("consilium/egress/v1".utf8))

        mutating func count(_ type: String, _ bytes: Int, line: [UInt8]) {
            totals[type, default: Total()].messages += 1
            totals[type, default: Total()].bytes += bytes
            chain = SHA256.hash(parts: chain.bytes, line)
        }
    }

    private let file: AppendFile
    private let clock: any Clock
    private let state = Locked(State())
    static let bytesMax = 4 << 30

    /// Opens the record and reads what it holds; a last line that a crash cut short is dropped.
    package init(directory: String, clock: any Clock) throws {
        try DurableFile.createDirectory(directory)
        let path = directory + "/egress.jsonl"
        self.clock = clock
        let old = DurableFile.exists(path) ? try DurableFile.read(path, maxBytes: EgressRecord.bytesMax) : []
        file = try AppendFile(path)
        let whole = (old.lastIndex(of: 0x0a).map { $0 + 1 }) ?? 0
        if whole < old.count { try file.truncate(to: whole) }
        for line in old[..<whole].split(separator: 0x0a) {
            guard let value = try? JSONValue.parse(Array(line), dialect: .strict), let type = value["type"]?.stringValue,
                let bytes = value["bytes"]?.intValue
            else { continue }
            state.withLock { $0.count(type, bytes, line: Array(line)) }
        }
    }

    /// Notes a message that is about to leave.
    ///
    /// - Throws: when the line cannot be written; the message must then not be sent.
    package func note(_ type: String, _ message: [UInt8]) throws {
        let line = (["t": .string(clock.now().iso8601), "type": .string(type), "bytes": .integer(Int64(message.count)),
            "sha256": .string(SHA256.hash(message).hex)] as JSONValue).canonicalBytes()
        // One turn for file and chain: the digest is over the lines in the order in which they stand in the file.
        try state.withLock { state in
            try file.append(line + [0x0a])
            state.count(type, message.count, line: line)
        }
    }

    /// Makes the lines so far durable.
    ///
    /// - Returns: a digest over all of them, for the log.
    package func seal() throws -> Digest {
        try state.withLock { state in
            try file.sync()
            return state.chain
        }
    }

    /// Totals by type, in order of type.
    package var totals: [(type: String, total: Total)] {
        state.withLock { state in state.totals.keys.sorted().map { ($0, state.totals[$0] ?? Total()) } }
    }
}
