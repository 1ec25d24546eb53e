import SecureAggregation

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Counts and seeds from the environment: short by default, long on request.
enum TestSettings {
    /// `CONSILIUM_SEED`, or a fixed one.
    static var seed: UInt64 { number("CONSILIUM_SEED").map(UInt64.init) ?? 20_261_124 }

    /// `CONSILIUM_LONG=1`: the full counts.
    static var isLong: Bool { number("CONSILIUM_LONG") == 1 }

    static func count(_ name: String, default count: Int) -> Int { number(name) ?? count }

    static func text(_ name: String, default text: String) -> String { variable(name) ?? text }

    private static func number(_ name: String) -> Int? { variable(name).flatMap { Int($0) } }

    private static func variable(_ name: String) -> String? {
        // Safe: getenv returns a C string or null; nothing in these tests sets the environment.
        unsafe getenv(name).map { unsafe String(cString: $0) }
    }
}
