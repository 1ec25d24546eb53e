import CShims

/// An Ed25519 public key (RFC 8032). Cost: about 160 µs to verify.
package struct VerifyingKey: Hashable, Sendable {
    /// Size of a public key.
    package static let keyBytes = 32

    /// 32 bytes.
    package let bytes: [UInt8]

    /// - Returns: nil unless there are 32 bytes that are not one of the small-order points. Under a
    ///   small-order key one signature is valid for many messages, so such a key identifies nobody.
    package init?(bytes: [UInt8]) {
        guard bytes.count == Self.keyBytes, !Self.hasSmallOrder(bytes) else { return nil }
        self.bytes = bytes
    }

    /// Whether `signature` is this key's signature of `message`. A signature of another length, one
    /// with S not below the group order (a malleated copy) and a key that is no point are all
    /// simply not valid.
    package func isValid(_ signature: [UInt8], for message: [UInt8]) -> Bool {
        guard signature.count == SigningKey.signatureBytes else { return false }
        ErrorQueue.clear()
        // Safe: both lengths were checked; message and count belong together.
        let result = unsafe consilium_ed25519_verify(bytes, signature, message, message.count)
        ErrorQueue.clear()
        return result == 1
    }

    /// The y coordinates of the eight points of small order, in every 255-bit encoding (0, 1, p-1,
    /// p, p+1 and the two of order eight), with the sign bit masked away.
    private static func hasSmallOrder(_ bytes: [UInt8]) -> Bool {
        var y = bytes
        y[31] &= 0x7f
        return smallOrderY.contains(y)
    }

    private static let smallOrderY: [[UInt8]] = {
        func number(_ low: UInt8, _ middle: UInt8, _ high: UInt8) -> [UInt8] {
            [low] + [UInt8](repeating: middle, count: 30) + [high]
        }
        let orderEight: [[UInt8]] = [
            [
                0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef,
                0x98, 0xf0,
                0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
                0xfc, 0x05,
            ],
            [
                0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10,
                0x67, 0x0f,
                0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
                0x03, 0x7a,
            ],
        ]
        return orderEight + [
            number(0, 0, 0), number(1, 0, 0),
            number(0xec, 0xff, 0x7f), number(0xed, 0xff, 0x7f), number(0xee, 0xff, 0x7f),
        ]
    }()
}
