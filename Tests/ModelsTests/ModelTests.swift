import Glibc
import Kernels
import Models
import Testing

@Suite struct ModelFormTests {
    static let families: [ModelFamily] = [
        .logisticRegression(l2: 0.01, perSiteIntercept: true),
        .perceptron(hidden: [32, 16], output: .softmax, l2: 0.5, perSiteIntercept: false),
    ]

    @Test(arguments: families) func familySurvivesItsForm(family: ModelFamily) throws {
        #expect(try ModelFamily(json: family.json, path: "model") == family)
    }

    @Test func trainingSurvivesItsForm() throws {
        for training in [
            LocalTraining(
                optimizer: .sgd(learningRate: 0.1, momentum: 0.9), epochs: 2, batchSize: 64,
                proximalMu: 0.01),
            LocalTraining(optimizer: .adam(learningRate: 0.003), epochs: 1, batchSize: 32),
        ] { #expect(try LocalTraining(json: training.json, path: "training.local") == training) }
        for server in [
            ServerOptimizer.fedAvg(learningRate: 0.5),
            .fedAdam(learningRate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 0.001),
        ] { #expect(try ServerOptimizer(json: server.json, path: "training.server") == server) }
    }

    @Test func saysWhichFieldIsWrong() {
        func problem(_ body: () throws -> Void) -> String {
            do {
                try body()
                return "accepted"
            } catch { return "\(error)" }
        }
        #expect(
            problem { _ = try ModelFamily(json: ["family": "forest"], path: "model") }.hasPrefix(
                "model.family: "))
        #expect(
            problem { _ = try ModelFamily(json: ["family": "perceptron"], path: "model") }
                .hasPrefix("model.hidden: "))
        #expect(
            problem {
                _ = try ModelFamily(json: ["family": "perceptron", "hidden": []], path: "model")
            }.hasPrefix("model.hidden: "))
        #expect(
            problem {
                _ = try ModelFamily(
                    json: ["family": "perceptron", "hidden": [8, 0]], path: "model")
            }.hasPrefix("model.hidden[1]: "))
        #expect(
            problem {
                _ = try ModelFamily(
                    json: ["family": "perceptron", "hidden": [4096, 4096]], path: "model")
            }.hasPrefix("model.hidden: "))
        #expect(
            problem {
                _ = try ModelFamily(
                    json: ["family": "perceptron", "hidden": [8], "output": "tanh"], path: "model")
            }.hasPrefix("model.output: "))
        #expect(
            problem {
                _ = try ModelFamily(
                    json: ["family": "logisticRegression", "hidden": [8]], path: "model")
            }.contains("hidden"))
        #expect(
            problem {
                _ = try ModelFamily(
                    json: ["family": "logisticRegression", "l2": -1], path: "model")
            }.hasPrefix("model.l2: "))
        #expect(
            problem { _ = try LocalTraining(json: ["optimizer": "sgd"], path: "local") }.hasPrefix(
                "local.learningRate: "))
        #expect(
            problem {
                _ = try LocalTraining(
                    json: ["optimizer": "adam", "learningRate": 0.1, "momentum": 0.5], path: "local"
                )
            }.contains("momentum"))
        #expect(
            problem { _ = try ServerOptimizer(json: ["optimizer": "fedProx"], path: "server") }
                .contains("proximalMu"))
    }

    @Test func namesAndShapesFollowTheFamily() {
        let parameters = ModelParameters(family: Self.families[1], inputs: 5, seed: [1])
        #expect(
            parameters.tensors.map(\.name) == [
                "hidden.0.weight", "hidden.0.bias", "hidden.1.weight", "hidden.1.bias",
                "output.weight", "output.bias",
            ])
        #expect(
            parameters.tensors.map(\.shape) == [[32, 5], [32], [16, 32], [16], [2, 16], [2]])
        #expect(parameters.count == Self.families[1].parameterCount(inputs: 5))
        #expect(ModelParameters(family: Self.families[1], inputs: 5, seed: [2]) != parameters)
    }

    @Test func flatteningIsUndoneByReplacing() throws {
        let parameters = ModelParameters(family: Self.families[1], inputs: 5, seed: [1])
        #expect(try parameters.replacing(parameters.flattened) == parameters)
        #expect(throws: ModelsError.self) { try parameters.replacing([1, 2]) }
        var broken = parameters.flattened
        broken[7] = .nan
        #expect(throws: ModelsError.self) { try parameters.replacing(broken) }
    }

    @Test(arguments: families) func canonicalBytesAreReadBack(family: ModelFamily) throws {
        let parameters = ModelParameters(family: family, inputs: 5, seed: [1])
        let bytes = parameters.canonicalBytes
        #expect(try ModelParameters(canonicalBytes: bytes, family: family, inputs: 5) == parameters)
        for broken in [Array(bytes.dropLast()), bytes + [0], [], [1] + bytes.dropFirst()] {
            #expect(throws: ModelsError.self) {
                try ModelParameters(canonicalBytes: broken, family: family, inputs: 5)
            }
        }
        #expect(throws: ModelsError.self) {
            try ModelParameters(canonicalBytes: bytes, family: family, inputs: 4)
        }
    }

    @Test func canonicalBytesTellModelsApart() throws {
        let parameters = ModelParameters(
            family: .logisticRegression(l2: 0, perSiteIntercept: false), inputs: 1, seed: [])
        let changed = try parameters.replacing([1, 0])
        #expect(parameters.canonicalBytes != changed.canonicalBytes)
        let header: [UInt8] =
            [0, 0, 0, 2, 0, 0, 0, 13] + Array("output.weight".utf8) + [
                0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1,
            ]
        #expect(
            changed.canonicalBytes == header + [0, 0, 0x80, 0x3f, 0, 0, 0, 11]
                + Array("output.bias".utf8) + [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0])
    }
}

@Suite struct PredictionTests {
    static func random(_ family: ModelFamily, inputs: Int) throws -> ModelParameters {
        var generator = SeededGenerator(seed: 42)
        let parameters = ModelParameters(family: family, inputs: inputs, seed: [5])
        return try parameters.replacing(
            parameters.flattened.map { $0 + generator.unitFloat() - 0.5 })
    }

    static let families: [ModelFamily] = [
        .logisticRegression(l2: 0, perSiteIntercept: false),
        .perceptron(hidden: [16], output: .sigmoid, l2: 0, perSiteIntercept: false),
        .perceptron(hidden: [7, 5, 3], output: .softmax, l2: 0, perSiteIntercept: false),
    ]

    @Test(arguments: families) func oneRowAndManyAgree(family: ModelFamily) throws {
        let parameters = try Self.random(family, inputs: 13)
        let matrix = try drawn(
            rows: 600, coefficients: [Float](repeating: 0.3, count: 13), intercept: 0, seed: 8)
        let predictor = try Predictor(parameters, family: family, localIntercept: 0.25)
        let many = try predictor.probabilities(matrix)
        for row in [0, 1, 255, 256, 599] {
            #expect(try predictor.probability(matrix.row(row)) == many[row])
        }
        #expect(many.allSatisfy { (0...1).contains($0) })
        #expect(
            try predictor.probabilities(try FeatureMatrix(rows: 0, columns: 13, values: [])) == [])
        for path in KernelPath.allCases where path.isAvailable {
            let other = try Predictor(parameters, family: family, localIntercept: 0.25, path: path)
                .probabilities(matrix)
            #expect(zip(other, many).allSatisfy { abs($0 - $1) < 1e-5 })
        }
    }

    @Test func logisticPredictionIsTheFormula() throws {
        let family = Self.families[0]
        let parameters = try ModelParameters(family: family, inputs: 2, seed: []).replacing([
            1, -2, 0.5,
        ])
        let probability = try Predictor(parameters, family: family, localIntercept: 1).probability([
            3, 1,
        ])
        #expect(abs(probability - 1 / (1 + expf(-2.5))) < 1e-6)
        #expect(try Predictor(parameters, family: family).probability([1e30, 0]) == 1)
        #expect(try Predictor(parameters, family: family).probability([-1e30, 0]) == 0)
    }

    @Test func refusesWhatDoesNotFit() throws {
        let parameters = try Self.random(Self.families[1], inputs: 4)
        #expect(throws: ModelsError.self) { try Predictor(parameters, family: Self.families[0]) }
        let huge = ModelFamily.perceptron(
            hidden: [4096], output: .sigmoid, l2: 0, perSiteIntercept: false)
        #expect(throws: ModelsError.self) {
            try Predictor(ModelParameters(family: huge, inputs: 1000, seed: []), family: huge)
        }
        #expect(throws: ModelsError.self) {
            try Predictor(ModelParameters(tensors: []), family: Self.families[0])
        }
        let predictor = try Predictor(parameters, family: Self.families[1])
        #expect(throws: ModelsError.self) { try predictor.probability([1, 2, 3]) }
        #expect(throws: ModelsError.self) {
            try predictor.contributions([1, 2, 3, 4], background: [1])
        }
    }

    @Test(arguments: families) func contributionsAddUp(family: ModelFamily) throws {
        let parameters = try Self.random(family, inputs: 6)
        let predictor = try Predictor(parameters, family: family, localIntercept: -0.5)
        let matrix = try drawn(rows: 20, coefficients: [1, 1, 1, 1, 1, 1], intercept: 0, seed: 9)
        let background: [Float] = [0.1, 0, -0.2, 0.3, 0, 0.5]
        for row in 0..<matrix.rows {
            let found = try predictor.contributions(matrix.row(row), background: background)
            #expect(found.logOdds == (try predictor.logOdds(matrix.row(row))))
            #expect(found.baseValue == (try predictor.logOdds(background)))
            #expect(
                abs(found.baseValue + found.values.reduce(0, +) + found.residual - found.logOdds)
                    < 1e-5)
            #expect(abs(found.residual) < 1e-5)
            #expect(found.isExact == family.isLinear)
        }
        let nothing = try predictor.contributions(background, background: background)
        #expect(nothing.values.allSatisfy { $0 == 0 } && nothing.residual == 0)
    }

    /// Rows far out cross many pieces, and a network with more pieces than the limit falls back to equal steps.
    @Test func integratedGradientsAreCompleteToRounding() throws {
        for (hidden, far) in [([64, 32], 1), ([64, 32], 50), ([8, 8, 8, 8], 5), ([300], 20)] as [([Int], Float)] {
            let family = ModelFamily.perceptron(hidden: hidden, output: .softmax, l2: 0, perSiteIntercept: false)
            let model = try Predictor(ModelParameters(family: family, inputs: 30, seed: [UInt8(hidden.count)]), family: family)
            let background = (0..<30).map { Float(($0 * 5) % 7) / 7 - 0.5 }
            let row = (0..<30).map { far * (Float(($0 * 11) % 13) / 6.5 - 1) }
            let found = try model.contributions(row, background: background)
            let size = max(1, found.values.map(abs).reduce(0, +))
            #expect(abs(found.residual) < 2e-6 * size, "\(hidden) \(far): \(found.residual) of \(size)")
        }
        let family = ModelFamily.perceptron(hidden: [4096, 16], output: .sigmoid, l2: 0, perSiteIntercept: false)
        let model = try Predictor(ModelParameters(family: family, inputs: 4, seed: [3]), family: family)
        let found = try model.contributions([9, -9, 9, -9], background: [-9, 9, -9, 9])
        #expect(!found.values.contains { !$0.isFinite })
    }

    @Test func logisticContributionsAreExact() throws {
        let family = Self.families[0]
        let parameters = try ModelParameters(family: family, inputs: 2, seed: []).replacing([
            2, -3, 1,
        ])
        let found = try Predictor(parameters, family: family).contributions(
            [1, 2], background: [0.5, 1])
        #expect(found.values == [1, -3])
        #expect(found.baseValue == -1 && found.logOdds == -3 && found.residual == 0)
    }
}

@Suite struct ServerOptimizerTests {
    @Test func fedAvgAddsTheMean() throws {
        var state = ServerOptimizer.State()
        #expect(
            try ServerOptimizer.fedAvg(learningRate: 0.5).apply(
                previous: [1, 2], meanUpdate: [2, -2], state: &state) == [2, 1])
    }

    @Test func fedAdamFollowsItsPaper() throws {
        var state = ServerOptimizer.State()
        let server = ServerOptimizer.fedAdam(
            learningRate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 0.001)
        let first = try server.apply(previous: [1], meanUpdate: [0.5], state: &state)
        #expect(abs(first[0] - (1 + 0.1 * 0.05 / (Float(0.0025).squareRoot() + 0.001))) < 1e-6)
        let second = try server.apply(previous: first, meanUpdate: [-0.2], state: &state)
        let (m, v): (Float, Float) = (0.9 * 0.05 - 0.1 * 0.2, 0.99 * 0.0025 + 0.01 * 0.04)
        #expect(abs(second[0] - (first[0] + 0.1 * m / (v.squareRoot() + 0.001))) < 1e-6)
        #expect(state.first.count == 1 && abs(state.second[0] - v) < 1e-7)
    }

    @Test func refusesUnequalCountsAndInfinity() {
        var state = ServerOptimizer.State()
        #expect(throws: ModelsError.self) {
            try ServerOptimizer.fedAvg(learningRate: 1).apply(
                previous: [1], meanUpdate: [], state: &state)
        }
        #expect(throws: ModelsError.self) {
            try ServerOptimizer.fedAvg(learningRate: 1).apply(
                previous: [1], meanUpdate: [.infinity], state: &state)
        }
    }
}
