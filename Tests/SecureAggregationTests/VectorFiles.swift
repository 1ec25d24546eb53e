import Codec
import Cryptography
import Testing

@testable import SecureAggregation

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// `protocol/vectors/secure-aggregation/NAME.json`, made by `Tests/reference/make_secure_aggregation_vectors.py`.
enum VectorFiles {
    static func load(_ name: String) throws -> JSONValue {
        try JSONValue.parse(
            file("vectors/secure-aggregation/\(name).json"), dialect: .strict, limits: .default)
    }

    /// The text of `protocol/secure-aggregation.md`.
    static func specification() throws -> String {
        String(decoding: try file("secure-aggregation.md"), as: UTF8.self)
    }

    private static func file(_ name: String) throws -> [UInt8] {
        let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
            .joined(separator: "/")
        return try #require(read("\(root)/protocol/\(name)"), "cannot read protocol/\(name)")
    }

    private static func read(_ path: String) -> [UInt8]? {
        // Safe: the file is opened, read into an array of its own size and closed.
        guard let file = unsafe fopen(path, "rb") else { return nil }
        defer { unsafe fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = unsafe fread(&chunk, 1, chunk.count, file)
            if count == 0 { return bytes }
            bytes += chunk[..<count]
        }
    }
}

extension JSONValue {
    func bytes(_ key: String) -> [UInt8] { Hex.decode(self[key]!.stringValue!)! }
    func text(_ key: String) -> String { self[key]!.stringValue! }
    func number(_ key: String) -> Int { Int(self[key]!.intValue!) }
    func list(_ key: String) -> [JSONValue] { self[key]!.arrayValue! }
    func words(_ key: String) -> [UInt32] { list(key).map { UInt32($0.intValue!) } }
    func byteLists(_ key: String) -> [[UInt8]] { list(key).map { Hex.decode($0.stringValue!)! } }
    func doubles(_ key: String) -> [Double] { list(key).map { JSONValue.double($0.stringValue!) } }
    func double(_ key: String) -> Double { JSONValue.double(text(key)) }
    private static func double(_ hex: String) -> Double {
        Double(bitPattern: UInt64(hex, radix: 16)!)
    }
}
