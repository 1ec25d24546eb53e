// A scenario file: which federation, whose data, which plan. JSON5; `protocol/scenario.md` lists the fields.

import Codec
import Storage
import Study

/// A scenario as written.
package struct Scenario: Sendable {
    /// How the parties run.
    package enum Transport: String, Sendable {
        /// Separate processes on loopback with real TLS.
        case processes
        /// One process, the same cores.
        case memory
    }

    /// One site and its file below the data directory.
    package struct Site: Sendable, Equatable {
        package var name: String
        package var file: String
    }

    /// One file divided over sites by a hash of a column.
    package struct Partition: Sendable, Equatable {
        package var file: String
        package var column: String
        package var sites: [String]
        package var datasetKey: String
        package var split: Int
    }

    /// What the result must reach for the scenario to succeed.
    package struct Expectation: Sendable, Equatable {
        package var metric: String
        package var atLeast: Double?
        package var atMost: Double?

        /// Whether a measured value reaches it; a value that is missing does not.
        package func isReached(by value: Double?) -> Bool {
            guard let value, value.isFinite else { return false }
            return value >= atLeast ?? -.infinity && value <= atMost ?? .infinity
        }

        /// For people: `auc ≥ 0.876`.
        package var text: String {
            [atLeast.map { "\(metric) ≥ \($0)" }, atMost.map { "\(metric) ≤ \($0)" }].compactMap { $0 }.joined(separator: ", ")
        }
    }

    package var title: String
    package var federation: String
    package var transport: Transport
    package var seed: UInt64
    package var sites: [Site]
    package var partition: Partition?
    /// Name of the stand-in generator, used when a file is not there.
    package var standIn: String?
    /// Share of each file that arrives only after the first run.
    package var arrivalsShare: Double
    package var runs: Int
    /// Split numbers of the row-number rule, one federation each; empty: the plan's own split.
    package var splits: [Int]
    /// File with row lists per site, below the data directory.
    package var rowLists: String?
    package var expect: Expectation?
    package var planPath: String
    /// A JSON merge patch (RFC 7396) over the plan's document, so that benchmarks of one study share a plan.
    package var planChanges: JSONValue?

    static let bytesMax = 1 << 20

    /// Reads a scenario file; the plan's path is relative to it.
    ///
    /// - Throws: a sentence with the field at fault.
    package init(path: String) throws {
        let bytes = try DurableFile.read(path, maxBytes: Scenario.bytesMax)
        do {
            var fields = try JSONFields(try JSONValue.parse(bytes, dialect: .json5), path: "")
            guard try fields.string("consilium") == "scenario/1" else {
                throw FieldError(path: "consilium", problem: "must be \"scenario/1\"")
            }
            title = try fields.string("title", maxBytes: 200)
            federation = try fields.string("federation", maxBytes: 64)
            guard let transport = Transport(rawValue: try fields.string("transport", maxBytes: 32)) else {
                throw FieldError(path: "transport", problem: "must be processes or memory")
            }
            self.transport = transport
            seed = UInt64(try fields.optionalInteger("seed", in: 0...Int.max) ?? 1)
            sites = try (fields.optionalArray("sites", maxCount: 1024) ?? []).enumerated().map { index, value in
                var site = try JSONFields(value, path: "sites[\(index)]")
                let result = Site(name: try site.string("name", maxBytes: 64), file: try site.string("file", maxBytes: 512))
                try site.finish()
                guard isName(result.name) else { throw FieldError(path: "sites[\(index)].name", problem: "must be 1 to 64 of a-z, 0-9 and -") }
                return result
            }
            partition = try fields.optionalFields("partition").map(Partition.init)
            standIn = try fields.optionalString("standIn", maxBytes: 64)
            arrivalsShare = try fields.optionalNumber("arrivalsShare", in: 0...0.5) ?? 0
            runs = try fields.optionalInteger("runs", in: 1...20) ?? 1
            splits = try (fields.optionalArray("splits", maxCount: 100) ?? []).compactMap(\.intValue)
            rowLists = try fields.optionalString("rowLists", maxBytes: 512)
            expect = try fields.optionalFields("expect").map { source in
                var fields = source
                let result = Expectation(
                    metric: try fields.string("metric", maxBytes: 32), atLeast: try fields.optionalNumber("atLeast", in: -1e9...1e9),
                    atMost: try fields.optionalNumber("atMost", in: -1e9...1e9))
                try fields.finish()
                return result
            }
            let plan = try fields.string("plan", maxBytes: 512)
            planPath = plan.hasPrefix("/") ? plan : DurableFile.parent(of: path) + "/" + plan
            planChanges = fields.value("planChanges")
            try fields.finish()
            guard (partition == nil) != sites.isEmpty else {
                throw FieldError(path: "sites", problem: "give either sites with files or a partition of one file")
            }
        } catch {
            throw ScenarioError.unusable("\(path): \(error)")
        }
    }

    /// The plan that the scenario runs.
    ///
    /// - Throws: what reading the file or the plan throws.
    package func plan() throws -> Plan {
        let bytes = try DurableFile.read(planPath, maxBytes: Plan.bytesMax)
        guard let planChanges else { return try Plan(parsing: bytes) }
        let document = try JSONValue.parse(bytes, dialect: .json5, limits: .init(bytesMax: Plan.bytesMax))
        return try Plan(parsing: document.merged(with: planChanges).canonicalBytes())
    }

    /// The sites by name, in the scenario's order.
    package var siteNames: [String] { partition?.sites ?? sites.map(\.name) }
}

extension Scenario.Partition {
    init(_ source: JSONFields) throws {
        var fields = source
        self.init(
            file: try fields.string("file", maxBytes: 512), column: try fields.string("column", maxBytes: 256),
            sites: try fields.strings("sites", maxCount: 1024), datasetKey: try fields.string("datasetKey", maxBytes: 128),
            split: try fields.integer("split", in: 0...1_000_000))
        try fields.finish()
    }
}

extension JSONValue {
    /// The document after a merge patch (RFC 7396): members of objects are merged, null takes a member away, anything
    /// else replaces what is there.
    func merged(with patch: JSONValue) -> JSONValue {
        guard case .object(let changes) = patch else { return patch }
        var members: [String: JSONValue] = [:]
        if case .object(let own) = self { members = own }
        for (key, change) in changes {
            if change == .null {
                members.removeValue(forKey: key)
            } else {
                members[key] = (members[key] ?? .null).merged(with: change)
            }
        }
        return .object(members)
    }
}

/// Why a scenario cannot run or did not succeed.
package enum ScenarioError: Error, CustomStringConvertible {
    /// The scenario, its plan or its data.
    case unusable(String)
    /// A step of the life failed.
    case failed(step: String, String)

    package var description: String {
        switch self {
        case .unusable(let problem): problem
        case .failed(let step, let problem): "\(step): \(problem)"
        }
    }
}
