import Cryptography
import Telemetry

/// What a verified log holds.
package struct AuditReport: Equatable, Sendable {
    package let origin: String
    package let size: UInt64
    package let root: Digest
    /// The key that signed, as text.
    package let verifierKey: String
    /// Names of cosigning witnesses whose keys were given, sorted.
    package let cosigners: [String]
    /// Entries before this one are past their retention and were not given out; 0 when all were read.
    package let firstIndex: UInt64
    /// Entries by type; empty for logs whose entries were not read as events.
    package let counts: [String: Int]
    package let firstTime: Timestamp?
    package let lastTime: Timestamp?
}
