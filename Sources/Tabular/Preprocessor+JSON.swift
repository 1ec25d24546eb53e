import Codec

// The JSON form of a fitted preprocessor (protocol/data.md §7). It stands alone; `check(_:)` holds it against
// the schema it is used with.

extension Preprocessor {
    /// The fitted preprocessor as a document. Numbers round-trip exactly.
    package var json: JSONValue {
        let list = columns.map { column -> JSONValue in
            var object: [String: JSONValue] = [
                "name": .string(column.name), "feature": .string(featureNames[column.feature]),
                "centre": .number(column.centre), "scale": .number(column.scale),
            ]
            switch column.source {
            case .value(let imputed):
                object["source"] = "value"
                object["imputed"] = .number(imputed)
            case .category(let category, let whenMissing):
                object["source"] = "category"
                object["category"] = .integer(Int64(category))
                object["whenMissing"] = .number(whenMissing)
            case .missing:
                object["source"] = "missing"
            }
            return .object(object)
        }
        return [
            "clip": .number(clip), "features": .array(featureNames.map { .string($0) }),
            "columns": .array(list),
        ]
    }

    /// Reads a document. Use `check(_:)` before using it with a schema.
    /// - Throws: `TabularError.preprocessor` with the path of the first problem: an unknown feature, a column
    ///   given twice or out of order, numbers that are not usable.
    package init(json: JSONValue, path: String = "preprocessor") throws(TabularError) {
        do {
            self = try Preprocessor.read(try JSONFields(json, path: path), path)
        } catch let error as FieldError {
            throw .preprocessor(path: error.path, problem: error.problem)
        } catch let error as TabularError {
            throw error
        } catch {
            throw .preprocessor(path: path, problem: "cannot be read")
        }
    }

    /// Refuses a schema that this preprocessor was not fitted for.
    /// - Throws: `TabularError.preprocessor` when features differ in name or order, or a column does not fit its
    ///   feature's kind.
    package func check(_ schema: Schema, path: String = "preprocessor") throws(TabularError) {
        guard featureNames == schema.features.map(\.name) else {
            throw .preprocessor(
                path: "\(path).features", problem: "are not the features of the schema")
        }
        for (index, column) in columns.enumerated() {
            let kind = schema.features[column.feature].kind
            let fits: Bool
            switch (column.source, kind) {
            case (.value, .numeric), (.value, .binary), (.missing, _): fits = true
            case (.category(let category, _), .categorical(let categories, _)):
                fits = category < categories.count
            default: fits = false
            }
            guard fits else {
                throw .preprocessor(
                    path: "\(path).columns[\(index)]", problem: "does not fit its feature's kind")
            }
        }
    }

    /// Columns of one preprocessor: every category of every feature and its missing column.
    private static let columnsMax = TabularLimits.featuresMax * (TabularLimits.categoriesMax + 1)

    private static func read(_ source: JSONFields, _ path: String) throws -> Preprocessor {
        var fields = source
        let clip = try fields.number("clip", in: 1...1e6)
        let names = try fields.strings("features", maxCount: TabularLimits.featuresMax)
        var places: [String: Int] = [:]
        for (index, name) in names.enumerated() where places.updateValue(index, forKey: name) != nil
        {
            throw TabularError.preprocessor(
                path: "\(path).features[\(index)]", problem: "is listed twice")
        }
        var columns: [Column] = []
        var identities = Set<String>()
        for (index, item) in try fields.array("columns", maxCount: columnsMax).enumerated() {
            let place = "\(path).columns[\(index)]"
            let column = try readColumn(try JSONFields(item, path: place), places, place)
            if let last = columns.last, last.feature > column.feature {
                throw TabularError.preprocessor(
                    path: place, problem: "is out of the features' order")
            }
            guard identities.insert("\(column.feature) \(column.source.identity)").inserted else {
                throw TabularError.preprocessor(path: place, problem: "repeats an earlier column")
            }
            columns.append(column)
        }
        try fields.finish()
        guard !columns.isEmpty else {
            throw TabularError.preprocessor(path: "\(path).columns", problem: "is empty")
        }
        return Preprocessor(columns: columns, featureNames: names, clip: clip)
    }

    private static func readColumn(
        _ source: JSONFields, _ places: [String: Int], _ path: String
    ) throws -> Column {
        var fields = source
        guard
            let feature = places[try fields.string("feature", maxBytes: TabularLimits.nameBytesMax)]
        else {
            throw TabularError.preprocessor(
                path: "\(path).feature", problem: "is not one of the features")
        }
        let limit = TabularLimits.rangeMagnitudeMax
        let from: Source
        switch try fields.string("source", maxBytes: 16) {
        case "value":
            from = .value(imputed: try fields.number("imputed", in: -limit...limit))
        case "category":
            from = .category(
                try fields.integer("category", in: 0...TabularLimits.categoriesMax - 1),
                whenMissing: try fields.number("whenMissing", in: 0...1))
        case "missing":
            from = .missing
        default:
            throw TabularError.preprocessor(
                path: "\(path).source", problem: "must be value, category or missing")
        }
        let column = Column(
            name: try fields.string("name", maxBytes: 2 * TabularLimits.nameBytesMax + 16),
            feature: feature, source: from,
            centre: try fields.number("centre", in: -limit...limit),
            scale: try fields.number("scale", in: 1e-30...limit))
        try fields.finish()
        return column
    }
}

extension Preprocessor.Source {
    /// What makes a column unique within its feature.
    fileprivate var identity: String {
        switch self {
        case .value: return "value"
        case .category(let category, _): return "category \(category)"
        case .missing: return "missing"
        }
    }
}
