import Cryptography
import DifferentialPrivacy
import Glibc
import Testing

@Suite("Samplers")
struct SamplingTests {
    private let draws = samplingIsLong ? 1_000_000 : 100_000

    @Test("the discrete Gaussian fits its exact distribution", arguments: [(1, 4), (1, 1), (4, 1), (100, 1)] as [(UInt64, UInt64)])
    func discreteGaussian(numerator: UInt64, denominator: UInt64) {
        let variance = Double(numerator) / Double(denominator)
        let sampler = DiscreteGaussian(varianceNumerator: numerator, denominator: denominator)
        let reach = Int(12 * variance.squareRoot()) + 12
        let weights = (-reach...reach).map { exp(-Double($0 * $0) / (2 * variance)) }
        let total = weights.reduce(0, +)
        var counts = [Int](repeating: 0, count: weights.count)
        var (mean, second, fourth) = (0.0, 0.0, 0.0)
        var stream = seededStream(numerator * 1000 + denominator)
        for _ in 0..<draws {
            let x = Int(sampler.draw(&stream))
            counts[min(max(x + reach, 0), counts.count - 1)] += 1
            let square = Double(x * x)
            mean += Double(x) / Double(draws)
            second += square / Double(draws)
            fourth += square * square / Double(draws)
        }
        let p = goodnessOfFit(zip(counts, weights).map { ($0, $1 / total * Double(draws)) })
        #expect(p > 0.001, "variance \(variance): p = \(p)")
        let moments = weights.enumerated().reduce((0.0, 0.0)) { sums, item in
            let square = Double((item.offset - reach) * (item.offset - reach))
            return (sums.0 + square * item.element / total, sums.1 + square * square * item.element / total)
        }
        let spread = (moments.1 - moments.0 * moments.0).squareRoot() / Double(draws).squareRoot()
        #expect(abs(mean) < 4 * (moments.0 / Double(draws)).squareRoot())
        #expect(abs(second - moments.0) < 4 * spread, "second moment \(second), exact \(moments.0)")
    }

    @Test("the published probabilities are the ones that the draws have")
    func publishedProbabilities() {
        guard let reference = discreteGaussianReference() else { return }
        #expect(Set(reference.map(\.variance)).isSuperset(of: [0.25, 1, 4, 100]))
        for entry in reference where entry.variance <= 1000 {
            let sampler = DiscreteGaussian(variance: entry.variance)
            #expect(sampler.variance == entry.variance)
            var counts: [Int: Int] = [:]
            var second = 0.0
            var stream = seededStream(UInt64(entry.variance * 16) + 7)
            for _ in 0..<draws {
                let x = Int(sampler.draw(&stream))
                counts[abs(x), default: 0] += 1
                second += Double(x * x) / Double(draws)
            }
            for (x, probability) in entry.pmf.sorted(by: { $0.key < $1.key }) {
                let expected = probability * (x == 0 ? 1 : 2) * Double(draws)
                let slack = 4.5 * max(expected, 1).squareRoot() + 1
                #expect(abs(Double(counts[x, default: 0]) - expected) < slack, "P(±\(x)) at variance \(entry.variance)")
            }
            #expect(abs(second / entry.second - 1) < 8 / Double(draws).squareRoot())
        }
    }

    @Test("a coin of odds n/d is exact where 64 bits are not enough")
    func wideFractions() {
        // Denominators far above 2^64: a wrong digit would show in the frequency.
        let sampler = DiscreteGaussian(varianceNumerator: DiscreteGaussian.numeratorMax)
        var stream = seededStream(3)
        var second = 0.0
        let count = 20_000
        for _ in 0..<count {
            let x = Double(sampler.draw(&stream)) * 0x1p-25
            second += x * x / Double(count)
        }
        #expect(abs(second - 1) < 4 * (2 / Double(count)).squareRoot())
    }

    @Test("a variance is never rounded down")
    func varianceRoundsUp() {
        for variance in [1e-5, 0.1, 0.215, 3.3333333, 1e6 + 0.1, 1e14 + 0.3] {
            let sampler = DiscreteGaussian(variance: variance)
            #expect(sampler.variance >= variance && sampler.variance <= variance + max(0x1p-20, variance * 0x1p-48))
        }
    }

    @Test("lattice noise is the rounded normal distribution")
    func latticeGaussian() {
        for deviation in [0.4, 1, 2.5] {
            var values = [Int64](repeating: 0, count: draws)
            var stream = seededStream(UInt64(deviation * 10))
            var span = values.mutableSpan
            LatticeGaussian(standardDeviation: deviation).add(to: &span, &stream)
            func cumulative(_ x: Double) -> Double { erfc(-x / (deviation * 2.0.squareRoot())) / 2 }
            let reach = Int(10 * deviation) + 3
            var counts = [Int](repeating: 0, count: 2 * reach + 1)
            for value in values { counts[min(max(Int(value) + reach, 0), 2 * reach)] += 1 }
            let p = goodnessOfFit(
                counts.enumerated().map { index, count in
                    let x = Double(index - reach)
                    return (count, (cumulative(x + 0.5) - cumulative(x - 0.5)) * Double(draws))
                })
            #expect(p > 0.001, "standard deviation \(deviation): p = \(p)")
        }
    }

    @Test("lattice noise adds to what is there, an odd count too")
    func latticeAdds() {
        var values: [Int64] = [1 << 40, -(1 << 40), 5]
        var stream = seededStream(9)
        var span = values.mutableSpan
        LatticeGaussian(standardDeviation: 1000).add(to: &span, &stream)
        #expect(abs(values[0] - 1 << 40) < 10_000 && abs(values[1] + 1 << 40) < 10_000 && abs(values[2]) < 10_000)
        #expect(values[2] != 5)
    }

    @Test("batch sizes are binomial", arguments: [(200, 0.05), (5000, 0.0123), (64, 0.7), (1001, 0.25)])
    func batchSizes(units: Int, rate: Double) {
        let sampler = PoissonSampler(samplingRate: rate)
        var stream = seededStream(UInt64(units))
        let batches = samplingIsLong ? 100_000 : 5000
        var counts = [Int](repeating: 0, count: units + 1)
        var members = [Int](repeating: 0, count: units)
        var batch: [Int] = []
        for _ in 0..<batches {
            sampler.draw(units: units, into: &batch, &stream)
            counts[batch.count] += 1
            for unit in batch { members[unit] += 1 }
        }
        let sizes = goodnessOfFit(
            counts.enumerated().map { k, count in
                let logProbability =
                    lgamma(Double(units + 1)) - lgamma(Double(k + 1)) - lgamma(Double(units - k + 1)) + Double(k) * log(rate)
                    + Double(units - k) * log(1 - rate)
                return (count, exp(logProbability) * Double(batches))
            })
        #expect(sizes > 0.001, "\(units) units at \(rate): p = \(sizes)")
        // And every unit is as likely as the next: the variance of a membership count is batches · q (1 − q).
        let expected = Double(batches) * rate
        let statistic = members.reduce(0.0) { $0 + (Double($1) - expected) * (Double($1) - expected) / (expected * (1 - rate)) }
        #expect(chiSquareTail(statistic, degrees: units) > 0.001)
    }

    @Test("a sampling rate of 1 takes everybody, one whose top bits are 0 nearly nobody")
    func extremeRates() {
        var batch: [Int] = [7]
        var stream = seededStream(1)
        PoissonSampler(samplingRate: 1).draw(units: 10, into: &batch, &stream)
        #expect(batch == Array(0..<10))
        PoissonSampler(samplingRate: 0x1p-60).draw(units: 100_000, into: &batch, &stream)
        #expect(batch.isEmpty)
        PoissonSampler(samplingRate: 0.5).draw(units: 0, into: &batch, &stream)
        #expect(batch.isEmpty)
    }

    @Test("streams of different purposes and seeds differ, the same replays")
    func streams() {
        var a = seededStream(1, purpose: "batch")
        var b = seededStream(1, purpose: "batch")
        var c = seededStream(1, purpose: "noise")
        var d = seededStream(2, purpose: "batch")
        let first = (0..<5000).map { _ in a.word() }
        let again = (0..<5000).map { _ in b.word() }
        #expect(first == again && Set(first).count == 5000)
        let others = (c.word(), d.word())
        #expect(others.0 != first[0] && others.1 != first[0])
    }
}
