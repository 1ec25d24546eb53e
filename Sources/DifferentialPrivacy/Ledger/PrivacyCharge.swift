import Codec
import Cryptography

/// One release that costs privacy: a round's training on a dataset. What a `reserved` record says.
package struct PrivacyCharge: Equatable, Sendable {
    /// The dataset's identifier: content fingerprint and declared population, or a name the site gave it.
    package let dataset: String
    /// What is protected.
    package let unit: PrivacyUnit
    /// Who pays for it in reports.
    package let study: String
    /// Task, round and attempt as in secure aggregation.
    package let task: String
    /// Round number.
    package let round: Int
    /// Attempt of the round: each costs.
    package let attempt: Int
    /// Context of the secure aggregation, or of the round where there is none.
    package let context: Digest
    /// The guarantee's mode.
    package let mode: PrivacyGuarantee
    /// C.
    package let clippingNorm: Double
    /// q, noise, steps.
    package let event: PrivacyEvent

    /// Bytes of a name.
    package static let nameBytesMax = 128

    /// - Parameters: see the properties.
    /// - Throws: `PrivacyRefusal` (`privacy.ledger-record`) for a name that is empty, too long or not printable ASCII, a negative
    ///   number, or a clipping norm that is not positive.
    package init(
        dataset: String, unit: PrivacyUnit, study: String, task: String, round: Int, attempt: Int, context: Digest,
        mode: PrivacyGuarantee, clippingNorm: Double, event: PrivacyEvent
    ) throws(PrivacyRefusal) {
        for (what, name) in [("dataset", dataset), ("study", study), ("task", task)] { try checkName(what, name) }
        guard round >= 0, attempt >= 0, round <= 1 << 53, attempt <= 1 << 32 else {
            throw PrivacyRefusal(.ledgerRecord, "a charge's round and attempt must be whole numbers that are not negative")
        }
        guard clippingNorm > 0, clippingNorm.isFinite else {
            throw PrivacyRefusal(.ledgerRecord, "a charge's clipping norm must be above 0")
        }
        self.dataset = dataset
        self.unit = unit
        self.study = study
        self.task = task
        self.round = round
        self.attempt = attempt
        self.context = context
        self.mode = mode
        self.clippingNorm = clippingNorm
        self.event = event
    }
}

/// Names in the ledger: 1 to 128 printable ASCII characters.
func checkName(_ what: String, _ name: String) throws(PrivacyRefusal) {
    guard (1...PrivacyCharge.nameBytesMax).contains(name.utf8.count), name.utf8.allSatisfy({ 0x21...0x7e ~= $0 }) else {
        throw PrivacyRefusal(.ledgerRecord, "the name of a \(what) must be 1 to 128 printable ASCII characters without spaces")
    }
}

/// A decimal that reads back as the same number, for hashed text.
func exactDecimal(_ value: Double) -> JSONValue { .string(ecmaScript(value)) }

extension PrivacyCharge {
    var fields: [String: JSONValue] {
        [
            "dataset": .string(dataset), "unit": .string(unit.rawValue), "study": .string(study), "task": .string(task),
            "round": .integer(Int64(round)), "attempt": .integer(Int64(attempt)), "context": .string(context.hex),
            "mode": .string(mode.rawValue), "clippingNorm": exactDecimal(clippingNorm),
            "samplingRate": exactDecimal(event.samplingRate), "steps": .integer(Int64(event.steps)), "noise": event.noise.json,
        ]
    }

    init(_ fields: inout JSONFields) throws {
        try self.init(
            dataset: fields.string("dataset", maxBytes: 128), unit: fields.choice("unit"), study: fields.string("study", maxBytes: 128),
            task: fields.string("task", maxBytes: 128), round: fields.integer("round", in: 0...1 << 53),
            attempt: fields.integer("attempt", in: 0...1 << 32), context: fields.digest("context"), mode: fields.choice("mode"),
            clippingNorm: fields.decimal("clippingNorm"),
            event: PrivacyEvent(
                noise: PrivacyEvent.Noise(fields.fields("noise")), samplingRate: fields.decimal("samplingRate"),
                steps: fields.integer("steps", in: 1...PrivacyLimits.stepsMax)))
    }
}

extension PrivacyEvent.Noise {
    fileprivate var json: JSONValue {
        switch self {
        case .gaussian(let sigma): ["kind": "gaussian", "multiplier": exactDecimal(sigma)]
        case .discreteGaussian(let sigma): ["kind": "discrete-gaussian", "multiplier": exactDecimal(sigma)]
        case .distributed(let noise):
            [
                "kind": "distributed-discrete-gaussian", "deviation": exactDecimal(noise.localDeviation),
                "parties": .integer(Int64(noise.parties)), "l2": exactDecimal(noise.l2Sensitivity), "l1": exactDecimal(noise.l1Sensitivity),
                "dimension": .integer(Int64(noise.dimension)),
            ]
        }
    }

    fileprivate init(_ source: JSONFields) throws {
        var fields = source
        switch try fields.string("kind") {
        case "gaussian": self = .gaussian(try fields.decimal("multiplier"))
        case "discrete-gaussian": self = .discreteGaussian(try fields.decimal("multiplier"))
        case "distributed-discrete-gaussian":
            self = .distributed(
                try DistributedDiscreteGaussian(
                    localDeviation: fields.decimal("deviation"), parties: fields.integer("parties", in: 1...1_000_000),
                    l2Sensitivity: fields.decimal("l2"), l1Sensitivity: fields.decimal("l1"), dimension: fields.integer("dimension", in: 1...1 << 40)))
        default: throw FieldError(path: "noise.kind", problem: "is not known")
        }
        try fields.finish()
    }
}

extension JSONFields {
    mutating func choice<Choice: RawRepresentable<String>>(_ key: String) throws -> Choice {
        guard let choice = Choice(rawValue: try string(key)) else { throw FieldError(path: key, problem: "is not known") }
        return choice
    }

    mutating func digest(_ key: String) throws -> Digest {
        guard let digest = Digest(hex: try string(key)) else { throw FieldError(path: key, problem: "must be 64 hexadecimal digits") }
        return digest
    }

    /// A number in quotes, so that no reader rounds it.
    mutating func decimal(_ key: String) throws -> Double {
        guard let number = Double(try string(key, maxBytes: 32)), number.isFinite else {
            throw FieldError(path: key, problem: "must be a decimal number in quotes")
        }
        return number
    }
}
