// A test that one may look at after every observation, for as long as one likes.
//
// Observations x lie in [low, ∞); the claim to be refuted is that their mean, given what came before, is at most `bound`.
// A gambler who doubts the claim begins with wealth 1 and stakes a fixed share f of it on every x:
//
//   W ← W · (1 + λ (x − bound)),   λ = f / (bound − low),   0 < f < 1
//
// No factor is negative, and while the claim is true each is 1 at most on average, so W is a nonnegative supermartingale, and so
// is the mean of several gamblers with different f (a mixture over alternatives, as in the mixture SPRT). By Ville's inequality
// (1939) the chance that such a mean *ever* reaches 1/α is at most α: no assumption on the distribution, no correction for looking
// often. Ramdas, Grünwald, Vovk, Shafer, "Game-theoretic statistics and safe anytime-valid inference", 2023.

import Glibc

/// Evidence against "the mean is at most the bound", valid at every moment.
package struct SequentialTest: Equatable, Sendable {
    private let bound: Double
    private let low: Double
    private var wealths: [Double]
    /// Log of the evidence of an earlier test of the same claim on other observations; the product is valid as well.
    private let carried: Double
    /// Observations.
    package private(set) var count = 0
    private var sum = 0.0

    /// Shares that are staked: small ones find small differences late, large ones large differences early.
    static let stakes = [0.004, 0.012, 0.035, 0.1, 0.25, 0.5, 0.85]

    /// - Parameters:
    ///   - bound: above `low`.
    ///   - low: the smallest value that an observation can have.
    ///   - carried: `logEvidence` of an earlier test, to go on from after a restart.
    package init(bound: Double, low: Double, carried: Double = 0) {
        precondition(bound > low, "a mean that is never below its bound tests nothing")
        (self.bound, self.low) = (bound, low)
        self.carried = carried.isFinite ? carried : 0
        wealths = [Double](repeating: 1, count: Self.stakes.count)
    }

    /// Takes one observation. Some 10 ns.
    package mutating func observe(_ value: Double) {
        count += 1
        sum += value
        let gain = (max(value, low) - bound) / (bound - low)
        for index in wealths.indices {
            let wealth = wealths[index] * (1 + Self.stakes[index] * gain)
            // Below this it is lost for good, and above that nothing more is needed.
            wealths[index] = wealth < 1e-250 ? 0 : min(wealth, 1e250)
        }
    }

    /// Log of the evidence; the claim is refuted at level α when it reaches log(1/α).
    package var logEvidence: Double { log(wealths.reduce(0, +) / Double(wealths.count)) + carried }

    /// Whether the claim is refuted, with a chance of at most `alpha` of ever saying so while it is true.
    package func refutes(at alpha: Double) -> Bool { logEvidence >= -log(alpha) }

    /// The mean of the observations; nil without any.
    package var mean: Double? { count > 0 ? sum / Double(count) : nil }
}
