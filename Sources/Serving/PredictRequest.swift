// The body of `POST /v1/predict`, read token by token into validated rows. `protocol/prediction-api.md` §3.
//
// The body is read twice: once to find `model`, `explain` and the place of the rows (their values are skipped and so
// checked as JSON), once for the rows with the rules of the model that was found. Nothing is built in between: names are
// looked up as bytes, numbers go from the text into the row.

import Codec
import Tabular

struct PredictRequest: Sendable {
    var model: DeployedModel
    var wishes: RowWishes
    /// Whom all rows of the request are about, as the site knows the person.
    var subject: String?
    /// What keeps the requests of one person, ward or device on one arm of a trial.
    var routingKey: String?
    var rows: RequestRows
    /// How the rows came to the model, if by a pipeline.
    var pipeline: PipelineRows?

    /// - Parameters:
    ///   - live: the versions that answer; the one that is picked here answers the whole request.
    ///   - find: the pipeline of a name that no model has.
    /// - Throws: `RequestRefusal` when the body as a whole cannot be used.
    init(
        _ body: [UInt8], live: LiveTable, pipeline find: (String) throws(RequestRefusal) -> DeployedPipeline? = { _ in nil }
    ) throws(RequestRefusal) {
        do {
            let outline = try RequestOutline(body) { name in name.map { live.models[$0]?.rules } ?? live.only?.rules }
            wishes = outline.wishes
            subject = outline.subject
            routingKey = outline.routingKey
            if let name = outline.model, live.models[name] == nil, let found = try find(name) {
                let run = PipelineRows(found, try outline.readRows(body, found.rules))
                (pipeline, model, rows) = (run, found.final, run.rows)
                guard wishes.counterfactual == nil else {
                    throw RequestRefusal.malformed("a pipeline has no counterfactuals: what a step makes of a change is not a change of the inputs")
                }
            } else {
                model = try Self.model(outline.model, live)
                rows = try outline.readRows(body, model.rules)
            }
            guard wishes.counterfactual == nil || rows.count <= ServingLimits.counterfactualRows
            else {
                throw RequestRefusal.malformed(
                    "a request for counterfactuals has at most \(ServingLimits.counterfactualRows) rows")
            }
        } catch {
            throw RequestRefusal(reading: error)
        }
    }

    private static func model(_ name: String?, _ live: LiveTable) throws(RequestRefusal)
        -> DeployedModel
    {
        if let name {
            guard let model = live.models[name] else {
                throw RequestRefusal(
                    404, .unknownModel, "no such model is live; GET /v1/models lists them")
            }
            return model
        }
        if let only = live.only { return only }
        if live.models.isEmpty {
            throw RequestRefusal(
                503, .noLiveVersion, "no version is live at this node yet; make one live")
        }
        throw .malformed(
            "several models are live: say which with \"model\"; GET /v1/models lists them")
    }
}

/// What stands where in a request body.
struct RequestOutline {
    private(set) var model: String?
    private(set) var wishes = RowWishes()
    private(set) var subject: String?
    private(set) var routingKey: String?
    /// A reader that stands before the value of `rows` or `row`.
    private var place: JSONReader
    private var form = Form.row
    /// The rows, when it was known in time by which rules to read them.
    private var early: (rules: RowRules, rows: RequestRows)?

    /// How the rows are written; the last two are MLflow's.
    private enum Form: String, CaseIterable {
        case row, rows
        case records = "dataframe_records"
        case split = "dataframe_split"
    }

    private static func form(_ key: JSONText, _ reader: JSONReader) -> Form? { Form.allCases.first { reader.isEqual(key, $0.rawValue) } }

    /// - Parameter guess: the rules of a model, nil for a request that has not named one so far. Rows are read by them at
    ///   once; when another model is named later, they are read again.
    init(_ body: [UInt8], guess: (String?) -> RowRules?) throws {
        var reader = try JSONReader(body, bytesMax: ServingLimits.predictBodyBytes)
        place = reader
        var seen: (rows: Bool, model: Bool, explain: Bool) = (false, false, false)
        try reader.enterObject()
        var member = 0
        while let key = try reader.nextKey() {
            member += 1
            if let form = Self.form(key, reader) {
                guard !seen.rows else {
                    throw RequestRefusal.malformed(
                        "the request has \"row\" or \"rows\" more than once; send one of them, once"
                    )
                }
                seen.rows = true
                self.form = form
                place = reader
                early = Self.early(form, &reader, body, guess(model))
                if early == nil { try reader.skip() }
            } else if reader.isEqual(key, "model"), !seen.model {
                seen.model = true
                guard try reader.peek() == .string else {
                    throw RequestRefusal.malformed("\"model\" must be a text")
                }
                model = reader.string(try reader.text())
            } else if reader.isEqual(key, "explain"), !seen.explain {
                seen.explain = true
                guard try reader.peek() == .bool else {
                    throw RequestRefusal.malformed("\"explain\" must be true or false")
                }
                wishes.explain = try reader.bool()
            } else if reader.isEqual(key, "reasons"), !wishes.reasons {
                guard try reader.peek() == .bool else {
                    throw RequestRefusal.malformed("\"reasons\" must be true or false")
                }
                wishes.reasons = try reader.bool()
            } else if reader.isEqual(key, "counterfactual"), wishes.counterfactual == nil {
                wishes.counterfactual = try RequestOutline.counterfactual(&reader)
            } else if reader.isEqual(key, "subject"), subject == nil {
                subject = try RequestOutline.name(&reader, "subject")
            } else if reader.isEqual(key, "routing_key"), routingKey == nil {
                routingKey = try RequestOutline.name(&reader, "routing_key")
            } else {
                throw RequestRefusal.malformed(
                    "member \(member) of the request is unknown or repeated; a request has row or rows (or dataframe_split, dataframe_records), model, explain, reasons, counterfactual, subject, routing_key"
                )
            }
        }
        try reader.finish()
        guard seen.rows else {
            throw RequestRefusal.malformed(
                "the request has neither \"row\" (an object) nor \"rows\" (an array of objects)")
        }
    }

    private static func name(_ reader: inout JSONReader, _ member: String) throws -> String {
        guard try reader.peek() == .string else {
            throw RequestRefusal.malformed("\"\(member)\" must be a text")
        }
        let text = reader.string(try reader.text())
        guard (1...ServingLimits.subjectBytes).contains(text.utf8.count) else {
            throw RequestRefusal.malformed(
                "\"\(member)\" must have 1 to \(ServingLimits.subjectBytes) bytes")
        }
        return text
    }

    func readRows(_ body: [UInt8], _ rules: RowRules) throws -> RequestRows {
        if let early, early.rules === rules { return early.rows }
        var place = place
        return try Self.rows(form, &place, body, rules)
    }

    /// Rows that can be read at once; nil, with the reader where it was, when something is wrong with them or there are no rules.
    private static func early(
        _ form: Form, _ reader: inout JSONReader, _ body: [UInt8], _ rules: RowRules?
    ) -> (rules: RowRules, rows: RequestRows)? {
        guard let rules else { return nil }
        let place = reader
        if let rows = try? rows(form, &reader, body, rules) { return (rules, rows) }
        reader = place
        return nil
    }

    private static func rows(_ form: Form, _ place: inout JSONReader, _ body: [UInt8], _ rules: RowRules) throws -> RequestRows {
        var rows = RequestRows(width: rules.featureCount)
        var builder = RowBuilder(rules)
        switch form {
        case .row:
            try RequestOutline.row(&place, body, rules, &builder, into: &rows)
            return rows
        case .split:
            let frame = try DataframeSplit(&place)
            return try frame.rows(body, rules)
        case .rows, .records: break
        }
        guard try place.peek() == .array else {
            throw RequestRefusal.malformed("\"rows\" must be an array of objects")
        }
        try place.enterArray()
        while try place.nextElement() {
            guard rows.count < ServingLimits.rows else {
                throw RequestRefusal.malformed(
                    "the request has more than \(ServingLimits.rows) rows; send several requests")
            }
            try RequestOutline.row(&place, body, rules, &builder, into: &rows)
        }
        guard rows.count > 0 else {
            throw RequestRefusal.malformed("\"rows\" is empty; send at least one row")
        }
        return rows
    }

    /// One row object. The builder is reused from row to row.
    private static func row(
        _ reader: inout JSONReader, _ body: [UInt8], _ rules: RowRules, _ builder: inout RowBuilder, into rows: inout RequestRows
    ) throws {
        guard try reader.peek() == .object else {
            try reader.skip()
            return rows.refuse([
                RowViolation(
                    rule: "wrong-type", message: "a row must be an object of features by name")
            ])
        }
        builder.reset()
        var strangers: [RowViolation] = []
        var member = 0
        try reader.enterObject()
        while let key = try reader.nextKey() {
            member += 1
            guard member <= ServingLimits.rowMembers else {
                throw RequestRefusal.malformed(
                    "a row has more than \(ServingLimits.rowMembers) members")
            }
            if let index = feature(key, reader, body, rules, near: member - 1) {
                try read(&reader, body, &builder, index)
            } else {
                try reader.skip()
                guard strangers.count < ServingLimits.violationsPerRow else { continue }
                strangers.append(
                    RowViolation(
                        member: member, rule: "unknown-feature",
                        message: "member \(member) of the row is not a feature of the model"))
            }
        }
        let isComplete = builder.complete()
        if isComplete, strangers.isEmpty { return rows.append(valid: builder.values) }
        let own = builder.violations.map {
            RowViolation(feature: $0.name, rule: $0.rule.code, message: $0.description)
        }
        rows.refuse(Array((strangers + own).prefix(ServingLimits.violationsPerRow)))
    }

    private static func feature(
        _ key: JSONText, _ reader: JSONReader, _ body: [UInt8], _ rules: RowRules, near guess: Int
    ) -> Int? {
        key.hasEscapes
            ? rules.featureIndex(named: reader.string(key))
            : rules.featureIndex(body.span, in: key.range, near: guess)
    }

    /// `true`, or the features that may be changed.
    private static func counterfactual(_ reader: inout JSONReader) throws -> CounterfactualWish {
        switch try reader.peek() {
        case .bool: return try reader.bool() ? .anything : .nothing
        case .array:
            var names: Set<String> = []
            try reader.enterArray()
            while try reader.nextElement() {
                guard try reader.peek() == .string, names.count < ServingLimits.rowMembers else {
                    break
                }
                names.insert(reader.string(try reader.text()))
            }
            return .features(names)
        default:
            throw RequestRefusal.malformed(
                "\"counterfactual\" must be true, false or an array of feature names")
        }
    }

    static func read(
        _ reader: inout JSONReader, _ body: [UInt8], _ builder: inout RowBuilder, _ index: Int
    ) throws {
        switch try reader.peek() {
        case .number: builder.set(number: try reader.number(), at: index)
        case .string:
            let text = try reader.text()
            if text.hasEscapes {
                builder.set(.text(reader.string(text)), at: index)
            } else {
                builder.set(text: body.span, in: text.range, at: index)
            }
        case .bool: builder.set(bool: try reader.bool(), at: index)
        case .null:
            try reader.null()
            builder.setMissing(at: index)
        case .object, .array:
            try reader.skip()
            builder.refuse(.wrongType, at: index)
        }
    }
}

/// What a request wants to know of each row besides its score.
struct RowWishes: Equatable, Sendable {
    var explain = false
    var reasons = false
    var counterfactual: CounterfactualWish?

    /// Whether the scores are all that is wanted.
    var isNone: Bool { !explain && !reasons && (counterfactual ?? .nothing) == .nothing }
}

/// Which features a counterfactual may change.
enum CounterfactualWish: Equatable, Sendable {
    case nothing
    /// All but the protected ones.
    case anything
    case features(Set<String>)
}
