import Cryptography

/// The random bits behind noise and batches: AES-256-CTR, keyed once per purpose from the system's generator for
/// private values. Whoever knows these bits can take the noise off again, so a word is wiped as it is used, and
/// there is no way to set a seed: a simulation passes a seeded `RandomSource`.
///
/// One stream, one owner. Costs about 1 ns a word. `protocol/differential-privacy.md` §3.
package struct NoiseStream: ~Copyable {
    private static let bufferWords = 2048

    private let cipher: AESCTR256
    private var words: [UInt64]
    private var position: Int

    /// - Parameters:
    ///   - purpose: what the bits are for, such as "batch": streams of different purposes share no key.
    ///   - random: gives the 32 bytes of seed.
    package init(purpose: String, random: any RandomSource) {
        let label = "consilium/privacy-noise/v1/\(purpose)"
        let key = HKDF.expand(random.secret(32), info: Array(label.utf8), count: AESCTR256.keyBytes)
        cipher = AESCTR256(
            key: key, initialVector: [UInt8](repeating: 0, count: AESCTR256.initialVectorBytes))
        words = [UInt64](repeating: 0, count: NoiseStream.bufferWords)
        position = words.count
    }

    /// 64 uniform bits.
    @inline(__always)
    package mutating func word() -> UInt64 {
        if position == words.count { refill() }
        let word = words[position]
        words[position] = 0
        position += 1
        return word
    }

    private mutating func refill() {
        cipher.keystream(into: &words)
        position = 0
    }
}
