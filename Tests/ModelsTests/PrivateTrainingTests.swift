import Cryptography
import Glibc
import Kernels
import Models
import Testing

/// DP-SGD: what clips is held against gradients taken another way, and noise against its distribution.
@Suite struct PrivateTrainingTests {
    private let families: [(String, ModelFamily)] = [
        ("logistic", .logisticRegression(l2: 0, perSiteIntercept: false)),
        ("sigmoid", .perceptron(hidden: [9, 5], output: .sigmoid, l2: 0, perSiteIntercept: false)),
        ("softmax", .perceptron(hidden: [8], output: .softmax, l2: 0, perSiteIntercept: false)),
    ]
    private let inputs = 11

    private func rows(_ count: Int, scale: Float = 1, seed: UInt64) throws -> FeatureMatrix {
        var generator = SeededGenerator(seed: seed)
        let values = (0..<count * inputs).map { _ in scale * (2 * generator.unitFloat() - 1) }
        return try FeatureMatrix(
            rows: count, columns: inputs, values: values, labels: (0..<count).map { _ in Float(generator.below(2)) })
    }

    private func model(_ family: ModelFamily, seed: UInt8, scale: Float = 1) throws -> ModelParameters {
        let start = ModelParameters(family: family, inputs: inputs, seed: [seed])
        var generator = SeededGenerator(seed: UInt64(seed))
        return try start.replacing(start.flattened.map { scale * ($0 + 0.3 * (2 * generator.unitFloat() - 1)) })
    }

    /// The gradient of one batch of everybody, with noise of about one step of the grid.
    private func sum(
        _ parameters: ModelParameters, _ family: ModelFamily, _ matrix: FeatureMatrix, clippingNorm: Double,
        units: TrainingUnits? = nil, path: KernelPath = .best
    ) throws -> [Double] {
        let gradient = PrivateGradient(
            samplingRate: 1, expectedBatch: 1, clippingNorm: clippingNorm, noiseMultiplier: 0x1p-20 / clippingNorm, honestSites: 1,
            fractionBits: 20)
        return try gradient.vector(parameters, family: family, on: matrix, units: units, random: SeededRandom(seed: 1), path: path)
            .map(-)
    }

    private func norm(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }

    private func loss(_ parameters: ModelParameters, _ family: ModelFamily, _ matrix: FeatureMatrix) throws -> Double {
        zip(try Predictor(parameters, family: family).logOdds(matrix), matrix.labels).reduce(0) { sum, row in
            let signed = Double(row.1 > 0.5 ? -row.0 : row.0)
            return sum + max(signed, 0) + log1p(exp(-abs(signed)))
        }
    }

    @Test func sumsAreTheGradientWhereNothingIsClipped() throws {
        for (name, family) in families {
            // Seeds that put no unit near its kink, where a difference quotient is no derivative.
            let parameters = try model(family, seed: 31)
            let matrix = try rows(7, seed: 4)
            let flat = parameters.flattened
            let exact = try flat.indices.map { index in
                func shifted(_ h: Float) throws -> Double {
                    var moved = flat
                    moved[index] += h
                    return try loss(parameters.replacing(moved), family, matrix)
                }
                return try (shifted(0x1p-10) - shifted(-0x1p-10)) * 0x1p9
            }
            for path in KernelPath.allCases where path.isAvailable {
                let sum = try sum(parameters, family, matrix, clippingNorm: 100, path: path)
                let error = zip(sum, exact).map { abs($0 - $1) }.max() ?? 1
                #expect(error < 5e-3 * (exact.map(abs).max() ?? 1), "\(name), \(path): \(error)")
            }
        }
    }

    @Test func oneUnitNeverMovesTheSumByMoreThanTheClippingNorm() throws {
        for (name, family) in families {
            for (seed, scale) in [(1, 1), (2, 30), (3, 1000), (4, 1e-3)] as [(UInt8, Float)] {
                let parameters = try model(family, seed: seed, scale: max(1, scale.squareRoot()))
                for row in 0..<40 {
                    let matrix = try rows(1, scale: scale, seed: UInt64(seed) * 1000 + UInt64(row))
                    for path in KernelPath.allCases where path.isAvailable {
                        let sum = try sum(parameters, family, matrix, clippingNorm: 0.7, path: path)
                        // Noise of about one step, 2^-20, in each coordinate.
                        let slack = 2 * Double(sum.count).squareRoot() * 0x1p-20
                        #expect(norm(sum) <= 0.7 + slack, "\(name), scale \(scale): \(norm(sum))")
                    }
                }
            }
        }
    }

    @Test func aLongGradientIsShortenedToTheClippingNormAndKeepsItsDirection() throws {
        for (name, family) in families {
            let parameters = try model(family, seed: 5)
            let matrix = try rows(1, scale: 3, seed: 6)
            let free = try sum(parameters, family, matrix, clippingNorm: 1000)
            let clipped = try sum(parameters, family, matrix, clippingNorm: norm(free) / 4)
            let cosine = zip(free, clipped).reduce(0) { $0 + $1.0 * $1.1 } / norm(free) / norm(clipped)
            #expect(abs(norm(clipped) / norm(free) - 0.25) < 1e-3 && cosine > 0.9999, "\(name)")
        }
    }

    @Test func aSubjectWithManyRowsIsClippedAsOne() throws {
        for (name, family) in families {
            let parameters = try model(family, seed: 7)
            let matrix = try rows(300, seed: 8)
            let one = TrainingUnits(keys: [Int](repeating: 9, count: 300))
            #expect(try norm(sum(parameters, family, matrix, clippingNorm: 0.5, units: one)) < 0.501, "\(name)")
            // Unclipped, grouping changes nothing; alone, a row is a row.
            let pairs = TrainingUnits(keys: (0..<300).map { $0 / 2 })
            let apart = TrainingUnits(keys: (0..<300).map { $0 })
            let plain = try sum(parameters, family, matrix, clippingNorm: 1000)
            #expect(try zip(plain, sum(parameters, family, matrix, clippingNorm: 1000, units: pairs)).allSatisfy { abs($0 - $1) < 2e-2 })
            #expect(try plain == sum(parameters, family, matrix, clippingNorm: 1000, units: apart))
        }
        let mixed = TrainingUnits(keys: [4, 2, 4, 7, 2])
        #expect(mixed.rows == [[0, 2], [1, 4], [3]])
    }

    @Test func aRowThatBreaksTheNetworkCountsAsNothing() throws {
        for (name, family) in families {
            let parameters = try model(family, seed: 9, scale: 50)
            let bad = try FeatureMatrix(
                rows: 2, columns: inputs, values: [Float](repeating: 3e38, count: inputs) + [Float](repeating: 0.1, count: inputs),
                labels: [1, 0])
            for units in [nil, TrainingUnits(keys: [0, 1]), TrainingUnits(keys: [0, 0])] {
                let sum = try sum(parameters, family, bad, clippingNorm: 1, units: units)
                #expect(sum.allSatisfy(\.isFinite) && norm(sum) <= 2.001, "\(name)")
            }
        }
    }

    @Test func withoutClippingAndWithLittleNoiseItIsOrdinaryDescent() throws {
        for (name, family) in families {
            let parameters = try model(family, seed: 11)
            let matrix = try rows(64, seed: 12)
            for optimizer in [LocalTraining.Optimizer.sgd(learningRate: 0.1, momentum: 0.5), .adam(learningRate: 0.01)] {
                let plain = try LocalTraining(optimizer: optimizer, epochs: 12, batchSize: 64, proximalMu: 0.3)
                    .train(parameters, family: family, on: matrix, seed: 1)
                let hidden = try PrivateTraining(
                    optimizer: optimizer, steps: 12, samplingRate: 1, expectedBatch: 64, clippingNorm: 100, noiseMultiplier: 1e-7,
                    proximalMu: 0.3
                ).train(parameters, family: family, on: matrix, random: SeededRandom(seed: 2))
                let error = zip(plain.parameters.flattened, hidden.flattened).map { abs($0 - $1) }.max() ?? 1
                #expect(error < 2e-3, "\(name), \(optimizer): \(error)")
            }
        }
    }

    @Test func noiseHasThePromisedSpread() throws {
        let family = ModelFamily.perceptron(hidden: [60], output: .sigmoid, l2: 0, perSiteIntercept: false)
        let parameters = ModelParameters(family: family, inputs: inputs, seed: [1])
        let matrix = try rows(50, seed: 13)
        func trained(_ noise: Double, _ seed: UInt64) throws -> [Float] {
            try PrivateTraining(
                optimizer: .sgd(learningRate: 1, momentum: 0), steps: 1, samplingRate: 1, expectedBatch: 25, clippingNorm: 2,
                noiseMultiplier: noise
            ).train(parameters, family: family, on: matrix, random: SeededRandom(seed: seed)).flattened
        }
        let quiet = try trained(1e-6, 1)
        let noisy = try trained(3, 2)
        // σ · C / expected batch = 3 · 2 / 25.
        let deviations = zip(noisy, quiet).map { Double($0 - $1) / 0.24 }
        let (count, variance) = (Double(deviations.count), deviations.reduce(0) { $0 + $1 * $1 } / Double(deviations.count))
        #expect(abs(variance - 1) < 4 * (2 / count).squareRoot())
        #expect(abs(deviations.reduce(0, +) / count) < 4 / count.squareRoot())
    }

    @Test func sharesOfTheNoiseAddUp() throws {
        let family = families[1].1
        let parameters = try model(family, seed: 15)
        let gradient = PrivateGradient(
            samplingRate: 1e-12, expectedBatch: 100, clippingNorm: 1, noiseMultiplier: 2, honestSites: 4, fractionBits: 24)
        var sum = [Double](repeating: 0, count: parameters.count)
        for site in 0..<4 {
            let share = try gradient.vector(parameters, family: family, on: rows(5, seed: 16), random: SeededRandom(seed: UInt64(site)))
            // Whole steps of the grid, so that the secure sum carries them exactly.
            #expect(share.allSatisfy { ($0 * 0x1p24).rounded() == $0 * 0x1p24 })
            for index in sum.indices { sum[index] += share[index] }
        }
        let variance = sum.reduce(0) { $0 + $1 * $1 } / Double(sum.count) / (0.02 * 0.02)
        #expect(abs(variance - 1) < 4 * (2 / Double(sum.count)).squareRoot())
        #expect(gradient.sensitivity == 0x1p24 / 100 && abs(gradient.shareVariance / (gradient.sensitivity * gradient.sensitivity) - 1) < 1e-12)
    }

    @Test func whereTheCoordinatorAddsTheNoiseASiteAddsNone() throws {
        let family = families[0].1
        let parameters = try model(family, seed: 15)
        func gradient(_ sites: Int, _ seed: UInt64) throws -> [Double] {
            try PrivateGradient(
                samplingRate: 1, expectedBatch: 100, clippingNorm: 1, noiseMultiplier: 2, honestSites: sites, fractionBits: 24
            ).vector(parameters, family: family, on: rows(5, seed: 16), random: SeededRandom(seed: seed))
        }
        #expect(try gradient(0, 1) == gradient(0, 2) && gradient(4, 1) != gradient(4, 2))
    }

    @Test func aSitesUpdateIsClippedOnTheGridAndNoised() throws {
        let count = 50
        let update = (0..<count).map { Float($0 % 7) - 3 }
        func vector(_ update: [Float], sites: Int, bits: Int = 24, seed: UInt64 = 1) throws -> [Double] {
            try PrivateUpdate(clippingNorm: 0.5, noiseMultiplier: 2, honestSites: sites, fractionBits: bits)
                .vector(update, random: SeededRandom(seed: seed))
        }
        for bits in [12, 20, 24, 30] {
            let clipped = try vector(update, sites: 0, bits: bits)
            let length = clipped.reduce(0) { $0 + $1 * $1 }.squareRoot()
            #expect(length <= 0.5 && length > 0.5 - 8 * exp2(Double(-min(bits, 22))), "\(bits): \(length)")
            #expect(clipped.allSatisfy { ($0 * exp2(Double(bits))).rounded() == $0 * exp2(Double(bits)) })
            let cosine = zip(clipped, update).reduce(0) { $0 + $1.0 * Double($1.1) } / length / update.reduce(0) { $0 + Double($1 * $1) }.squareRoot()
            #expect(cosine > 0.999, "\(bits)")
        }
        // A short update keeps its length; one that is not finite is nothing.
        let short = try vector([0.125] + [Float](repeating: 0, count: count - 1), sites: 0)
        #expect(short == [0.125] + [Double](repeating: 0, count: count - 1))
        #expect(try vector([.infinity] + update.dropFirst(), sites: 0).allSatisfy { $0 == 0 })
        var sum = [Double](repeating: 0, count: 4000)
        for site in 0..<4 {
            let share = try vector([Float](repeating: 0, count: 4000), sites: 4, seed: UInt64(site))
            for index in sum.indices { sum[index] += share[index] }
        }
        let variance = sum.reduce(0) { $0 + $1 * $1 } / Double(sum.count)
        #expect(abs(variance - 1) < 4 * (2 / Double(sum.count)).squareRoot(), "σ · C = 1")
        #expect(throws: ModelsError.lattice(parameters: count)) { try vector(update, sites: 1, bits: 2) }
    }

    @Test func gridsThatDoNotFitAreRefused() throws {
        let family = families[0].1
        let parameters = try model(family, seed: 1)
        let matrix = try rows(5, seed: 1)
        func refusal(_ bits: Int, noise: Double = 1) -> ModelsError? {
            do throws(ModelsError) {
                _ = try PrivateGradient(
                    samplingRate: 0.5, expectedBatch: 1, clippingNorm: 1, noiseMultiplier: noise, honestSites: 1, fractionBits: bits
                ).vector(parameters, family: family, on: matrix, random: SeededRandom(seed: 1))
                return nil
            } catch { return error }
        }
        #expect(refusal(1) == .lattice(parameters: 12))
        #expect(refusal(20, noise: 1e-9) == .lattice(parameters: 12))
        #expect(refusal(26) == .lattice(parameters: 12))
        #expect(refusal(20) == nil && refusal(24) == nil)
    }

    @Test func aRunFollowsFromItsRandomBitsAlone() throws {
        let (family, matrix) = (families[1].1, try rows(200, seed: 20))
        let parameters = try model(family, seed: 21)
        let training = PrivateTraining(
            optimizer: .sgd(learningRate: 0.1, momentum: 0), steps: 5, samplingRate: 0.2, expectedBatch: 40, clippingNorm: 1,
            noiseMultiplier: 1)
        func run(_ seed: UInt64) throws -> ModelParameters { try training.train(parameters, family: family, on: matrix, random: SeededRandom(seed: seed)) }
        #expect(try run(1) == run(1))
        #expect(try run(1) != run(2))
    }

    @Test func itLearnsThroughTheNoise() throws {
        let matrix = try drawn(rows: 20_000, coefficients: [1, -1, 0.5], intercept: 0, seed: 30)
        let family = ModelFamily.logisticRegression(l2: 0, perSiteIntercept: false)
        let trained = try PrivateTraining(
            optimizer: .sgd(learningRate: 1, momentum: 0), steps: 60, samplingRate: 0.05, expectedBatch: 1000, clippingNorm: 4,
            noiseMultiplier: 2
        ).train(ModelParameters(family: family, inputs: 3, seed: [1]), family: family, on: matrix, random: SeededRandom(seed: 4))
        let found = trained.flattened
        #expect(zip(found, [1, -1, 0.5, 0] as [Float]).allSatisfy { abs($0 - $1) < 0.2 }, "\(found)")
    }
}
