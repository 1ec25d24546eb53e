// From an ONNX graph to layers. The graph is walked from its output back to its input, so that whatever is not on the way
// (a class output, an ArgMax) has no say, and everything that is on it must be understood.
//
//   input ─ (Gemm | MatMul ─ Add) ─ [Relu ─ (Gemm | MatMul ─ Add)]… ─ [Sigmoid | Softmax]
//
// Identity changes nothing. An Add of a constant after a Gemm goes into its biases. The walk ends at the
// graph's only input, or in a file of our own export at the value where its preprocessing ends.

import Models

extension ImportedNetwork {
    init(onnx file: [UInt8]) throws(ImportError) {
        let graph = try ONNXFile(file)
        var walk = ONNXWalk(graph)
        try self.init(try walk.layers())
    }
}

private struct ONNXWalk {
    private let graph: ONNXFile
    private var producers: [String: ONNXFile.Node] = [:]
    private var steps = 0

    init(_ graph: ONNXFile) {
        self.graph = graph
        for node in graph.nodes { for output in node.outputs { producers[output] = node } }
    }

    /// Where the preprocessing of our own export ends.
    private var start: String? {
        if graph.producer == "consilium", producers["layer_0"]?.operation == "Cast" { return "layer_0" }
        return graph.inputs.count == 1 ? graph.inputs[0] : nil
    }

    mutating func layers() throws(ImportError) -> [ImportedNetwork.Layer] {
        guard let start else { throw .unsupported("the graph has \(graph.inputs.count) inputs, not one") }
        let (result, activation) = try output()
        var value = result
        var layers: [ImportedNetwork.Layer] = []
        while true {
            let layer = try affine(&value)
            layers.insert(layer, at: 0)
            guard layers.count <= ModelsLimits.hiddenLayersMax + 1 else { throw .unsupported("the model has too many layers") }
            skipIdentities(&value)
            if value == start { break }
            let node = try producer(value)
            guard node.operation == "Relu" else {
                let isLinear = ["Gemm", "MatMul", "Add"].contains(node.operation)
                throw .unsupported(isLinear ? "\(node.label) and the layer after it have no Relu between them" : "\(node.label) stands between layers")
            }
            value = try input(node, 0)
        }
        let outputs = layers[layers.count - 1].outputs
        guard activation.isEmpty || outputs == (activation == "Softmax" ? 2 : 1) else {
            throw .unsupported("a \(activation) over \(outputs) values")
        }
        return layers
    }

    /// The value before the last activation, and that activation; empty when the graph ends with log-odds.
    private func output() throws(ImportError) -> (value: String, activation: String) {
        for name in graph.outputs {
            guard let node = producers[name], node.domain.isEmpty || node.domain == "ai.onnx" else { continue }
            guard node.operation == "Sigmoid" || node.operation == "Softmax" else { continue }
            let axis = node.integers["axis"] ?? -1
            guard node.operation == "Sigmoid" || axis == -1 || axis == 1 else { throw .unsupported("\(node.label) is not over the last axis") }
            return (try input(node, 0), node.operation)
        }
        guard graph.outputs.count == 1 else {
            throw .unsupported("none of the \(graph.outputs.count) outputs is a Sigmoid or a Softmax, so it is not clear which one to take")
        }
        return (graph.outputs[0], "")
    }

    private mutating func skipIdentities(_ value: inout String) {
        while let node = producers[value], node.operation == "Identity", node.domain.isEmpty, node.inputs.count == 1,
            steps < ONNXLimits.nodes
        {
            steps += 1
            value = node.inputs[0]
        }
    }

    /// The layer that makes `value`, which becomes the layer's input.
    private mutating func affine(_ value: inout String) throws(ImportError) -> ImportedNetwork.Layer {
        var added: [[Float]] = []
        while true {
            skipIdentities(&value)
            let node = try producer(value)
            switch node.operation {
            case "Add":
                guard node.inputs.count == 2 else { throw .malformed("\(node.label) has not two inputs") }
                let isFirst = graph.constants[node.inputs[0]] != nil
                added.append(try constant(node.inputs[isFirst ? 0 : 1], node).values)
                value = node.inputs[isFirst ? 1 : 0]
            case "Gemm", "MatMul":
                var layer = try matrix(node)
                for values in added {
                    guard values.count == 1 || values.count == layer.outputs else {
                        throw .unsupported("\(node.label) has \(layer.outputs) outputs and \(values.count) numbers are added to them")
                    }
                    for output in 0..<layer.outputs { layer.biases[output] += values[values.count == 1 ? 0 : output] }
                }
                guard layer.biases.allSatisfy(\.isFinite) else { throw .description("the biases of \(node.label) are too large") }
                value = try input(node, 0)
                return layer
            default: throw .unsupported("\(node.label) stands where a layer should be")
            }
        }
    }

    private func matrix(_ node: ONNXFile.Node) throws(ImportError) -> ImportedNetwork.Layer {
        guard node.inputs.count >= 2 else { throw .malformed("\(node.label) has no weight") }
        let weight = try constant(node.inputs[1], node)
        guard node.operation == "Gemm" else {
            guard node.inputs.count == 2 else { throw .malformed("\(node.label) has more than two inputs") }
            return try ImportedNetwork.Layer(weight.shape, weight.values, isTransposed: true, biases: nil, node.label)
        }
        guard node.inputs.count <= 3, node.integers["transA"] ?? 0 == 0, node.floats["alpha"] ?? 1 == 1, node.floats["beta"] ?? 1 == 1 else {
            throw .unsupported("\(node.label) has alpha, beta or transA")
        }
        var biases: [Float]?
        if node.inputs.count == 3, !node.inputs[2].isEmpty { biases = try constant(node.inputs[2], node).values }
        let isTransposed = node.integers["transB"] ?? 0 == 0
        if let only = biases, only.count == 1, weight.shape.count == 2 {
            biases = [Float](repeating: only[0], count: weight.shape[isTransposed ? 1 : 0])
        }
        return try ImportedNetwork.Layer(weight.shape, weight.values, isTransposed: isTransposed, biases: biases, node.label)
    }

    private func constant(_ name: String, _ node: ONNXFile.Node) throws(ImportError) -> (shape: [Int], values: [Float]) {
        guard let constant = graph.constants[name] else {
            throw .unsupported("\(node.label) takes \(name), which is no constant of the file")
        }
        guard let values = constant.values else { throw .unsupported("\(node.label) has a constant that is neither FLOAT nor DOUBLE") }
        return (constant.shape, values)
    }

    private func input(_ node: ONNXFile.Node, _ index: Int) throws(ImportError) -> String {
        guard node.inputs.count > index else { throw .malformed("\(node.label) has no input") }
        return node.inputs[index]
    }

    /// The node that makes a value; a graph that goes round in circles ends here too.
    private mutating func producer(_ value: String) throws(ImportError) -> ONNXFile.Node {
        steps += 1
        guard steps <= 4 * ONNXLimits.nodes else { throw .malformed("the graph goes round in circles") }
        guard let node = producers[value] else { throw .unsupported("\(value) is made by no node of the graph") }
        guard node.domain.isEmpty || node.domain == "ai.onnx" else { throw .unsupported("\(node.label) is of domain \(node.domain)") }
        return node
    }
}
