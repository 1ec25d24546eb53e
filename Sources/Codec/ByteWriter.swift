/// Writes canonical bytes: big-endian integers unless a name says otherwise, `u32` length before
/// variable parts. Same values, same bytes.
package struct ByteWriter {
    /// What was written so far.
    package private(set) var bytes: [UInt8] = []

    /// - Parameter capacity: bytes to reserve.
    package init(reserving capacity: Int = 0) { bytes.reserveCapacity(capacity) }

    /// One byte.
    package mutating func u8(_ value: UInt8) { bytes.append(value) }
    /// Two bytes, big-endian.
    package mutating func u16(_ value: UInt16) { big(UInt64(value), 2) }
    /// Four bytes, big-endian.
    package mutating func u32(_ value: UInt32) { big(UInt64(value), 4) }
    /// Eight bytes, big-endian.
    package mutating func u64(_ value: UInt64) { big(value, 8) }
    /// Two bytes, little-endian.
    package mutating func u16le(_ value: UInt16) { little(UInt64(value), 2) }
    /// Four bytes, little-endian.
    package mutating func u32le(_ value: UInt32) { little(UInt64(value), 4) }
    /// Eight bytes, little-endian.
    package mutating func u64le(_ value: UInt64) { little(value, 8) }
    /// Bytes as they are.
    package mutating func raw(_ value: [UInt8]) { bytes += value }
    /// Bytes as they are.
    package mutating func raw(_ value: ArraySlice<UInt8>) { bytes += value }

    /// A `u32` length, then the bytes. At most 4 GiB − 1, which only a mistake of ours exceeds.
    package mutating func lengthPrefixed(_ value: [UInt8]) {
        u32(UInt32(value.count))
        bytes += value
    }

    /// UTF-8 text, length-prefixed.
    package mutating func text(_ value: String) {
        u32(UInt32(value.utf8.count))
        bytes.append(contentsOf: value.utf8)
    }

    private mutating func big(_ value: UInt64, _ count: Int) {
        for index in (0..<count).reversed() {
            bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(index * 8)))
        }
    }

    private mutating func little(_ value: UInt64, _ count: Int) {
        for index in 0..<count {
            bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(index * 8)))
        }
    }
}
