import Codec
import Cryptography
import Models
import Tabular
import Testing

@testable import ModelPackage

/// Writes ONNX files node by node, so that each test states the graph it is about.
private struct GraphWriter {
    private var graph = ProtobufWriter()

    mutating func node(_ operation: String, _ inputs: [String], _ output: String, _ attributes: [(String, Int)] = [], domain: String = "") {
        graph.message(1) { node in
            for input in inputs { node.text(1, input) }
            node.text(2, output)
            node.text(4, operation)
            node.text(7, domain)
            for (name, value) in attributes {
                node.message(5) { attribute in
                    attribute.text(1, name)
                    attribute.integer(3, value)
                }
            }
        }
    }

    mutating func constant(_ name: String, _ shape: [Int], _ values: [Float], type: Int = 1) {
        graph.message(5) { tensor in
            for size in shape { tensor.integer(1, size) }
            tensor.integer(2, type)
            tensor.text(8, name)
            var raw: [UInt8] = []
            for value in values {
                if type == 11 {
                    for byte in 0..<8 { raw.append(UInt8(truncatingIfNeeded: Double(value).bitPattern >> UInt64(8 * byte))) }
                } else {
                    for byte in 0..<4 { raw.append(UInt8(truncatingIfNeeded: value.bitPattern >> UInt32(8 * byte))) }
                }
            }
            tensor.data(9, raw)
        }
    }

    mutating func value(_ field: Int, _ name: String) { graph.message(field) { $0.text(1, name) } }

    var file: [UInt8] {
        var model = ProtobufWriter()
        model.integer(1, 8)
        model.text(2, "test")
        model.data(7, graph.bytes)
        model.message(8) { $0.integer(2, 13) }
        return model.bytes
    }

    /// x [2] → Gemm → score → Sigmoid → p
    static func linear(_ edit: (inout GraphWriter) -> Void = { _ in }) -> GraphWriter {
        var graph = GraphWriter()
        graph.value(11, "x")
        graph.constant("w", [1, 2], [0.5, -2])
        graph.constant("b", [1], [0.25])
        graph.node("Gemm", ["x", "w", "b"], "score", [("transB", 1)])
        graph.node("Sigmoid", ["score"], "p")
        graph.value(12, "p")
        edit(&graph)
        return graph
    }
}

@Suite struct ImportTests {
    private static let linear = ImportedNetwork.Layer(inputs: 2, outputs: 1, weights: [0.5, -2], biases: [0.25])

    // MARK: ONNX

    @Test func readsEachFormOfALinearModel() throws {
        #expect(try ImportedNetwork(onnx: GraphWriter.linear().file).layers == [Self.linear])
        for type in [1, 11] {
            var graph = GraphWriter()
            graph.value(11, "x")
            graph.constant("w", [2, 1], [0.5, -2], type: type)
            graph.constant("b", [], [0.25], type: type)
            graph.node("MatMul", ["x", "w"], "xw")
            graph.node("Add", ["b", "xw"], "score")
            graph.node("Identity", ["score"], "same")
            graph.value(12, "same")
            #expect(try ImportedNetwork(onnx: graph.file).layers == [Self.linear])
        }
        // Two classes become one log-odds.
        var graph = GraphWriter()
        graph.value(11, "x")
        graph.constant("w", [2, 2], [1, 3, 1.5, 1])
        graph.node("Gemm", ["x", "w"], "logits", [("transB", 1)])
        graph.node("Softmax", ["logits"], "p", [("axis", 1)])
        graph.node("ArgMax", ["logits"], "class")
        graph.value(12, "class")
        graph.value(12, "p")
        #expect(try ImportedNetwork(onnx: graph.file).layers == [.init(inputs: 2, outputs: 1, weights: [0.5, -2], biases: [0])])
    }

    @Test(arguments: [
        ModelFamily.logisticRegression(l2: 0.5, perSiteIntercept: false),
        .perceptron(hidden: [5, 3], output: .sigmoid, l2: 0, perSiteIntercept: false),
        .perceptron(hidden: [4], output: .softmax, l2: 0, perSiteIntercept: true),
    ]) func readsWhatWeExport(_ family: ModelFamily) throws {
        let parameters = try Fixture.parameters(family)
        let package = try VerifiedPackage.verify(
            PackageWriter.sign(try Fixture.manifest(family: family), parameters: parameters, with: Fixture.key), trustedKey: Fixture.key.publicKey)
        let own = family.perSiteIntercept ? 0.75 : nil
        let network = try ImportedNetwork(onnx: ONNXExport.model(package, siteIntercept: own))
        let order = Array(0..<network.inputs)
        let imported = try Predictor(network.parameters(order: order), family: network.family)
        let known = try Predictor(parameters, family: family, localIntercept: Float(own ?? 0))
        for seed in 0..<20 {
            let row = order.map { Float(($0 * 7 + seed * 5) % 11) / 4 - 1 }
            #expect(abs(try imported.logOdds(row) - known.logOdds(row)) <= 2e-6 * max(1, abs(try known.logOdds(row))))
        }
    }

    @Test func refusesWhatItDoesNotUnderstandByName() throws {
        func refusal(_ name: String, _ edit: (inout GraphWriter) -> Void) {
            var graph = GraphWriter()
            graph.value(11, "x")
            graph.constant("w", [2, 2], [1, 2, 3, 4])
            graph.constant("last", [1, 2], [1, 2])
            graph.constant("b", [1], [1])
            edit(&graph)
            graph.node("Gemm", ["y", "last", "b"], "score", [("transB", 1)])
            graph.node("Sigmoid", ["score"], "p")
            graph.value(12, "p")
            let error = #expect(throws: ImportError.self) { try ImportedNetwork(onnx: graph.file) }
            #expect(error?.description.contains(name) == true, "\(error?.description ?? "accepted")")
        }
        for operation in ["Tanh", "Sigmoid", "LeakyRelu", "Conv", "Softmax", "Dropout", "Loop"] {
            refusal(operation) { graph in
                graph.node("Gemm", ["x", "w"], "sum")
                graph.node(operation, ["sum"], "y")
            }
        }
        refusal("no Relu between them") { $0.node("Gemm", ["x", "w"], "y") }
        refusal("LinearClassifier") { $0.node("LinearClassifier", ["x"], "y", domain: "ai.onnx.ml") }
        refusal("made by no node") { $0.node("Relu", ["nowhere"], "y") }
        refusal("no constant of the file") { graph in
            graph.node("Gemm", ["x", "x"], "sum")
            graph.node("Relu", ["sum"], "y")
        }
        refusal("too many layers") { graph in
            graph.node("Gemm", ["loop", "w"], "sum")
            graph.node("Relu", ["sum"], "y")
            graph.node("Relu", ["sum"], "loop")
        }
        refusal("transA") { graph in
            graph.node("Gemm", ["x", "w"], "sum", [("transA", 1)])
            graph.node("Relu", ["sum"], "y")
        }
        refusal("neither FLOAT nor DOUBLE") { graph in
            graph.constant("whole", [2, 2], [1, 2, 3, 4], type: 7)
            graph.node("Gemm", ["x", "whole"], "sum")
            graph.node("Relu", ["sum"], "y")
        }
        refusal("3 outputs and layer 1 takes 2") { graph in
            graph.constant("wide", [2, 3], [1, 2, 3, 4, 5, 6])
            graph.node("Gemm", ["x", "wide"], "sum")
            graph.node("Relu", ["sum"], "y")
        }
    }

    @Test func refusesConstantsThatLie() throws {
        for (name, shape, values) in [
            ("another number of values", [2, 2], [1, 2, 3] as [Float]), ("overflows", [1 << 40, 1 << 40], []),
            ("negative", [-1, 2], []), ("NaN", [1, 2], [.nan, 1]), ("NaN", [1, 2], [1, .infinity]),
        ] {
            let graph = GraphWriter.linear { $0.constant("other", shape, values) }
            let error = #expect(throws: ImportError.self) { try ImportedNetwork(onnx: graph.file) }
            #expect(error?.description.contains(name) == true, "\(error?.description ?? "accepted")")
        }
        #expect(throws: ImportError.self) { try ImportedNetwork(onnx: GraphWriter.linear { $0.constant("w", [1], [1]) }.file) }
        #expect(throws: ImportError.self) { try ImportedNetwork(onnx: GraphWriter.linear { $0.value(11, "second") }.file) }
    }

    @Test func limitsHold() throws {
        var nodes = GraphWriter()
        for index in 0...ONNXLimits.nodes { nodes.node("Relu", ["x"], "y\(index)") }
        var constants = GraphWriter()
        for index in 0...ONNXLimits.constants { constants.constant("c\(index)", [], [1]) }
        let name = String(repeating: "n", count: ONNXLimits.nameBytes + 1)
        for graph in [nodes, constants, GraphWriter.linear { $0.value(12, name) }, GraphWriter.linear { $0.constant("r", [Int](repeating: 1, count: 9), [1]) }] {
            #expect(throws: ImportError.self) { try ImportedNetwork(onnx: graph.file) }
        }
        let deep = GraphWriter.linear { graph in
            for index in 0..<12 {
                graph.constant("d\(index)", [2, 2], [1, 0, 0, 1])
            }
        }
        #expect(throws: Never.self) { try ImportedNetwork(onnx: deep.file) }
    }

    /// Any damage is an error or a model, never a crash or a hang.
    @Test func survivesRandomDamage() throws {
        let package = try VerifiedPackage.verify(Fixture.contents(), trustedKey: Fixture.key.publicKey)
        let files = [GraphWriter.linear().file, ONNXExport.model(package)]
        let random = SeededRandom(seed: 3)
        var accepted = 0
        for round in 0..<20_000 {
            var file = files[round % 2]
            for _ in 0...Int(random.word() % 4) { file[Int(random.word() % UInt64(file.count))] = UInt8(truncatingIfNeeded: random.word()) }
            if random.word() % 3 == 0 { file.removeLast(Int(random.word() % UInt64(file.count))) }
            do {
                _ = try ImportedNetwork(onnx: file)
                accepted += 1
            } catch { #expect(!error.description.isEmpty) }
        }
        for length in 0..<files[0].count { _ = try? ImportedNetwork(onnx: Array(files[0][..<length])) }
        #expect(accepted > 100 && accepted < 19_900, "\(accepted)")
    }

    // MARK: description

    private static let document = #"""
        {
            consilium: "import/1", name: "triage", version: 3,
            schema: {
                features: [
                    { name: "age", kind: "numeric", range: [0, 120] },
                    { name: "sex", kind: "binary", codes: ["f", "m"] },
                    { name: "cp", kind: "categorical", categories: ["a", "b"] },
                ],
                label: { column: "y", positive: { greaterThan: 0 } },
            },
            inputs: [
                { feature: "cp", category: "b", mean: 0.4 },
                { feature: "age", centre: 50, scale: 10, mean: 0.1 },
                { feature: "sex", mean: 0.5 },
                { feature: "cp", category: "a", mean: 0.6 },
            ],
            classes: ["wait", "see"], threshold: 0.3, abstain: [0.25, 0.35], calibration: { slope: 0.9, intercept: 0.1 },
            origin: { by: "a test" },
        }
        """#

    private func read(_ text: String) throws -> ImportDocument { try ImportDocument(parsing: Array(text.utf8)) }

    @Test func columnsComeIntoTheSchemasOrderWithTheirWeights() throws {
        let tensors = [
            Tensor(name: "output.weight", shape: [1, 4], values: [10, 20, 30, 40]), Tensor(name: "output.bias", shape: [1], values: [5]),
        ]
        let contents = try ModelImport.package(
            SafeTensors.encode(tensors), .safetensors, read(Self.document), created: "2026-11-24T21:00:00.000Z", signer: Fixture.key)
        let package = try VerifiedPackage.verify(contents, trustedKey: Fixture.key.publicKey)
        #expect(package.preprocessor.columnNames == ["age", "sex", "cp=b", "cp=a"])
        #expect(package.parameters.flattened == [20, 30, 10, 40, 5])
        #expect(package.manifest.background == [0.1, 0.5, 0.4, 0.6])
        #expect(package.manifest.thresholds == .init(decision: 0.3, abstain: 0.25...0.35))
        #expect(package.manifest.calibration == .init(slope: 0.9, intercept: 0.1))
        #expect(package.manifest.provenance.origin?.by == "a test" && package.manifest.provenance.origin?.form == "safetensors")
        #expect(package.manifest.provenance.origin?.sha256 == SHA256.hash(SafeTensors.encode(tensors)))
        let card = String(decoding: ModelCard.markdown(package), as: UTF8.self)
        #expect(card.contains("trained elsewhere by \"a test\"") && !card.contains("sites that kept"))
    }

    @Test func refusesTensorsThatDoNotFit() throws {
        let good = Tensor(name: "output.weight", shape: [1, 4], values: [1, 2, 3, 4])
        for tensors in [
            [], [Tensor(name: "w", shape: [1, 4], values: [1, 2, 3, 4])],
            [good, Tensor(name: "output.bias", shape: [2], values: [1, 2])],
            [good, Tensor(name: "output.bias", shape: [1], values: [1]), Tensor(name: "extra", shape: [1], values: [1])],
            [Tensor(name: "output.weight", shape: [4], values: [1, 2, 3, 4]), Tensor(name: "output.bias", shape: [1], values: [1])],
            [Tensor(name: "output.weight", shape: [1, 3], values: [1, 2, 3]), Tensor(name: "output.bias", shape: [1], values: [1])],
            [Tensor(name: "output.weight", shape: [3, 4], values: [Float](repeating: 1, count: 12)), Tensor(name: "output.bias", shape: [3], values: [1, 1, 1])],
            [Tensor(name: "output.weight", shape: [1, 4], values: [1, 2, .nan, 4]), Tensor(name: "output.bias", shape: [1], values: [1])],
        ] {
            #expect(throws: (any Error).self) {
                try ModelImport.package(
                    SafeTensors.encode(tensors), .safetensors, read(Self.document), created: "2026-11-24T21:00:00.000Z", signer: Fixture.key)
            }
        }
    }

    @Test func refusesDescriptionsThatBreakARule() throws {
        for (old, new) in [
            ("import/1", "import/2"), ("name: \"triage\"", "name: \"../x\""), ("version: 3", "version: 0"), ("feature: \"sex\"", "feature: \"hat\""),
            ("category: \"b\"", "category: \"c\""), ("category: \"b\"", "category: \"a\""), ("{ feature: \"sex\", mean: 0.5 }", "{ feature: \"sex\" }"),
            ("scale: 10", "scale: 0"), ("scale: 10", "scale: 1e-20"), ("abstain: [0.25, 0.35]", "abstain: [0.35, 0.25]"),
            ("abstain: [0.25, 0.35]", "abstain: [0.25]"), ("threshold: 0.3", "threshold: 3"), ("classes: [\"wait\", \"see\"]", "classes: [\"a\", \"a\"]"),
            ("origin: { by: \"a test\" }", "origin: {}"), ("origin: { by: \"a test\" }", "origin: { by: \"a\", hat: 1 }"), ("slope: 0.9", "slope: -1"),
            ("inputs: [", "hat: 1, inputs: ["), ("{ feature: \"cp\", category: \"a\", mean: 0.6 },", "{ feature: \"cp\", mean: 0.6 },"),
            ("consilium:", "{"),
        ] {
            let text = Self.document.replacing(old, with: new)
            #expect(text != Self.document)
            #expect(throws: ImportError.self, "\(new)") { try read(text) }
        }
        #expect(throws: Never.self) { try read(Self.document) }
    }
}
