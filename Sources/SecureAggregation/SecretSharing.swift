// Shamir's sharing of a 32-byte secret over GF(2^61 − 1). `protocol/secure-aggregation.md` §5.
//
// The secret is cut into five limbs of 7, 7, 7, 7 and 4 bytes, little-endian, each below 2^56. A limb is
// the constant term of a polynomial of degree t − 1 whose other coefficients are uniform in [0, p).
// The share of holder x (1, 2, …) is the five values at x, 8 bytes little-endian each.

import Cryptography

/// Constants and the limb layout.
enum SecretSharing {
    static let limbCount = 5
    static let limbBytes = [7, 7, 7, 7, 4]
    static let secretBytes = 32
    static let shareBytes = 40

    /// The polynomials of one secret: `limbCount` rows of `threshold` coefficients, constant term first.
    ///
    /// Holds the secret itself, so it lives in secret memory and only evaluates.
    struct Polynomials: ~Copyable {
        let threshold: Int
        private let coefficients: SecretBytes

        /// Draws the coefficients above the constant term.
        ///
        /// - Parameters:
        ///   - secret: 32 bytes.
        ///   - threshold: shares needed to reconstruct, at least 1.
        ///   - random: one draw of 8·5·(threshold − 1) bytes: limb by limb, lowest degree first, 8 bytes
        ///     little-endian each, top three bits dropped. The value p is drawn again.
        init(secret: borrowing SecretBytes, threshold: Int, random: any RandomSource) {
            precondition(secret.count == SecretSharing.secretBytes, "a shared secret has 32 bytes")
            precondition(threshold >= 1, "a threshold is at least 1")
            self.threshold = threshold
            let limbs = Polynomials.limbs(of: secret)
            let drawn = random.secret(8 * SecretSharing.limbCount * (threshold - 1))
            coefficients = SecretBytes(count: 8 * SecretSharing.limbCount * threshold) { output in
                limbs.withBytes { limbs in
                    drawn.withBytes { drawn in
                        for limb in 0..<SecretSharing.limbCount {
                            let row = limb * threshold
                            storeWord(loadWord(limbs, limb), in: &output, at: row)
                            for degree in 1..<max(threshold, 1) {
                                let word = loadWord(drawn, limb * (threshold - 1) + degree - 1)
                                storeWord(
                                    Polynomials.uniform(word, random), in: &output, at: row + degree
                                )
                            }
                        }
                    }
                }
            }
        }

        /// Explicit coefficients, for known answers.
        /// - Parameter higher: for each limb the `threshold − 1` coefficients above the constant term.
        init(secret: borrowing SecretBytes, higher: [[UInt64]]) {
            precondition(
                higher.count == SecretSharing.limbCount, "one row of coefficients per limb")
            let threshold = higher[0].count + 1
            self.threshold = threshold
            let limbs = Polynomials.limbs(of: secret)
            coefficients = SecretBytes(count: 8 * SecretSharing.limbCount * threshold) { output in
                limbs.withBytes { limbs in
                    for limb in 0..<SecretSharing.limbCount {
                        storeWord(loadWord(limbs, limb), in: &output, at: limb * threshold)
                        for (degree, coefficient) in higher[limb].enumerated() {
                            storeWord(coefficient, in: &output, at: limb * threshold + degree + 1)
                        }
                    }
                }
            }
        }

        /// Writes the share of holder `x` at byte `offset`. Cost: 5·(threshold − 1) multiplications.
        /// - Parameter x: the holder's coordinate, at least 1.
        borrowing func writeShare(of x: UInt32, to output: inout MutableRawSpan, at offset: Int) {
            precondition(x >= 1, "the coordinate 0 is the secret")
            let point = FieldElement(reduced: UInt64(x))
            coefficients.withBytes { coefficients in
                for limb in 0..<SecretSharing.limbCount {
                    var value = FieldElement.zero
                    for degree in stride(from: threshold - 1, through: 0, by: -1) {
                        value =
                            value * point
                            + FieldElement(
                                reduced: loadWord(coefficients, limb * threshold + degree))
                    }
                    storeWord(value.value, in: &output, atByte: offset + 8 * limb)
                }
            }
        }

        /// Five limbs as five words, in secret memory.
        private static func limbs(of secret: borrowing SecretBytes) -> SecretBytes {
            SecretBytes(count: 8 * SecretSharing.limbCount) { output in
                secret.withBytes { secret in
                    var start = 0
                    for (limb, length) in SecretSharing.limbBytes.enumerated() {
                        for index in 0..<length {
                            output.storeBytes(
                                of: loadByte(secret, start + index), toByteOffset: 8 * limb + index,
                                as: UInt8.self)
                        }
                        start += length
                    }
                }
            }
        }

        /// A uniform field element from 64 random bits; once in 2^61 draws it asks for more.
        private static func uniform(_ word: UInt64, _ random: any RandomSource) -> UInt64 {
            var candidate = word & FieldElement.prime
            while candidate == FieldElement.prime {
                candidate = random.secret(8).withBytes { loadWord($0, 0) } & FieldElement.prime
            }
            return candidate
        }
    }
}

/// The five field elements of one share.
struct SecretShare: Equatable, Sendable {
    let limbs: [FieldElement]

    /// - Returns: nil unless there are 40 bytes and every limb is below p.
    init?(bytes: ArraySlice<UInt8>) {
        guard bytes.count == SecretSharing.shareBytes else { return nil }
        var limbs: [FieldElement] = []
        limbs.reserveCapacity(SecretSharing.limbCount)
        for limb in 0..<SecretSharing.limbCount {
            var word: UInt64 = 0
            for index in 0..<8 {
                word |= UInt64(bytes[bytes.startIndex + 8 * limb + index]) << UInt64(8 * index)
            }
            guard word < FieldElement.prime else { return nil }
            limbs.append(FieldElement(reduced: word))
        }
        self.limbs = limbs
    }

    init(limbs: [FieldElement]) { self.limbs = limbs }

    var bytes: [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(SecretSharing.shareBytes)
        for limb in limbs {
            for shift in 0..<8 {
                output.append(UInt8(truncatingIfNeeded: limb.value >> UInt64(8 * shift)))
            }
        }
        return output
    }
}

@inline(__always)
func loadWord(_ bytes: RawSpan, _ index: Int) -> UInt64 { loadWord(bytes, atByte: 8 * index) }

@inline(__always)
func loadWord(_ bytes: RawSpan, atByte offset: Int) -> UInt64 {
    precondition(offset >= 0 && offset + 8 <= bytes.byteCount, "a word lies inside its buffer")
    // Safe: any bit pattern is an integer, and the bounds were just checked.
    return UInt64(
        littleEndian: unsafe bytes.unsafeLoadUnaligned(
            fromUncheckedByteOffset: offset, as: UInt64.self))
}

@inline(__always)
func loadByte(_ bytes: RawSpan, _ offset: Int) -> UInt8 {
    // Safe: any bit pattern is an integer; the call checks its bounds.
    unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
}

@inline(__always)
func storeWord(_ value: UInt64, in output: inout MutableRawSpan, at index: Int) {
    storeWord(value, in: &output, atByte: 8 * index)
}

@inline(__always)
func storeWord(_ value: UInt64, in output: inout MutableRawSpan, atByte offset: Int) {
    output.storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt64.self)
}
