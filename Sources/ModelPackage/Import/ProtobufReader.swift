// The protocol buffer wire format, as far as ONNX needs it: a reader over a range of a file. It copies nothing, goes no deeper
// than its caller asks, and refuses what a writer of the format would not write.

/// Reads the fields of one message.
struct ProtobufReader {
    /// What a field holds.
    enum Value {
        case varint(UInt64)
        case fixed32(UInt32)
        case fixed64(UInt64)
        /// A text, bytes, a message or packed numbers: where they lie in the file.
        case bytes(Range<Int>)
    }

    let file: [UInt8]
    private var place: Int
    private let end: Int
    private var fields = 0

    /// Fields of one message.
    static let fieldsMax = 1 << 20

    init(_ file: [UInt8], _ range: Range<Int>? = nil) {
        self.file = file
        (place, end) = (range?.lowerBound ?? 0, range?.upperBound ?? file.count)
    }

    /// The next field; nil at the end of the message.
    /// - Throws: `ImportError.malformed` for a truncated field, a number of 0 or above 2^29 − 1, a group, too many fields.
    mutating func next() throws(ImportError) -> (field: Int, value: Value)? {
        guard place < end else { return nil }
        fields += 1
        guard fields <= Self.fieldsMax else { throw .malformed("a message has more than \(Self.fieldsMax) fields") }
        let key = try varint()
        guard key >> 3 >= 1, key >> 3 < 1 << 29 else { throw .malformed("a field has an impossible number") }
        let value: Value
        switch key & 7 {
        case 0: value = .varint(try varint())
        case 1: value = .fixed64(try little(8))
        case 2:
            let count = try varint()
            guard count <= UInt64(end - place) else { throw .malformed("a field ends after its message") }
            value = .bytes(place..<place + Int(count))
            place += Int(count)
        case 5: value = .fixed32(UInt32(try little(4)))
        default: throw .malformed("a field has a wire type that ONNX does not use")
        }
        return (Int(key >> 3), value)
    }

    /// A number of at most ten bytes.
    mutating func varint() throws(ImportError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            guard place < end else { throw .malformed("a number is truncated") }
            let byte = UInt64(file[place])
            place += 1
            guard shift < 63 || byte <= 1 else { throw .malformed("a number has more than 64 bits") }
            value |= (byte & 0x7f) << shift
            if byte & 0x80 == 0 { return value }
        }
        throw .malformed("a number has more than ten bytes")
    }

    /// `count` bytes, little-endian.
    mutating func little(_ count: Int) throws(ImportError) -> UInt64 {
        guard end - place >= count else { throw .malformed("a number is truncated") }
        var value: UInt64 = 0
        for index in 0..<count { value |= UInt64(file[place + index]) << UInt64(8 * index) }
        place += count
        return value
    }

    /// Whether nothing is left.
    var isAtEnd: Bool { place >= end }
}

extension ProtobufReader.Value {
    /// Where a text, bytes or a message lie.
    func range(_ what: String) throws(ImportError) -> Range<Int> {
        guard case .bytes(let range) = self else { throw .malformed("\(what) has the wrong wire type") }
        return range
    }

    func integer(_ what: String) throws(ImportError) -> Int {
        guard case .varint(let bits) = self else { throw .malformed("\(what) has the wrong wire type") }
        return Int(Int64(bitPattern: bits))
    }

    func text(_ file: [UInt8], _ what: String) throws(ImportError) -> String {
        let range = try range(what)
        guard range.count <= ONNXLimits.nameBytes, let text = String(validating: file[range], as: UTF8.self) else {
            throw .malformed("\(what) is longer than \(ONNXLimits.nameBytes) bytes or not UTF-8")
        }
        return text
    }
}
