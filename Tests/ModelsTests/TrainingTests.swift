import Glibc
import Kernels
import Models
import Testing

@Suite struct TrainingTests {
    static let families: [ModelFamily] = [
        .logisticRegression(l2: 0.02, perSiteIntercept: false),
        .perceptron(hidden: [5], output: .sigmoid, l2: 0.02, perSiteIntercept: false),
        .perceptron(hidden: [6, 4], output: .softmax, l2: 0.01, perSiteIntercept: false),
    ]

    /// Loss of the model in double precision, computed from the predictions and the parameters alone.
    static func loss(_ parameters: ModelParameters, _ family: ModelFamily, _ matrix: FeatureMatrix)
        throws -> Double
    {
        let logOdds = try Predictor(parameters, family: family).logOdds(matrix)
        var total = 0.0
        for (z, label) in zip(logOdds, matrix.labels) {
            let signed = label > 0.5 ? -Double(z) : Double(z)
            total += log(1 + exp(signed))
        }
        var penalty = 0.0
        for tensor in parameters.tensors where tensor.shape.count == 2 {
            for value in tensor.values { penalty += Double(value) * Double(value) }
        }
        return total / Double(matrix.rows) + family.l2 / 2 * penalty
    }

    /// One full-batch step of plain descent moves by rate × gradient: compare with finite differences of the loss.
    @Test(arguments: families) func gradientMatchesFiniteDifferences(family: ModelFamily) throws {
        let matrix = try drawn(rows: 40, coefficients: [1, -2, 0.5, 0], intercept: 0.3, seed: 1)
        var start = ModelParameters(family: family, inputs: 4, seed: [3])
        start = try start.replacing(start.flattened.enumerated().map { $1 + 0.05 * Float($0 % 3) })
        let rate = 1e-2
        let training = LocalTraining(
            optimizer: .sgd(learningRate: rate, momentum: 0), epochs: 1, batchSize: 1000)
        let update = try training.train(start, family: family, on: matrix, seed: 1).update(
            from: start)
        let flat = start.flattened
        for index in flat.indices {
            let step: Float = 1e-3
            var (above, below) = (flat, flat)
            above[index] += step
            below[index] -= step
            let slope =
                (try Self.loss(start.replacing(above), family, matrix)
                    - Self.loss(start.replacing(below), family, matrix))
                / Double(above[index] - below[index])
            #expect(abs(Double(update[index]) / -rate - slope) < 2e-3, "parameter \(index)")
        }
    }

    @Test func recoversTheCoefficientsThatMadeTheRows() throws {
        let matrix = try drawn(
            rows: 20_000, coefficients: [1.5, -1, 0.25], intercept: -0.5, seed: 2)
        let family = ModelFamily.logisticRegression(l2: 0, perSiteIntercept: false)
        for optimizer in [
            LocalTraining.Optimizer.sgd(learningRate: 0.05, momentum: 0.9),
            .adam(learningRate: 0.02),
        ] {
            let training = LocalTraining(optimizer: optimizer, epochs: 10, batchSize: 500)
            let start = ModelParameters(family: family, inputs: 3, seed: [])
            #expect(start.flattened == [0, 0, 0, 0])
            let result = try training.train(start, family: family, on: matrix, seed: 5)
            for (found, truth) in zip(
                result.parameters.flattened, [1.5, -1, 0.25, -0.5] as [Float])
            {
                #expect(abs(found - truth) < 0.1)
            }
            #expect(result.examples == 20_000 && result.localIntercept == nil)
        }
    }

    /// Rows of which no line separates the classes.
    static func checkers(rows: Int) throws -> FeatureMatrix {
        var generator = SeededGenerator(seed: 4)
        let values = (0..<2 * rows).map { _ in 2 * generator.unitFloat() - 1 }
        let labels = (0..<rows).map { values[2 * $0] * values[2 * $0 + 1] > 0 ? 1 : 0 as Float }
        return try FeatureMatrix(rows: rows, columns: 2, values: values, labels: labels)
    }

    @Test(arguments: ModelFamily.OutputLayer.allCases) func perceptronLearnsWhatNoLineCan(
        output: ModelFamily.OutputLayer
    ) throws {
        let matrix = try Self.checkers(rows: 2000)
        let family = ModelFamily.perceptron(
            hidden: [16, 8], output: output, l2: 0, perSiteIntercept: false)
        let training = LocalTraining(
            optimizer: .adam(learningRate: 0.01), epochs: 30, batchSize: 50)
        let result = try training.train(
            ModelParameters(family: family, inputs: 2, seed: [1]), family: family, on: matrix,
            seed: 6)
        let scores = try predict(result.parameters, family: family, matrix)
        #expect(try #require(Metrics.accuracy(scores, matrix.labels)) > 0.95)
    }

    @Test(arguments: families) func sameSeedGivesTheSameBits(family: ModelFamily) throws {
        let matrix = try drawn(rows: 300, coefficients: [1, -1, 2], intercept: 0, seed: 3)
        let training = LocalTraining(optimizer: .adam(learningRate: 0.01), epochs: 3, batchSize: 32)
        let start = ModelParameters(family: family, inputs: 3, seed: [9])
        let once = try training.train(start, family: family, on: matrix, seed: 7)
        #expect(try training.train(start, family: family, on: matrix, seed: 7) == once)
        #expect(
            try training.train(start, family: family, on: matrix, seed: 8).parameters
                != once.parameters)
        #expect(ModelParameters(family: family, inputs: 3, seed: [9]) == start)
        for path in KernelPath.allCases where path.isAvailable {
            let other = try training.train(start, family: family, on: matrix, seed: 7, path: path)
            let worst =
                zip(other.parameters.flattened, once.parameters.flattened).map { abs($0 - $1) }
                .max() ?? 1
            #expect(worst < 1e-2, "\(path)")
        }
    }

    @Test func proximalTermHoldsTheSiteBack() throws {
        let matrix = try drawn(rows: 500, coefficients: [2, -2], intercept: 0, seed: 4)
        let family = ModelFamily.logisticRegression(l2: 0, perSiteIntercept: false)
        let start = ModelParameters(family: family, inputs: 2, seed: [])
        var lengths: [Float] = []
        for mu in [0, 1, 10.0] {
            let training = LocalTraining(
                optimizer: .sgd(learningRate: 0.05, momentum: 0), epochs: 5, batchSize: 50,
                proximalMu: mu)
            let update = try training.train(start, family: family, on: matrix, seed: 1).update(
                from: start)
            lengths.append(update.reduce(0) { $0 + $1 * $1 })
        }
        #expect(lengths[0] > lengths[1] && lengths[1] > lengths[2] && lengths[2] > 0)
    }

    @Test func refusesRowsItCannotTrainOn() throws {
        let family = ModelFamily.logisticRegression(l2: 0, perSiteIntercept: true)
        let start = ModelParameters(family: family, inputs: 2, seed: [])
        let training = LocalTraining(
            optimizer: .sgd(learningRate: 0.1, momentum: 0), epochs: 1, batchSize: 8)
        let none = try FeatureMatrix(rows: 0, columns: 2, values: [])
        let unlabelled = try FeatureMatrix(rows: 1, columns: 2, values: [1, 2])
        let wide = try FeatureMatrix(rows: 1, columns: 3, values: [1, 2, 3], labels: [1])
        #expect(throws: ModelsError.noRows) {
            try training.train(start, family: family, on: none, seed: 1)
        }
        #expect(throws: ModelsError.unlabelled(rows: 1)) {
            try training.train(start, family: family, on: unlabelled, seed: 1)
        }
        #expect(throws: ModelsError.self) {
            try training.train(start, family: family, on: wide, seed: 1)
        }
    }

    @Test func saysWhenItDiverges() throws {
        let matrix = try FeatureMatrix(rows: 2, columns: 1, values: [1e30, -1e30], labels: [1, 0])
        let family = ModelFamily.perceptron(
            hidden: [2], output: .sigmoid, l2: 0, perSiteIntercept: false)
        let training = LocalTraining(
            optimizer: .sgd(learningRate: 100, momentum: 0.9), epochs: 50, batchSize: 1)
        let error = #expect(throws: ModelsError.self) {
            try training.train(
                ModelParameters(family: family, inputs: 1, seed: [2]), family: family, on: matrix,
                seed: 1)
        }
        #expect(error?.description.contains("lower the learning rate") == true)
    }
}

@Suite struct SiteInterceptTests {
    static let family = ModelFamily.logisticRegression(l2: 0, perSiteIntercept: true)

    @Test func fitsTheSitesPrevalence() throws {
        // A model that says one half everywhere, at a site where 90 of 100 rows are positive.
        let matrix = try FeatureMatrix(
            rows: 100, columns: 1, values: [Float](repeating: 0, count: 100),
            labels: (0..<100).map { $0 < 90 ? 1 : 0 })
        let start = ModelParameters(family: Self.family, inputs: 1, seed: [])
        let intercept = try SiteIntercept.fit(start, family: Self.family, on: matrix)
        #expect(abs(intercept - log(9)) < 0.1)
        let scores = try predict(start, family: Self.family, matrix, localIntercept: intercept)
        #expect(abs(scores[0] - 0.9) < 0.01)
    }

    @Test func staysFiniteWithOneClass() throws {
        let matrix = try FeatureMatrix(
            rows: 8, columns: 1, values: [Float](repeating: 0, count: 8),
            labels: [Float](repeating: 1, count: 8))
        let start = ModelParameters(family: Self.family, inputs: 1, seed: [])
        let intercept = try SiteIntercept.fit(start, family: Self.family, on: matrix)
        #expect(intercept > 1 && intercept < 6)
    }

    /// Two sites with the same effect and very different prevalence: the weights find the effect, each site its level, and
    /// the shared bias is what the shared model needs for a site that has no rows.
    @Test(arguments: [
        ModelFamily.logisticRegression(l2: 0, perSiteIntercept: true),
        .perceptron(hidden: [4], output: .softmax, l2: 0, perSiteIntercept: true),
    ])
    func separatesLevelFromEffect(family: ModelFamily) throws {
        let sites = try [-2, 2].map { (level: Float) in
            (
                train: try drawn(rows: 3000, coefficients: [1, 0], intercept: level, seed: 11),
                test: try drawn(rows: 500, coefficients: [1, 0], intercept: level, seed: 12)
            )
        }
        let local = LocalTraining(
            optimizer: .sgd(learningRate: 0.1, momentum: 0), epochs: 1, batchSize: 50)
        var federation = Federation(family, local, sites)
        try federation.run(rounds: 15)
        for (site, level) in zip(sites, [-2, 2] as [Float]) {
            let own = try SiteIntercept.fit(federation.parameters, family: family, on: site.train)
            let shared = try Predictor(federation.parameters, family: family).logOdds([0, 0])
            #expect(abs(shared + own - level) < 0.3)
            #expect(abs(shared) < 0.4)
        }
        if family.isLinear { #expect(abs(federation.parameters.tensors[0].values[0] - 1) < 0.15) }
    }

    /// The intercept moves nothing that is sent: the shared bias is trained as if there were none.
    @Test func staysOutOfTheUpdate() throws {
        let matrix = try FeatureMatrix(
            rows: 100, columns: 1, values: [Float](repeating: 0, count: 100),
            labels: (0..<100).map { $0 < 90 ? 1 : 0 })
        let local = LocalTraining(
            optimizer: .sgd(learningRate: 0.1, momentum: 0), epochs: 1, batchSize: 20)
        let start = ModelParameters(family: Self.family, inputs: 1, seed: [])
        let own = try local.train(start, family: Self.family, on: matrix, seed: 1)
        let plain = try local.train(
            start, family: .logisticRegression(l2: 0, perSiteIntercept: false), on: matrix, seed: 1)
        #expect(
            abs(own.parameters.tensors[1].values[0] - plain.parameters.tensors[1].values[0]) < 1e-6)
        #expect(own.localIntercept != nil && plain.localIntercept == nil)
    }
}
