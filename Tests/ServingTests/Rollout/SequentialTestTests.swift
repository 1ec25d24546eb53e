import Cryptography
import Testing

@testable import Serving

/// The promise of the sequential test, by simulation: looked at after every observation, it is wrong at most α of the time.
@Suite struct SequentialTestTests {
    /// Numbers in [0, 1) from one seed.
    struct Numbers {
        private var state: UInt64
        init(_ seed: UInt64) { state = seed }
        mutating func next() -> Double {
            state &+= 0x9e37_79b9_7f4a_7c15
            var word = state
            word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
            word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
            return Double((word ^ (word >> 31)) >> 11) / 9_007_199_254_740_992
        }
    }

    enum Shape: String, CaseIterable, Sendable {
        /// A rare error.
        case rare
        /// Two squared errors of fair coins.
        case signs
        /// Small differences around nothing.
        case narrow
        /// Rarely large, often slightly below: what fools a normal approximation.
        case skewed
        /// Its mean depends on what came before, and is never above the bound.
        case dependent
        /// More often slow than not by nothing.
        case coin

        var bound: Double {
            switch self {
            case .rare: 0.01
            case .coin: 0.5
            default: 0
            }
        }
        var low: Double { self == .rare || self == .coin ? 0 : -1 }

        /// An observation with the bound as its mean, or below.
        func draw(_ numbers: inout Numbers, _ before: Double) -> Double {
            let number = numbers.next()
            switch self {
            case .rare: return number < 0.01 ? 1 : 0
            case .coin: return number < 0.5 ? 1 : 0
            case .signs: return number < 0.5 ? 1 : -1
            case .narrow: return (number - 0.5) / 5
            case .skewed: return number < 0.02 ? 0.98 : -0.02
            case .dependent: return before > 0 ? (number < 0.5 ? 1 : -1) : (number - 0.5) / 10
            }
        }
    }

    /// The share of runs in which the test ever refuted what was true.
    private func falseAlarms(_ shape: Shape, alpha: Double, runs: Int, length: Int) -> Double {
        var alarms = 0
        for run in 0..<runs {
            var numbers = Numbers(UInt64(run) &* 7919 &+ 17)
            var test = SequentialTest(bound: shape.bound, low: shape.low)
            var before = 0.0
            for _ in 0..<length {
                before = shape.draw(&numbers, before)
                test.observe(before)
                if test.refutes(at: alpha) {
                    alarms += 1
                    break
                }
            }
        }
        return Double(alarms) / Double(runs)
    }

    @Test(arguments: Shape.allCases) func looksAfterEveryObservationAndIsWrongAtMostAlpha(_ shape: Shape) {
        for alpha in [0.05, 0.2] {
            let rate = falseAlarms(shape, alpha: alpha, runs: 400, length: 1500)
            // Ville's bound holds for the probability; three standard deviations are the luck of 400 runs.
            let luck = 3 * (alpha * (1 - alpha) / 400).squareRoot()
            #expect(rate <= alpha + luck, "\(shape) at \(alpha): \(rate)")
        }
    }

    /// A test that is looked at only in its own terms would be wrong far more often: the simulation can tell.
    @Test func theSameSimulationConvictsATestForOneLook() {
        var alarms = 0
        for run in 0..<400 {
            var numbers = Numbers(UInt64(run) &* 7919 &+ 17)
            var (sum, isAlarmed) = (0.0, false)
            for count in 1...1500 {
                sum += Shape.signs.draw(&numbers, 0)
                // z-test at 5 %, after every observation from the 10th on.
                if count >= 10, sum / Double(count).squareRoot() > 1.645 { isAlarmed = true }
            }
            if isAlarmed { alarms += 1 }
        }
        #expect(Double(alarms) / 400 > 0.3, "\(alarms)")
    }

    @Test(arguments: [(0.1, 1500), (0.3, 250), (0.6, 80)]) func findsARealDifference(_ shift: Double, _ within: Int) {
        var found = 0
        for run in 0..<200 {
            var numbers = Numbers(UInt64(run) &+ 99)
            var test = SequentialTest(bound: 0, low: -1)
            for _ in 0..<within {
                test.observe(numbers.next() < 0.5 + shift / 2 ? 1 : -1)
                if test.refutes(at: 0.05) {
                    found += 1
                    break
                }
            }
        }
        #expect(found >= 180, "\(found) of 200 with a difference of \(shift) within \(within)")
    }

    @Test func findsErrorsSoonAndGoesOnWithCarriedEvidence() {
        var test = SequentialTest(bound: 0.01, low: 0)
        for _ in 0..<3 { test.observe(1) }
        #expect(test.refutes(at: 0.01) && test.mean == 1)
        let later = SequentialTest(bound: 0.01, low: 0, carried: test.logEvidence)
        #expect(later.refutes(at: 0.01) && later.mean == nil)
        #expect(SequentialTest(bound: 0.01, low: 0, carried: .nan).logEvidence == 0)
    }

    @Test func neverOverflowsNorStops() {
        var (up, down) = (SequentialTest(bound: 0.5, low: 0), SequentialTest(bound: 0.5, low: 0))
        for _ in 0..<20_000 {
            up.observe(1)
            down.observe(0)
        }
        #expect(up.logEvidence.isFinite && up.refutes(at: 1e-9))
        #expect(!down.refutes(at: 0.9))
    }
}
