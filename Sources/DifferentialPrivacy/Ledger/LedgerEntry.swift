// The records of the ledger. `protocol/differential-privacy.md` §5 has an example of each.

import Codec
import Cryptography

/// What one record of the ledger says.
package enum LedgerEntry: Equatable, Sendable {
    /// A dataset is known from here on. `parallelTo`: datasets with which it shares no unit; with all others it does.
    case dataset(String, protectedUnits: Int, parallelTo: [String])
    /// A budget for a dataset and unit, with signatures where they are needed.
    case budget(BudgetChange, approvals: [BudgetApproval])
    /// Privacy is spent, before the data is touched.
    case reserved(PrivacyCharge, ChargedDivergences)
    /// The first byte of what was reserved is about to leave.
    case sent(charge: Int)
    /// Nothing more will come of what was reserved. It stays spent.
    case closed(charge: Int)
    /// Exact results over private rows, which the plan declares to be outside the guarantee.
    case outside(dataset: String, study: String, task: String, round: Int)
}

/// A budget that somebody wants for a dataset and unit.
package struct BudgetChange: Equatable, Sendable {
    /// The dataset.
    package let dataset: String
    /// The unit.
    package let unit: PrivacyUnit
    /// The new budget.
    package let budget: PrivacyBudget
    /// The operators call an ε above 10 an exception.
    package let isException: Bool

    /// - Parameters: see the properties.
    package init(dataset: String, unit: PrivacyUnit, budget: PrivacyBudget, isException: Bool = false) {
        self.dataset = dataset
        self.unit = unit
        self.budget = budget
        self.isException = isException
    }

    /// Reads `fields`.
    ///
    /// - Throws: `FieldError`, or `PrivacyRefusal` for numbers out of range.
    package init(_ fields: inout JSONFields) throws {
        let budget = try PrivacyBudget(epsilon: fields.decimal("epsilon"), delta: fields.decimal("delta"))
        self.init(
            dataset: try fields.string("dataset", maxBytes: 128), unit: try fields.choice("unit"), budget: budget,
            isException: try fields.bool("exception"))
    }

    /// The change as members of a JSON object.
    package var fields: [String: JSONValue] {
        [
            "dataset": .string(dataset), "unit": .string(unit.rawValue), "epsilon": exactDecimal(budget.epsilon),
            "delta": exactDecimal(budget.delta), "exception": .bool(isException),
        ]
    }

    /// What an operator signs: the change as canonical JSON after a line that says what it is, and the ledger's head before it.
    package func signedBytes(after head: LedgerPosition) -> [UInt8] {
        Array("consilium privacy budget\n".utf8) + head.bytes + JSONValue.object(fields).canonicalBytes()
    }
}

/// An operator's signature under a budget change.
package struct BudgetApproval: Equatable, Sendable {
    /// Ed25519 key, 32 bytes.
    package let key: [UInt8]
    /// Ed25519 signature, 64 bytes.
    package let signature: [UInt8]

    /// - Parameters: see the properties.
    package init(key: [UInt8], signature: [UInt8]) {
        self.key = key
        self.signature = signature
    }
}

/// A place in a ledger: how far it goes and which ledger it is.
package struct LedgerPosition: Equatable, Sendable {
    /// Number of the last record; 0 for an empty ledger.
    package let sequence: Int
    /// First 24 bytes of the SHA-256 of the last record's line; zeros for an empty ledger.
    package let hash: [UInt8]

    /// Bytes of the hash that peers keep.
    package static let hashBytes = 24
    /// An empty ledger.
    package static let empty = LedgerPosition(sequence: 0, hash: [UInt8](repeating: 0, count: hashBytes))

    /// - Parameter hash: 24 bytes.
    package init(sequence: Int, hash: [UInt8]) {
        precondition(hash.count == LedgerPosition.hashBytes, "a position carries 24 bytes of a hash")
        self.sequence = sequence
        self.hash = hash
    }

    /// 32 bytes as in an advertisement of secure aggregation: sequence, big-endian, then the hash.
    package var bytes: [UInt8] {
        var writer = ByteWriter(reserving: 32)
        writer.u64(UInt64(sequence))
        writer.raw(hash)
        return writer.bytes
    }
}

extension LedgerEntry {
    /// Members of the record, without those of the chain.
    var fields: [String: JSONValue] {
        switch self {
        case .dataset(let name, let units, let parallel):
            [
                "state": "dataset", "dataset": .string(name), "protectedUnits": .integer(Int64(units)),
                "parallelTo": .array(parallel.map { .string($0) }),
            ]
        case .budget(let change, let approvals):
            change.fields.merging([
                "state": "budget",
                "approvals": .array(approvals.map(\.json)),
            ]) { own, _ in own }
        case .reserved(let charge, let cost):
            charge.fields.merging(["state": "reserved", "divergences": .array(cost.units.map { .integer($0) })]) { own, _ in own }
        case .sent(let charge): ["state": "sent", "charge": .integer(Int64(charge))]
        case .closed(let charge): ["state": "closed", "charge": .integer(Int64(charge))]
        case .outside(let dataset, let study, let task, let round):
            [
                "state": "outside", "dataset": .string(dataset), "study": .string(study), "task": .string(task),
                "round": .integer(Int64(round)),
            ]
        }
    }

    init(_ fields: inout JSONFields) throws {
        switch try fields.string("state") {
        case "dataset":
            self = .dataset(
                try fields.string("dataset", maxBytes: 128), protectedUnits: try fields.integer("protectedUnits", in: 1...1 << 50),
                parallelTo: try fields.strings("parallelTo", maxCount: PrivacyLedger.datasetsMax))
        case "budget":
            self = .budget(
                try BudgetChange(&fields), approvals: try fields.array("approvals", maxCount: 16).map { try BudgetApproval(JSONFields($0, path: "approvals")) })
        case "reserved":
            let units = try fields.array("divergences", maxCount: RenyiOrders.all.count).compactMap(\.intValue)
            guard let cost = ChargedDivergences(units: units) else {
                throw FieldError(path: "divergences", problem: "must hold one whole number per order")
            }
            self = .reserved(try PrivacyCharge(&fields), cost)
        case "sent": self = .sent(charge: try fields.integer("charge", in: 1...1 << 53))
        case "closed": self = .closed(charge: try fields.integer("charge", in: 1...1 << 53))
        case "outside":
            self = .outside(
                dataset: try fields.string("dataset", maxBytes: 128), study: try fields.string("study", maxBytes: 128),
                task: try fields.string("task", maxBytes: 128), round: try fields.integer("round", in: 0...1 << 53))
        default: throw FieldError(path: "state", problem: "is not known")
        }
    }
}

extension BudgetApproval {
    /// `{"key", "signature"}` in hexadecimal digits.
    package var json: JSONValue { ["key": .string(Hex.encode(key)), "signature": .string(Hex.encode(signature))] }

    /// Reads `json`.
    ///
    /// - Throws: `FieldError`.
    package init(_ source: JSONFields) throws {
        var fields = source
        guard let key = Hex.decode(try fields.string("key")), let signature = Hex.decode(try fields.string("signature")) else {
            throw FieldError(path: "approvals", problem: "must hold hexadecimal digits")
        }
        try fields.finish()
        self.init(key: key, signature: signature)
    }
}
