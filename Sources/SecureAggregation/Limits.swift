// Everything has a limit; `protocol/secure-aggregation.md` §9 lists these numbers.

/// Bounds that hold for every round, whatever its descriptor says.
package enum AggregationLimits {
    /// Sites in one complete graph.
    package static let sitesMax = 1024
    /// Sites of a round in groups (§6.3): the header's limbs of 16 bits sum exactly below 2^16 sites.
    package static let groupedSitesMax = 65_535
    /// Group sizes g that the encoding has. A group has g … 2g − 1 sites, so none outgrows ``sitesMax``.
    package static let groupSites = sitesMin...512
    /// The smallest g that a node takes part in.
    package static let groupSitesMin = 64
    /// The fewest sites a sum can hide in; the policy's hard floor.
    package static let sitesMin = 3
    /// Elements of one payload vector.
    package static let elementsMax = 1 << 28
    /// Tensors of one vector specification.
    package static let tensorsMax = 4096
    /// Bytes of a tensor's name.
    package static let tensorNameBytesMax = 128
    /// Bytes of a task identifier.
    package static let taskBytesMax = 128
    /// Segment sizes, as powers of two: 256 to 2^20 elements.
    package static let segmentLog2 = 8...20
    /// Segments of one vector.
    package static let segmentsMax = 1 << 16
    /// Largest weight a site may have: the header's three limbs hold 48 bits.
    package static let weightMax: UInt64 = (1 << 48) - 1
    /// Bytes of a round descriptor.
    package static let descriptorBytesMax = 1 << 20
    /// Bytes of a manifest with its signatures.
    package static let manifestBytesMax = 1 << 20
    /// Longest step deadline.
    package static let deadlineMillisecondsMax: UInt32 = 7 * 24 * 3600 * 1000
    /// Bytes of any message other than a segment: 1,024 sites × 196 bytes is the largest. The roster
    /// of a round in groups is the exception: 196 bytes a site.
    package static let messageBytesMax = 4 << 20
    /// Bytes of a segment message: 2^20 words and its frame.
    package static let segmentMessageBytesMax = (4 << 20) + 64
}
