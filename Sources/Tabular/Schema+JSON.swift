import Codec

// The JSON form of a schema (protocol/data.md §2). Reading is strict: unknown keys are refused.
// Writing states every setting, so that equal schemas have equal canonical bytes.

extension Schema {
    /// Reads and checks a schema document.
    /// - Parameter path: where it stands, for messages.
    /// - Throws: `TabularError.schema` with the path of the first problem.
    package init(json: JSONValue, path: String = "schema") throws(TabularError) {
        do {
            self = try Schema.read(try JSONFields(json, path: path), path)
        } catch let error as FieldError {
            throw .schema(path: error.path, problem: error.problem)
        } catch let error as TabularError {
            throw error
        } catch {
            throw .schema(path: path, problem: "cannot be read")
        }
        try check(path: path)
    }

    private static func read(_ source: JSONFields, _ path: String) throws -> Schema {
        var fields = source
        var features: [Feature] = []
        let list = try fields.array("features", maxCount: TabularLimits.featuresMax)
        features.reserveCapacity(list.count)
        for (index, item) in list.enumerated() {
            features.append(
                try Feature.read(try JSONFields(item, path: "\(path).features[\(index)]")))
        }
        let label = try Label.read(try fields.fields("label"), "\(path).label")
        var schema = Schema(features: features, label: label)
        schema.subjectColumn = try fields.optionalString(
            "subjectColumn", maxBytes: TabularLimits.nameBytesMax)
        if let text = try fields.optionalString("delimiter", maxBytes: 8) {
            let name = ["tab": "\t", "comma": ",", "semicolon": ";"][text] ?? text
            guard name.utf8.count == 1, let byte = name.utf8.first else {
                throw TabularError.schema(
                    path: "\(path).delimiter", problem: "must be one character such as , ; | or tab"
                )
            }
            schema.delimiter = byte
        }
        schema.hasHeader = try fields.bool("header", default: true)
        if fields.has("columns") {
            schema.columns = try fields.strings("columns", maxCount: TabularLimits.fieldsMax)
        }
        schema.otherColumns = try choice(&fields, "otherColumns", path) ?? .refuse
        schema.rowFilter = try choice(&fields, "rowFilter", path) ?? .all
        schema.badRowShareMax = try fields.optionalNumber("badRowShareMax", in: 0...1) ?? 0.2
        if var preprocessing = try fields.optionalFields("preprocessing") {
            schema.preprocessing.standardise =
                try choice(&preprocessing, "standardise", "\(path).preprocessing") ?? .numeric
            schema.preprocessing.clip = try preprocessing.optionalNumber("clip", in: 1...1e6) ?? 10
            try preprocessing.finish()
        }
        try fields.finish()
        return schema
    }

    /// The schema as a document; every setting is written out.
    package var json: JSONValue {
        var object: [String: JSONValue] = [
            "features": .array(features.map(\.json)),
            "label": label.json,
            "delimiter": .string(delimiter == 0x09 ? "tab" : String(UnicodeScalar(delimiter))),
            "header": .bool(hasHeader),
            "otherColumns": .string(otherColumns.rawValue),
            "rowFilter": .string(rowFilter.rawValue),
            "badRowShareMax": .number(badRowShareMax),
            "preprocessing": [
                "standardise": .string(preprocessing.standardise.rawValue),
                "clip": .number(preprocessing.clip),
            ],
        ]
        if let subjectColumn { object["subjectColumn"] = .string(subjectColumn) }
        if !columns.isEmpty { object["columns"] = texts(columns) }
        return .object(object)
    }
}

extension Feature {
    fileprivate static func read(_ source: JSONFields) throws -> Feature {
        var fields = source
        let path = fields.path
        let name = try fields.string("name", maxBytes: TabularLimits.nameBytesMax)
        let kind: Kind
        switch try fields.string("kind", maxBytes: 32) {
        case "numeric":
            kind = .numeric(
                unit: try fields.optionalString("unit", maxBytes: TabularLimits.textBytesMax),
                range: try bounds(try fields.array("range", maxCount: 2), "\(path).range"),
                integer: try fields.bool("integer", default: false))
        case "categorical":
            kind = .categorical(
                categories: try codeTexts(
                    try fields.array("categories", maxCount: TabularLimits.categoriesMax),
                    "\(path).categories"),
                dropFirst: try fields.bool("dropFirstCategory", default: false))
        case "binary":
            let both =
                try fields.optionalArray("codes", maxCount: 2).map {
                    try codeTexts($0, "\(path).codes")
                } ?? ["0", "1"]
            guard both.count == 2 else {
                throw TabularError.schema(
                    path: "\(path).codes",
                    problem: "must be two codes: the one for 0 and the one for 1")
            }
            kind = .binary(zero: both[0], one: both[1])
        default:
            throw TabularError.schema(
                path: "\(path).kind", problem: "must be numeric, categorical or binary")
        }
        let missing: Missing = try choice(&fields, "missing", path) ?? .refuse
        let missingCodes =
            try fields.optionalArray("missingCodes", maxCount: TabularLimits.missingCodesMax)
            .map { try codeTexts($0, "\(path).missingCodes") } ?? []
        let feature = Feature(
            name: name,
            column: try fields.optionalString("column", maxBytes: TabularLimits.nameBytesMax),
            kind: kind, missing: missing, missingCodes: missingCodes,
            sensitive: try fields.bool("sensitive", default: false),
            description: try fields.optionalString(
                "description", maxBytes: TabularLimits.textBytesMax) ?? "")
        try fields.finish()
        return feature
    }

    fileprivate var json: JSONValue {
        var object: [String: JSONValue] = [
            "name": .string(name), "column": .string(column), "missing": .string(missing.rawValue),
            "missingCodes": texts(missingCodes), "sensitive": .bool(sensitive),
            "description": .string(description),
        ]
        switch kind {
        case .numeric(let unit, let range, let integer):
            object["kind"] = "numeric"
            if let unit { object["unit"] = .string(unit) }
            object["range"] = pair(range)
            object["integer"] = .bool(integer)
        case .categorical(let categories, let dropFirst):
            object["kind"] = "categorical"
            object["categories"] = texts(categories)
            object["dropFirstCategory"] = .bool(dropFirst)
        case .binary(let zero, let one):
            object["kind"] = "binary"
            object["codes"] = texts([zero, one])
        }
        return .object(object)
    }
}

extension Label {
    fileprivate static func read(_ source: JSONFields, _ path: String) throws -> Label {
        var fields = source
        var rule = try fields.fields("positive")
        let positive: Positive
        if rule.has("greaterThan") {
            let limit = TabularLimits.rangeMagnitudeMax
            positive = .greaterThan(try rule.number("greaterThan", in: -limit...limit))
        } else {
            positive = .equals(
                try codeTexts(
                    try rule.array("equals", maxCount: TabularLimits.categoriesMax),
                    "\(path).positive.equals"))
        }
        try rule.finish()
        let label = Label(
            column: try fields.string("column", maxBytes: TabularLimits.nameBytesMax),
            positive: positive,
            negative: try fields.optionalArray("negative", maxCount: TabularLimits.categoriesMax)
                .map { try codeTexts($0, "\(path).negative") } ?? [],
            range: try fields.optionalArray("range", maxCount: 2).map {
                try bounds($0, "\(path).range")
            },
            description: try fields.optionalString(
                "description", maxBytes: TabularLimits.textBytesMax) ?? "")
        try fields.finish()
        return label
    }

    fileprivate var json: JSONValue {
        var object: [String: JSONValue] = [
            "column": .string(column), "description": .string(description),
        ]
        switch positive {
        case .equals(let codes): object["positive"] = ["equals": texts(codes)]
        case .greaterThan(let bound): object["positive"] = ["greaterThan": .number(bound)]
        }
        if !negative.isEmpty { object["negative"] = texts(negative) }
        if let range { object["range"] = pair(range) }
        return .object(object)
    }
}

/// An optional setting with a closed list of words.
private func choice<Choice>(
    _ fields: inout JSONFields, _ key: String, _ path: String
) throws -> Choice? where Choice: RawRepresentable<String> & CaseIterable {
    guard let word = try fields.optionalString(key, maxBytes: 64) else { return nil }
    guard let value = Choice(rawValue: word) else {
        let words = Choice.allCases.map(\.rawValue).joined(separator: ", ")
        throw TabularError.schema(path: "\(path).\(key)", problem: "must be one of \(words)")
    }
    return value
}

/// Codes may be written as texts or numbers; `1` and `"1"` are the same code.
private func codeTexts(_ values: [JSONValue], _ path: String) throws -> [String] {
    var result: [String] = []
    for (index, value) in values.enumerated() {
        switch value {
        case .string(let text): result.append(text)
        case .integer(let number): result.append("\(number)")
        case .number(let number) where number.isFinite: result.append(plain(number))
        default:
            throw TabularError.schema(
                path: "\(path)[\(index)]", problem: "must be a text or a number")
        }
    }
    return result
}

private func bounds(_ values: [JSONValue], _ path: String) throws -> ClosedRange<Double> {
    guard values.count == 2, let lower = values[0].doubleValue, let upper = values[1].doubleValue
    else {
        throw TabularError.schema(
            path: path, problem: "must be two numbers, the lower and the upper bound")
    }
    guard lower < upper else {
        throw TabularError.schema(
            path: path, problem: "is empty: the lower bound must be below the upper bound")
    }
    return lower...upper
}

private func texts(_ values: [String]) -> JSONValue { .array(values.map { .string($0) }) }

private func pair(_ range: ClosedRange<Double>) -> JSONValue {
    .array([.number(range.lowerBound), .number(range.upperBound)])
}
