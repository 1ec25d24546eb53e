// Which rows train, which rows judge.

import Codec

/// The plan's split between training and held-out rows.
package enum SplitPlan: Equatable, Sendable {
    /// A keyed hash of the row with a key that only the site knows: a row never crosses over
    /// between runs, and nobody outside can tell on which side a given patient is.
    case keyedHash(heldOutShare: Double)
    /// The row-number rule of a published benchmark: row `r` of dataset `k` is held out in split `s`
    /// when `int(sha256("k|s|r")[:8], 16) % 10000 < 2000`. `datasetKeys` maps a site to its `k`.
    case rowNumberRule(datasetKeys: [String: String], split: Int)
    /// Explicit lists of 0-based data rows per site; rows in neither list are not used.
    case rowLists([String: RowLists])

    /// The rows of one site.
    package struct RowLists: Equatable, Sendable {
        /// Rows that train.
        package var train: [Int]
        /// Rows that judge.
        package var heldOut: [Int]

        /// - Parameters: 0-based row numbers, no row twice.
        package init(train: [Int], heldOut: [Int]) {
            self.train = train
            self.heldOut = heldOut
        }
    }

    static let rowsPerListMax = 100_000

    init(_ source: JSONFields) throws {
        var fields = source
        switch try fields.string("rule", maxBytes: 32) {
        case "keyed-hash":
            self = .keyedHash(heldOutShare: try fields.number("heldOutShare", in: 0.01...0.9))
        case "row-number":
            var sites = try fields.fields("datasetKeys")
            var keys: [String: String] = [:]
            for site in sites.names {
                try checkSite(site, "split.datasetKeys")
                keys[site] = try sites.string(site, maxBytes: 128)
            }
            self = .rowNumberRule(
                datasetKeys: keys, split: try fields.integer("split", in: 0...1_000_000))
        case "row-lists":
            var sites = try fields.fields("sites")
            var lists: [String: RowLists] = [:]
            for site in sites.names {
                try checkSite(site, "split.sites")
                var own = try sites.fields(site)
                let limit = SplitPlan.rowsPerListMax
                lists[site] = RowLists(
                    train: try rows(
                        own.array("train", maxCount: limit), "split.sites.\(site).train"),
                    heldOut: try rows(
                        own.array("heldOut", maxCount: limit), "split.sites.\(site).heldOut"))
                try own.finish()
            }
            self = .rowLists(lists)
        default:
            throw StudyError(
                .planInvalid, path: "split.rule",
                problem: "must be keyed-hash, row-number or row-lists")
        }
        try fields.finish()
    }

    var json: JSONValue {
        switch self {
        case .keyedHash(let share):
            return ["rule": "keyed-hash", "heldOutShare": .number(share)]
        case .rowNumberRule(let keys, let split):
            return [
                "rule": "row-number", "split": .integer(Int64(split)),
                "datasetKeys": .object(keys.mapValues { .string($0) }),
            ]
        case .rowLists(let lists):
            let sites = lists.mapValues { list -> JSONValue in
                [
                    "train": .array(list.train.map { .integer(Int64($0)) }),
                    "heldOut": .array(list.heldOut.map { .integer(Int64($0)) }),
                ]
            }
            return ["rule": "row-lists", "sites": .object(sites)]
        }
    }
}

/// Refuses a key that is no site's name: nobody would ever look under it.
private func checkSite(_ name: String, _ path: String) throws(StudyError) {
    guard isName(name) else {
        throw StudyError(
            .planInvalid, path: path,
            problem: "holds a key that is not a site's name (1 to 64 of a-z, 0-9 and -)")
    }
}

private func rows(_ values: [JSONValue], _ path: String) throws(StudyError) -> [Int] {
    var result: [Int] = []
    result.reserveCapacity(values.count)
    for value in values {
        guard let row = value.intValue, row >= 0 else {
            throw StudyError(.planInvalid, path: path, problem: "must hold row numbers from 0 up")
        }
        result.append(row)
    }
    guard Set(result).count == result.count else {
        throw StudyError(.planContradiction, path: path, problem: "names a row twice")
    }
    return result
}
