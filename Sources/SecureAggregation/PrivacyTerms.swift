// The differential privacy block of a round's descriptor. This module binds and compares the numbers; the
// noise itself is made before `FixedPoint`. `protocol/secure-aggregation.md` §3.

import Codec

/// Which party adds noise for which unit.
package enum PrivacyMode: UInt8, CaseIterable, Sendable {
    /// No noise: the exact sum is revealed. Sites must opt in.
    case none = 0
    /// Record level, each site on its own (DP-SGD).
    case recordLocal = 1
    /// Record level, noise spread over the sites.
    case recordDistributed = 2
    /// Site level, noise spread over the sites.
    case siteDistributed = 3
    /// Noise by the coordinator at release, which must then be trusted.
    case central = 4
}

/// The promise that the round makes about its noise.
package struct PrivacyTerms: Equatable, Sendable {
    package var mode: PrivacyMode
    /// σ: noise standard deviation as a multiple of the clipping norm.
    package var noiseMultiplier: Double
    /// q: sampling rate of records.
    package var samplingRate: Double
    /// C: L2 clipping norm.
    package var clippingNorm: Double
    /// γ: grid of the integer noise.
    package var grid: Double
    /// h_min: honest sites whose noise must be in the sum.
    package var minimumHonest: Int
    package var delta: Double

    package init(
        mode: PrivacyMode, noiseMultiplier: Double, samplingRate: Double, clippingNorm: Double,
        grid: Double,
        minimumHonest: Int, delta: Double
    ) {
        self.mode = mode
        self.noiseMultiplier = noiseMultiplier
        self.samplingRate = samplingRate
        self.clippingNorm = clippingNorm
        self.grid = grid
        self.minimumHonest = minimumHonest
        self.delta = delta
    }

    /// No differential privacy.
    package static let none = PrivacyTerms(
        mode: .none, noiseMultiplier: 0, samplingRate: 0, clippingNorm: 0, grid: 0,
        minimumHonest: 0, delta: 0)

    func write(to writer: inout ByteWriter) {
        writer.u8(mode.rawValue)
        for number in [noiseMultiplier, samplingRate, clippingNorm, grid] {
            writer.u64(number.bitPattern)
        }
        writer.u32(UInt32(minimumHonest))
        writer.u64(delta.bitPattern)
    }

    init(from reader: inout ByteReader) throws {
        guard let mode = PrivacyMode(rawValue: try reader.u8()) else {
            throw AggregationRefusal(.privacyModeNotAllowed)
        }
        self.mode = mode
        noiseMultiplier = try PrivacyTerms.number(&reader)
        samplingRate = try PrivacyTerms.number(&reader)
        clippingNorm = try PrivacyTerms.number(&reader)
        grid = try PrivacyTerms.number(&reader)
        minimumHonest = Int(try reader.u32())
        delta = try PrivacyTerms.number(&reader)
    }

    /// A finite number that is not negative; −0 is refused so that equal terms have equal bytes.
    private static func number(_ reader: inout ByteReader) throws -> Double {
        let number = Double(bitPattern: try reader.u64())
        guard number.isFinite, number.sign == .plus else {
            throw AggregationRefusal(.malformedMessage)
        }
        return number
    }
}
