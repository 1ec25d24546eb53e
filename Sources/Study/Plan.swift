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
    /// Bytes of a study's name: leaves room for the number of a run, which is named after its study.
    package static let studyBytesMax = 56
    /// Most inputs of a model, after preprocessing.
    static let inputsMax = 16_384

    /// Who asks for what, in words that a data protection officer reads.
    package struct Statement: Equatable, Sendable {
        /// One line; 1 to 200 bytes.
        package var title: String
        /// Who answers for the study; 1 to 200 bytes.
        package var owner: String
        /// What the model is for; 1 to 2,000 bytes.
        package var purpose: String
        /// Uses that are ruled out, 1 to 32.
        package var mustNotBeUsedFor: [String]
        /// What has to be true of the rows for the model to mean anything, at most 32.
        package var assumptions: [String]
    }

    /// The study's name: `[a-z0-9-]{1,56}`. A new plan of the same study replaces the old one.
    package var study: String
    /// Title, owner, purpose, ruled-out uses, assumptions.
    package var statement: Statement
    /// What the model decides; a site's policy file lists the tasks it allows.
    package var task: Task
    /// The agreed meaning of a row; `protocol/data.md` §2.
    package var schema: Schema
    /// What kind of model is trained, under the key `model`.
    package var family: ModelFamily
    /// Rounds and local work.
    package var training: TrainingPlan
    /// Which sites a round needs and how long it waits for them.
    package var cohort: CohortPlan
    /// What protects the rows.
    package var privacy: PrivacyPlan
    /// Which rows train and which judge.
    package var split: SplitPlan
    /// How a model is judged.
    package var evaluation: EvaluationPlan
    /// Agreed before training; a model that misses one is never released.
    package var gates: [SuccessGate]
    /// How a released version is put to work.
    package var deployment: DeploymentPlan

    /// The canonical bytes of the document, defaults filled in.
    package var canonicalBytes: [UInt8] { json.canonicalBytes() }

    /// SHA-256 of the canonical bytes: the plan hash of `protocol/plan.md` §1. Computed anew each time.
    package var hash: Digest { SHA256.hash(canonicalBytes) }

    /// The kinds of task a plan can name.
    package enum Task: String, Sendable, CaseIterable {
        /// The probability of the positive class of a two-class label.
        case binaryClassification = "binary-classification"
    }
}

extension Plan {
    /// Reads a plan from JSON5 text or from its canonical bytes.
    ///
    /// - Throws: `StudyError` that names the field; syntax errors name line and column.
    /// - Cost: linear in the text, and once more to measure the canonical form.
    package init(parsing bytes: [UInt8]) throws(StudyError) {
        let value: JSONValue
        do {
            value = try JSONValue.parse(
                bytes, dialect: .json5, limits: .init(bytesMax: Plan.bytesMax))
        } catch {
            throw StudyError(
                .planInvalid, path: "", problem: "the plan is not valid JSON5: \(error)")
        }
        try self.init(json: value)
    }

    init(json value: JSONValue) throws(StudyError) {
        do {
            var fields = try JSONFields(value, path: "")
            let format = try fields.string("consilium")
            guard format == "plan/1" else {
                throw StudyError(
                    .planInvalid, path: "consilium",
                    problem: "must be \"plan/1\"; this program reads no other plan format")
            }
            study = try fields.string("study", maxBytes: 64)
            guard isName(study), study.utf8.count <= Plan.studyBytesMax else {
                throw StudyError(
                    .planInvalid, path: "study",
                    problem: "must be 1 to \(Plan.studyBytesMax) of a-z, 0-9 and -")
            }
            statement = try Statement(&fields)
            let taskName = try fields.string("task", maxBytes: 64)
            guard let task = Task(rawValue: taskName) else {
                throw StudyError(
                    .planInvalid, path: "task",
                    problem:
                        "must be one of \(Task.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            self.task = task
            schema = try Schema(json: fields.value("schema") ?? .null, path: "schema")
            family = try ModelFamily(json: fields.value("model") ?? .null, path: "model")
            training = try TrainingPlan(fields.fields("training"))
            cohort = try CohortPlan(fields.optionalFields("cohort"))
            privacy = try PrivacyPlan(fields.fields("privacy"))
            split = try SplitPlan(fields.fields("split"))
            evaluation = try EvaluationPlan(fields.optionalFields("evaluation"))
            gates = try SuccessGate.list(
                fields.array("gates", maxCount: SuccessGate.gatesMax), path: "gates")
            deployment = try DeploymentPlan(fields.optionalFields("deployment"))
            try fields.finish()
        } catch {
            throw StudyError(.planInvalid, reading: "plan", error)
        }
        try refuseContradictions()
        // What is published is the canonical form, and it has to pass through the same door.
        guard canonicalBytes.count <= Plan.bytesMax else {
            throw StudyError(
                .planInvalid, path: "",
                problem:
                    "the plan with all defaults written out is longer than \(Plan.bytesMax) bytes")
        }
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
        title = try Plan.Statement.text(&fields, "title", maxBytes: 200)
        owner = try Plan.Statement.text(&fields, "owner", maxBytes: 200)
        purpose = try Plan.Statement.text(&fields, "purpose", maxBytes: 2000)
        mustNotBeUsedFor = try fields.strings("mustNotBeUsedFor", maxCount: 32)
        assumptions = try fields.strings("assumptions", maxCount: 32)
    }

    private static func text(
        _ fields: inout JSONFields, _ key: String, maxBytes: Int
    ) throws(FieldError) -> String {
        let text = try fields.string(key, maxBytes: maxBytes)
        guard text.contains(where: { !$0.isWhitespace }) else {
            throw FieldError(path: key, problem: "must not be empty")
        }
        return text
    }
}

/// Whether a text is a name of this system: 1 to 64 of `a-z`, `0-9` and `-`. Sites, studies and
/// models are named so, and a name is safe in a path, a URL and a log line.
package func isName(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    guard (1...64).contains(bytes.count) else { return false }
    return bytes.allSatisfy {
        (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d
    }
}
