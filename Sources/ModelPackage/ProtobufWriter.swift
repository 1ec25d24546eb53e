/// Writes the protocol buffer wire format, as far as ONNX needs it: varints, length-delimited fields, 32-bit floats.
struct ProtobufWriter {
    private(set) var bytes: [UInt8] = []

    /// A varint field.
    mutating func integer(_ field: Int, _ value: Int) {
        key(field, wire: 0)
        varint(UInt64(bitPattern: Int64(value)))
    }

    /// A text field.
    mutating func text(_ field: Int, _ value: String) { data(field, Array(value.utf8)) }

    /// A bytes field, or a message that was written before.
    mutating func data(_ field: Int, _ value: [UInt8]) {
        key(field, wire: 2)
        varint(UInt64(value.count))
        bytes += value
    }

    /// A message field.
    mutating func message(_ field: Int, _ body: (inout ProtobufWriter) -> Void) {
        var inner = ProtobufWriter()
        body(&inner)
        data(field, inner.bytes)
    }

    private mutating func key(_ field: Int, wire: Int) { varint(UInt64(field << 3 | wire)) }

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }
}
