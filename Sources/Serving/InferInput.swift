// Input tensors: where they stand in a request, and their elements as columns of numbers, flags or texts.
//
// A tensor is one feature, shape [n] or [n, 1], or all of them as `features`, shape [n, F] in schema order. Its data
// stand in the JSON, nested or flat, or behind it: little-endian elements without padding, BYTES as u32 length + bytes.

import Codec

/// What the JSON says of one tensor.
struct TensorOutline {
    /// Place in the request, from 0, for messages before the name is known to be ours.
    var index: Int
    /// The feature, or nil for all of them.
    var feature: Int?
    /// The schema's word for it.
    var name: String
    var datatype: TensorDatatype
    var rows: Int
    /// Elements of a row.
    var width: Int
    /// A reader that stands before `data`.
    var data: JSONReader?
    /// Bytes behind the JSON.
    var binaryBytes: Int?

    func refuse(_ problem: String) -> RequestRefusal {
        .malformed("input \(name) \(problem)")
    }
}

/// The elements of one tensor, row by row.
enum TensorCells {
    /// NaN where missing.
    case numbers([Double])
    /// 0, 1, or 2 where missing.
    case flags([UInt8])
    /// Ranges of `TensorTexts.bytes`; nil where missing.
    case texts([Range<Int>?])
}

/// The bytes of all text elements of a request.
struct TensorTexts {
    private(set) var bytes: [UInt8] = []

    mutating func add(_ text: some Sequence<UInt8>) -> Range<Int> {
        let start = bytes.count
        bytes.append(contentsOf: text)
        return start..<bytes.count
    }
}

extension TensorOutline {
    /// The elements in the JSON.
    func readJSON(_ texts: inout TensorTexts) throws -> TensorCells {
        guard var reader = data else { throw refuse("has no data") }
        guard try reader.peek() == .array else { throw refuse("must have an array as data") }
        var elements = Elements(datatype, count: rows * width)
        var isNested: Bool?
        try reader.enterArray()
        while try reader.nextElement() {
            let nests = try reader.peek() == .array
            guard isNested ?? nests == nests else { throw shapeRefusal }
            isNested = nests
            guard nests else {
                try take(&reader, &elements, &texts)
                continue
            }
            let before = elements.count
            try reader.enterArray()
            while try reader.nextElement() { try take(&reader, &elements, &texts) }
            guard elements.count - before == width else { throw shapeRefusal }
        }
        guard elements.count == rows * width else { throw shapeRefusal }
        return elements.cells
    }

    private var shapeRefusal: RequestRefusal { refuse("has data of another shape than it says") }

    private func take(
        _ reader: inout JSONReader, _ elements: inout Elements, _ texts: inout TensorTexts
    ) throws {
        guard elements.count < rows * width else { throw shapeRefusal }
        switch (try reader.peek(), datatype) {
        case (.null, _):
            try reader.null()
            elements.appendMissing()
        case (.string, .bytes):
            let text = try reader.text()
            elements.texts.append(texts.add(reader.string(text).utf8))
        case (.bool, .bool): elements.flags.append(try reader.bool() ? 1 : 0)
        case (.number, _):
            let number = try reader.number()
            guard datatype.holds(number) else {
                throw refuse(
                    "row \(elements.count / width): the number is no \(datatype.rawValue)")
            }
            elements.numbers.append(number)
        default:
            throw refuse("row \(elements.count / width): the element is no \(datatype.rawValue)")
        }
    }

    /// The elements in `body[range]`.
    func readBinary(_ body: Span<UInt8>, _ range: Range<Int>, _ texts: inout TensorTexts)
        throws(RequestRefusal) -> TensorCells
    {
        let count = rows * width
        guard let size = datatype.width else { return try readTexts(body, range, &texts) }
        guard range.count == count * size else {
            throw refuse("has \(range.count) bytes of data, its shape and datatype need \(count * size)")
        }
        if datatype == .bool {
            var flags: [UInt8] = []
            for place in range {
                guard body[place] <= 1 else { throw refuse("has a BOOL other than 0 and 1") }
                flags.append(body[place])
            }
            return .flags(flags)
        }
        let bytes = unsafe body.extracting(range).bytes
        return .numbers(
            [Double](capacity: count) { numbers in
                switch datatype {
                case .float64:
                    // Safe: the range has 8 bytes for each number, and any bits make one.
                    for place in 0..<count {
                        let bits = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: 8 * place, as: UInt64.self)
                        numbers.append(Double(bitPattern: UInt64(littleEndian: bits)))
                    }
                case .float32:
                    // Safe: the range has 4 bytes for each number, and any bits make one.
                    for place in 0..<count {
                        let bits = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: 4 * place, as: UInt32.self)
                        numbers.append(Double(Float(bitPattern: UInt32(littleEndian: bits))))
                    }
                default:
                    for place in 0..<count { numbers.append(datatype.number(body, at: range.lowerBound + place * size)) }
                }
            })
    }

    private func readTexts(_ body: Span<UInt8>, _ range: Range<Int>, _ texts: inout TensorTexts)
        throws(RequestRefusal) -> TensorCells
    {
        var found: [Range<Int>?] = []
        var place = range.lowerBound
        while place < range.upperBound {
            guard found.count < rows * width, range.upperBound - place >= 4 else {
                throw shapeRefusal
            }
            var length = 0
            for index in 0..<4 { length |= Int(body[place + index]) << (8 * index) }
            place += 4
            guard length <= range.upperBound - place else { throw shapeRefusal }
            found.append(texts.add((place..<place + length).map { body[$0] }))
            place += length
        }
        guard found.count == rows * width else { throw shapeRefusal }
        return .texts(found)
    }
}

/// Elements as they are read; only the array of the tensor's kind fills.
private struct Elements {
    private let datatype: TensorDatatype
    var numbers: [Double] = []
    var flags: [UInt8] = []
    var texts: [Range<Int>?] = []

    init(_ datatype: TensorDatatype, count: Int) {
        self.datatype = datatype
        switch datatype {
        case .bytes: texts.reserveCapacity(count)
        case .bool: flags.reserveCapacity(count)
        default: numbers.reserveCapacity(count)
        }
    }

    var count: Int { numbers.count + flags.count + texts.count }

    mutating func appendMissing() {
        switch datatype {
        case .bytes: texts.append(nil)
        case .bool: flags.append(2)
        default: numbers.append(.nan)
        }
    }

    var cells: TensorCells {
        switch datatype {
        case .bytes: .texts(texts)
        case .bool: .flags(flags)
        default: .numbers(numbers)
        }
    }
}
