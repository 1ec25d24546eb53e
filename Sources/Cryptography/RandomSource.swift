import COpenSSL

/// Where randomness comes from: the system in production, a seed in a simulation. Safe to share
/// between threads.
package protocol RandomSource: AnyObject, Sendable {
    /// `count` uniform bytes for public values: nonces, salts, identifiers.
    func bytes(_ count: Int) -> [UInt8]
    /// `count` uniform bytes for private values, which never touch ordinary memory.
    func secret(_ count: Int) -> SecretBytes
}

extension RandomSource {
    /// A uniform number in 0..<bound, by rejection, so without bias.
    /// - Parameter bound: at least 1.
    package func uniform(below bound: UInt64) -> UInt64 {
        precondition(bound > 0, "a range to draw from must not be empty")
        // The largest multiple of `bound` that fits: draws at or above it would favour small
        // values.
        let excess = (UInt64.max % bound + 1) % bound
        while true {
            let draw = word()
            if draw <= UInt64.max - excess { return draw % bound }
        }
    }

    /// A uniform number in 0..<bound.
    package func uniform(below bound: Int) -> Int {
        precondition(bound > 0, "a range to draw from must not be empty")
        return Int(uniform(below: UInt64(bound)))
    }

    /// A uniform multiple of 2^-53 in 0..<1.
    package func double() -> Double {
        Double(word() >> 11) * 0x1p-53
    }

    /// 64 uniform bits.
    package func word() -> UInt64 {
        bytes(8).reduce(0) { $0 << 8 | UInt64($1) }
    }
}

/// OpenSSL's generator, seeded by the kernel. If it fails the process stops: there is nothing safe
/// to do without it.
package final class SystemRandom: RandomSource {
    /// The one instance that is needed.
    package static let shared = SystemRandom()

    package init() {}

    package func bytes(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        // Safe: the pieces lie within the array.
        unsafe bytes.withUnsafeMutableBytes { unsafe Self.fill($0) { unsafe RAND_bytes($0, $1) } }
        return bytes
    }

    package func secret(_ count: Int) -> SecretBytes {
        SecretBytes(count: count) { span in
            // Safe: the pieces lie within the span.
            unsafe span.withUnsafeMutableBytes {
                unsafe Self.fill($0) { unsafe RAND_priv_bytes($0, $1) }
            }
        }
    }

    /// The generators take an `Int32` length, so feed them in pieces.
    private static func fill(
        _ buffer: UnsafeMutableRawBufferPointer,
        from draw: (UnsafeMutablePointer<UInt8>?, Int32) -> Int32
    ) {
        let pieceBytesMax = 1 << 20
        let bytes = unsafe buffer.bindMemory(to: UInt8.self)
        for start in stride(from: 0, to: bytes.count, by: pieceBytesMax) {
            let piece = unsafe UnsafeMutableBufferPointer(
                rebasing: bytes[start..<min(bytes.count, start + pieceBytesMax)])
            let result = unsafe draw(piece.baseAddress, Int32(piece.count))
            precondition(
                result == 1, "OpenSSL's random generator failed: the system has no entropy source")
        }
    }
}
