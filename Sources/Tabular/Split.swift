import Cryptography

/// Which rows train and which are held out (protocol/data.md §5).
package enum Split: Equatable, Sendable {
    /// By HMAC-SHA256 under a key that the site keeps: a row, its exact duplicates, and all rows of one
    /// subject always fall on the same side, in every run. `testShare` is the expected held-out share.
    case keyedHash(key: [UInt8], testShare: Double)
    /// The rule of published reference figures: row `r` is held out in split `s` of dataset `k` when the
    /// first 8 hex digits of SHA-256("k|s|r") modulo 10000 are below 2000.
    case rowNumberRule(datasetKey: String, split: Int)
    /// Row numbers (from 0, the header not counted) of each side; other rows are not used.
    case rowLists(train: [Int], test: [Int])
}

/// The table's rows by side, as indices into the table, in table order.
package struct SplitRows: Equatable, Sendable {
    package var train: [Int] = []
    package var test: [Int] = []
    /// Rows on neither side (row lists only).
    package var unused: [Int] = []
    /// Listed row numbers that the table does not hold because they were refused or filtered out.
    package var absent: [Int] = []
}

extension Table {
    /// Divides the rows. One hash per row.
    /// - Throws: `TabularError.split` for a share outside 0..<1, an empty key, a row on both lists or beyond
    ///   the end of the source.
    package func split(_ rule: Split) throws(TabularError) -> SplitRows {
        switch rule {
        case .keyedHash(let key, let testShare):
            guard !key.isEmpty else { throw .split("the key is empty") }
            guard testShare >= 0 && testShare < 1 else {
                throw .split("the held-out share must be at least 0 and below 1")
            }
            return divided { index in Split.fraction(unitKeys[index], key) < testShare }
        case .rowNumberRule(let datasetKey, let split):
            return divided { index in Split.isHeldOut(datasetKey, split, rowNumbers[index]) }
        case .rowLists(let train, let test):
            return try listed(train, test)
        }
    }

    private func divided(_ isTest: (Int) -> Bool) -> SplitRows {
        var rows = SplitRows()
        for index in 0..<rowCount {
            if isTest(index) { rows.test.append(index) } else { rows.train.append(index) }
        }
        return rows
    }

    private func listed(_ train: [Int], _ test: [Int]) throws(TabularError) -> SplitRows {
        var sides: [Int: Bool] = [:]
        for (list, isTest) in [(train, false), (test, true)] {
            for number in list {
                guard number >= 0 && number < sourceRowCount else {
                    throw .split(
                        "row \(number) is listed but the data source has only \(sourceRowCount) rows"
                    )
                }
                guard sides.updateValue(isTest, forKey: number) == nil else {
                    throw .split("row \(number) is listed twice")
                }
            }
        }
        var rows = SplitRows()
        for index in 0..<rowCount {
            switch sides.removeValue(forKey: rowNumbers[index]) {
            case true?: rows.test.append(index)
            case false?: rows.train.append(index)
            case nil: rows.unused.append(index)
            }
        }
        rows.absent = sides.keys.sorted()
        return rows
    }
}

extension Split {
    /// Where in 0..<1 the unit falls under the key: the first 53 bits of the HMAC.
    static func fraction(_ unit: Digest, _ key: [UInt8]) -> Double {
        let code = HMACSHA256.authenticate(Array("consilium split v1".utf8) + unit.bytes, key: key)
        let bits = code.bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return Double(bits >> 11) / 9_007_199_254_740_992  // 2^53
    }

    /// The row-number rule for one row.
    package static func isHeldOut(_ datasetKey: String, _ split: Int, _ row: Int) -> Bool {
        let digest = SHA256.hash(Array("\(datasetKey)|\(split)|\(row)".utf8))
        let number = digest.bytes.prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return number % 10_000 < 2_000
    }
}
