/// Reader and writer for the safetensors format.
///
/// ```
/// N        u64 little-endian, bytes of the header
/// header   N bytes of UTF-8 JSON: {"name": {"dtype": "F32", "shape": [2,3], "data_offsets": [0,24]}, …}
///          optional "__metadata__": {string: string}; may be padded on the right with spaces
/// buffer   tensor bytes, little-endian, C order; the entries tile it with no hole and no overlap
/// ```
///
/// The reader enforces every rule of the reference implementation, and three more: the header has at most
/// `PackageLimits.tensorHeaderBytes`, an entry has no other member, and `tensors()` refuses values that are not finite.

import Codec
import Models

package struct SafeTensors: Equatable, Sendable {
    /// Element types of the format, with their width in bytes.
    package enum ElementType: String, Sendable, CaseIterable {
        case f64 = "F64"
        case f32 = "F32"
        case f16 = "F16"
        case bf16 = "BF16"
        case i64 = "I64"
        case i32 = "I32"
        case i16 = "I16"
        case i8 = "I8"
        case u64 = "U64"
        case u32 = "U32"
        case u16 = "U16"
        case u8 = "U8"
        case bool = "BOOL"

        /// Bytes of one element.
        package var byteCount: Int {
            switch self {
            case .f64, .i64, .u64: 8
            case .f32, .i32, .u32: 4
            case .f16, .bf16, .i16, .u16: 2
            case .i8, .u8, .bool: 1
            }
        }
    }

    /// One tensor's place in the buffer.
    package struct Entry: Equatable, Sendable {
        package var name: String
        package var type: ElementType
        package var shape: [Int]
        /// Byte range relative to the start of the buffer.
        package var range: Range<Int>
    }

    /// Entries by ascending offset; tensors of no bytes come before the tensor that starts where they stand, then by name.
    package let entries: [Entry]
    /// The `__metadata__` member, empty when absent.
    package let metadata: [String: String]
    private let bytes: [UInt8]
    private let bufferStart: Int

    /// Checks the whole structure. Cost: one pass over the header; the buffer is not read.
    /// - Throws: `PackageError.malformed` or `.tooLarge` for `file`.
    package init(parsing bytes: [UInt8], file: String = PackageFile.tensors) throws(PackageError) {
        let header = try Self.headerRange(bytes, file: file)
        let value: JSONValue
        do {
            value = try JSONValue.parse(Array(bytes[header]), dialect: .strict)
        } catch {
            throw .malformed(file: file, problem: "the header is not strict JSON")
        }
        guard case .object(var members) = value else {
            throw .malformed(file: file, problem: "the header is not an object")
        }
        metadata = try Self.metadata(members.removeValue(forKey: "__metadata__"), file: file)
        guard members.count <= PackageLimits.tensors else {
            throw .malformed(
                file: file,
                problem: "\(members.count) tensors, the limit is \(PackageLimits.tensors)")
        }
        var entries: [Entry] = []
        for (name, member) in members {
            entries.append(try Self.entry(name, member, file: file))
        }
        entries.sort {
            ($0.range.lowerBound, $0.range.upperBound, $0.name) < (
                $1.range.lowerBound, $1.range.upperBound, $1.name
            )
        }
        try Self.checkTiling(entries, bufferBytes: bytes.count - header.upperBound, file: file)
        self.entries = entries
        self.bytes = bytes
        bufferStart = header.upperBound
    }

    /// The bytes of one entry, as they lie in the file.
    package func bytes(of entry: Entry) -> ArraySlice<UInt8> {
        bytes[bufferStart + entry.range.lowerBound..<bufferStart + entry.range.upperBound]
    }

    /// All tensors as 32-bit floats, by name.
    /// - Throws: `PackageError.malformed` for an element type other than F32 and for NaN or infinity.
    package func tensors(file: String = PackageFile.tensors) throws(PackageError) -> [Tensor] {
        var tensors: [Tensor] = []
        for entry in entries.sorted(by: { $0.name < $1.name }) {
            guard entry.type == .f32 else {
                throw .malformed(
                    file: file, problem: "a tensor is \(entry.type.rawValue), parameters are F32")
            }
            let raw = bytes(of: entry)
            var values: [Float] = []
            values.reserveCapacity(raw.count / 4)
            for start in stride(from: raw.startIndex, to: raw.endIndex, by: 4) {
                let pattern =
                    UInt32(raw[start]) | UInt32(raw[start + 1]) << 8 | UInt32(raw[start + 2]) << 16
                    | UInt32(raw[start + 3]) << 24
                let value = Float(bitPattern: pattern)
                guard value.isFinite else {
                    throw .malformed(file: file, problem: "a tensor holds NaN or infinity")
                }
                values.append(value)
            }
            tensors.append(Tensor(name: entry.name, shape: entry.shape, values: values))
        }
        return tensors
    }
}

extension SafeTensors {
    /// The file for F32 tensors, in order of their names, header padded to a multiple of 8: what the reference writer makes.
    /// - Precondition: names are unique and no shape contradicts its values.
    package static func encode(_ tensors: [Tensor], metadata: [String: String] = [:]) -> [UInt8] {
        let ordered = tensors.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        var members: [String: JSONValue] = [:]
        if !metadata.isEmpty {
            members["__metadata__"] = .object(metadata.mapValues { .string($0) })
        }
        var offset = 0
        for tensor in ordered {
            precondition(members[tensor.name] == nil, "two tensors of one name")
            precondition(
                tensor.shape.reduce(1, *) == tensor.values.count,
                "a tensor's shape and its values differ in count")
            let end = offset + tensor.values.count * 4
            members[tensor.name] = .object([
                "dtype": .string(ElementType.f32.rawValue),
                "shape": .array(tensor.shape.map { .integer(Int64($0)) }),
                "data_offsets": .array([.integer(Int64(offset)), .integer(Int64(end))]),
            ])
            offset = end
        }
        var header = JSONValue.object(members).canonicalBytes()
        while header.count % 8 != 0 { header.append(UInt8(ascii: " ")) }
        var writer = ByteWriter(reserving: 8 + header.count + offset)
        writer.u64le(UInt64(header.count))
        writer.raw(header)
        for tensor in ordered {
            for value in tensor.values { writer.u32le(value.bitPattern) }
        }
        return writer.bytes
    }
}

extension SafeTensors {
    private static func headerRange(_ bytes: [UInt8], file: String) throws(PackageError) -> Range<
        Int
    > {
        guard bytes.count >= 8 else {
            throw .malformed(file: file, problem: "shorter than its 8-byte length field")
        }
        var length: UInt64 = 0
        for index in 0..<8 { length |= UInt64(bytes[index]) << UInt64(8 * index) }
        guard length <= UInt64(PackageLimits.tensorHeaderBytes) else {
            throw .malformed(
                file: file,
                problem: "the header length exceeds \(PackageLimits.tensorHeaderBytes) bytes")
        }
        let end = 8 + Int(length)
        guard end <= bytes.count else {
            throw .malformed(file: file, problem: "the header ends after the file")
        }
        guard length > 0, bytes[8] == UInt8(ascii: "{") else {
            throw .malformed(file: file, problem: "the header does not start with {")
        }
        return 8..<end
    }

    private static func metadata(_ value: JSONValue?, file: String) throws(PackageError) -> [String:
        String]
    {
        guard let value else { return [:] }
        guard case .object(let members) = value else {
            throw .malformed(file: file, problem: "__metadata__ is not an object")
        }
        var metadata: [String: String] = [:]
        for (key, member) in members {
            guard case .string(let text) = member else {
                throw .malformed(
                    file: file, problem: "__metadata__ holds something other than text")
            }
            metadata[key] = text
        }
        return metadata
    }

    private static func entry(_ name: String, _ value: JSONValue, file: String) throws(PackageError)
        -> Entry
    {
        guard case .object(let members) = value, members.count == 3,
            case .string(let typeName)? = members["dtype"],
            case .array(let shapeValues)? = members["shape"],
            case .array(let offsets)? = members["data_offsets"], offsets.count == 2
        else {
            throw .malformed(
                file: file,
                problem: "a tensor needs exactly dtype, shape and data_offsets [begin, end]")
        }
        guard let type = ElementType(rawValue: typeName) else {
            throw .malformed(file: file, problem: "a tensor has an unknown dtype")
        }
        guard shapeValues.count <= PackageLimits.tensorRank else {
            throw .malformed(
                file: file, problem: "a tensor has more than \(PackageLimits.tensorRank) dimensions"
            )
        }
        var shape: [Int] = []
        for dimension in shapeValues { shape.append(try natural(dimension, file: file)) }
        let begin = try natural(offsets[0], file: file)
        let end = try natural(offsets[1], file: file)
        guard begin <= end else {
            throw .malformed(file: file, problem: "a tensor ends before it begins")
        }
        var size = type.byteCount
        for dimension in shape {
            let (product, overflow) = size.multipliedReportingOverflow(by: dimension)
            guard !overflow else {
                throw .malformed(file: file, problem: "a tensor's shape overflows")
            }
            size = product
        }
        guard size == end - begin else {
            throw .malformed(
                file: file, problem: "a tensor's shape and data_offsets differ in size")
        }
        return Entry(name: name, type: type, shape: shape, range: begin..<end)
    }

    private static func natural(_ value: JSONValue, file: String) throws(PackageError) -> Int {
        guard case .integer(let number) = value, number >= 0 else {
            throw .malformed(
                file: file, problem: "shape and data_offsets are integers of at least 0")
        }
        return Int(number)
    }

    private static func checkTiling(_ entries: [Entry], bufferBytes: Int, file: String)
        throws(PackageError)
    {
        var position = 0
        for entry in entries {
            guard entry.range.lowerBound == position else {
                throw .malformed(
                    file: file, problem: "tensors leave a hole in the buffer or overlap")
            }
            position = entry.range.upperBound
        }
        guard position == bufferBytes else {
            throw .malformed(file: file, problem: "tensors do not end where the file ends")
        }
    }
}
