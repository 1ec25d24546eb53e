import Codec
import Cryptography
import Storage
import Testing

@testable import AuditLog

/// The published vectors: beside the package, or where `CONSILIUM_VECTORS` says.
enum Vectors {
    static let directory: String? = {
        let root = Array(#filePath.split(separator: "/").dropLast(3)).joined(separator: "/")
        let candidates = [environment("CONSILIUM_VECTORS"), "/\(root)/../shared/vectors"].compactMap
        { $0 }
        return candidates.first { DurableFile.exists("\($0)/tlog/notes.json") }
    }()

    /// A vector file; nil, with a message, when the vectors are not on this machine.
    static func json(_ name: String) throws -> JSONValue? {
        guard let directory else {
            print(
                "skipped: the vectors are not on this machine (set CONSILIUM_VECTORS); wanted \(name)"
            )
            return nil
        }
        return try JSONValue.parse(
            DurableFile.read("\(directory)/\(name)", maxBytes: 16 << 20), dialect: .strict)
    }
}

extension JSONValue {
    /// Members a vector must have; a missing one is a broken vector file.
    func text(_ key: String) throws -> String { try #require(self[key]?.stringValue) }
    func list(_ key: String) throws -> [JSONValue] { try #require(self[key]?.arrayValue) }
    func asText() throws -> String { try #require(stringValue) }
    func asBase64() throws -> [UInt8] {
        let text = try asText()
        return try #require(Base64.decode(text))
    }
    func asHex() throws -> [UInt8] {
        let text = try asText()
        return try #require(Hex.decode(text))
    }
    func asDigest() throws -> Digest {
        let text = try asText()
        return try #require(Digest(hex: text))
    }
    private func member(_ key: String) throws -> JSONValue { try #require(self[key]) }
    func base64(_ key: String) throws -> [UInt8] { try member(key).asBase64() }
    func hex(_ key: String) throws -> [UInt8] { try member(key).asHex() }
    func digest(_ key: String) throws -> Digest { try member(key).asDigest() }
    func digests(_ key: String) throws -> [Digest] {
        try list(key).map { try $0.asDigest() }
    }
    func int(_ key: String) throws -> Int { try #require(self[key]?.intValue) }

    /// Whole numbers up to 2^64 - 1, which the JSON value holds as a rounded number when they are large.
    func uint64(_ key: String) throws -> UInt64 {
        switch try member(key) {
        case .integer(let value): return UInt64(value)
        case .number(let value): return value >= 0x1p64 ? .max : UInt64(value)
        default: throw EntryError.field(key, problem: "not a number")
        }
    }
}
