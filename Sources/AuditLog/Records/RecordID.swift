// Names of records: UUID version 7 (RFC 9562 §5.7).
//
//   48 bits   milliseconds since 1970
//    4 bits   version, 7
//   12 bits   counter within the millisecond (RFC 9562 §6.2, method 1)
//    2 bits   variant, 10
//   62 bits   random

/// The name of a row of a record. Later ones compare greater; rows of one record follow one another.
package struct RecordID: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Milliseconds, version and counter: what one name after another counts up.
    package let high: UInt64
    /// Variant and random bits, the same for all rows of a record.
    package let low: UInt64

    /// From its two halves.
    package init(high: UInt64, low: UInt64) {
        (self.high, self.low) = (high, low)
    }

    /// When it was made, by its maker's clock, in milliseconds since 1970.
    package var milliseconds: UInt64 { high >> 16 }

    /// The name of the row that comes `rows` after this one's.
    package func advanced(by rows: Int) -> RecordID { RecordID(high: high + UInt64(rows), low: low) }

    package static func < (left: RecordID, right: RecordID) -> Bool {
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

    /// Appends the text forms of the names of some rows, this one's first, each behind `prefix`.
    package func appendTexts(_ rows: Int, prefix: [UInt8], to bytes: inout [UInt8]) {
        var element = prefix + text
        // Most often only the three digits of the counter differ.
        let counter = prefix.count + 15
        bytes.reserveCapacity(bytes.count + rows * element.count)
        for row in 0..<rows {
            let id = advanced(by: row)
            if id.high >> 12 != high >> 12 {
                element = prefix + id.text
            } else {
                element[counter] = Self.digit(UInt8(id.high >> 8 & 15))
                element[counter + 1] = Self.digit(UInt8(id.high >> 4 & 15))
                element[counter + 2] = Self.digit(UInt8(id.high & 15))
            }
            bytes += element
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
