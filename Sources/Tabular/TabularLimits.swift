/// The limits of this module, in one place (protocol/data.md §8).
package enum TabularLimits {
    /// Bytes of one data source.
    package static let sourceBytesMax = 4 << 30
    /// Bytes of one CSV record, quotes and delimiters included.
    package static let recordBytesMax = 1 << 20
    /// Bytes of one CSV field.
    package static let fieldBytesMax = 64 << 10
    /// Fields of one CSV record.
    package static let fieldsMax = 4096
    /// Records of one data source.
    package static let recordsMax = 100_000_000
    /// Features of one schema.
    package static let featuresMax = 1024
    /// Categories of one feature.
    package static let categoriesMax = 256
    /// Declared missing codes of one feature.
    package static let missingCodesMax = 32
    /// Bytes of a feature's, column's or category's name.
    package static let nameBytesMax = 128
    /// Bytes of a description or unit.
    package static let textBytesMax = 4096
    /// Largest magnitude of a range bound: keeps squares and standardised values finite.
    package static let rangeMagnitudeMax = 1e15
    /// Refused rows whose reasons are kept; further ones are only counted.
    package static let quarantineKept = 10_000
    /// Reasons kept for one refused row.
    package static let violationsPerRowMax = 64
    /// Bytes read from a file or pipe at a time.
    package static let chunkBytes = 256 << 10
    /// Rows named by one row list of a split.
    package static let rowListMax = 10_000_000
}
