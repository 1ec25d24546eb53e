/// Reads DEFLATE data (RFC 1951) with limits: the decoder for compressed request bodies.
///
/// Stricter than most: an incomplete or over-full code is refused (one distance code of one bit is
/// allowed, as encoders write it), a match may not reach before the start, and blocks are counted, so
/// that neither output nor work grows beyond what the limits say.
struct Inflate {
    /// Why data is refused. None of its bytes is repeated.
    enum Failure: Error, Equatable {
        case truncated, malformed
        case tooLarge
    }

    /// Blocks of one body. An encoder writes one for tens of kilobytes.
    static let blocksMax = 16_384
    private static let codeBitsMax = 15

    private var output: [UInt8] = []
    private let bytesMax: Int
    private var bits = BitSource()

    private init(bytesMax: Int) { self.bytesMax = bytesMax }

    /// Decodes the stream that begins at `start`.
    /// - Returns: the data, and where the byte after the stream stands.
    /// - Throws: ``Failure``; `.tooLarge` when there are more than `bytesMax` bytes of output.
    /// - Cost: some ten nanoseconds a byte.
    static func decode(_ input: Span<UInt8>, from start: Int, bytesMax: Int) throws(Failure) -> (
        data: [UInt8], end: Int
    ) {
        var inflate = Inflate(bytesMax: bytesMax)
        inflate.bits.position = start
        try inflate.run(input)
        return (inflate.output, inflate.bits.alignedPosition)
    }

    private mutating func run(_ input: Span<UInt8>) throws(Failure) {
        var blocks = 0
        while true {
            blocks += 1
            guard blocks <= Self.blocksMax else { throw .tooLarge }
            let isLast = try bits.take(1, input) == 1
            switch try bits.take(2, input) {
            case 0: try stored(input)
            case 1: try compressed(input, Self.fixedLiterals, Self.fixedDistances)
            case 2:
                let codes = try dynamicCodes(input)
                try compressed(input, codes.literals, codes.distances)
            default: throw .malformed
            }
            if isLast { return }
        }
    }

    private mutating func stored(_ input: Span<UInt8>) throws(Failure) {
        bits.align()
        let count = try bits.take(16, input)
        guard try bits.take(16, input) == count ^ 0xFFFF else { throw .malformed }
        guard count <= bytesMax - output.count else { throw .tooLarge }
        for _ in 0..<count { output.append(UInt8(try bits.take(8, input))) }
    }

    private mutating func compressed(
        _ input: Span<UInt8>, _ literals: HuffmanCode, _ distances: HuffmanCode
    ) throws(Failure) {
        while true {
            let symbol = try literals.decode(&bits, input)
            if symbol < 256 {
                guard output.count < bytesMax else { throw .tooLarge }
                output.append(UInt8(symbol))
                continue
            }
            if symbol == 256 { return }
            guard symbol < 286 else { throw .malformed }
            let (base, extra) = DeflateTables.lengths[symbol - 257]
            let length = base + (try bits.take(extra, input))
            let distanceSymbol = try distances.decode(&bits, input)
            guard distanceSymbol < 30 else { throw .malformed }
            let (near, more) = DeflateTables.distances[distanceSymbol]
            let distance = near + (try bits.take(more, input))
            guard distance <= output.count else { throw .malformed }
            guard length <= bytesMax - output.count else { throw .tooLarge }
            let from = output.count - distance
            for index in from..<from + length { output.append(output[index]) }
        }
    }

    private mutating func dynamicCodes(_ input: Span<UInt8>) throws(Failure) -> (
        literals: HuffmanCode, distances: HuffmanCode
    ) {
        let literalCount = try bits.take(5, input) + 257
        let distanceCount = try bits.take(5, input) + 1
        let lengthCount = try bits.take(4, input) + 4
        guard literalCount <= 286, distanceCount <= 30 else { throw .malformed }
        var lengths = [UInt8](repeating: 0, count: 19)
        for index in 0..<lengthCount {
            lengths[DeflateTables.codeLengthOrder[index]] = UInt8(try bits.take(3, input))
        }
        guard let meta = HuffmanCode(lengths, mayBeSingle: false) else { throw .malformed }
        let all = try codeLengths(input, meta, count: literalCount + distanceCount)
        guard all[256] != 0,
            let literals = HuffmanCode(Array(all[..<literalCount]), mayBeSingle: true),
            let distances = HuffmanCode(Array(all[literalCount...]), mayBeSingle: true)
        else { throw .malformed }
        return (literals, distances)
    }

    private mutating func codeLengths(_ input: Span<UInt8>, _ meta: HuffmanCode, count: Int)
        throws(Failure) -> [UInt8]
    {
        var lengths: [UInt8] = []
        lengths.reserveCapacity(count)
        while lengths.count < count {
            let symbol = try meta.decode(&bits, input)
            let (value, times): (UInt8, Int)
            switch symbol {
            case 16:
                guard let last = lengths.last else { throw .malformed }
                (value, times) = (last, 3 + (try bits.take(2, input)))
            case 17: (value, times) = (0, 3 + (try bits.take(3, input)))
            case 18: (value, times) = (0, 11 + (try bits.take(7, input)))
            default: (value, times) = (UInt8(symbol), 1)
            }
            guard times <= count - lengths.count else { throw .malformed }
            for _ in 0..<times { lengths.append(value) }
        }
        return lengths
    }

    private static let fixedLiterals = fixed(DeflateTables.fixedLiteralLengths)
    private static let fixedDistances = fixed([UInt8](repeating: 5, count: 32))

    private static func fixed(_ lengths: [UInt8]) -> HuffmanCode {
        guard let code = HuffmanCode(lengths, mayBeSingle: false) else {
            preconditionFailure("the fixed codes of RFC 1951 are complete")
        }
        return code
    }
}

/// Bits of a byte sequence, lowest first.
struct BitSource {
    /// The next byte to load.
    var position = 0
    private var buffer: UInt64 = 0
    private var count = 0

    /// `width` bits, at most 16, as a number.
    mutating func take(_ width: Int, _ input: Span<UInt8>) throws(Inflate.Failure) -> Int {
        let value = peek(input) & (1 << UInt64(width) - 1)
        try drop(width)
        return Int(value)
    }

    /// At least 16 bits, zeros after the end.
    mutating func peek(_ input: Span<UInt8>) -> UInt64 {
        while count <= 48, position < input.count {
            buffer |= UInt64(input[position]) << UInt64(count)
            position += 1
            count += 8
        }
        return buffer
    }

    /// - Throws: `.truncated` when these bits were not there.
    mutating func drop(_ width: Int) throws(Inflate.Failure) {
        guard width <= count else { throw .truncated }
        buffer >>= UInt64(width)
        count -= width
    }

    /// Goes on at the next whole byte.
    mutating func align() {
        buffer >>= UInt64(count & 7)
        count -= count & 7
    }

    /// Where the first byte stands of which no bit was taken.
    var alignedPosition: Int { position - count / 8 }
}

/// A canonical Huffman code (RFC 1951 §3.2.2): a table for short codes, counting for long ones.
struct HuffmanCode: Sendable {
    private static let fastBits = 9
    /// symbol << 4 | length by the next nine bits; 0 where the code is longer.
    private var fast = [UInt16](repeating: 0, count: 1 << fastBits)
    private var counts = [Int](repeating: 0, count: 16)
    private var symbols: [UInt16]

    /// - Parameter mayBeSingle: whether a code of a single one-bit word, or of none, is allowed.
    /// - Returns: nil when the lengths are no complete prefix code.
    init?(_ lengths: [UInt8], mayBeSingle: Bool) {
        for length in lengths { counts[Int(length)] += 1 }
        let used = lengths.count - counts[0]
        counts[0] = 0
        var left = 1
        for length in 1...15 {
            left = left << 1 - counts[length]
            guard left >= 0 else { return nil }
        }
        guard left == 0 || (mayBeSingle && used <= 1 && counts[1] == used) else { return nil }
        var next = [Int](repeating: 0, count: 17)
        var offsets = [Int](repeating: 0, count: 17)
        for length in 1...15 {
            next[length + 1] = (next[length] + counts[length]) << 1
            offsets[length + 1] = offsets[length] + counts[length]
        }
        symbols = [UInt16](repeating: 0, count: used)
        for (symbol, length) in lengths.enumerated() where length > 0 {
            let width = Int(length)
            symbols[offsets[width]] = UInt16(symbol)
            offsets[width] += 1
            if width <= Self.fastBits { fill(symbol, width, code: next[width]) }
            next[width] += 1
        }
    }

    private mutating func fill(_ symbol: Int, _ width: Int, code: Int) {
        var index = DeflateTables.reversed(code, width)
        while index < fast.count {
            fast[index] = UInt16(symbol << 4 | width)
            index += 1 << width
        }
    }

    func decode(_ bits: inout BitSource, _ input: Span<UInt8>) throws(Inflate.Failure) -> Int {
        let ahead = bits.peek(input)
        let entry = Int(fast[Int(ahead & UInt64(fast.count - 1))])
        if entry != 0 {
            try bits.drop(entry & 15)
            return entry >> 4
        }
        var (code, first, index) = (0, 0, 0)
        for width in 1...15 {
            code |= Int(ahead >> UInt64(width - 1) & 1)
            if code - first < counts[width] {
                try bits.drop(width)
                return Int(symbols[index + code - first])
            }
            index += counts[width]
            first = (first + counts[width]) << 1
            code <<= 1
        }
        throw .malformed
    }
}

/// The numbers of RFC 1951 §3.2.5 to §3.2.7.
enum DeflateTables {
    /// Base and extra bits of the length symbols 257 to 285.
    static let lengths: [(base: Int, extra: Int)] = [
        (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0), (10, 0), (11, 1), (13, 1), (15, 1),
        (17, 1), (19, 2), (23, 2), (27, 2), (31, 2), (35, 3), (43, 3), (51, 3), (59, 3), (67, 4),
        (83, 4), (99, 4), (115, 4), (131, 5), (163, 5), (195, 5), (227, 5), (258, 0),
    ]
    /// Base and extra bits of the distance symbols.
    static let distances: [(base: Int, extra: Int)] = [
        (1, 0), (2, 0), (3, 0), (4, 0), (5, 1), (7, 1), (9, 2), (13, 2), (17, 3), (25, 3), (33, 4),
        (49, 4), (65, 5), (97, 5), (129, 6), (193, 6), (257, 7), (385, 7), (513, 8), (769, 8),
        (1025, 9), (1537, 9), (2049, 10), (3073, 10), (4097, 11), (6145, 11), (8193, 12),
        (12289, 12), (16385, 13), (24577, 13),
    ]
    static let codeLengthOrder = [
        16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
    ]
    static let fixedLiteralLengths: [UInt8] =
        [UInt8](repeating: 8, count: 144) + [UInt8](repeating: 9, count: 112)
        + [UInt8](repeating: 7, count: 24) + [UInt8](repeating: 8, count: 8)

    /// The lowest `width` bits of `code` in the other order: codes are packed from their highest bit.
    static func reversed(_ code: Int, _ width: Int) -> Int {
        var (rest, result) = (code, 0)
        for _ in 0..<width {
            result = result << 1 | rest & 1
            rest >>= 1
        }
        return result
    }
}
