/// The element types of the Open Inference Protocol v2, and which numbers each can hold.
enum TensorDatatype: String, CaseIterable, Sendable {
    case bool = "BOOL"
    case uint8 = "UINT8"
    case uint16 = "UINT16"
    case uint32 = "UINT32"
    case uint64 = "UINT64"
    case int8 = "INT8"
    case int16 = "INT16"
    case int32 = "INT32"
    case int64 = "INT64"
    case float16 = "FP16"
    case bfloat16 = "BF16"
    case float32 = "FP32"
    case float64 = "FP64"
    case bytes = "BYTES"

    /// Bytes of an element in the binary form; nil for BYTES, whose elements carry their own length.
    var width: Int? {
        switch self {
        case .bool, .uint8, .int8: 1
        case .uint16, .int16, .float16, .bfloat16: 2
        case .uint32, .int32, .float32: 4
        case .uint64, .int64, .float64: 8
        case .bytes: nil
        }
    }

    /// Whether a JSON number can be an element: whole where the type is, and within its range.
    func holds(_ number: Double) -> Bool {
        switch self {
        case .bool, .bytes: false
        case .uint8: Self.isWhole(number, 0, 255)
        case .uint16: Self.isWhole(number, 0, 65_535)
        case .uint32: Self.isWhole(number, 0, 4_294_967_295)
        case .uint64: Self.isWhole(number, 0, 0x1p64.nextDown)
        case .int8: Self.isWhole(number, -128, 127)
        case .int16: Self.isWhole(number, -32_768, 32_767)
        case .int32: Self.isWhole(number, -2_147_483_648, 2_147_483_647)
        case .int64: Self.isWhole(number, -0x1p63, 0x1p63.nextDown)
        case .float16: abs(number) <= 65_504
        case .bfloat16, .float32: abs(number) <= Double(Float.greatestFiniteMagnitude)
        case .float64: number.isFinite
        }
    }

    private static func isWhole(_ number: Double, _ lower: Double, _ upper: Double) -> Bool {
        number >= lower && number <= upper && number.rounded() == number
    }

    /// The number in little-endian bytes at `offset`; integers beyond 2⁵³ become the nearest double.
    /// Only for types with a width, other than BOOL.
    func number(_ bytes: Span<UInt8>, at offset: Int) -> Double {
        var bits: UInt64 = 0
        for index in 0..<(width ?? 0) { bits |= UInt64(bytes[offset + index]) << UInt64(8 * index) }
        switch self {
        case .int8: return Double(Int8(truncatingIfNeeded: bits))
        case .int16: return Double(Int16(truncatingIfNeeded: bits))
        case .int32: return Double(Int32(truncatingIfNeeded: bits))
        case .int64: return Double(Int64(truncatingIfNeeded: bits))
        case .float16: return Self.half(UInt16(truncatingIfNeeded: bits))
        case .bfloat16: return Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits) << 16))
        case .float32: return Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits)))
        case .float64: return Double(bitPattern: bits)
        case .uint8, .uint16, .uint32, .uint64, .bool, .bytes: return Double(bits)
        }
    }

    /// IEEE 754 binary16; written out, as the type is not on every platform of ours.
    private static func half(_ bits: UInt16) -> Double {
        let (exponent, fraction) = (Int(bits >> 10 & 31), Double(bits & 1023))
        let magnitude: Double =
            switch exponent {
            case 0: fraction * 0x1p-24
            case 31: fraction == 0 ? .infinity : .nan
            default: (1 + fraction * 0x1p-10) * Double(sign: .plus, exponent: exponent - 15, significand: 1)
            }
        return bits >> 15 == 1 ? -magnitude : magnitude
    }
}
