import Codec
import Cryptography
import Glibc
import Study
import Testing

/// A plan document with every field written out, as the canonical form has them.
let fullPlan: JSONValue = [
    "consilium": "plan/1",
    "study": "heart-1",
    "title": "A study",
    "owner": "The owner",
    "purpose": "A purpose",
    "mustNotBeUsedFor": ["Insurance"],
    "assumptions": ["Measured on admission"],
    "task": "binary-classification",
    "schema": [
        "features": [
            [
                "name": "age", "column": "age", "kind": "numeric", "unit": "years",
                "range": [18, 110],
                "integer": true, "missing": "refuse", "missingCodes": [], "sensitive": true,
                "description": "age",
            ],
            [
                "name": "sex", "column": "sex", "kind": "binary", "codes": ["f", "m"],
                "missing": "refuse", "missingCodes": [], "sensitive": true, "description": "sex",
            ],
            [
                "name": "pain", "column": "cp", "kind": "categorical",
                "categories": ["1", "2", "3"],
                "dropFirstCategory": true, "missing": "own-category", "missingCodes": ["9"],
                "sensitive": false, "description": "chest pain",
            ],
        ],
        "label": [
            "column": "num", "positive": ["greaterThan": 0], "range": [0, 4],
            "description": "status",
        ],
        "delimiter": ",", "header": true, "otherColumns": "refuse", "rowFilter": "all",
        "badRowShareMax": 0.2, "preprocessing": ["standardise": "numeric", "clip": 10],
    ],
    "model": ["family": "logisticRegression", "l2": 0.01, "perSiteIntercept": true],
    "training": [
        "rounds": 20,
        "local": [
            "optimizer": "sgd", "learningRate": 0.1, "momentum": 0, "epochs": 2, "batchSize": 32,
            "proximalMu": 0,
        ],
        "server": ["optimizer": "fedAvg", "learningRate": 1],
        "updateBound": 4, "seed": 1,
    ],
    "cohort": [
        "sitesMin": 3, "sitesMax": 64, "colluders": 1, "rowsPerSiteMax": 2000, "messageSeconds": 10,
        "trainingSeconds": 60, "attempts": 2,
    ],
    "privacy": ["secureAggregation": true, "withoutDifferentialPrivacy": true],
    "split": ["rule": "keyed-hash", "heldOutShare": 0.2],
    "evaluation": ["bins": 1000, "threshold": 0.5, "everyRounds": 5],
    "gates": [["metric": "auc", "atLeast": 0.8], ["metric": "logLoss", "atMost": 0.7]],
    "deployment": ["automatic": true, "siteGates": [["metric": "rows", "atLeast": 5]]],
]

/// Reads a plan document by way of its text.
func plan(_ document: JSONValue) throws(StudyError) -> Plan {
    try Plan(parsing: document.canonicalBytes())
}

/// The error that `body` throws, or nil.
func failure(_ body: () throws -> Void) -> StudyError? {
    do {
        try body()
        return nil
    } catch {
        return error as? StudyError
    }
}

/// Steps into a document: keys of objects, indices of arrays.
enum Step: Hashable, CustomStringConvertible {
    case key(String)
    case index(Int)

    var description: String {
        switch self {
        case .key(let key): "." + key
        case .index(let index): "[\(index)]"
        }
    }
}

/// "training.local.epochs", "gates[1].atMost" → steps.
func steps(_ path: String) -> [Step] {
    path.split(separator: ".").flatMap { part -> [Step] in
        let pieces = part.split(separator: "[")
        return [.key(String(pieces[0]))]
            + pieces.dropFirst().compactMap { Int($0.dropLast()).map(Step.index) }
    }
}

func text(_ path: [Step]) -> String {
    let dotted = path.map(\.description).joined()
    return dotted.hasPrefix(".") ? String(dotted.dropFirst()) : dotted
}

extension JSONValue {
    subscript(path: ArraySlice<Step>) -> JSONValue? {
        switch (path.first, self) {
        case (nil, _): self
        case (.key(let key), .object(let members)): members[key]?[path.dropFirst()]
        case (.index(let index), .array(let values)):
            values.indices.contains(index) ? values[index][path.dropFirst()] : nil
        default: nil
        }
    }

    /// The document with another value at a path; nil takes the member or element away.
    func with(_ path: ArraySlice<Step>, _ value: JSONValue?) -> JSONValue {
        switch (path.first, self) {
        case (nil, _): return value ?? .null
        case (.key(let key), .object(var members)):
            members[key] = path.count == 1 ? value : members[key]?.with(path.dropFirst(), value)
            return .object(members)
        case (.index(let index), .array(var values)):
            if path.count == 1 {
                if let value { values[index] = value } else { values.remove(at: index) }
            } else {
                values[index] = values[index].with(path.dropFirst(), value)
            }
            return .array(values)
        default: return self
        }
    }

    func with(_ path: String, _ value: JSONValue?) -> JSONValue { with(steps(path)[...], value) }

    /// Every place of the document below the root, in a fixed order.
    var places: [[Step]] {
        switch self {
        case .object(let members):
            members.keys.sorted().flatMap { key in
                [[.key(key)]] + (members[key] ?? .null).places.map { [.key(key)] + $0 }
            }
        case .array(let values):
            values.enumerated().flatMap { index, value in
                [[.index(index)]] + value.places.map { [.index(index)] + $0 }
            }
        default: []
        }
    }

    /// 0 null, 1 truth value, 2 number, 3 text, 4 array, 5 object.
    var kind: Int {
        switch self {
        case .null: 0
        case .bool: 1
        case .integer, .number: 2
        case .string: 3
        case .array: 4
        case .object: 5
        }
    }
}

/// Numbers from a seed (SplitMix64), for property tests that replay.
struct SeededNumbers: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// The plans that come with the scenarios.
enum ScenarioPlans {
    /// Tests/StudyTests/Support.swift → scenarios/plans.
    static let folder =
        #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined() + "/scenarios/plans"

    /// Name and text, in order of names.
    static let all: [(name: String, text: [UInt8])] = names.map { ($0, read(folder + "/" + $0)) }

    static var names: [String] {
        guard let directory = unsafe opendir(folder) else { return [] }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) { buffer in
                unsafe String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasSuffix(".json5") { names.append(name) }
        }
        return names.sorted()
    }

    private static func read(_ path: String) -> [UInt8] {
        let descriptor = unsafe open(path, O_RDONLY)
        precondition(descriptor >= 0, "cannot open \(path)")
        defer { close(descriptor) }
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = unsafe chunk.withUnsafeMutableBytes {
                unsafe Glibc.read(descriptor, $0.baseAddress, $0.count)
            }
            guard count > 0 else { return content }
            content += chunk[..<count]
        }
    }
}
