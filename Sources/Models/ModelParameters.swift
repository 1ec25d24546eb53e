import Codec
import Kernels

/// A named block of numbers with a shape.
package struct Tensor: Equatable, Sendable {
    /// Name within the model, such as `hidden.0.weight`.
    package let name: String
    /// Sizes of the axes, slowest first.
    package let shape: [Int]
    /// Row-major values; their count is the product of `shape`.
    package let values: [Float]

    /// A tensor. The count of `values` must be the product of `shape`; a reader of files checks that before.
    package init(name: String, shape: [Int], values: [Float]) {
        precondition(
            shape.allSatisfy { $0 >= 0 } && shape.reduce(1, *) == values.count,
            "\(values.count) values do not fill a tensor of shape \(shape)")
        self.name = name
        self.shape = shape
        self.values = values
    }
}

/// The numbers of a model. Tensors in the family's order, per layer a weight `[outputs, inputs]` and a bias
/// `[outputs]`:
///
///     hidden.0.weight  hidden.0.bias  hidden.1.weight …  output.weight  output.bias
///
/// A logistic regression has only the last two.
package struct ModelParameters: Equatable, Sendable {
    package let tensors: [Tensor]

    /// Parameters from tensors in the family's order. Whether they fit a family is checked where they are used.
    package init(tensors: [Tensor]) { self.tensors = tensors }

    /// The first parameters of a run, the same for the same seed.
    ///
    /// Hidden layers are uniform within ±√(6 / inputs) (He et al. 2015), the output layer of a perceptron within
    /// ±√(3 / inputs); biases and a logistic regression start at 0.
    ///
    /// - Parameters:
    ///   - family: the model family.
    ///   - inputs: preprocessed columns, at least 1.
    ///   - seed: any bytes, such as the plan hash.
    package init(family: ModelFamily, inputs: Int, seed: [UInt8]) {
        let plan = family.layers(inputs: inputs)
        var generator = SeededGenerator(seed: seed)
        var values: [Float] = []
        values.reserveCapacity(plan.parameterCount)
        for layer in plan.layers {
            let bound = ((layer.isLast ? 3 : 6) / Float(layer.inputs)).squareRoot()
            for _ in layer.weights {
                values.append(family.isLinear ? 0 : bound * (2 * generator.unitFloat() - 1))
            }
            for _ in layer.biases { values.append(0) }
        }
        self.init(plan: plan, flattened: values)
    }

    /// All values in tensor order: the vector whose change goes into a training round.
    package var flattened: [Float] { tensors.flatMap(\.values) }

    /// Number of values.
    package var count: Int { tensors.reduce(0) { $0 + $1.values.count } }

    /// The same tensors with other values.
    /// - Throws: `ModelsError.shape` when the count differs, `.notFinite` when a value is not finite.
    package func replacing(_ flattened: [Float]) throws(ModelsError) -> ModelParameters {
        guard flattened.count == count else {
            throw .shape("\(flattened.count) values for a model of \(count) parameters")
        }
        guard flattened.allSatisfy(\.isFinite) else { throw .notFinite("a model parameter") }
        var offset = 0
        return ModelParameters(
            tensors: tensors.map { tensor in
                defer { offset += tensor.values.count }
                return Tensor(
                    name: tensor.name, shape: tensor.shape,
                    values: Array(flattened[offset..<offset + tensor.values.count]))
            })
    }

    /// The bytes that a digest of the model is taken over: a count, then per tensor its name, its axes and its values
    /// as little-endian IEEE 754 bit patterns; counts are u32 big-endian.
    package var canonicalBytes: [UInt8] {
        var writer = ByteWriter(reserving: count * 4 + tensors.count * 64)
        writer.u32(UInt32(tensors.count))
        for tensor in tensors {
            writer.text(tensor.name)
            writer.u32(UInt32(tensor.shape.count))
            for size in tensor.shape { writer.u32(UInt32(size)) }
            for value in tensor.values { writer.u32le(value.bitPattern) }
        }
        return writer.bytes
    }

    /// The same tensors with other values, one array per tensor.
    func replacing(tensors values: [[Float]]) -> ModelParameters {
        ModelParameters(
            tensors: zip(tensors, values).map { Tensor(name: $0.name, shape: $0.shape, values: $1) }
        )
    }

    init(plan: LayerPlan, flattened values: [Float]) {
        var tensors: [Tensor] = []
        for (index, layer) in plan.layers.enumerated() {
            let name = layer.isLast ? "output" : "hidden.\(index)"
            tensors.append(
                Tensor(
                    name: name + ".weight", shape: [layer.outputs, layer.inputs],
                    values: Array(values[layer.weights])))
            tensors.append(
                Tensor(
                    name: name + ".bias", shape: [layer.outputs],
                    values: Array(values[layer.biases])))
        }
        self.init(tensors: tensors)
    }

    /// The layers of `family` that these tensors fill.
    /// - Throws: `ModelsError.shape` when names or shapes are not the family's, `.notFinite` for a value that is not finite.
    func layers(of family: ModelFamily) throws(ModelsError) -> LayerPlan {
        guard let first = tensors.first, first.shape.count == 2,
            (1...KernelsLimits.columnsMax).contains(first.shape[1])
        else {
            throw .shape(
                "the first tensor must be a weight of two axes, for 1 to \(KernelsLimits.columnsMax) columns"
            )
        }
        guard count <= ModelsLimits.parametersMax else {
            throw .shape(
                "\(count) parameters are more than \(ModelsLimits.parametersMax): use fewer or narrower hidden layers"
            )
        }
        let plan = family.layers(inputs: first.shape[1])
        guard tensors.count == plan.layers.count * 2 else {
            throw .shape("\(tensors.count) tensors, the family has \(plan.layers.count * 2)")
        }
        for (index, layer) in plan.layers.enumerated() {
            let name = layer.isLast ? "output" : "hidden.\(index)"
            let (weight, bias) = (tensors[2 * index], tensors[2 * index + 1])
            guard weight.name == name + ".weight", weight.shape == [layer.outputs, layer.inputs],
                bias.name == name + ".bias", bias.shape == [layer.outputs]
            else {
                throw .shape(
                    "layer \(name) is not [\(layer.outputs), \(layer.inputs)] and [\(layer.outputs)]"
                )
            }
        }
        guard tensors.allSatisfy({ $0.values.allSatisfy(\.isFinite) }) else {
            throw .notFinite("a model parameter")
        }
        return plan
    }
}
