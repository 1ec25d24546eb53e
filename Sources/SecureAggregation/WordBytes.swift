// Vectors on the wire: 32-bit words, little-endian.

import Cryptography

enum WordBytes {
    /// Appends a range of words to a message.
    static func append(_ words: [UInt32], _ range: Range<Int>, to message: inout [UInt8]) {
        let span = words.span.extracting(range)
        // Safe: every byte of an integer array is initialised; the pointer does not leave the call.
        unsafe span.bytes.withUnsafeBytes { unsafe message.append(contentsOf: $0) }
    }

    static func bytes(_ words: [UInt32]) -> [UInt8] {
        var message: [UInt8] = []
        message.reserveCapacity(4 * words.count)
        append(words, 0..<words.count, to: &message)
        return message
    }

    /// - Parameter bytes: a multiple of four.
    static func words(_ bytes: [UInt8]) -> [UInt32] {
        precondition(bytes.count % 4 == 0, "words have four bytes")
        var words = [UInt32](repeating: 0, count: bytes.count / 4)
        copy(bytes, from: 0, to: &words, 0..<words.count)
        return words
    }

    static func digest(_ words: [UInt32], _ range: Range<Int>) -> Digest {
        let span = words.span.extracting(range)
        return unsafe SHA256.hash(span.bytes)
    }

    static func digest(_ message: [UInt8], from start: Int) -> Digest {
        let span = message.span.extracting(start..<message.count)
        return unsafe SHA256.hash(span.bytes)
    }

    /// words[range] += the words that start at byte `start` of the message, mod 2^32.
    static func add(
        _ message: [UInt8], from start: Int, to words: inout [UInt32], _ range: Range<Int>
    ) {
        precondition(message.count == start + 4 * range.count, "one word for each element")
        let span = message.span
        let bytes = unsafe span.bytes
        var target = words.mutableSpan
        for index in 0..<range.count {
            // Safe: the length was checked above, and any bit pattern is an integer.
            let word = unsafe bytes.unsafeLoadUnaligned(
                fromUncheckedByteOffset: start &+ 4 &* index, as: UInt32.self)
            target[range.lowerBound &+ index] = target[range.lowerBound &+ index] &+ word
        }
    }

    /// words[range] = the words that start at byte `start` of the message.
    static func copy(
        _ message: [UInt8], from start: Int, to words: inout [UInt32], _ range: Range<Int>
    ) {
        precondition(message.count == start + 4 * range.count, "one word for each element")
        let span = message.span
        let bytes = unsafe span.bytes
        var target = words.mutableSpan
        for index in 0..<range.count {
            // Safe: as in `add`.
            target[range.lowerBound &+ index] = unsafe bytes.unsafeLoadUnaligned(
                fromUncheckedByteOffset: start &+ 4 &* index, as: UInt32.self)
        }
    }
}

/// The frame of a vector's segment: type, u32 sender (masked segments only), u32 segment, words.
struct SegmentFrame: Equatable {
    let sender: UInt32?
    let segment: Int
    /// Where the words start in the message.
    let start: Int

    static func message(
        _ type: MessageType, sender: UInt32?, segment: Int, words: [UInt32], range: Range<Int>
    ) -> [UInt8] {
        var message: [UInt8] = []
        message.reserveCapacity(9 + 4 * range.count)
        message.append(type.rawValue)
        if let sender { message += sender.bigEndianBytes }
        message += UInt32(segment).bigEndianBytes
        WordBytes.append(words, range, to: &message)
        return message
    }

    /// - Throws: `segment-unknown` for a number the vector does not have, `malformed-message` for a wrong length.
    init(_ message: [UInt8], type: MessageType, spec: VectorSpec) throws(AggregationRefusal) {
        let hasSender = type == .maskedSegment
        start = hasSender ? 9 : 5
        guard message.count >= start else { throw AggregationRefusal(.malformedMessage) }
        guard message[0] == type.rawValue else { throw AggregationRefusal(.unexpectedMessage) }
        let number = { (offset: Int) in
            (0..<4).reduce(UInt32(0)) { $0 << 8 | UInt32(message[offset + $1]) }
        }
        sender = hasSender ? number(1) : nil
        segment = Int(number(start - 4))
        guard segment < spec.segmentCount else { throw AggregationRefusal(.segmentUnknown) }
        guard message.count == start + 4 * spec.segmentRange(segment).count else {
            throw AggregationRefusal(.malformedMessage)
        }
    }
}

/// Digests of a vector: the header's and each segment's, and the root that is signed.
struct VectorDigests: Equatable, Sendable {
    let header: Digest
    let segments: [Digest]

    /// H("root"; SHA-256(header words) ‖ SHA-256(segment 0) ‖ …).
    var root: Digest { Transcript.hash(.segments, header.bytes + segments.flatMap(\.bytes)) }

    init(header: [UInt32], segments: [Digest]) {
        self.header = WordBytes.digest(header, 0..<header.count)
        self.segments = segments
    }

    init(header: [UInt32], payload: [UInt32], spec: VectorSpec) {
        self.init(
            header: header,
            segments: (0..<spec.segmentCount).map {
                WordBytes.digest(payload, spec.segmentRange($0))
            })
    }
}
