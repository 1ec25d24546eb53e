/// One record of a CSV file: its unescaped fields in one buffer, with the places where they end.
///
/// The bytes are as in the file except that quoting is undone. A record with a `defect` is complete
/// (the parser found its end) but must not be used as data.
package struct CSVRecord: Equatable, Sendable {
    /// All fields' bytes, one after another.
    package internal(set) var bytes: [UInt8] = []
    /// For each field, the offset in `bytes` after its last byte.
    package internal(set) var ends: [Int] = []
    /// The line of the file on which the record starts, from 1.
    package internal(set) var line = 1
    /// The first thing wrong inside the record, if anything.
    package internal(set) var defect: CSVDefect?

    /// Fields of the record.
    package var fieldCount: Int { ends.count }

    /// Where field `index` (from 0) lies in `bytes`.
    package func range(_ index: Int) -> Range<Int> {
        (index == 0 ? 0 : ends[index - 1])..<ends[index]
    }

    /// The bytes of field `index` (from 0). Allocates; hot paths use `range`.
    package func field(_ index: Int) -> [UInt8] { Array(bytes[range(index)]) }

    /// Field `index` as text. A record without defect is valid UTF-8, so nothing is replaced.
    package func text(_ index: Int) -> String {
        String(decoding: bytes[range(index)], as: UTF8.self)
    }
}

/// Something wrong inside one record; the rest of the file can still be read.
package struct CSVDefect: Equatable, Sendable {
    /// The field it was found in, from 0.
    package var field: Int
    package var problem: CSVProblem

    package init(field: Int, problem: CSVProblem) {
        self.field = field
        self.problem = problem
    }
}

/// What can be wrong with a CSV file or record.
package enum CSVProblem: Equatable, Sendable, CustomStringConvertible {
    // Of one record: the row is refused, reading goes on.
    case strayQuote
    case textAfterQuote
    case nulByte
    case invalidUTF8
    // Of the file: reading stops.
    case unterminatedQuote
    case fieldTooLong(bytesMax: Int)
    case recordTooLong(bytesMax: Int)
    case tooManyFields(max: Int)
    case tooManyRecords(max: Int)
    case notUTF8Encoding

    package var description: String {
        switch self {
        case .strayQuote:
            return
                "a quote inside an unquoted field; quote the whole field and double the inner quote"
        case .textAfterQuote:
            return "text after a closing quote; double a quote that belongs to the text"
        case .nulByte:
            return "a NUL byte; the file is not plain text or is damaged"
        case .invalidUTF8:
            return "bytes that are not UTF-8; export the file as UTF-8"
        case .unterminatedQuote:
            return "a quoted field that starts here is never closed"
        case .fieldTooLong(let bytesMax):
            return "a field longer than \(bytesMax) bytes; is a closing quote missing?"
        case .recordTooLong(let bytesMax):
            return "a record longer than \(bytesMax) bytes; is a closing quote or line end missing?"
        case .tooManyFields(let max):
            return "more than \(max) fields in one record; is the delimiter right?"
        case .tooManyRecords(let max):
            return "more than \(max) records"
        case .notUTF8Encoding:
            return "the file is UTF-16; export it as UTF-8"
        }
    }
}
