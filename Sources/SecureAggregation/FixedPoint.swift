// Values → `QuantizedVector`. Deterministic and the same on every machine: one multiplication by ω, one
// exact scaling by a power of two, one rounding to nearest, ties to even. `protocol/secure-aggregation.md` §4.

/// Why values cannot be encoded. Never carries a value.
package enum FixedPointError: Error, Equatable, CustomStringConvertible {
    case wrongCount(expected: Int, actual: Int)
    case notFinite(element: Int)
    case weightOutOfRange
    case lossNotFinite

    package var description: String {
        switch self {
        case .wrongCount(let expected, let actual):
            "the vector must have \(expected) elements, not \(actual)"
        case .notFinite(let element): "element \(element) is not a finite number; training diverged"
        case .weightOutOfRange:
            "the weight must be at least 1 and at most the round's maximum weight"
        case .lossNotFinite: "the loss is not a finite number; training diverged"
        }
    }
}

/// One site's contribution as integers, made only by ``FixedPoint``. It has no wire encoding.
package struct QuantizedVector: Sendable {
    package let spec: VectorSpec
    package let weight: UInt64
    /// Share of payload elements that the clipping bound changed.
    package let clippedShare: Double
    let header: HeaderSlots
    private(set) var payload: [UInt32]

    /// Gives the words away without a copy; masking works in place.
    mutating func takePayload() -> [UInt32] {
        let taken = payload
        payload = []
        return taken
    }

    /// The integers, sign included: what a plain sum would add. For tests and for a site's own records.
    package var integers: [Int32] { payload.map { Int32(bitPattern: $0) } }
}

/// Encoding of real values as words and back.
package enum FixedPoint {
    /// - Parameters:
    ///   - values: one per element of the specification, tensors in order.
    ///   - spec: as bound by the round's descriptor.
    ///   - weight: w, 1…W_max; a number of examples, or W_max itself for an unweighted sum.
    ///   - loss: mean loss to report inside the sum; clamped to [0, 255].
    /// - Throws: for a wrong count, a NaN or infinity, or a weight out of range.
    package static func encode(
        _ values: [Float], spec: VectorSpec, weight: UInt64, loss: Double = 0
    ) throws(FixedPointError) -> QuantizedVector {
        try encode(count: values.count, spec: spec, weight: weight, loss: loss) {
            Double(values[$0])
        }
    }

    /// ``encode(_:spec:weight:loss:)-(_,_,_,_)`` for statistics and counts, which are doubles.
    package static func encode(
        _ values: [Double], spec: VectorSpec, weight: UInt64, loss: Double = 0
    ) throws(FixedPointError) -> QuantizedVector {
        try encode(count: values.count, spec: spec, weight: weight, loss: loss) { values[$0] }
    }

    @inline(__always)
    private static func encode(
        count: Int, spec: VectorSpec, weight: UInt64, loss: Double, value: (Int) -> Double
    ) throws(FixedPointError) -> QuantizedVector {
        guard count == spec.elementCount else {
            throw .wrongCount(expected: spec.elementCount, actual: count)
        }
        guard (1...spec.maximumWeight).contains(weight) else { throw .weightOutOfRange }
        guard loss.isFinite else { throw .lossNotFinite }
        let factor = Double(weight) / Double(spec.maximumWeight)
        var payload: [UInt32] = []
        payload.reserveCapacity(count)
        var clipped = 0
        var element = 0
        for tensor in spec.tensors {
            let scale = exp2(tensor.fractionBits)
            let clip = tensor.clip
            for _ in 0..<tensor.count {
                let exact = value(element)
                guard exact.isFinite else { throw .notFinite(element: element) }
                let clamped = min(max(exact, -clip), clip)
                if clamped != exact { clipped += 1 }
                let scaled = (clamped * factor * scale).rounded(.toNearestOrEven)
                payload.append(UInt32(bitPattern: Int32(scaled)))
                element += 1
            }
        }
        let clippedShare = count == 0 ? 0 : Double(clipped) / Double(count)
        let header = HeaderSlots(
            weight: weight, maximumWeight: spec.maximumWeight, clippedShare: clippedShare,
            loss: loss)
        return QuantizedVector(
            spec: spec, weight: weight, clippedShare: clippedShare, header: header, payload: payload
        )
    }
}
