// The price of secure aggregation, row by row, each beside what the machine could do at best and what is aimed at.
//     consilium-bench secure-aggregation [--json] [ROW …]
// Times are CPU time of every thread that worked, except in the rows of whole rounds, which say both.

import Codec
import Simulation
import Study

/// One line of the table.
struct BenchRow {
    var name: String
    var what: String
    var unit: String
    var measured: Double
    /// What the primitives alone would take at this machine's speeds; nil where there is nothing to compare with.
    var limit: Double?
    var aim: Double
    /// Whether more is better.
    var isRate = false

    var isReached: Bool { isRate ? measured >= aim : measured <= aim }

    var json: JSONValue {
        [
            "row": .string(name), "what": .string(what), "unit": .string(unit), "measured": .number(measured),
            "limit": limit.map { .number($0) } ?? nil, "aim": .number(aim), "reached": .bool(isReached),
        ]
    }
}

enum SecureAggregationBenchmark {
    /// Groups of rows that share their preparation.
    private static let groups: [(name: String, run: @Sendable (MachineSpeeds) throws -> [BenchRow])] = [
        ("masks", AggregationRows.masks),
        ("shamir", AggregationRows.sharing),
        ("round-10", { try AggregationRows.round(sites: 10, elements: 1_000_000, aim: 0.5, $0) }),
        ("round-100-small", { try AggregationRows.round(sites: 100, elements: 100_000, aim: 5, $0) }),
        ("round-100", { try AggregationRows.round(sites: 100, elements: 1_000_000, aim: 8, $0) }),
        ("memory", AggregationMemory.row),
        ("cohort-500", AggregationRows.cohort500),
    ]

    static func run(_ arguments: [String]) throws {
        if arguments.first == AggregationMemory.childArgument { return try AggregationMemory.child(Array(arguments.dropFirst())) }
        let wanted = arguments.filter { $0 != "--json" }
        let isJSON = wanted.count < arguments.count
        guard wanted.allSatisfy({ name in groups.contains { $0.name == name } }) else {
            throw ScenarioError.unusable(
                "consilium-bench secure-aggregation [--json] [ROW …]; rows: \(groups.map(\.name).joined(separator: ", "))")
        }
        let speeds = try MachineSpeeds()
        if !isJSON { print(head(speeds)) }
        var rows: [BenchRow] = []
        for group in groups where wanted.isEmpty || wanted.contains(group.name) {
            let found = try group.run(speeds)
            if !isJSON { for row in found { print(line(row)) } }
            rows += found
        }
        if isJSON {
            let report: JSONValue = ["machine": json(speeds), "rows": .array(rows.map(\.json))]
            print(String(decoding: report.canonicalBytes(), as: UTF8.self))
        }
    }

    private static func head(_ speeds: MachineSpeeds) -> String {
        func gigabytes(_ rate: Double) -> String { decimal(rate / 1e9, places: 2) }
        func micro(_ seconds: Double) -> String { decimal(seconds * 1e6, places: 1) }
        return """
            one core: AES-256-CTR \(gigabytes(speeds.opensslAES)) GB/s (openssl speed, 16 KiB), \(gigabytes(speeds.bestAES)) at best; SHA-256 \(gigabytes(speeds.sha)); adding vectors \(gigabytes(speeds.memory))
            X25519 \(micro(speeds.agree)) us; Ed25519 sign \(micro(speeds.sign)), verify \(micro(speeds.verify)) us
            \(column("row", 17))\(column("", 62))\(column("measured", 10))\(column("limit", 10))\(column("aim", 10))
            """
    }

    private static func line(_ row: BenchRow) -> String {
        let limit = row.limit.map { decimal($0, places: 3) } ?? "-"
        return column(row.name, 17) + column(row.what, 62) + column(decimal(row.measured, places: 3), 10) + column(limit, 10)
            + column(decimal(row.aim, places: 3), 10) + "\(row.unit)\(row.isReached ? "" : "  NOT REACHED")"
    }

    private static func column(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(1, width - text.count))
    }

    private static func json(_ speeds: MachineSpeeds) -> JSONValue {
        [
            "opensslAES": .number(speeds.opensslAES), "bestAES": .number(speeds.bestAES), "sha256": .number(speeds.sha),
            "memory": .number(speeds.memory), "x25519Seconds": .number(speeds.agree), "ed25519SignSeconds": .number(speeds.sign),
            "ed25519VerifySeconds": .number(speeds.verify),
        ]
    }
}
