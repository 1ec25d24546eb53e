// The public shuffle that places sites in groups: Fisher–Yates over AES-256-CTR words with rejection.
// `protocol/secure-aggregation.md` §6.3.

import Cryptography

enum GroupPermutation {
    /// - Parameter seed: H("graph"; ctx, ρ).
    /// - Returns: a permutation of 0 ..< count.
    static func order(seed: Digest, count: Int) -> [Int] {
        let stream = AESCTR256(
            key: SecretBytes(copying: seed.bytes), initialVector: [UInt8](repeating: 0, count: 16))
        var words: [UInt32] = []
        var next = 0
        func draw() -> UInt32 {
            if next == words.count {
                words = WordBytes.words(stream.keystream(4096))
                next = 0
            }
            next += 1
            return words[next - 1]
        }
        var order = Array(0..<count)
        for index in stride(from: count - 1, to: 0, by: -1) {
            let bound = UInt64(index + 1)
            let limit = (UInt64(1) << 32) / bound * bound
            var word = UInt64(draw())
            while word >= limit { word = UInt64(draw()) }
            order.swapAt(index, Int(word % bound))
        }
        return order
    }
}
