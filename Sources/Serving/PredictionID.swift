// Prediction and outcome ids: UUID version 7 (RFC 9562 §5.7), strictly ascending within one process.
//
//   48 bits   milliseconds since 1970
//    4 bits   version, 7
//   12 bits   counter within the millisecond (RFC 9562 §6.2, method 1)
//    2 bits   variant, 10
//   62 bits   random

import Cryptography
import Telemetry

/// The name of one prediction or outcome. Later ids compare greater.
package struct PredictionID: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let high: UInt64
    package let low: UInt64

    package init(high: UInt64, low: UInt64) {
        (self.high, self.low) = (high, low)
    }

    /// When it was made, by its maker's clock, in milliseconds since 1970.
    package var milliseconds: UInt64 { high >> 16 }

    package static func < (left: PredictionID, right: PredictionID) -> Bool {
        (left.high, left.low) < (right.high, right.low)
    }

    /// 36 characters, lower case.
    package var description: String { String(decoding: text, as: UTF8.self) }

    /// The 36 bytes of the text form.
    package var text: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(36)
        appendText(to: &bytes)
        return bytes
    }

    /// Appends the text form without another allocation.
    package func appendText(to bytes: inout [UInt8]) {
        for index in 0..<16 {
            if index == 4 || index == 6 || index == 8 || index == 10 {
                bytes.append(UInt8(ascii: "-"))
            }
            let word = index < 8 ? high : low
            let byte = UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * (index & 7)))
            bytes.append(Self.digit(byte >> 4))
            bytes.append(Self.digit(byte & 15))
        }
    }

    /// Reads the text form: exactly 36 characters, lower case, version 7, variant 10.
    package init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8)
        guard bytes.count == 36 else { return nil }
        var words: [UInt64] = [0, 0]
        var digits = 0
        for (index, byte) in bytes.enumerated() {
            if index == 8 || index == 13 || index == 18 || index == 23 {
                guard byte == UInt8(ascii: "-") else { return nil }
                continue
            }
            guard let value = Self.value(byte) else { return nil }
            words[digits / 16] = words[digits / 16] << 4 | UInt64(value)
            digits += 1
        }
        guard words[0] >> 12 & 0xF == 7, words[1] >> 62 == 2 else { return nil }
        (high, low) = (words[0], words[1])
    }

    private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }

    private static func value(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x61...0x66: byte - 0x57
        default: nil
        }
    }
}

/// Makes ids and salts. Ids ascend even when the clock steps back.
struct PredictionIDSource {
    private let random: any RandomSource
    private var last: UInt64
    /// Unused random bytes: one call to the generator serves about fifty predictions.
    private var pool: [UInt8] = []
    private var position = 0
    private static let poolBytes = 2048

    init(random: any RandomSource) {
        self.random = random
        last = 0
    }

    mutating func next(milliseconds: Int64) -> PredictionID {
        let time = UInt64(max(0, milliseconds)) & 0xFFFF_FFFF_FFFF
        // A new millisecond starts its counter in the lower half, so that it seldom overflows into the next one.
        let fresh = time << 16 | 0x7000 | UInt64(byte()) << 3
        if fresh > last {
            last = fresh
        } else if last & 0xFFF == 0xFFF {
            last = (last >> 16 + 1) << 16 | 0x7000
        } else {
            last += 1
        }
        var low: UInt64 = 0
        for _ in 0..<8 { low = low << 8 | UInt64(byte()) }
        return PredictionID(high: last, low: low & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000)
    }

    /// 32 random bytes for the commitments of one record.
    mutating func salt() -> [UInt8] {
        if position + 32 > pool.count { refill() }
        let salt = Array(pool[position..<position + 32])
        position += 32
        return salt
    }

    private mutating func byte() -> UInt8 {
        if position >= pool.count { refill() }
        position += 1
        return pool[position - 1]
    }

    private mutating func refill() {
        pool = random.bytes(Self.poolBytes)
        position = 0
    }
}
