// The coordinator's memory of masked vectors: one running sum, never a vector per site.
// `protocol/secure-aggregation.md` §3.3.1.
//
// A site counts as a survivor only when its header and all its segments came, and which sites those are is known only
// at the end of the step. So a vector of one segment is added to the sum as it arrives; of a vector with
// several segments the coordinator keeps the first ones aside until the last is there, for as many sites at
// a time as fit in one vector's size or 32 MiB, whichever is more. A site beyond that is told to come back
// ("uploads-busy"). An upload that makes no progress while others are turned away gives up its place: its segments
// are dropped and will be asked for again.

import Cryptography

struct MaskedCollection: Sendable {
    /// Turned-away segments after which the stalest upload loses its place.
    static let patience = 64
    static let heldBytesMin = 32 << 20

    /// A vector that has not arrived completely.
    private struct Upload: Sendable {
        let header: MaskedInputHeader
        var segments: [Int: [UInt8]] = [:]
        var lastProgress: UInt64 = 0
    }

    private let spec: VectorSpec
    private var uploads: [UInt32: Upload] = [:]
    private var clock: UInt64 = 0
    private var refusals = 0
    private(set) var sharersHash: Digest?
    /// Sites whose vector is in the sum, with their headers' roots.
    private var roots: [UInt32: MaskedInputHeader] = [:]
    private(set) var headerSum = [UInt32](repeating: 0, count: HeaderSlots.count)
    private(set) var payloadSum: [UInt32] = []

    init(spec: VectorSpec) { self.spec = spec }

    /// Whether the site's whole vector is in the sum.
    func isComplete(_ site: UInt32) -> Bool { roots[site] != nil }

    mutating func open(sharersHash: Digest) {
        self.sharersHash = sharersHash
        payloadSum = [UInt32](repeating: 0, count: spec.elementCount)
    }

    func header(of site: UInt32) -> MaskedInputHeader? { roots[site] ?? uploads[site]?.header }

    /// Takes a checked header; with no segments to follow the vector is complete.
    mutating func add(_ header: MaskedInputHeader) {
        clock += 1
        uploads[header.from] = Upload(header: header, lastProgress: clock)
        if spec.segmentCount == 0 { complete(header.from) }
    }

    /// Takes a segment message.
    mutating func add(_ frame: SegmentFrame, _ message: [UInt8], from site: UInt32)
        throws(AggregationRefusal)
    {
        if let header = roots[site] {
            try check(message, frame, header)
            return
        }
        guard let header = uploads[site]?.header else {
            throw AggregationRefusal(.segmentBeforeHeader)
        }
        try check(message, frame, header)
        guard spec.segmentCount > 1 else {
            WordBytes.add(message, from: frame.start, to: &payloadSum, spec.segmentRange(0))
            complete(site)
            return
        }
        guard uploads[site]?.segments[frame.segment] == nil else { return }
        try reservePlace(for: site)
        clock += 1
        uploads[site]?.segments[frame.segment] = message
        uploads[site]?.lastProgress = clock
        if uploads[site]?.segments.count == spec.segmentCount { addHeldSegments(of: site) }
    }

    /// Segments of a site that have not arrived or were dropped; nil before its header.
    func missingSegments(of site: UInt32) -> [Int]? {
        if roots[site] != nil { return [] }
        guard let upload = uploads[site] else { return nil }
        return (0..<spec.segmentCount).filter { upload.segments[$0] == nil }
    }

    /// Forgets an incomplete upload.
    mutating func drop(_ site: UInt32) { uploads[site] = nil }

    /// Forgets all incomplete uploads: the survivors are fixed.
    mutating func close() { uploads = [:] }

    /// Hands the sums over for unmasking, without a copy.
    mutating func takeSums() -> (header: [UInt32], payload: [UInt32]) {
        let sums = (headerSum, payloadSum)
        payloadSum = []
        return sums
    }

    /// Bytes of vectors that are held aside.
    var heldBytes: Int {
        uploads.values.reduce(0) { $0 + $1.segments.values.reduce(0) { $0 + $1.count } }
    }

    private func check(_ message: [UInt8], _ frame: SegmentFrame, _ header: MaskedInputHeader)
        throws(AggregationRefusal)
    {
        guard WordBytes.digest(message, from: frame.start) == header.digests.segments[frame.segment]
        else {
            throw AggregationRefusal(.segmentDigest)
        }
    }

    /// A site has a place when it holds a segment; a place is the size of a whole vector.
    private mutating func reservePlace(for site: UInt32) throws(AggregationRefusal) {
        let holders = uploads.filter { !$0.value.segments.isEmpty }
        guard holders[site] == nil else { return }
        let vectorBytes = 4 * spec.elementCount
        let places = max(1, max(vectorBytes, MaskedCollection.heldBytesMin) / vectorBytes)
        guard holders.count >= places else { return }
        refusals += 1
        guard refusals >= MaskedCollection.patience,
            let stalest = holders.min(by: {
                ($0.value.lastProgress, $0.key) < ($1.value.lastProgress, $1.key)
            })
        else { throw AggregationRefusal(.uploadsBusy) }
        uploads[stalest.key]?.segments = [:]
        refusals = 0
    }

    private mutating func addHeldSegments(of site: UInt32) {
        guard let upload = uploads[site] else { return }
        for (segment, message) in upload.segments.sorted(by: { $0.key < $1.key }) {
            WordBytes.add(message, from: 9, to: &payloadSum, spec.segmentRange(segment))
        }
        complete(site)
    }

    private mutating func complete(_ site: UInt32) {
        guard let upload = uploads.removeValue(forKey: site) else { return }
        for index in headerSum.indices {
            headerSum[index] = headerSum[index] &+ upload.header.header[index]
        }
        roots[site] = upload.header
        refusals = 0
    }
}
