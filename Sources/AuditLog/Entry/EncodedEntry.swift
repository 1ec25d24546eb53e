// The writer of canonical entries. Keys are written in their sorted order, so nothing is sorted but `details`.
// Everything but `seq` and `t` is written by the caller's thread; the log's thread only puts those in.
import Codec
import Cryptography

/// An entry that is ready but for its number and time.
struct EncodedEntry: Sendable {
    private let text: [UInt8]
    /// Where the number and the time go.
    private let numberPlace: Int
    private let timePlace: Int

    /// The digits of the largest number and time.
    private static let numberBytesMax = 2 * 19

    init(_ entry: LogEntry) throws(EntryError) {
        var writer = CanonicalWriter()
        writer.bytes.append(UInt8(ascii: "{"))
        try writer.field("actor", identifier: entry.actor)
        if let written = entry.written, !written.isEmpty {
            writer.key("details")
            written.append(to: &writer.bytes)
        } else if !entry.details.isEmpty {
            writer.key("details")
            try writer.value(.object(entry.details), depth: 0, field: "details")
        }
        if let model = entry.model { try writer.field("model", identifier: model) }
        writer.field("payload_commit", entry.payloadCommitment)
        writer.field("payload_sha256", entry.payloadDigest)
        try writer.field("role", identifier: entry.role)
        if let round = entry.round {
            guard (0...CanonicalWriter.integerMax).contains(round) else {
                throw .field("round", problem: "out of range")
            }
            writer.key("round")
            writer.bytes.append(decimal: round)
        }
        writer.key("seq")
        numberPlace = writer.bytes.count
        if let site = entry.site { try writer.field("site", identifier: site) }
        writer.field("subject_commit", entry.subjectCommitment)
        writer.key("t")
        timePlace = writer.bytes.count
        writer.key("type")
        writer.string(entry.type.rawValue)
        writer.key("v")
        writer.bytes.append(decimal: LogEntry.version)
        writer.bytes.append(UInt8(ascii: "}"))
        text = writer.bytes
        let length = text.count + Self.numberBytesMax
        guard length <= LogEntry.bytesMax else { throw .tooLarge(bytes: length) }
    }

    func bytes(seq: UInt64, milliseconds: Int64) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count + Self.numberBytesMax)
        bytes += text[..<numberPlace]
        bytes.append(decimal: seq)
        bytes += text[numberPlace..<timePlace]
        bytes.append(decimal: Int(milliseconds))
        bytes += text[timePlace...]
        return bytes
    }
}

/// Writes the subset of RFC 8785 that entries use.
struct CanonicalWriter {
    /// Largest integer that every JSON reader keeps exactly.
    static let integerMax = 9_007_199_254_740_991
    /// How deep `details` may nest.
    static let depthMax = 8
    /// Longest key in `details`, in bytes.
    static let keyBytesMax = 64

    var bytes: [UInt8] = []

    init() { bytes.reserveCapacity(512) }

    mutating func text(_ text: String) { bytes.append(contentsOf: text.utf8) }

    mutating func key(_ name: String) {
        if bytes.last != UInt8(ascii: "{") { bytes.append(UInt8(ascii: ",")) }
        bytes.append(UInt8(ascii: "\""))
        text(name)
        bytes.append(UInt8(ascii: "\""))
        bytes.append(UInt8(ascii: ":"))
    }

    mutating func field(_ name: String, identifier: String) throws(EntryError) {
        guard (1...LogEntry.identifierBytesMax).contains(identifier.utf8.count) else {
            throw .field(name, problem: "must have 1 to \(LogEntry.identifierBytesMax) bytes")
        }
        key(name)
        string(identifier)
    }

    mutating func field(_ name: String, _ digest: Digest?) {
        guard let digest else { return }
        key(name)
        bytes.append(UInt8(ascii: "\""))
        digest.appendHex(to: &bytes)
        bytes.append(UInt8(ascii: "\""))
    }

    mutating func value(_ value: JSONValue, depth: Int, field: String) throws(EntryError) {
        guard depth < Self.depthMax else {
            throw .field(field, problem: "nests deeper than \(Self.depthMax)")
        }
        switch value {
        case .null: text("null")
        case .bool(let flag): text(flag ? "true" : "false")
        case .integer(let number):
            guard number.magnitude <= UInt64(Self.integerMax) else {
                throw .field(field, problem: "an integer beyond 2^53")
            }
            text("\(number)")
        case .number:
            throw .field(field, problem: "holds a binary float; write fractions as decimal strings")
        case .string(let string): self.string(string)
        case .array(let values):
            bytes.append(UInt8(ascii: "["))
            for (index, element) in values.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                try self.value(element, depth: depth + 1, field: field)
            }
            bytes.append(UInt8(ascii: "]"))
        case .object(let members):
            bytes.append(UInt8(ascii: "{"))
            for name in try Self.sortedKeys(members, field: field) {
                guard let member = members[name] else { continue }
                key(name)
                try self.value(member, depth: depth + 1, field: field)
            }
            bytes.append(UInt8(ascii: "}"))
        }
    }

    /// Keys are printable ASCII without quote and backslash, so their byte order is the order RFC 8785 asks for.
    private static func sortedKeys(_ members: [String: JSONValue], field: String) throws(EntryError)
        -> [String]
    {
        for key in members.keys {
            guard (1...keyBytesMax).contains(key.utf8.count), key.utf8.allSatisfy(isKeyByte) else {
                throw .field(
                    field, problem: "a key must be 1 to \(keyBytesMax) printable ASCII characters")
            }
        }
        return members.keys.sorted()
    }

    static func isKeyByte(_ byte: UInt8) -> Bool {
        (0x20...0x7E).contains(byte) && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
    }

    mutating func string(_ value: String) { Self.append(value, to: &bytes) }

    /// RFC 8785 section 3.2.2.2: the two-character escapes where they exist, \u00xx for other control characters, all else as is.
    static func append(_ value: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        let start = bytes.count
        bytes.append(contentsOf: value.utf8)
        var place = start
        while place < bytes.count, bytes[place] >= 0x20, bytes[place] != UInt8(ascii: "\""), bytes[place] != UInt8(ascii: "\\") { place += 1 }
        if place < bytes.count {
            let text = Array(bytes[start...])
            bytes.removeSubrange(start...)
            for byte in text { appendEscaped(byte, to: &bytes) }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private static func appendEscaped(_ byte: UInt8, to bytes: inout [UInt8]) {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"):
            bytes.append(UInt8(ascii: "\\"))
            bytes.append(byte)
        case 0x08: bytes.append(contentsOf: "\\b".utf8)
        case 0x09: bytes.append(contentsOf: "\\t".utf8)
        case 0x0A: bytes.append(contentsOf: "\\n".utf8)
        case 0x0C: bytes.append(contentsOf: "\\f".utf8)
        case 0x0D: bytes.append(contentsOf: "\\r".utf8)
        case 0..<0x20:
            bytes.append(contentsOf: "\\u00".utf8)
            bytes.append(contentsOf: Hex.encode([byte]).utf8)
        default: bytes.append(byte)
        }
    }
}
