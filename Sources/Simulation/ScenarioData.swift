// The rows of a scenario: the real files where they are, else a stand-in from the seed. Every site gets a file
// of its own and sees nothing else.

import Codec
import Cryptography
import Storage
import Study
import Tabular

/// What each site's file holds.
package struct ScenarioData: Sendable {
    /// Where rows came from; the report says it.
    package enum Source: String, Sendable {
        case files
        case standIn = "stand-in"
    }

    package let source: Source
    /// Rows that a site has from the start, as CSV.
    package private(set) var rows: [String: [UInt8]] = [:]
    /// Rows that arrive after the first run, as CSV without header.
    package private(set) var arrivals: [String: [UInt8]] = [:]
    /// The plan for these rows: row lists and partitions filled in.
    package private(set) var plan: Plan

    static let fileBytesMax = 1 << 30

    /// Loads or makes the rows.
    ///
    /// - Parameter directory: where real files are looked for; nil or without the files: the stand-in.
    /// - Throws: `ScenarioError.unusable`.
    package init(_ scenario: Scenario, plan: Plan, directory: String?) throws {
        self.plan = plan
        if let partition = scenario.partition {
            source = .files
            guard let directory, DurableFile.exists(directory + "/" + partition.file) else {
                throw ScenarioError.unusable(
                    "the data file \(partition.file) is not in the data directory: give it with --data DIR or CONSILIUM_DATA")
            }
            try divide(try DurableFile.read(directory + "/" + partition.file, maxBytes: ScenarioData.fileBytesMax), partition)
            return
        }
        let isReal = directory.map { directory in scenario.sites.allSatisfy { DurableFile.exists(directory + "/" + $0.file) } } ?? false
        source = isReal ? .files : .standIn
        for site in scenario.sites {
            let bytes: [UInt8]
            if isReal, let directory {
                bytes = try DurableFile.read(directory + "/" + site.file, maxBytes: ScenarioData.fileBytesMax)
            } else if scenario.standIn == "one-column" {
                bytes = Array((0..<60).map { "\($0 % 10),\($0 % 2)\n" }.joined().utf8)
            } else if scenario.standIn == "four-hospitals", let text = StandInHospitals.file(for: site.name, seed: scenario.seed) {
                bytes = Array(text.utf8)
            } else {
                throw ScenarioError.unusable(
                    "the data files are not there and the scenario has no stand-in for site \(site.name): give the directory with --data DIR or CONSILIUM_DATA")
            }
            hold(back: scenario.arrivalsShare, of: bytes, site: site.name, seed: scenario.seed)
        }
        if let file = scenario.rowLists, let directory, isReal { try useRowLists(directory + "/" + file) }
    }

    /// Keeps a share of the lines for later; which ones follows from the seed.
    private mutating func hold(back share: Double, of bytes: [UInt8], site: String, seed: UInt64) {
        guard share > 0 else {
            rows[site] = bytes
            return
        }
        let random = SeededRandom(seed: seed).child("arrivals/\(site)")
        var (now, later): ([UInt8], [UInt8]) = ([], [])
        for (index, line) in bytes.split(separator: 0x0a).enumerated() {
            let isHeader = index == 0 && plan.schema.hasHeader
            if !isHeader, random.double() < share { later += line + [0x0a] } else { now += line + [0x0a] }
        }
        rows[site] = now
        arrivals[site] = later
    }

    private mutating func useRowLists(_ path: String) throws {
        let value = try JSONValue.parse(DurableFile.read(path, maxBytes: 1 << 24), dialect: .strict)
        var lists: [String: SplitPlan.RowLists] = [:]
        for site in rows.keys.sorted() {
            func numbers(_ key: String) -> [Int] { value[site]?[key]?.arrayValue?.compactMap(\.intValue) ?? [] }
            lists[site] = .init(train: numbers("train"), heldOut: numbers("test"))
        }
        plan.split = .rowLists(lists)
    }

    /// Gives row i of one file to site `int(sha256(value)[:8], 16) % count`; the published split rule, applied to
    /// the row's number in the whole file, becomes row lists.
    private mutating func divide(_ bytes: [UInt8], _ partition: Scenario.Partition) throws {
        let lines = bytes.split(separator: 0x0a)
        guard let header = lines.first else { throw ScenarioError.unusable("\(partition.file) is empty") }
        let names = header.split(separator: 0x2c, omittingEmptySubsequences: false).map { unquoted($0) }
        guard let column = names.firstIndex(of: partition.column) else {
            throw ScenarioError.unusable("\(partition.file) has no column \(partition.column)")
        }
        var lists = [SplitPlan.RowLists](repeating: .init(train: [], heldOut: []), count: partition.sites.count)
        var files = [[UInt8]](repeating: header + [0x0a], count: partition.sites.count)
        var counts = [Int](repeating: 0, count: partition.sites.count)
        for (row, line) in lines.dropFirst().enumerated() {
            let fields = line.split(separator: 0x2c, omittingEmptySubsequences: false)
            guard column < fields.count else { throw ScenarioError.unusable("\(partition.file): row \(row + 1) is short") }
            let digest = SHA256.hash(Array(unquoted(fields[column]).utf8)).bytes
            let site = Int(digest.prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) } % UInt32(partition.sites.count))
            if Split.isHeldOut(partition.datasetKey, partition.split, row) {
                lists[site].heldOut.append(counts[site])
            } else {
                lists[site].train.append(counts[site])
            }
            counts[site] += 1
            files[site] += line + [0x0a]
        }
        for (index, name) in partition.sites.enumerated() { rows[name] = files[index] }
        plan.split = .rowLists(Dictionary(uniqueKeysWithValues: zip(partition.sites, lists)))
    }

    private func unquoted(_ field: ArraySlice<UInt8>) -> String {
        var field = field
        if field.last == 0x0d { field.removeLast() }
        if field.count >= 2, field.first == 0x22, field.last == 0x22 { field = field.dropFirst().dropLast() }
        return String(decoding: field, as: UTF8.self)
    }
}
