// What an ONNX file says, as values: nodes, constants, inputs and outputs. Field numbers are those of onnx.proto3; fields that change
// nothing of the arithmetic (documentation, metadata) are passed over, those that could are refused.

/// The graph of an ONNX file.
struct ONNXFile {
    struct Node {
        var operation = ""
        var domain = ""
        var name = ""
        var inputs: [String] = []
        var outputs: [String] = []
        var integers: [String: Int] = [:]
        var floats: [String: Float] = [:]

        /// For messages.
        var label: String { "node \(name.isEmpty ? outputs.first ?? "" : name) (\(operation))" }
    }

    struct Constant {
        var shape: [Int] = []
        /// nil for types other than FLOAT and DOUBLE, which no weight has.
        var values: [Float]?
    }

    private(set) var producer = ""
    private(set) var nodes: [Node] = []
    private(set) var constants: [String: Constant] = [:]
    /// Inputs that are no constants, in order.
    private(set) var inputs: [String] = []
    private(set) var outputs: [String] = []

    /// - Throws: `ImportError`.
    init(_ file: [UInt8]) throws(ImportError) {
        guard file.count <= ONNXLimits.fileBytes else { throw .malformed("more than \(ONNXLimits.fileBytes) bytes") }
        var model = ProtobufReader(file)
        var graph: Range<Int>?
        while let (field, value) = try model.next() {
            switch field {
            case 1: _ = try value.integer("the version")
            case 2: producer = try value.text(file, "the producer")
            case 7:
                guard graph == nil else { throw .malformed("two graphs") }
                graph = try value.range("the graph")
            case 8: try Self.checkOperations(file, try value.range("an operator set"))
            case 25: throw .unsupported("the model defines functions of its own")
            default: break
            }
        }
        guard let graph else { throw .malformed("no graph") }
        try readGraph(file, graph)
    }

    private static func checkOperations(_ file: [UInt8], _ range: Range<Int>) throws(ImportError) {
        var reader = ProtobufReader(file, range)
        while let (field, value) = try reader.next() {
            switch field {
            case 1: _ = try value.text(file, "an operator set's domain")
            case 2:
                guard (1...1000).contains(try value.integer("an operator set's version")) else {
                    throw .malformed("an operator set has no possible version")
                }
            default: break
            }
        }
    }

    private mutating func readGraph(_ file: [UInt8], _ range: Range<Int>) throws(ImportError) {
        var reader = ProtobufReader(file, range)
        var given: [String] = []
        while let (field, value) = try reader.next() {
            switch field {
            case 1:
                guard nodes.count < ONNXLimits.nodes else { throw .malformed("more than \(ONNXLimits.nodes) nodes") }
                nodes.append(try Self.node(file, try value.range("a node")))
            case 5:
                guard constants.count < ONNXLimits.constants else { throw .malformed("more than \(ONNXLimits.constants) constants") }
                let (name, constant) = try Self.constant(file, try value.range("a constant"))
                guard constants.updateValue(constant, forKey: name) == nil else { throw .malformed("two constants of one name") }
            case 11: given.append(try Self.valueName(file, try value.range("an input")))
            case 12: outputs.append(try Self.valueName(file, try value.range("an output")))
            case 15: throw .unsupported("the model has sparse constants")
            default: break
            }
            guard given.count <= ONNXLimits.constants, outputs.count <= ONNXLimits.constants else {
                throw .malformed("too many inputs or outputs")
            }
        }
        inputs = given.filter { constants[$0] == nil }
    }

    private static func valueName(_ file: [UInt8], _ range: Range<Int>) throws(ImportError) -> String {
        var reader = ProtobufReader(file, range)
        var name = ""
        while let (field, value) = try reader.next() {
            if field == 1 { name = try value.text(file, "a name") }
        }
        return name
    }

    private static func node(_ file: [UInt8], _ range: Range<Int>) throws(ImportError) -> Node {
        var reader = ProtobufReader(file, range)
        var node = Node()
        var attributes = 0
        while let (field, value) = try reader.next() {
            switch field {
            case 1: node.inputs.append(try value.text(file, "a node's input"))
            case 2: node.outputs.append(try value.text(file, "a node's output"))
            case 3: node.name = try value.text(file, "a node's name")
            case 4: node.operation = try value.text(file, "a node's operation")
            case 5:
                attributes += 1
                guard attributes <= ONNXLimits.attributesPerNode else { throw .malformed("a node has too many attributes") }
                try readAttribute(file, try value.range("an attribute"), &node)
            case 7: node.domain = try value.text(file, "a node's domain")
            default: break
            }
            guard node.inputs.count <= ONNXLimits.inputsPerNode, node.outputs.count <= ONNXLimits.inputsPerNode else {
                throw .unsupported("a node has more than \(ONNXLimits.inputsPerNode) inputs or outputs")
            }
        }
        return node
    }

    private static func readAttribute(_ file: [UInt8], _ range: Range<Int>, _ node: inout Node) throws(ImportError) {
        var reader = ProtobufReader(file, range)
        var name = ""
        var integer: Int?
        var float: Float?
        while let (field, value) = try reader.next() {
            switch (field, value) {
            case (1, _): name = try value.text(file, "an attribute's name")
            case (2, .fixed32(let bits)): float = Float(bitPattern: bits)
            case (3, _): integer = try value.integer("an attribute")
            default: break
            }
        }
        if let integer { node.integers[name] = integer }
        if let float { node.floats[name] = float }
    }

    private static func constant(_ file: [UInt8], _ range: Range<Int>) throws(ImportError) -> (String, Constant) {
        var reader = ProtobufReader(file, range)
        var name = ""
        var shape: [Int] = []
        var type = 0
        var raw: Range<Int>?
        var values: [Float] = []
        while let (field, value) = try reader.next() {
            switch field {
            case 1: try readDimensions(file, value, &shape)
            case 2: type = try value.integer("a constant's type")
            case 3: throw .unsupported("a constant comes in segments")
            case 4: try readNumbers(file, value, width: 4, &values)
            case 8: name = try value.text(file, "a constant's name")
            case 9: raw = try value.range("a constant's data")
            case 10: try readNumbers(file, value, width: 8, &values)
            case 13: throw .unsupported("constant \(name) lies outside of the file")
            case 14:
                guard try value.integer("a constant's place") == 0 else { throw .unsupported("constant \(name) lies outside of the file") }
            default: break
            }
        }
        guard type == 1 || type == 11 else { return (name, Constant(shape: shape, values: nil)) }
        if let raw {
            guard values.isEmpty else { throw .malformed("constant \(name) has its data twice") }
            try readNumbers(file, .bytes(raw), width: type == 1 ? 4 : 8, &values)
        }
        var count = 1
        for size in shape {
            let (product, overflow) = count.multipliedReportingOverflow(by: size)
            guard !overflow else { throw .malformed("the shape of constant \(name) overflows") }
            count = product
        }
        guard count == values.count else { throw .malformed("constant \(name) has another number of values than its shape says") }
        guard values.allSatisfy(\.isFinite) else { throw .description("constant \(name) holds NaN, infinity, or a number that no 32-bit float can be") }
        return (name, Constant(shape: shape, values: values))
    }

    private static func readDimensions(_ file: [UInt8], _ value: ProtobufReader.Value, _ shape: inout [Int]) throws(ImportError) {
        var found: [Int] = []
        if case .bytes(let range) = value {
            var reader = ProtobufReader(file, range)
            while !reader.isAtEnd, found.count <= ONNXLimits.rank { found.append(Int(Int64(bitPattern: try reader.varint()))) }
        } else {
            found = [try value.integer("a dimension")]
        }
        shape += found
        guard shape.count <= ONNXLimits.rank, shape.allSatisfy({ $0 >= 0 }) else {
            throw .malformed("a constant has a negative dimension or more than \(ONNXLimits.rank)")
        }
    }

    /// FLOAT (`width` 4) or DOUBLE (8) values, packed or one by one.
    private static func readNumbers(_ file: [UInt8], _ value: ProtobufReader.Value, width: Int, _ values: inout [Float]) throws(ImportError) {
        switch value {
        case .fixed32(let bits) where width == 4: values.append(Float(bitPattern: bits))
        case .fixed64(let bits) where width == 8: values.append(Float(Double(bitPattern: bits)))
        case .bytes(let range) where range.count % width == 0:
            var reader = ProtobufReader(file, range)
            values.reserveCapacity(values.count + range.count / width)
            while !reader.isAtEnd {
                let bits = try reader.little(width)
                values.append(width == 4 ? Float(bitPattern: UInt32(bits)) : Float(Double(bitPattern: bits)))
            }
        default: throw .malformed("a constant's data has the wrong wire type or is truncated")
        }
    }
}
