/// Reads what `ByteWriter` wrote, and refuses anything else: short input, long fields, leftovers.
package struct ByteReader {
    private let bytes: [UInt8]
    private var position = 0

    /// - Parameter bytes: the whole input.
    package init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// Bytes not yet read.
    package var remaining: Int { bytes.count - position }

    /// One byte.
    package mutating func u8() throws(CodecError) -> UInt8 { UInt8(try big(1)) }
    /// Two bytes, big-endian.
    package mutating func u16() throws(CodecError) -> UInt16 { UInt16(try big(2)) }
    /// Four bytes, big-endian.
    package mutating func u32() throws(CodecError) -> UInt32 { UInt32(try big(4)) }
    /// Eight bytes, big-endian.
    package mutating func u64() throws(CodecError) -> UInt64 { try big(8) }
    /// Two bytes, little-endian.
    package mutating func u16le() throws(CodecError) -> UInt16 { UInt16(try big(2)).byteSwapped }
    /// Four bytes, little-endian.
    package mutating func u32le() throws(CodecError) -> UInt32 { UInt32(try big(4)).byteSwapped }
    /// Eight bytes, little-endian.
    package mutating func u64le() throws(CodecError) -> UInt64 { try big(8).byteSwapped }

    /// Exactly `count` bytes.
    package mutating func raw(_ count: Int) throws(CodecError) -> [UInt8] {
        precondition(count >= 0, "a negative count of bytes")
        guard count <= remaining else { throw .truncated }
        defer { position += count }
        return Array(bytes[position..<position + count])
    }

    /// A `u32` length and that many bytes.
    ///
    /// - Throws: `CodecError.tooLong` before anything is copied.
    package mutating func lengthPrefixed(maxBytes: Int) throws(CodecError) -> [UInt8] {
        let count = Int(try u32())
        guard count <= maxBytes else { throw .tooLong(limit: maxBytes) }
        return try raw(count)
    }

    /// A length-prefixed UTF-8 text.
    package mutating func text(maxBytes: Int) throws(CodecError) -> String {
        guard let text = String(validating: try lengthPrefixed(maxBytes: maxBytes), as: UTF8.self)
        else { throw .notUTF8 }
        return text
    }

    /// Ends the reading.
    ///
    /// - Throws: `CodecError.leftover` when bytes follow.
    package func finish() throws(CodecError) {
        guard remaining == 0 else { throw .leftover(count: remaining) }
    }

    private mutating func big(_ count: Int) throws(CodecError) -> UInt64 {
        guard count <= remaining else { throw .truncated }
        var value: UInt64 = 0
        for index in position..<position + count { value = value << 8 | UInt64(bytes[index]) }
        position += count
        return value
    }
}
