// A single pass over the bytes of an entry that accepts exactly what `EncodedEntry` can write: canonical JSON with the
// known fields in order. The offline verifier runs it over every leaf, so it allocates nothing.

/// What the scanner finds out about an entry.
struct ScannedEntry {
    var seq: UInt64
    var milliseconds: Int64
    /// The type's text within the bytes that were scanned.
    var type: ArraySlice<UInt8>
}

struct EntryScanner {
    private let bytes: ArraySlice<UInt8>
    private let start: Int
    private var position: Int

    private init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        start = bytes.startIndex
        position = bytes.startIndex
    }

    /// Checks one entry.
    static func scan(_ bytes: ArraySlice<UInt8>) throws(EntryError) -> ScannedEntry {
        guard bytes.count <= LogEntry.bytesMax else { throw .tooLarge(bytes: bytes.count) }
        var scanner = EntryScanner(bytes)
        return try scanner.entry()
    }

    private mutating func entry() throws(EntryError) -> ScannedEntry {
        try expect("{")
        try expect("\"actor\":")
        try identifier()
        if take(",\"details\":") {
            guard peek == UInt8(ascii: "{"), !take("{}") else {
                throw problem("details are an object with members")
            }
            try value(depth: 0)
        }
        if take(",\"model\":") { try identifier() }
        if take(",\"payload_commit\":") { try digest() }
        if take(",\"payload_sha256\":") { try digest() }
        try expect(",\"role\":")
        try identifier()
        if take(",\"round\":") {
            _ = try integer(isSigned: false, max: UInt64(CanonicalWriter.integerMax))
        }
        try expect(",\"seq\":")
        let seq = try integer(isSigned: false, max: Checkpoint.sizeMax)
        if take(",\"site\":") { try identifier() }
        if take(",\"subject_commit\":") { try digest() }
        try expect(",\"t\":")
        let time = try integer(isSigned: false, max: UInt64(CanonicalWriter.integerMax))
        try expect(",\"type\":")
        let type = try typeName()
        try expect(",\"v\":1}")
        guard position == bytes.endIndex else { throw problem("bytes after the entry") }
        return ScannedEntry(seq: seq, milliseconds: Int64(time), type: type)
    }

    // MARK: values

    private mutating func value(depth: Int) throws(EntryError) {
        guard depth < CanonicalWriter.depthMax else { throw problem("nests too deep") }
        switch peek {
        case UInt8(ascii: "{"): try object(depth: depth)
        case UInt8(ascii: "["): try array(depth: depth)
        case UInt8(ascii: "\""): _ = try string()
        case UInt8(ascii: "n"): try expect("null")
        case UInt8(ascii: "t"): try expect("true")
        case UInt8(ascii: "f"): try expect("false")
        default: _ = try integer(isSigned: true, max: UInt64(CanonicalWriter.integerMax))
        }
    }

    private mutating func object(depth: Int) throws(EntryError) {
        position += 1
        guard !take("}") else { return }
        var previous: ArraySlice<UInt8>?
        repeat {
            let key = try key()
            if let previous, !previous.lexicographicallyPrecedes(key) {
                throw problem("keys are not in order")
            }
            previous = key
            try expect(":")
            try value(depth: depth + 1)
        } while take(",")
        try expect("}")
    }

    private mutating func array(depth: Int) throws(EntryError) {
        position += 1
        guard !take("]") else { return }
        repeat { try value(depth: depth + 1) } while take(",")
        try expect("]")
    }

    private mutating func key() throws(EntryError) -> ArraySlice<UInt8> {
        let key = try string()
        guard (1...CanonicalWriter.keyBytesMax).contains(key.count),
            key.allSatisfy(CanonicalWriter.isKeyByte)
        else {
            throw problem("a key of another form")
        }
        return key
    }

    /// A string in the one canonical spelling. Returns what stands between the quotes.
    private mutating func string() throws(EntryError) -> ArraySlice<UInt8> {
        try expect("\"")
        let first = position
        var isASCII = true
        while let byte = peek, byte != UInt8(ascii: "\"") {
            guard byte >= 0x20 else { throw problem("a control character in a string") }
            if byte >= 0x80 { isASCII = false }
            position += 1
            if byte == UInt8(ascii: "\\") { try escape() }
        }
        let content = bytes[first..<position]
        guard isASCII || String(validating: content, as: UTF8.self) != nil else {
            throw problem("not UTF-8")
        }
        try expect("\"")
        return content
    }

    private mutating func escape() throws(EntryError) {
        guard let kind = peek else { throw problem("cut short") }
        position += 1
        switch kind {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"),
            UInt8(ascii: "r"), UInt8(ascii: "t"):
            return
        case UInt8(ascii: "u"):
            try expect("00")
            guard let high = hexDigit(), high < 2, let low = hexDigit(),
                ![0x08, 0x09, 0x0A, 0x0C, 0x0D].contains(high << 4 | low)
            else { throw problem("an escape that is not the shortest") }
        default: throw problem("an escape that is not canonical")
        }
    }

    private mutating func hexDigit() -> UInt8? {
        guard let byte = peek else { return nil }
        position += 1
        switch byte {
        case 0x30...0x39: return byte - 0x30
        case 0x61...0x66: return byte - 0x61 + 10
        default: return nil
        }
    }

    private mutating func integer(isSigned: Bool, max: UInt64) throws(EntryError) -> UInt64 {
        let isNegative = isSigned && take("-")
        let first = position
        while let byte = peek, (0x30...0x39).contains(byte) { position += 1 }
        guard let value = DecimalNumber.parse(bytes[first..<position]), value <= max,
            !(isNegative && value == 0)
        else {
            throw problem("not a canonical integer in range")
        }
        return value
    }

    private mutating func identifier() throws(EntryError) {
        let first = position
        let raw = try string()
        // Escapes only shorten: a string that is short enough as written is short enough as meant.
        guard !raw.isEmpty, raw.count <= 6 * LogEntry.identifierBytesMax else {
            position = first
            throw problem("an identifier that is empty or too long")
        }
    }

    private mutating func digest() throws(EntryError) {
        let hex = try string()
        guard hex.count == 64,
            hex.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
        else {
            throw problem("not a digest in lower-case hexadecimal")
        }
    }

    private mutating func typeName() throws(EntryError) -> ArraySlice<UInt8> {
        let name = try string()
        guard (1...64).contains(name.count),
            name.allSatisfy({ (0x61...0x7A).contains($0) || $0 == UInt8(ascii: ".") })
        else { throw problem("a type is lower-case letters and dots") }
        return name
    }

    // MARK: bytes

    private var peek: UInt8? { position < bytes.endIndex ? bytes[position] : nil }

    /// Steps over the text if it is next.
    private mutating func take(_ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard bytes.endIndex - position >= count else { return false }
        // Safe: a StaticString's code units live as long as the program; the count is its own.
        let units = unsafe UnsafeBufferPointer(start: text.utf8Start, count: count)
        for offset in 0..<count where unsafe bytes[position + offset] != units[offset] {
            return false
        }
        position += count
        return true
    }

    private mutating func expect(_ text: StaticString) throws(EntryError) {
        guard take(text) else { throw problem("\(text) is missing") }
    }

    private func problem(_ text: String) -> EntryError {
        .notCanonical(offset: position - start, problem: text)
    }
}
