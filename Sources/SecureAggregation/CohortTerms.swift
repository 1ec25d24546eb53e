// The cohort block of a round's descriptor and the arithmetic of its threshold.
// `protocol/secure-aggregation.md` §6.

import Codec

/// How the threshold t follows from the number n of sites in the roster.
package enum ThresholdRule: Equatable, Sendable {
    /// t = ⌊2n/3⌋ + 1, the default.
    case twoThirds
    /// The smallest t that holds against this many colluding sites: ⌊(n + c)/2⌋ + 1.
    case colluders(Int)
    /// t = n: strongest against collusion, no dropout tolerated after the shares are out.
    case everyone

    /// t for n sites; never above n.
    package func threshold(sites n: Int) -> Int {
        switch self {
        case .twoThirds: min(n, 2 * n / 3 + 1)
        case .colluders(let c): min(n, (n + c) / 2 + 1)
        case .everyone: n
        }
    }

    /// Whether t blocks two survivor sets and both secrets of one site: 2t > n + c, and t > c.
    package static func holds(threshold t: Int, sites n: Int, colluders c: Int) -> Bool {
        2 * t > n + c && t > c
    }
}

/// Who must take part, at least and at most.
package struct CohortTerms: Equatable, Sendable {
    /// n_min: sites needed in the roster, among the sharers and among the survivors.
    package var minimum: Int
    /// n_max: the number of sites the overflow guarantee counts with.
    package var maximum: Int
    package var threshold: ThresholdRule
    /// Experimental (§6.3): sites share within groups of g … 2g − 1 instead of all with all. Nil: the complete graph.
    package var groupSize: Int?

    /// - Parameters:
    ///   - minimum: n_min, at least 3.
    ///   - maximum: n_max; at most 1,024, with groups 65,535.
    ///   - groupSize: g, ``AggregationLimits/groupSites``; nil for the complete graph.
    package init(
        minimum: Int, maximum: Int, threshold: ThresholdRule = .twoThirds, groupSize: Int? = nil
    ) {
        self.minimum = minimum
        self.maximum = maximum
        self.threshold = threshold
        self.groupSize = groupSize
    }

    /// Sites that one roster may have.
    var rosterMax: Int {
        groupSize == nil ? AggregationLimits.sitesMax : AggregationLimits.groupedSitesMax
    }

    /// Sharers and survivors that one graph needs besides its threshold. n_min counts over all groups of a round.
    var graphMinimum: Int { groupSize == nil ? minimum : AggregationLimits.sitesMin }

    func write(to writer: inout ByteWriter) {
        writer.u32(UInt32(minimum))
        writer.u32(UInt32(maximum))
        switch threshold {
        case .twoThirds:
            writer.u8(1)
            writer.u32(0)
        case .colluders(let count):
            writer.u8(2)
            writer.u32(UInt32(count))
        case .everyone:
            writer.u8(3)
            writer.u32(0)
        }
        writer.u8(groupSize == nil ? CohortTerms.completeGraph : CohortTerms.groupedGraph)
        writer.u32(UInt32(groupSize ?? 0))
    }

    /// Graph mode 0: every site shares with every other. The group size is then zero.
    private static let completeGraph: UInt8 = 0
    /// Graph mode 1: groups of a given size, §6.3.
    private static let groupedGraph: UInt8 = 1

    init(from reader: inout ByteReader) throws {
        minimum = Int(try reader.u32())
        maximum = Int(try reader.u32())
        let rule = try reader.u8()
        let colluders = Int(try reader.u32())
        switch (rule, colluders) {
        case (1, 0): threshold = .twoThirds
        case (2, 0...AggregationLimits.sitesMax): threshold = .colluders(colluders)
        case (3, 0): threshold = .everyone
        default: throw AggregationRefusal(.malformedMessage)
        }
        let graph = try reader.u8()
        let size = Int(try reader.u32())
        switch (graph, size) {
        case (CohortTerms.completeGraph, 0): groupSize = nil
        case (CohortTerms.groupedGraph, AggregationLimits.groupSites): groupSize = size
        default: throw AggregationRefusal(.graphNotSupported)
        }
    }
}
