// MLflow's `{"columns": [names], "data": [[values], …]}`, an `index` passed over.

import Codec
import Tabular

struct DataframeSplit {
    private var columns: JSONReader?
    private var data: JSONReader?

    /// - Parameter reader: stands before the object, then behind it.
    init(_ reader: inout JSONReader) throws {
        guard try reader.peek() == .object else { throw Self.refusal }
        try reader.enterObject()
        while let key = try reader.nextKey() {
            switch reader.string(key) {
            case "columns" where columns == nil: columns = reader
            case "data" where data == nil: data = reader
            case "index": break
            default: throw Self.refusal
            }
            try reader.skip()
        }
    }

    private static var refusal: RequestRefusal {
        .malformed(
            "\"dataframe_split\" must be an object with columns (feature names) and data (rows of values), once each"
        )
    }

    func rows(_ body: [UInt8], _ rules: RowRules) throws -> RequestRows {
        guard var columns, var data, try columns.peek() == .array, try data.peek() == .array else {
            throw Self.refusal
        }
        let features = try Self.features(&columns, rules)
        var builder = RowBuilder(rules)
        var rows = RequestRows(width: rules.featureCount)
        try data.enterArray()
        while try data.nextElement() {
            guard rows.count < ServingLimits.rows else { throw InferRequest.tooManyRows }
            rows.append(try Self.row(&data, body, features, &builder))
        }
        guard rows.count > 0 else {
            throw RequestRefusal.malformed("\"data\" is empty; send at least one row")
        }
        return rows
    }

    private static func features(_ columns: inout JSONReader, _ rules: RowRules) throws -> [Int] {
        var features: [Int] = []
        try columns.enterArray()
        while try columns.nextElement() {
            guard try columns.peek() == .string,
                let feature = rules.featureIndex(named: columns.string(try columns.text())),
                !features.contains(feature)
            else {
                throw RequestRefusal.malformed(
                    "column \(features.count) of dataframe_split is no feature of the model, or is repeated"
                )
            }
            features.append(feature)
        }
        return features
    }

    private static func row(
        _ reader: inout JSONReader, _ body: [UInt8], _ features: [Int], _ builder: inout RowBuilder
    ) throws -> RequestRow {
        let refused = RequestRow.refused([
            RowViolation(
                rule: "wrong-type", message: "a row must be an array with one value per column")
        ])
        guard try reader.peek() == .array else {
            try reader.skip()
            return refused
        }
        builder.reset()
        var count = 0
        try reader.enterArray()
        while try reader.nextElement() {
            if count < features.count {
                try RequestOutline.read(&reader, body, &builder, features[count])
            } else {
                try reader.skip()
            }
            count += 1
        }
        guard count == features.count else { return refused }
        if builder.complete() { return .valid(builder.values) }
        return .refused(
            builder.violations.map {
                RowViolation(feature: $0.name, rule: $0.rule.code, message: $0.description)
            })
    }
}
