// The layout of the vector that a round sums, and the proof that its sum cannot wrap around.
// `protocol/secure-aggregation.md` §4.

import Codec

/// One run of elements with one clipping bound and one precision.
package struct TensorSpec: Equatable, Sendable {
    /// For people and logs; at most 128 bytes.
    package var name: String
    /// Elements, at least 1.
    package var count: Int
    /// B: every value is clamped to [−B, B] before weighting. Positive and finite.
    package var clip: Double
    /// f: a value is multiplied by 2^f and rounded to the nearest integer, ties to even. −31 to 62.
    package var fractionBits: Int

    package init(name: String, count: Int, clip: Double, fractionBits: Int) {
        self.name = name
        self.count = count
        self.clip = clip
        self.fractionBits = fractionBits
    }

    /// With the most fraction bits that `cohortMax` sites allow: ⌊log2(⌊(2^31 − 1)/n⌋ / B)⌋.
    package init(name: String, count: Int, clip: Double, cohortMax: Int) {
        self.init(
            name: name, count: count, clip: clip,
            fractionBits: TensorSpec.fractionBits(clip: clip, cohortMax: cohortMax))
    }

    static let fractionBitsRange = -31...62

    /// The largest f with n·⌈B·2^f⌉ ≤ 2^31 − 1.
    package static func fractionBits(clip: Double, cohortMax: Int) -> Int {
        precondition(
            clip > 0 && clip.isFinite && cohortMax > 0, "a clipping bound and a cohort are positive"
        )
        let largest = VectorSpec.wordMaximum / Int64(cohortMax)
        var bits = min(62, max(-31, Int((Double(largest) / clip).exponent)))
        while bits > -31, !fits(clip: clip, fractionBits: bits, cohortMax: cohortMax) { bits -= 1 }
        return bits
    }

    /// n·⌈B·2^f⌉ ≤ 2^31 − 1, in exact arithmetic.
    static func fits(clip: Double, fractionBits: Int, cohortMax: Int) -> Bool {
        let scaled = (clip * exp2(fractionBits)).rounded(.up)
        guard scaled <= Double(VectorSpec.wordMaximum) else { return false }
        let (bound, overflow) = Int64(scaled).multipliedReportingOverflow(by: Int64(cohortMax))
        return !overflow && bound <= VectorSpec.wordMaximum
    }
}

/// The whole vector: its tensors in order, the public weight bound, the segment size.
package struct VectorSpec: Equatable, Sendable {
    /// β: bits of a word. The only value of suite 1.
    package static let wordBits = 32
    static let wordMaximum = Int64(Int32.max)

    package var tensors: [TensorSpec]
    /// W_max: weights are whole numbers 1…W_max; a site's factor is ω = w / W_max.
    package var maximumWeight: UInt64
    /// Elements of a segment as a power of two, 8 to 20. 2^20 unless there is a reason.
    package var segmentLog2: Int

    package init(tensors: [TensorSpec], maximumWeight: UInt64, segmentLog2: Int = 20) {
        self.tensors = tensors
        self.maximumWeight = maximumWeight
        self.segmentLog2 = segmentLog2
    }

    /// m: payload elements.
    package var elementCount: Int { tensors.reduce(0) { $0 + $1.count } }
    package var segmentElements: Int { 1 << segmentLog2 }
    package var segmentCount: Int { (elementCount + segmentElements - 1) >> segmentLog2 }

    /// Elements of one segment, as a range of the payload.
    func segmentRange(_ segment: Int) -> Range<Int> {
        let start = segment << segmentLog2
        return start..<min(start + segmentElements, elementCount)
    }

    /// Whether the sizes are within the protocol's limits. Values and overflow are checked apart.
    var isWithinLimits: Bool {
        guard AggregationLimits.segmentLog2.contains(segmentLog2),
            tensors.count <= AggregationLimits.tensorsMax,
            (1...AggregationLimits.weightMax).contains(maximumWeight)
        else { return false }
        var total = 0
        for tensor in tensors {
            guard tensor.count >= 1, tensor.count <= AggregationLimits.elementsMax,
                tensor.name.utf8.count <= AggregationLimits.tensorNameBytesMax
            else { return false }
            total += tensor.count
        }
        return total <= AggregationLimits.elementsMax
            && segmentCount <= AggregationLimits.segmentsMax
    }

    /// Whether every clipping bound is a positive finite number.
    var hasUsableClips: Bool { tensors.allSatisfy { $0.clip > 0 && $0.clip.isFinite } }

    /// The overflow guarantee: no sum of `cohortMax` encoded vectors leaves the signed 32-bit range.
    package func cannotOverflow(cohortMax: Int) -> Bool {
        tensors.allSatisfy {
            TensorSpec.fits(clip: $0.clip, fractionBits: $0.fractionBits, cohortMax: cohortMax)
        }
    }
}

extension VectorSpec {
    func write(to writer: inout ByteWriter) {
        writer.u8(UInt8(VectorSpec.wordBits))
        writer.u8(HeaderSlots.layout)
        writer.u8(UInt8(segmentLog2))
        writer.u64(maximumWeight)
        writer.u32(UInt32(tensors.count))
        for tensor in tensors {
            writer.text(tensor.name)
            writer.u64(UInt64(tensor.count))
            writer.u64(tensor.clip.bitPattern)
            writer.u8(UInt8(bitPattern: Int8(tensor.fractionBits)))
        }
    }

    init(from reader: inout ByteReader) throws {
        guard try reader.u8() == VectorSpec.wordBits, try reader.u8() == HeaderSlots.layout else {
            throw AggregationRefusal(.vectorNotAllowed)
        }
        segmentLog2 = Int(try reader.u8())
        maximumWeight = try reader.u64()
        let count = Int(try reader.u32())
        guard count <= AggregationLimits.tensorsMax else {
            throw AggregationRefusal(.vectorNotAllowed)
        }
        tensors = []
        for _ in 0..<count {
            let name = try reader.text(maxBytes: AggregationLimits.tensorNameBytesMax)
            let elements = try reader.u64()
            guard elements <= UInt64(AggregationLimits.elementsMax) else {
                throw AggregationRefusal(.vectorNotAllowed)
            }
            let clip = Double(bitPattern: try reader.u64())
            let fractionBits = Int(Int8(bitPattern: try reader.u8()))
            tensors.append(
                TensorSpec(name: name, count: Int(elements), clip: clip, fractionBits: fractionBits)
            )
        }
        guard isWithinLimits else { throw AggregationRefusal(.vectorNotAllowed) }
    }
}

/// 2^bits, exact for the range used here.
func exp2(_ bits: Int) -> Double { Double(sign: .plus, exponent: bits, significand: 1) }
