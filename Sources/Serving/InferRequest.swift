// The body of an Open Inference Protocol v2 request, read into validated rows. `protocol/prediction-api.md` §7.
//
//   JSON alone                        no Inference-Header-Content-Length
//   JSON ‖ data of binary tensors     Inference-Header-Content-Length: bytes of the JSON
//   rows of FP64, nothing else        Inference-Header-Content-Length: 0

import Codec
import HTTP
import Tabular

struct InferRequest {
    private(set) var id: String?
    /// Microseconds within which the caller wants the answer.
    private(set) var timeout: Int?
    /// What keeps requests on one arm of a trial.
    private(set) var routingKey: String?
    /// Whom all rows of the request are about, as the site knows the person.
    private(set) var subject: String?
    private(set) var outputs: [WantedOutput] = []
    private(set) var rows = RequestRows(width: 0)
    private var tensors: [TensorOutline] = []

    /// The tensor that has all features.
    static let allFeatures = "features"

    func wants(_ output: InferOutput) -> Bool { outputs.contains { $0.output == output } }

    /// Whether an explanation is needed for the outputs.
    var explains: Bool { outputs.contains { $0.output.isExplanation } }

    /// What the outputs need of each row besides its score.
    var wishes: RowWishes { RowWishes(explain: explains, reasons: wants(.reasons)) }

    /// - Parameter headerLength: the value of `Inference-Header-Content-Length`.
    /// - Throws: `RequestRefusal` when the body as a whole cannot be used.
    init(_ body: [UInt8], headerLength: String?, _ rules: RowRules) throws(RequestRefusal) {
        do {
            let length = try Self.headerLength(headerLength, body)
            if length == 0, headerLength != nil {
                try readRaw(body, rules)
            } else {
                let header = length == body.count ? body : Array(body[..<length])
                var wish = OutputWish()
                try readHeader(header, rules, &wish)
                outputs = wish.outputs
                rows = try readRows(body, from: length, rules)
            }
        } catch {
            throw RequestRefusal(reading: error)
        }
    }

    private static func headerLength(_ text: String?, _ body: [UInt8]) throws(RequestRefusal) -> Int
    {
        guard let text else { return body.count }
        guard text.utf8.count <= 10, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let length = Int(text)
        else { throw .malformed("Inference-Header-Content-Length is not a whole number") }
        guard length <= body.count else {
            throw .malformed("Inference-Header-Content-Length is larger than the body")
        }
        return length
    }

    /// Rows of FP64 in schema order and nothing else.
    private mutating func readRaw(_ body: [UInt8], _ rules: RowRules) throws {
        let width = rules.schema.features.count
        guard !body.isEmpty, body.count % (8 * width) == 0 else {
            throw RequestRefusal.malformed(
                "a body without JSON must be rows of \(width) FP64 values, \(8 * width) bytes each")
        }
        let count = body.count / (8 * width)
        guard count <= ServingLimits.rows else { throw Self.tooManyRows }
        tensors = [
            TensorOutline(
                index: 0, feature: nil, name: Self.allFeatures, datatype: .float64, rows: count,
                width: width, binaryBytes: body.count)
        ]
        outputs = OutputWish(binary: true).outputs
        rows = try readRows(body, from: 0, rules)
    }

    static var tooManyRows: RequestRefusal {
        .malformed("a request has at most \(ServingLimits.rows) rows; send several requests")
    }
}

// MARK: the JSON

extension InferRequest {
    private mutating func readHeader(
        _ header: [UInt8], _ rules: RowRules, _ wish: inout OutputWish
    ) throws {
        var reader = try JSONReader(header, bytesMax: ServingLimits.predictBodyBytes)
        guard try reader.peek() == .object else {
            throw RequestRefusal.malformed("the body must be an object with inputs")
        }
        var seen: Set<String> = []
        try reader.enterObject()
        while let key = try reader.nextKey() {
            let name = reader.string(key)
            guard seen.insert(name).inserted else {
                throw RequestRefusal.malformed("the request has a member twice")
            }
            switch name {
            case "id": try readID(&reader)
            case "parameters":
                try Self.parameters(&reader) { name, value in
                    switch (name, value) {
                    case ("binary_data_output", .bool(let flag)): wish.binary = flag
                    case ("timeout", .number(let number)): timeout = Self.whole(number)
                    case ("routing_key", .text(let text)): routingKey = text
                    case ("subject", .text(let text)) where (1...ServingLimits.subjectBytes).contains(text.utf8.count): subject = text
                    case ("binary_data_output", _), ("timeout", _), ("routing_key", _), ("subject", _): return false
                    default: break
                    }
                    return name != "timeout" || timeout != nil
                }
            case "inputs": try readInputs(&reader, rules)
            case "outputs": try wish.read(&reader)
            default:
                throw RequestRefusal.malformed(
                    "the request has an unknown member; it may have id, parameters, inputs, outputs")
            }
        }
        try reader.finish()
        guard !tensors.isEmpty else {
            throw RequestRefusal.malformed("\"inputs\" must be an array of at least one tensor")
        }
    }

    private mutating func readID(_ reader: inout JSONReader) throws {
        guard try reader.peek() == .string else { throw Self.idRefusal }
        let text = reader.string(try reader.text())
        guard text.utf8.count <= 256 else { throw Self.idRefusal }
        id = text.isEmpty ? nil : text
    }

    private static var idRefusal: RequestRefusal {
        .malformed("\"id\" must be a text of at most 256 bytes")
    }

    /// A parameter's value: the protocol has no other kinds.
    enum Parameter {
        case bool(Bool)
        case number(Double)
        case text(String)
    }

    /// Reads an object of scalars.
    /// - Parameter take: told each; false when it has not the value that its name needs.
    static func parameters(
        _ reader: inout JSONReader, _ take: (String, Parameter) -> Bool
    ) throws {
        guard try reader.peek() == .object else {
            throw RequestRefusal.malformed("\"parameters\" must be an object")
        }
        var names: [String] = []
        try reader.enterObject()
        while let key = try reader.nextKey() {
            let name = reader.string(key)
            guard names.count < ServingLimits.parameters else {
                throw RequestRefusal.malformed("more than \(ServingLimits.parameters) parameters")
            }
            guard !names.contains(name) else { throw RequestRefusal.malformed("parameter \(names.count) is repeated") }
            names.append(name)
            let value: Parameter
            switch try reader.peek() {
            case .bool: value = .bool(try reader.bool())
            case .number: value = .number(try reader.number())
            case .string:
                value = .text(reader.string(try reader.text()))
            default:
                throw RequestRefusal.malformed("a parameter must be a text, a number or a bool")
            }
            guard take(name, value) else {
                throw RequestRefusal.malformed(
                    "a parameter has not the value that its name needs: timeout is a whole number of microseconds, subject a text of 1 to 256 bytes, routing_key a text, binary_data and binary_data_output are bools, classification and binary_data_size whole numbers"
                )
            }
        }
    }

    /// A whole number from 0 on that a parameter or shape can be.
    static func whole(_ number: Double) -> Int? {
        number >= 0 && number <= 1e15 && number.rounded() == number ? Int(number) : nil
    }

    private mutating func readInputs(_ reader: inout JSONReader, _ rules: RowRules) throws {
        guard try reader.peek() == .array else {
            throw RequestRefusal.malformed("\"inputs\" must be an array of at least one tensor")
        }
        try reader.enterArray()
        while try reader.nextElement() {
            let outline = try tensor(&reader, rules)
            guard outline.rows <= ServingLimits.rows else { throw Self.tooManyRows }
            guard tensors.first.map({ $0.rows == outline.rows }) ?? true else {
                throw outline.refuse("has another number of rows than the first")
            }
            tensors.append(outline)
        }
    }

    private func tensor(_ reader: inout JSONReader, _ rules: RowRules) throws -> TensorOutline {
        let index = tensors.count
        func refuse(_ problem: String) -> RequestRefusal { .malformed("input \(index) \(problem)") }
        guard try reader.peek() == .object else { throw refuse("must be an object") }
        var name: String?
        var datatype: TensorDatatype?
        var shape: [Double]?
        var data: JSONReader?
        var binaryBytes: Int?
        var members = 0
        try reader.enterObject()
        while let key = try reader.nextKey() {
            members += 1
            guard members <= 5 else { throw refuse("has a member twice") }
            switch reader.string(key) {
            case "name" where try name == nil && reader.peek() == .string:
                name = reader.string(try reader.text())
            case "datatype" where try datatype == nil && reader.peek() == .string:
                guard let known = TensorDatatype(rawValue: reader.string(try reader.text())) else {
                    throw refuse("has an unknown datatype")
                }
                datatype = known
            case "shape" where try shape == nil && reader.peek() == .array:
                shape = try Self.shape(&reader)
            case "data" where data == nil:
                data = reader
                try reader.skip()
            case "parameters":
                try Self.parameters(&reader) { name, value in
                    guard name == "binary_data_size" else { return true }
                    if case .number(let number) = value { binaryBytes = Self.whole(number) }
                    return binaryBytes != nil
                }
            default:
                throw refuse(
                    "has an unknown, repeated or wrong member; a tensor has name, shape, datatype, parameters, data"
                )
            }
        }
        guard let name, let found = feature(name, rules) else {
            throw refuse("has no name, an unknown name or a repeated one; GET the model lists its inputs")
        }
        guard let datatype else { throw refuse("has no datatype") }
        let width = found.feature == nil ? rules.schema.features.count : 1
        guard let shape, let rows = Self.rows(shape, width: width, isColumn: found.feature != nil)
        else {
            throw refuse(
                found.feature == nil
                    ? "must have shape [n, \(width)] with n of at least 1"
                    : "must have shape [n] or [n, 1] with n of at least 1")
        }
        guard (data == nil) != (binaryBytes == nil) else {
            throw refuse("must have either data or the parameter binary_data_size")
        }
        return TensorOutline(
            index: index, feature: found.feature, name: found.name, datatype: datatype, rows: rows,
            width: width, data: data, binaryBytes: binaryBytes)
    }

    /// The feature of a name that no tensor had so far.
    private func feature(_ name: String, _ rules: RowRules) -> (feature: Int?, name: String)? {
        if let index = rules.featureIndex(named: name) {
            let isTaken = tensors.contains { $0.feature == index || $0.feature == nil }
            return isTaken ? nil : (index, rules.schema.features[index].name)
        }
        return name == Self.allFeatures && tensors.isEmpty ? (nil, Self.allFeatures) : nil
    }

    private static func shape(_ reader: inout JSONReader) throws -> [Double] {
        var shape: [Double] = []
        try reader.enterArray()
        while try reader.nextElement() {
            guard shape.count < 8, try reader.peek() == .number else {
                throw RequestRefusal.malformed("a shape must be an array of at most 8 whole numbers")
            }
            shape.append(try reader.number())
        }
        return shape
    }

    private static func rows(_ shape: [Double], width: Int, isColumn: Bool) -> Int? {
        let isAllowed =
            shape.count == 2 ? shape[1] == Double(width) : shape.count == 1 && isColumn
        guard isAllowed, let rows = whole(shape[0]), rows >= 1 else { return nil }
        return rows
    }
}

// MARK: rows

extension InferRequest {
    private func readRows(_ body: [UInt8], from start: Int, _ rules: RowRules) throws -> RequestRows {
        var texts = TensorTexts()
        var columns: [(outline: TensorOutline, cells: TensorCells)] = []
        var place = start
        for tensor in tensors {
            guard let bytes = tensor.binaryBytes else {
                columns.append((tensor, try tensor.readJSON(&texts)))
                continue
            }
            guard bytes <= body.count - place else {
                throw tensor.refuse("has less binary data than binary_data_size says")
            }
            columns.append((tensor, try tensor.readBinary(body.span, place..<place + bytes, &texts)))
            place += bytes
        }
        guard place == body.count else {
            throw RequestRefusal.malformed("the body has bytes that belong to no input")
        }
        if columns.count == 1, columns[0].outline.feature == nil, case .numbers(let numbers) = columns[0].cells,
            rules.arePlainRows(numbers)
        {
            return RequestRows(valid: numbers, width: rules.featureCount)
        }
        let ordered = columns.sorted { ($0.outline.feature ?? 0) < ($1.outline.feature ?? 0) }
        var rows = RequestRows(width: rules.featureCount)
        var builder = RowBuilder(rules)
        for row in 0..<(tensors.first?.rows ?? 0) {
            builder.reset()
            for (outline, cells) in ordered {
                for column in 0..<outline.width {
                    let feature = outline.feature ?? column
                    Self.set(&builder, cells, row * outline.width + column, feature, texts)
                }
            }
            if builder.complete() {
                rows.append(valid: builder.values)
            } else {
                rows.refuse(
                    builder.violations.map {
                        RowViolation(feature: $0.name, rule: $0.rule.code, message: $0.description)
                    })
            }
        }
        return rows
    }

    private static func set(
        _ builder: inout RowBuilder, _ cells: TensorCells, _ place: Int, _ feature: Int,
        _ texts: TensorTexts
    ) {
        switch cells {
        case .numbers(let numbers):
            numbers[place].isNaN
                ? builder.setMissing(at: feature) : builder.set(number: numbers[place], at: feature)
        case .flags(let flags):
            flags[place] == 2
                ? builder.setMissing(at: feature) : builder.set(bool: flags[place] == 1, at: feature)
        case .texts(let ranges):
            guard let range = ranges[place] else { return builder.setMissing(at: feature) }
            builder.set(text: texts.bytes.span, in: range, at: feature)
        }
    }
}
