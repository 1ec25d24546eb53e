// c2sp.org/tlog-cosignature, cosignature/v1: the blob behind the key ID is u64 BE seconds || Ed25519 signature over
//   cosignature/v1\n
//   time <seconds, decimal>\n
//   <checkpoint text>
import Cryptography

/// A witness's statement that at a time it knew a checkpoint as consistent with all it had seen before.
package struct Cosignature: Equatable, Sendable {
    /// Seconds since 1970, at most 2^63 - 1.
    package let timeSeconds: UInt64
    /// 64 bytes.
    package let signature: [UInt8]

    /// nil when the length is wrong or the time out of range.
    package init?(blob: [UInt8]) {
        guard blob.count == 72 else { return nil }
        timeSeconds = blob.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        signature = Array(blob.dropFirst(8))
        guard timeSeconds <= UInt64(Int64.max) else { return nil }
    }

    /// Signs the text of a checkpoint.
    package init(text: [UInt8], timeSeconds: UInt64, key: SigningKey) {
        precondition(timeSeconds <= UInt64(Int64.max), "a time fits 63 bits")
        self.timeSeconds = timeSeconds
        signature = key.sign(Self.message(text: text, timeSeconds: timeSeconds))
    }

    /// The blob of the signature line.
    package var blob: [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: timeSeconds >> UInt64(56 - 8 * $0)) } + signature
    }

    /// Whether the key signed this text at this time.
    package func isValid(for text: [UInt8], key: VerifyingKey) -> Bool {
        key.isValid(signature, for: Self.message(text: text, timeSeconds: timeSeconds))
    }

    /// The bytes that are signed.
    package static func message(text: [UInt8], timeSeconds: UInt64) -> [UInt8] {
        Array("cosignature/v1\ntime \(timeSeconds)\n".utf8) + text
    }
}
