// Arithmetic of a pipeline's step: a number, a field by its name, or `{operation: [operands]}`.

import Codec
import Glibc

/// An expression over named numbers; at most 64 parts, 8 deep.
indirect enum PipelineExpression: Sendable {
    case number(Double)
    case field(String)
    case operation(Operation, [PipelineExpression])

    enum Operation: String, CaseIterable, Sendable {
        case add, subtract, multiply, divide, min, max, log, exp, abs

        /// How many operands it takes.
        var operands: ClosedRange<Int> {
            switch self {
            case .add, .multiply, .min, .max: 2...16
            case .subtract, .divide: 2...2
            case .log, .exp, .abs: 1...1
            }
        }
    }

    private static let partsMax = 64
    private static let depthMax = 8

    init(_ value: JSONValue, path: String) throws(FieldError) {
        var parts = 0
        self = try Self.read(value, path, depth: 0, &parts)
    }

    private static func read(_ value: JSONValue, _ path: String, depth: Int, _ parts: inout Int) throws(FieldError) -> PipelineExpression {
        parts += 1
        guard parts <= partsMax, depth <= depthMax else {
            throw FieldError(path: path, problem: "has more than \(partsMax) parts or is more than \(depthMax) deep")
        }
        if let number = value.doubleValue { return .number(number) }
        if let field = value.stringValue { return .field(field) }
        guard let members = value.objectValue, members.count == 1, let (name, given) = members.first, let operation = Operation(rawValue: name)
        else {
            throw FieldError(
                path: path,
                problem: "must be a number, a field or one of \(Operation.allCases.map(\.rawValue).joined(separator: ", ")) with its operands")
        }
        let list = given.arrayValue ?? [given]
        guard operation.operands.contains(list.count) else { throw FieldError(path: path + "." + name, problem: "has another number of operands") }
        var operands: [PipelineExpression] = []
        for item in list { operands.append(try read(item, path + "." + name, depth: depth + 1, &parts)) }
        return .operation(operation, operands)
    }

    /// Fields that it names.
    var fields: [String] {
        switch self {
        case .number: []
        case .field(let name): [name]
        case .operation(_, let operands): operands.flatMap(\.fields)
        }
    }

    /// Why there is no value.
    enum Failure: Error {
        case notANumber(field: String)
        case undefined(Operation)
    }

    /// NaN when a field is missing.
    /// - Parameter lookUp: a field as a number, NaN when missing, nil when it is none.
    func value(_ lookUp: (String) -> Double?) throws(Failure) -> Double {
        switch self {
        case .number(let number): return number
        case .field(let name):
            guard let number = lookUp(name) else { throw .notANumber(field: name) }
            return number
        case .operation(let operation, let operands):
            var values: [Double] = []
            for operand in operands { values.append(try operand.value(lookUp)) }
            guard !values.contains(where: \.isNaN) else { return .nan }
            let result = operation.apply(values)
            guard result.isFinite else { throw .undefined(operation) }
            return result
        }
    }
}

extension PipelineExpression.Operation {
    fileprivate func apply(_ values: [Double]) -> Double {
        switch self {
        case .add: values.reduce(0, +)
        case .subtract: values[0] - values[1]
        case .multiply: values.reduce(1, *)
        case .divide: values[0] / values[1]
        case .min: values.min() ?? 0
        case .max: values.max() ?? 0
        case .log: Glibc.log(values[0])
        case .exp: Glibc.exp(values[0])
        case .abs: Swift.abs(values[0])
        }
    }
}
