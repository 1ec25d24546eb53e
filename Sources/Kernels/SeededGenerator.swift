/// A small, fast, seeded generator for the order of rows and the first weights of a model. SplitMix64 (Steele, Lea
/// and Flood 2014; the constants are those of java.util.SplittableRandom).
///
/// It makes runs repeatable. It is **not** for secrets: anyone who sees a few outputs knows all that follow. Keys,
/// masks and noise come from `Cryptography.RandomSource`.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// The generator whose whole sequence is decided by `seed`.
    package init(seed: UInt64) { state = seed }

    /// The generator whose sequence is decided by bytes of any count, folded with FNV-1a.
    package init(seed bytes: [UInt8]) {
        var folded: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { folded = (folded ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        state = folded
    }

    /// The next 64 bits.
    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// A number in [0, 1) with 24 random bits.
    package mutating func unitFloat() -> Float { Float(next() >> 40) * 0x1p-24 }

    /// A number in 0 ..< bound, by multiplication and rejection (Lemire 2019). `bound` is at least 1.
    package mutating func below(_ bound: Int) -> Int {
        precondition(bound > 0, "no number is below \(bound)")
        let bound = UInt64(bound)
        let unfair = (0 &- bound) % bound
        while true {
            let (high, low) = next().multipliedFullWidth(by: bound)
            if low >= unfair { return Int(high) }
        }
    }

    /// Shuffles by Fisher and Yates. Written out, so that a later standard library cannot change the order of a run.
    package mutating func shuffle<Element>(_ items: inout [Element]) {
        for last in stride(from: items.count - 1, to: 0, by: -1) {
            items.swapAt(last, below(last + 1))
        }
    }
}
