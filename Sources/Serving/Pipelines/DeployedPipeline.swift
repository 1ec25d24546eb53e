// A pipeline with the versions that its steps use at one moment: pure, a row in, a row of the answering model out.

import Codec
import Cryptography
import Tabular

struct DeployedPipeline: Sendable {
    let document: PipelineDocument
    let rules: RowRules
    /// One version per model step, in order; the last one answers.
    let models: [DeployedModel]

    init(_ document: PipelineDocument, _ models: [DeployedModel]) {
        precondition(models.count == document.models.count, "a pipeline without all of its models")
        (self.document, self.models) = (document, models)
        rules = RowRules(document.schema)
    }

    /// The version that answers.
    var final: DeployedModel { models[models.count - 1] }

    /// Why a step has no value: its name, and a sentence made of the document's and the schemas' words.
    struct StepFailure: Error, Equatable {
        var step: String
        var problem: String

        var violation: RowViolation {
            RowViolation(rule: "step-failed", message: "step \(step): \(problem)", step: step)
        }
    }

    /// What became of a row.
    struct Trace {
        /// The answering model's features.
        var values: [Double]
        /// Each step's value but the last one's, in order.
        var steps: [(name: String, value: FieldInput)]
    }

    /// - Parameter inputs: valid values in the order of the pipeline's inputs.
    func run(_ inputs: [Double]) throws(StepFailure) -> Trace {
        var fields: [String: FieldInput] = [:]
        for (feature, value) in zip(document.schema.features, inputs) {
            fields[feature.name] = value.isNaN ? .missing : feature.codes.map { .text($0[Int(value)]) } ?? .number(value)
        }
        var steps: [(name: String, value: FieldInput)] = []
        var values: [Double] = []
        var place = 0
        for step in document.steps {
            let value: FieldInput
            switch step.action {
            case .compute(let expression): value = try Self.compute(expression, step.name, fields)
            case .lookup(let field, let table, let otherwise):
                value = try Self.lookUp(fields[field] ?? .missing, field, table, otherwise, step.name)
            case .model(_, let inputs, let isProbability):
                values = try Self.features(models[place].rules, inputs, step.name, fields)
                place += 1
                guard place < models.count else { return Trace(values: values, steps: steps) }
                let score = models[place - 1].score(values)
                value = .number(isProbability ? score.probability : score.score)
            }
            fields[step.name] = value
            steps.append((step.name, value))
        }
        return Trace(values: values, steps: steps)
    }

    private static func compute(_ expression: PipelineExpression, _ step: String, _ fields: [String: FieldInput]) throws(StepFailure) -> FieldInput {
        do {
            let value = try expression.value { number(fields[$0] ?? .missing) }
            return value.isNaN ? .missing : .number(value)
        } catch {
            switch error {
            case .notANumber(let field): throw StepFailure(step: step, problem: "takes \(field), which is no number in this row")
            case .undefined(let operation): throw StepFailure(step: step, problem: "\(operation.rawValue) has no finite result for this row")
            }
        }
    }

    /// NaN when missing, nil when it is no number.
    private static func number(_ field: FieldInput) -> Double? {
        switch field {
        case .number(let value): value
        case .bool(let flag): flag ? 1 : 0
        case .missing: .nan
        case .text(let text): DecimalText.parse(text)
        }
    }

    private static func lookUp(
        _ value: FieldInput, _ field: String, _ table: [String: FieldInput], _ otherwise: FieldInput?, _ step: String
    ) throws(StepFailure) -> FieldInput {
        let key: String
        switch value {
        case .missing: return .missing
        case .text(let text): key = text
        case .bool(let flag): key = String(flag)
        case .number(let number): key = Int64(exactly: number).map { String($0) } ?? number.description
        }
        guard let found = table[key] ?? otherwise else {
            throw StepFailure(step: step, problem: "the table has no member for this row's \(field), and there is no otherwise")
        }
        return found
    }

    private static func features(
        _ rules: RowRules, _ inputs: [String: String], _ step: String, _ fields: [String: FieldInput]
    ) throws(StepFailure) -> [Double] {
        var named: [String: FieldInput] = [:]
        for feature in rules.schema.features { named[feature.name] = fields[inputs[feature.name] ?? feature.name] ?? .missing }
        do {
            return try rules.validate(named: named).values
        } catch {
            throw StepFailure(step: step, problem: error.violations.first.map { "\($0)" } ?? "its inputs do not fit the model")
        }
    }
}

/// The rows of a request to a pipeline.
struct PipelineRows: Sendable {
    var pipeline: DeployedPipeline
    /// What the answering model gets; a row whose step failed is refused.
    var rows: RequestRows
    /// Values of the pipeline's own inputs, one row after another; those of refused rows are left out.
    var inputs: [Double]

    init(_ pipeline: DeployedPipeline, _ given: RequestRows) {
        self.pipeline = pipeline
        var (rows, inputs) = (RequestRows(width: pipeline.final.rules.featureCount), [Double]())
        given.forEach { _, row in
            switch row {
            case .refused(let violations): rows.refuse(violations)
            case .valid(let number):
                let values = given.row(number)
                do throws(DeployedPipeline.StepFailure) {
                    rows.append(valid: try pipeline.run(values).values)
                    inputs += values
                } catch {
                    rows.refuse([error.violation])
                }
            }
        }
        (self.rows, self.inputs) = (rows, inputs)
    }

    /// What the record of a decision keeps of it.
    var use: PipelineUse {
        PipelineUse(
            document: pipeline.document.digest, inputs: pipeline.document.schema.features.count,
            steps: pipeline.models.dropLast().map { .init(digest: $0.package.digest, intercept: $0.intercept) })
    }
}

/// By which pipeline a row came to the model that answered, as its record has it.
struct PipelineUse: Equatable, Sendable {
    /// A version that a step used.
    struct Step: Equatable, Sendable {
        var digest: Digest
        var intercept: Double
    }

    var document: Digest
    /// How many values of the pipeline's inputs stand after the model's features.
    var inputs: Int
    /// The model steps before the last one, in order.
    var steps: [Step]

    /// Document digest 32 | inputs u32 | count u32 | count × (package digest 32, site intercept f64).
    func append(to writer: inout ByteWriter) {
        writer.raw(document.bytes)
        writer.u32(UInt32(inputs))
        writer.u32(UInt32(steps.count))
        for step in steps {
            writer.raw(step.digest.bytes)
            writer.u64(step.intercept.bitPattern)
        }
    }

    init(_ reader: inout ByteReader) throws(CodecError) {
        document = Self.digest(try reader.raw(32))
        inputs = Int(try reader.u32())
        steps = []
        for _ in 0..<min(Int(try reader.u32()), PipelineDocument.stepsMax) {
            let digest = Self.digest(try reader.raw(32))
            steps.append(Step(digest: digest, intercept: Double(bitPattern: try reader.u64())))
        }
    }

    init(document: Digest, inputs: Int, steps: [Step]) {
        (self.document, self.inputs, self.steps) = (document, inputs, steps)
    }

    // 32 bytes were read, so this is a digest.
    private static func digest(_ bytes: [UInt8]) -> Digest { Digest(bytes: bytes) ?? SHA256.hash(bytes) }
}
