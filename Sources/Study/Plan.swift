// The study plan: what sites agree to before anything runs.
//
// A plan is written by hand in JSON5, read once into this value, and from then on is its *canonical
// form*: canonical JSON (RFC 8785) of the document with every default filled in. The SHA-256 of those
// bytes is the **plan hash**; consents, rounds, packages and log entries refer to a study by it.
//
// Format: `protocol/plan.md`.

import Codec
import Cryptography
import Models
import Tabular

/// A study plan that has passed every check that needs no other document.
package struct Plan: Equatable, Sendable {
    /// Largest plan document, in bytes; row lists make plans long.
    package static let bytesMax = 1 << 20

    /// Who asks for what, in words that a data protection officer reads.
    package struct Statement: Equatable, Sendable {
        package var title: String
        package var owner: String
        package var purpose: String
        package var mustNotBeUsedFor: [String]
        package var assumptions: [String]
    }

    /// The study's name: `[a-z0-9-]{1,64}`. A new plan of the same study replaces the old one.
    package var study: String
    package var statement: Statement
    /// What the model decides; a site's policy file lists the tasks it allows.
    package var task: Task
    package var schema: Schema
    package var family: ModelFamily
    package var training: TrainingPlan
    package var cohort: CohortPlan
    package var privacy: PrivacyPlan
    package var split: SplitPlan
    package var evaluation: EvaluationPlan
    /// Agreed before training; a model that misses one is never released.
    package var gates: [SuccessGate]
    package var deployment: DeploymentPlan

    /// The canonical bytes of the document, defaults filled in.
    package var canonicalBytes: [UInt8] { json.canonicalBytes() }

    /// SHA-256 of the canonical bytes, in the domain of `protocol/plan.md` §1.
    package var hash: Digest { SHA256.hash(canonicalBytes) }

    /// The kinds of task a plan can name.
    package enum Task: String, Sendable, CaseIterable {
        case binaryClassification = "binary-classification"
    }
}

extension Plan {
    /// Reads a plan from JSON5 text or from its canonical bytes.
    ///
    /// - Throws: `StudyError` that names the field; syntax errors name line and column.
    package init(parsing bytes: [UInt8]) throws(StudyError) {
        let value: JSONValue
        do {
            value = try JSONValue.parse(bytes, dialect: .json5, limits: .init(bytesMax: Plan.bytesMax))
        } catch {
            throw StudyError(.planInvalid, path: "", problem: "the plan is not valid JSON5: \(error)")
        }
        try self.init(json: value)
    }

    init(json value: JSONValue) throws(StudyError) {
        do {
            var fields = try JSONFields(value, path: "")
            let format = try fields.string("consilium")
            guard format == "plan/1" else {
                throw StudyError(.planInvalid, path: "consilium", problem: "must be \"plan/1\"; this program reads no other plan format")
            }
            study = try fields.string("study", maxBytes: 64)
            guard isName(study) else {
                throw StudyError(.planInvalid, path: "study", problem: "must be 1 to 64 of a-z, 0-9 and -")
            }
            statement = try Statement(&fields)
            let taskName = try fields.string("task", maxBytes: 64)
            guard let task = Task(rawValue: taskName) else {
                throw StudyError(.planInvalid, path: "task", problem: "must be one of \(Task.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            self.task = task
            schema = try Schema(json: fields.value("schema") ?? .null, path: "schema")
            family = try ModelFamily(json: fields.value("model") ?? .null, path: "model")
            training = try TrainingPlan(fields.fields("training"))
            cohort = try CohortPlan(fields.optionalFields("cohort"))
            privacy = try PrivacyPlan(fields.fields("privacy"))
            split = try SplitPlan(fields.fields("split"))
            evaluation = try EvaluationPlan(fields.optionalFields("evaluation"))
            gates = try SuccessGate.list(fields.array("gates", maxCount: 32))
            deployment = try DeploymentPlan(fields.optionalFields("deployment"))
            try fields.finish()
        } catch let error as StudyError {
            throw error
        } catch {
            throw StudyError(.planInvalid, path: "", problem: "\(error)")
        }
        try refuseContradictions()
    }

    /// The document with all defaults, as a JSON value.
    package var json: JSONValue {
        [
            "consilium": "plan/1",
            "study": .string(study),
            "title": .string(statement.title),
            "owner": .string(statement.owner),
            "purpose": .string(statement.purpose),
            "mustNotBeUsedFor": .array(statement.mustNotBeUsedFor.map { .string($0) }),
            "assumptions": .array(statement.assumptions.map { .string($0) }),
            "task": .string(task.rawValue),
            "schema": schema.json,
            "model": family.json,
            "training": training.json,
            "cohort": cohort.json,
            "privacy": privacy.json,
            "split": split.json,
            "evaluation": evaluation.json,
            "gates": .array(gates.map(\.json)),
            "deployment": deployment.json,
        ]
    }
}

extension Plan.Statement {
    init(_ fields: inout JSONFields) throws(FieldError) {
        title = try fields.string("title", maxBytes: 200)
        owner = try fields.string("owner", maxBytes: 200)
        purpose = try fields.string("purpose", maxBytes: 2000)
        mustNotBeUsedFor = try fields.strings("mustNotBeUsedFor", maxCount: 32)
        assumptions = try fields.strings("assumptions", maxCount: 32)
    }
}

/// Whether a text is a name of this system: 1 to 64 of `a-z`, `0-9` and `-`. Sites, studies and
/// models are named so, and a name is safe in a path, a URL and a log line.
package func isName(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    guard (1...64).contains(bytes.count) else { return false }
    return bytes.allSatisfy { (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d }
}
