// Putting secrets together from shares, with and without wrong ones among them.
// `protocol/secure-aggregation.md` §5. Runs at the coordinator, which learns these secrets anyway, so
// nothing here needs constant time.

import Cryptography

/// Lagrange coefficients at zero for one set of holders, computed once and used for every secret that
/// the set reveals. Cost: O(t²) multiplications and t inversions.
struct Interpolation: Sendable {
    let coordinates: [UInt32]
    private let weights: [FieldElement]

    /// - Parameter coordinates: distinct, at least 1.
    init(coordinates: [UInt32]) {
        precondition(Set(coordinates).count == coordinates.count, "holders are distinct")
        precondition(!coordinates.contains(0), "the coordinate 0 is the secret")
        self.coordinates = coordinates
        let points = coordinates.map { FieldElement(reduced: UInt64($0)) }
        weights = points.indices.map { i in
            var numerator = FieldElement.one
            var denominator = FieldElement.one
            for j in points.indices where j != i {
                numerator = numerator * points[j]
                denominator = denominator * (points[j] - points[i])
            }
            return numerator * denominator.inverse
        }
    }

    /// The secret that these shares, in the order of ``coordinates``, determine.
    ///
    /// - Returns: nil when they determine no 32-byte secret (a limb too large): some share is wrong.
    func secret(from shares: [SecretShare]) -> SecretBytes? {
        precondition(shares.count == weights.count, "one share per holder")
        var limbs = [FieldElement](repeating: .zero, count: SecretSharing.limbCount)
        for (share, weight) in zip(shares, weights) {
            for limb in limbs.indices { limbs[limb] = limbs[limb] + share.limbs[limb] * weight }
        }
        return Interpolation.secret(limbs: limbs)
    }

    static func secret(limbs: [FieldElement]) -> SecretBytes? {
        for (limb, length) in zip(limbs, SecretSharing.limbBytes)
        where limb.value >> UInt64(8 * length) != 0 {
            return nil
        }
        return SecretBytes(count: SecretSharing.secretBytes) { output in
            var offset = 0
            for (limb, length) in zip(limbs, SecretSharing.limbBytes) {
                for index in 0..<length {
                    output.storeBytes(
                        of: UInt8(truncatingIfNeeded: limb.value >> UInt64(8 * index)),
                        toByteOffset: offset, as: UInt8.self)
                    offset += 1
                }
            }
        }
    }
}

/// Unique decoding of r shares of which up to ⌊(r − t)/2⌋ are wrong, the Berlekamp–Welch bound, by
/// Gao's algorithm (S. Gao, "A new algorithm for decoding Reed–Solomon codes", 2003): a partial extended
/// Euclid on ∏(X − xᵢ) and the polynomial through all points. Cost: O(r²) per limb.
struct ErrorDecoding {
    /// The secret and the coordinates whose shares were wrong.
    struct Outcome: ~Copyable {
        let secret: SecretBytes
        let wrong: [UInt32]
    }

    private let coordinates: [UInt32]
    private let points: [FieldElement]
    private let threshold: Int
    /// ∏(X − xᵢ).
    private let locator: Polynomial

    /// - Parameters:
    ///   - coordinates: distinct, at least 1, at least `threshold` of them.
    init(coordinates: [UInt32], threshold: Int) {
        precondition(coordinates.count >= threshold, "decoding needs at least t shares")
        self.coordinates = coordinates
        self.threshold = threshold
        points = coordinates.map { FieldElement(reduced: UInt64($0)) }
        locator = points.reduce(Polynomial([.one])) { $0.multiplied(byRoot: $1) }
    }

    /// Errors that can be corrected.
    var correctable: Int { (coordinates.count - threshold) / 2 }

    /// - Returns: nil when more shares are wrong than can be corrected (or the dealer dealt no polynomial).
    func decode(_ shares: [SecretShare]) -> Outcome? {
        var limbs: [FieldElement] = []
        var wrong = Set<Int>()
        for limb in 0..<SecretSharing.limbCount {
            let values = shares.map { $0.limbs[limb] }
            guard let message = polynomial(through: values) else { return nil }
            limbs.append(message.coefficients.first ?? .zero)
            for (index, point) in points.enumerated()
            where message.value(at: point) != values[index] {
                wrong.insert(index)
            }
        }
        guard wrong.count <= correctable, let secret = Interpolation.secret(limbs: limbs) else {
            return nil
        }
        return Outcome(secret: secret, wrong: wrong.sorted().map { coordinates[$0] })
    }

    /// The polynomial of degree below t that passes through all but `correctable` of the values.
    private func polynomial(through values: [FieldElement]) -> Polynomial? {
        let r = points.count
        var (previous, current) = (locator, Polynomial.interpolating(points, values))
        var (previousFactor, factor) = (Polynomial([]), Polynomial([.one]))
        // Stop as soon as deg(current) < (r + t)/2.
        while 2 * current.degree >= r + threshold {
            let (quotient, remainder) = previous.divided(by: current)
            (previous, current) = (current, remainder)
            (previousFactor, factor) = (factor, previousFactor - quotient * factor)
        }
        let (message, remainder) = current.divided(by: factor)
        guard remainder.degree < 0, message.degree < threshold else { return nil }
        return message
    }
}

/// A polynomial over the field, lowest coefficient first, no leading zeros.
struct Polynomial {
    private(set) var coefficients: [FieldElement]

    init(_ coefficients: [FieldElement]) {
        self.coefficients = coefficients
        while self.coefficients.last == .zero { self.coefficients.removeLast() }
    }

    /// −1 for the zero polynomial.
    var degree: Int { coefficients.count - 1 }

    func value(at x: FieldElement) -> FieldElement {
        coefficients.reversed().reduce(.zero) { $0 * x + $1 }
    }

    /// Times (X − root).
    func multiplied(byRoot root: FieldElement) -> Polynomial {
        var product = [FieldElement](repeating: .zero, count: coefficients.count + 1)
        for (index, coefficient) in coefficients.enumerated() {
            product[index + 1] = product[index + 1] + coefficient
            product[index] = product[index] - coefficient * root
        }
        return Polynomial(product)
    }

    static func * (left: Polynomial, right: Polynomial) -> Polynomial {
        guard left.degree >= 0, right.degree >= 0 else { return Polynomial([]) }
        var product = [FieldElement](
            repeating: .zero, count: left.coefficients.count + right.coefficients.count - 1)
        for (i, a) in left.coefficients.enumerated() {
            for (j, b) in right.coefficients.enumerated() {
                product[i + j] = product[i + j] + a * b
            }
        }
        return Polynomial(product)
    }

    static func - (left: Polynomial, right: Polynomial) -> Polynomial {
        var difference = left.coefficients
        while difference.count < right.coefficients.count { difference.append(.zero) }
        for (index, coefficient) in right.coefficients.enumerated() {
            difference[index] = difference[index] - coefficient
        }
        return Polynomial(difference)
    }

    /// - Parameter divisor: not zero.
    func divided(by divisor: Polynomial) -> (quotient: Polynomial, remainder: Polynomial) {
        precondition(divisor.degree >= 0, "no division by the zero polynomial")
        guard degree >= divisor.degree else { return (Polynomial([]), self) }
        var remainder = coefficients
        var quotient = [FieldElement](repeating: .zero, count: degree - divisor.degree + 1)
        let inverse = divisor.coefficients[divisor.degree].inverse
        for shift in quotient.indices.reversed() {
            let factor = remainder[shift + divisor.degree] * inverse
            quotient[shift] = factor
            for (index, coefficient) in divisor.coefficients.enumerated() {
                remainder[shift + index] = remainder[shift + index] - factor * coefficient
            }
        }
        return (Polynomial(quotient), Polynomial(remainder))
    }

    /// Newton's divided differences, expanded. Cost: O(r²).
    static func interpolating(_ points: [FieldElement], _ values: [FieldElement]) -> Polynomial {
        var differences = values
        for order in points.indices.dropFirst() {
            for index in stride(from: points.count - 1, through: order, by: -1) {
                let span = points[index] - points[index - order]
                differences[index] = (differences[index] - differences[index - 1]) * span.inverse
            }
        }
        var result = Polynomial([])
        for index in points.indices.reversed() {
            result =
                result.multiplied(byRoot: points[index]) - Polynomial([.zero - differences[index]])
        }
        return result
    }
}
