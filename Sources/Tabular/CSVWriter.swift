/// Writes CSV that `CSVParser` reads back to the same fields (RFC 4180, LF line ends).
package enum CSVWriter {
    /// Appends one record. A field is quoted when it holds the delimiter, a quote, a line end or a NUL-free
    /// text that would otherwise be lost, such as the single empty field of a one-column record.
    package static func append(
        _ fields: [[UInt8]], delimiter: UInt8 = 0x2C, to bytes: inout [UInt8]
    ) {
        for (index, field) in fields.enumerated() {
            if index > 0 { bytes.append(delimiter) }
            let needsQuotes =
                field.contains { $0 == delimiter || $0 == 0x22 || $0 == 0x0A || $0 == 0x0D }
                || (fields.count == 1 && field.isEmpty)
                || (index == 0 && field.starts(with: [0xEF, 0xBB, 0xBF]))
            guard needsQuotes else {
                bytes += field
                continue
            }
            bytes.append(0x22)
            for byte in field {
                if byte == 0x22 { bytes.append(0x22) }
                bytes.append(byte)
            }
            bytes.append(0x22)
        }
        bytes.append(0x0A)
    }

    /// Appends one record of texts.
    package static func append(_ fields: [String], delimiter: UInt8 = 0x2C, to bytes: inout [UInt8])
    {
        append(fields.map { Array($0.utf8) }, delimiter: delimiter, to: &bytes)
    }
}
