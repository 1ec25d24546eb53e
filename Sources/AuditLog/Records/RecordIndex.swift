// Where records lie, in memory that does not grow with the rows: one span for every 16 KiB of a segment, with the smallest
// and the largest name in it. Names ascend with time, so a look-up reads one span, seldom two; were they in disorder, it
// would read more and find the same.

/// A stretch of a segment that begins with a frame.
struct RecordSpan: Sendable {
    var start: Int
    /// Of the names' upper halves.
    var first: UInt64
    var last: UInt64

    static let bytesMin = 16 << 10
}

/// The spans of all segments.
struct RecordIndex: Sendable {
    /// Live rows.
    private(set) var liveRows = 0
    private var segments: [Int: (spans: [RecordSpan], end: Int)] = [:]

    /// Notes a live record that follows all others of its segment.
    mutating func add(_ record: Record, segment: Int, offset: Int, end: Int) {
        liveRows += record.liveCount
        add(first: record.id.high, rows: record.count, segment: segment, offset: offset, end: end)
    }

    private mutating func add(first: UInt64, rows: Int, segment: Int, offset: Int, end: Int) {
        let last = first + UInt64(rows - 1)
        Self.add(first, last, offset: offset, end: end, to: &segments[segment, default: ([], 0)])
    }

    private static func add(_ first: UInt64, _ last: UInt64, offset: Int, end: Int, to segment: inout (spans: [RecordSpan], end: Int)) {
        segment.end = end
        let place = segment.spans.count - 1
        guard place >= 0, offset - segment.spans[place].start < RecordSpan.bytesMin else {
            segment.spans.append(RecordSpan(start: offset, first: first, last: last))
            return
        }
        segment.spans[place].first = min(segment.spans[place].first, first)
        segment.spans[place].last = max(segment.spans[place].last, last)
    }

    mutating func remove(rows: Int) { liveRows -= rows }

    /// Where a record with a row of this name may lie, the newest segment first.
    func places(of id: RecordID) -> [(segment: Int, range: Range<Int>)] {
        segments.keys.sorted(by: >).flatMap { number -> [(segment: Int, range: Range<Int>)] in
            guard let (spans, end) = segments[number] else { return [] }
            return spans.indices.compactMap { place in
                guard spans[place].first <= id.high, id.high <= spans[place].last else { return nil }
                return (number, spans[place].start..<(place + 1 < spans.count ? spans[place + 1].start : end))
            }
        }
    }

    /// The segments that hold records, in order, and up to where.
    var ends: [(segment: Int, end: Int)] {
        segments.keys.sorted().compactMap { number in segments[number].map { (number, $0.end) } }
    }
}
