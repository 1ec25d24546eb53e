// CSV by RFC 4180, fed in chunks of any size (protocol/data.md §1).
//
// What is accepted beyond the RFC: LF and lone CR as line ends, a UTF-8 byte order mark, another
// delimiter, a last line without line end. Blank lines are skipped. What is refused: a quote inside
// an unquoted field, text after a closing quote, NUL, bytes that are not UTF-8 (each refuses its
// record), and a quote that is never closed or anything over a limit (which ends the file).

/// Sizes that a CSV file may have.
package struct CSVLimits: Equatable, Sendable {
    package var recordBytesMax = TabularLimits.recordBytesMax
    package var fieldBytesMax = TabularLimits.fieldBytesMax
    package var fieldsMax = TabularLimits.fieldsMax
    package var recordsMax = TabularLimits.recordsMax
    package init() {}
}

/// A streaming CSV parser: bytes in, records out, the same records however the bytes are cut.
///
/// Memory: one record. After an error the parser must not be fed again.
package struct CSVParser {
    private enum State {
        case recordStart, fieldStart, unquoted, quoted, quoteSeen, afterQuote
    }

    private let delimiter: UInt8
    private let limits: CSVLimits
    private var state = State.recordStart
    private var record = CSVRecord()
    /// The first bytes of the file until it is clear whether they are a byte order mark.
    private var preamble: [UInt8]? = []
    private var line = 1
    private var afterCarriageReturn = false
    private var fieldStart = 0
    private var quoteLine = 1
    private var hasHighBytes = false
    private var records = 0

    /// - Parameter delimiter: one byte, such as `,` `;` or tab; not a quote or line end.
    package init(delimiter: UInt8 = 0x2C, limits: CSVLimits = CSVLimits()) {
        precondition(
            delimiter != 0x22 && delimiter != 0x0A && delimiter != 0x0D,
            "delimiter is quote or line end")
        self.delimiter = delimiter
        self.limits = limits
    }

    /// Reads `chunk` and hands each record that ends in it to `body`.
    /// - Throws: `TabularError.csv` for a limit or encoding problem, or what `body` throws.
    package mutating func feed(
        _ chunk: [UInt8], _ body: (CSVRecord) throws(TabularError) -> Void
    ) throws(TabularError) {
        guard preamble != nil else { return try scan(chunk, body) }
        // Hold back up to three bytes, then scan what is not a byte order mark.
        let held = preamble! + chunk  // guarded above
        if held.count < 3,
            [0xEF, 0xBB, 0xBF].starts(with: held) || held == [0xFE] || held == [0xFF]
        {
            preamble = held
            return
        }
        preamble = nil
        try scan(try withoutByteOrderMark(held), body)
    }

    /// Ends the file: the last record may lack a line end.
    package mutating func finish(_ body: (CSVRecord) throws(TabularError) -> Void)
        throws(TabularError)
    {
        if let held = preamble {
            preamble = nil
            try scan(try withoutByteOrderMark(held), body)
        }
        switch state {
        case .recordStart:
            return
        case .quoted:
            throw .csv(line: quoteLine, column: record.fieldCount + 1, .unterminatedQuote)
        case .fieldStart, .unquoted, .quoteSeen, .afterQuote:
            try endField()
            try endRecord(body)
        }
    }

    private func withoutByteOrderMark(_ bytes: [UInt8]) throws(TabularError) -> [UInt8] {
        if bytes.starts(with: [0xFE, 0xFF]) || bytes.starts(with: [0xFF, 0xFE]) {
            throw .csv(line: 1, column: 1, .notUTF8Encoding)
        }
        return bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(bytes.dropFirst(3)) : bytes
    }

    private mutating func scan(
        _ chunk: [UInt8], _ body: (CSVRecord) throws(TabularError) -> Void
    ) throws(TabularError) {
        let bytes = chunk.span
        for index in bytes.indices {
            let byte = bytes[index]
            if afterCarriageReturn {
                afterCarriageReturn = false
                if byte == 0x0A {
                    // The second half of CRLF: already counted; inside quotes it is still text.
                    if state == .quoted { try append(byte) }
                    continue
                }
            }
            try step(byte, body)
        }
    }

    @inline(__always)
    private mutating func step(
        _ byte: UInt8, _ body: (CSVRecord) throws(TabularError) -> Void
    ) throws(TabularError) {
        switch state {
        case .quoted:
            if byte == 0x22 {
                state = .quoteSeen
                return
            }
            if byte == 0x0D || byte == 0x0A { countLine(byte) }
            try append(byte)
        case .recordStart, .fieldStart:
            if byte == 0x22 {
                beginRecordIfNeeded()
                quoteLine = line
                state = .quoted
            } else if state == .recordStart && (byte == 0x0D || byte == 0x0A) {
                countLine(byte)  // a blank line
            } else {
                beginRecordIfNeeded()
                state = .unquoted
                try plain(byte, body)
            }
        case .unquoted:
            if byte == 0x22 { note(.strayQuote) }
            try plain(byte, body)
        case .quoteSeen:
            if byte == 0x22 {
                state = .quoted
                try append(byte)
                return
            }
            if byte != delimiter && byte != 0x0D && byte != 0x0A { note(.textAfterQuote) }
            state = .afterQuote
            try plain(byte, body)
        case .afterQuote:
            try plain(byte, body)
        }
    }

    /// A byte outside quotes.
    @inline(__always)
    private mutating func plain(
        _ byte: UInt8, _ body: (CSVRecord) throws(TabularError) -> Void
    ) throws(TabularError) {
        if byte == delimiter {
            try endField()
            state = .fieldStart
        } else if byte == 0x0A || byte == 0x0D {
            try endField()
            countLine(byte)
            try endRecord(body)
        } else {
            try append(byte)
        }
    }

    private mutating func countLine(_ byte: UInt8) {
        line += 1
        afterCarriageReturn = byte == 0x0D
    }

    private mutating func beginRecordIfNeeded() {
        if state == .recordStart { record.line = line }
    }

    @inline(__always)
    private mutating func append(_ byte: UInt8) throws(TabularError) {
        if byte >= 0x80 { hasHighBytes = true }
        if byte == 0 { note(.nulByte) }
        record.bytes.append(byte)
        if record.bytes.count - fieldStart > limits.fieldBytesMax {
            throw overflow(.fieldTooLong(bytesMax: limits.fieldBytesMax))
        }
        if record.bytes.count > limits.recordBytesMax {
            throw overflow(.recordTooLong(bytesMax: limits.recordBytesMax))
        }
    }

    private func overflow(_ problem: CSVProblem) -> TabularError {
        .csv(line: state == .quoted ? quoteLine : line, column: record.fieldCount + 1, problem)
    }

    private mutating func note(_ problem: CSVProblem) {
        if record.defect == nil {
            record.defect = CSVDefect(field: record.fieldCount, problem: problem)
        }
    }

    private mutating func endField() throws(TabularError) {
        if record.fieldCount >= limits.fieldsMax {
            throw .csv(
                line: line, column: record.fieldCount + 1, .tooManyFields(max: limits.fieldsMax))
        }
        record.ends.append(record.bytes.count)
        fieldStart = record.bytes.count
    }

    private mutating func endRecord(
        _ body: (CSVRecord) throws(TabularError) -> Void
    ) throws(TabularError) {
        if hasHighBytes { checkUTF8() }
        records += 1
        if records > limits.recordsMax {
            throw .csv(line: record.line, column: 1, .tooManyRecords(max: limits.recordsMax))
        }
        try body(record)
        record.bytes.removeAll(keepingCapacity: true)
        record.ends.removeAll(keepingCapacity: true)
        record.defect = nil
        fieldStart = 0
        hasHighBytes = false
        state = .recordStart
    }

    private mutating func checkUTF8() {
        for index in 0..<record.fieldCount where !isUTF8(record.bytes, record.range(index)) {
            if record.defect == nil {
                record.defect = CSVDefect(field: index, problem: .invalidUTF8)
            }
            return
        }
    }
}

/// Whether `bytes[range]` is well-formed UTF-8.
func isUTF8(_ bytes: [UInt8], _ range: Range<Int>) -> Bool {
    let span = bytes.span
    return (try? UTF8Span(validating: span.extracting(range))) != nil
}
