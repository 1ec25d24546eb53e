import Codec
import FoundationEssentials
import Glibc
import Testing

/// The published values of `dp/reference.json`, by section.
enum Reference {
    private static let document: JSONValue? = {
        let root = #filePath.split(separator: "/").dropLast(4).joined(separator: "/")
        let named = unsafe getenv("CONSILIUM_VECTORS").map { unsafe String(cString: $0) }
        for folder in [named, "/\(root)/../shared/vectors"].compactMap({ $0 }) {
            guard let data = FileManager.default.contents(atPath: folder + "/dp/reference.json") else { continue }
            return try? JSONValue.parse(Array(data), dialect: .strict)
        }
        print("SKIPPED: accounting against published values: no dp/reference.json found (set CONSILIUM_VECTORS)")
        return nil
    }()

    /// Cases of a section; none when the file is not on this machine.
    static func cases(_ section: String) -> [Case] {
        (document?[section]?.arrayValue ?? []).map(Case.init)
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let value: JSONValue
        var testDescription: String { value["id"]?.stringValue ?? "?" }

        /// A number by its path of keys.
        func number(_ path: String...) throws -> Double {
            var place = value
            for key in path { place = try #require(place[key], "\(testDescription) lacks \(path)") }
            return try #require(place.doubleValue)
        }

        func optional(_ key: String) -> Double? { value[key]?.doubleValue }
        func steps() throws -> Int { try #require(value["steps"]?.intValue) }
        func bracket() throws -> ClosedRange<Double> {
            let ends = try #require(value["truth_bracket"]?.arrayValue).compactMap(\.doubleValue)
            try #require(ends.count == 2)
            return ends[0]...ends[1]
        }
    }
}

/// |a/b − 1|.
func relativeDifference(_ a: Double, _ b: Double) -> Double { a == b ? 0 : abs(a / b - 1) }
