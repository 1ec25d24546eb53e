// One record as it lies in a segment of `records/`. `protocol/prediction-api.md` §6.
//
// ```
// length   u32 big-endian, bytes of the content
// check    u64 big-endian, FNV-1a of the content: finds torn writes; against people there are the log's commitments
// content  kind u8 | id 16 | salt 32 | body
// ```
// An erased record keeps its place and id; salt and body are gone.

import Codec

enum RecordFrame {
    enum Kind: UInt8 {
        case prediction = 1
        case outcome = 2
        case erased = 3
    }

    /// Where a record lies and what it is.
    struct Place: Equatable {
        var kind: Kind
        var id: PredictionID
        /// Offset of the frame in its segment.
        var offset: Int
        /// Bytes of the frame.
        var count: Int
    }

    static let headBytes = 12
    static let saltBytes = 32
    private static let contentHeadBytes = 1 + 16 + saltBytes

    /// Appends a frame.
    static func append(_ kind: Kind, id: PredictionID, salt: [UInt8], to bytes: inout [UInt8], body: (inout ByteWriter) -> Void) {
        precondition(salt.count == saltBytes, "a salt has 32 bytes")
        var content = ByteWriter(reserving: 256)
        content.u8(kind.rawValue)
        content.u64(id.high)
        content.u64(id.low)
        content.raw(salt)
        body(&content)
        precondition(content.bytes.count <= ServingLimits.recordBytes, "a record beyond its limit")
        var head = ByteWriter(reserving: headBytes)
        head.u32(UInt32(content.bytes.count))
        head.u64(check(content.bytes[...]))
        bytes += head.bytes
        bytes += content.bytes
    }

    /// The frame that starts at `offset`, or nil when no whole valid frame does.
    static func place(in bytes: [UInt8], at offset: Int) -> Place? {
        guard bytes.count - offset >= headBytes + contentHeadBytes else { return nil }
        let length = Int(number(bytes, offset, 4))
        guard length >= contentHeadBytes, length <= ServingLimits.recordBytes, bytes.count - offset - headBytes >= length else { return nil }
        let start = offset + headBytes
        guard check(bytes[start..<start + length]) == number(bytes, offset + 4, 8), let kind = Kind(rawValue: bytes[start]) else { return nil }
        let id = PredictionID(high: number(bytes, start + 1, 8), low: number(bytes, start + 9, 8))
        return Place(kind: kind, id: id, offset: offset, count: headBytes + length)
    }

    /// Salt and body of a frame that `place` found.
    static func content(_ bytes: [UInt8], _ place: Place) -> (salt: [UInt8], body: [UInt8]) {
        let salt = place.offset + headBytes + 17
        let body = salt + saltBytes
        return (Array(bytes[salt..<body]), Array(bytes[body..<place.offset + place.count]))
    }

    private static func number(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in offset..<offset + count { value = value << 8 | UInt64(bytes[index]) }
        return value
    }

    private static func check(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return hash
    }
}
