#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import SecureAggregation

/// Counts and seeds from the environment: short by default, long on request.
enum TestSettings {
    /// `CONSILIUM_SEED`, or a fixed one.
    static var seed: UInt64 { number("CONSILIUM_SEED").map(UInt64.init) ?? 20_261_124 }

    static func count(_ name: String, default count: Int) -> Int { number(name) ?? count }

    private static func number(_ name: String) -> Int? {
        // Safe: getenv returns a C string or null; nothing in these tests sets the environment.
        guard let text = unsafe getenv(name) else { return nil }
        return Int(unsafe String(cString: text))
    }
}
