import Cryptography

/// The valid rows of a data source: features by column, labels, and where each row came from.
///
/// Never leaves the site. Texts of the source are gone: categories are indices, subjects are hashes.
package struct Table: Sendable {
    package let schema: Schema
    /// `columns[f][r]`: see `ValidRow.values`; NaN is missing.
    package private(set) var columns: [[Double]]
    /// 1 positive, 0 negative, NaN when rows were read without labels.
    package private(set) var labels: [Float] = []
    /// For each row its number in the source from 0, refused rows counted, the header not.
    package private(set) var rowNumbers: [Int] = []
    /// SHA-256 of a row's canonical bytes with label and subject: equal for exact duplicates.
    package private(set) var rowKeys: [Digest] = []
    /// SHA-256 that says which rows belong together: of the subject where there is one, else of the features
    /// alone. Keyed splits and privacy accounting go by it.
    package private(set) var unitKeys: [Digest] = []
    /// One more than the largest row number of the source.
    package private(set) var sourceRowCount = 0

    /// Rows of the table.
    package var rowCount: Int { labels.count }

    package init(schema: Schema) {
        self.schema = schema
        columns = [[Double]](repeating: [], count: schema.features.count)
    }

    /// Adds a row, for example a fed-back outcome that became training data.
    /// - Parameters:
    ///   - label: nil for a row without label.
    ///   - subject: the raw subject, if the schema has one; only its hash is kept.
    ///   - rowNumber: its number in the source; the next one unless stated.
    package mutating func append(
        _ row: ValidRow, label: Bool?, subject: [UInt8]? = nil, rowNumber: Int? = nil
    ) {
        precondition(row.values.count == columns.count, "a row of another schema")
        for (feature, value) in row.values.enumerated() { columns[feature].append(value) }
        labels.append(label.map { $0 ? 1 : 0 } ?? .nan)
        let number = rowNumber ?? sourceRowCount
        rowNumbers.append(number)
        sourceRowCount = max(sourceRowCount, number + 1)
        let keys = CanonicalRow.keys(row, label: label, subject: subject)
        rowKeys.append(keys.row)
        unitKeys.append(keys.unit)
    }

    /// Notes that the source had rows up to this count, though the last ones were refused.
    mutating func noteSourceRows(_ count: Int) { sourceRowCount = max(sourceRowCount, count) }

    /// Row `index` of the table.
    package func row(_ index: Int) -> ValidRow {
        ValidRow(values: columns.map { $0[index] })
    }

    /// The rows at `indices`, in that order.
    package func subset(_ indices: [Int]) -> Table {
        var table = Table(schema: schema)
        table.columns = columns.map { column in indices.map { column[$0] } }
        table.labels = indices.map { labels[$0] }
        table.rowNumbers = indices.map { rowNumbers[$0] }
        table.rowKeys = indices.map { rowKeys[$0] }
        table.unitKeys = indices.map { unitKeys[$0] }
        table.sourceRowCount = sourceRowCount
        return table
    }

    /// The number of positive rows.
    package var positiveCount: Int { labels.reduce(0) { $0 + ($1 == 1 ? 1 : 0) } }

    /// What a site consents to: SHA-256 over the row count and the sorted row keys, so that it depends on
    /// the rows and their number but not on their order (protocol/data.md §4).
    package var fingerprint: Digest {
        var hasher = SHA256.Hasher()
        hasher.update(Array("consilium dataset v1".utf8))
        hasher.update(bigEndian(UInt64(rowCount)))
        for key in rowKeys.sorted() { hasher.update(key.bytes) }
        return hasher.finish()
    }
}

/// The bytes of a row that hashes are taken over (protocol/data.md §4).
enum CanonicalRow {
    /// Features as 8 big-endian bytes each of the IEEE 754 double, in schema order; one NaN for missing.
    static func features(_ row: ValidRow) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(row.values.count * 8 + 64)
        for value in row.values {
            bytes += bigEndian(
                value.isNaN ? 0x7FF8_0000_0000_0000 : (value == 0 ? 0 : value).bitPattern)
        }
        return bytes
    }

    static func keys(_ row: ValidRow, label: Bool?, subject: [UInt8]?) -> (
        row: Digest, unit: Digest
    ) {
        let features = features(row)
        var whole = Array("consilium row v1".utf8) + features
        whole.append(label.map { $0 ? 1 : 0 } ?? 2)
        let named = subject.flatMap { $0.isEmpty ? nil : $0 }
        if let named { whole += named }
        let unit =
            named.map { Array("consilium subject v1".utf8) + $0 } ?? Array("consilium unit v1".utf8)
            + features
        return (SHA256.hash(whole), SHA256.hash(unit))
    }
}

func bigEndian(_ value: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(56 - 8 * $0)) }
}
