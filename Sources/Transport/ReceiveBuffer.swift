/// Bytes that arrived and are not consumed yet, in one array.
///
/// Readers look at ``span`` and call ``consume(_:)``; the socket writes behind the last byte. The
/// array is reused and grows to what one message needs; an emptied buffer that grew large is given
/// back.
package struct ReceiveBuffer: Sendable {
    private var storage: [UInt8] = []
    private var start = 0
    private var end = 0

    /// An empty buffer without memory of its own.
    package init() {}

    /// Number of unconsumed bytes.
    package var count: Int { end - start }
    package var isEmpty: Bool { end == start }

    /// The unconsumed bytes.
    package var span: Span<UInt8> {
        @_lifetime(borrow self)
        get { storage.span.extracting(start..<end) }
    }

    /// A copy of some unconsumed bytes. `range` counts from the first unconsumed one.
    package func copy(_ range: Range<Int>) -> [UInt8] {
        precondition(range.upperBound <= count, "only received bytes can be copied")
        return Array(storage[(start + range.lowerBound)..<(start + range.upperBound)])
    }

    /// Appends some unconsumed bytes to `target`.
    package func append(_ range: Range<Int>, to target: inout [UInt8]) {
        precondition(range.upperBound <= count, "only received bytes can be copied")
        target += storage[(start + range.lowerBound)..<(start + range.upperBound)]
    }

    /// Forgets the first `number` bytes.
    package mutating func consume(_ number: Int) {
        precondition(number <= count, "only received bytes can be consumed")
        start += number
        guard start == end else { return }
        start = 0
        end = 0
        if storage.count > Self.keptBytesMax { storage = [] }
    }

    /// Adds bytes as if they had arrived: for tests and in-memory pipes.
    package mutating func append(_ bytes: some Collection<UInt8>) {
        reserve(bytes.count)
        storage.replaceSubrange(end..<(end + bytes.count), with: bytes)
        end += bytes.count
    }

    /// Makes room for `number` more bytes behind the last one.
    mutating func reserve(_ number: Int) {
        if storage.count - end >= number { return }
        if start > 0 {
            let kept = end - start
            if kept > 0 { storage.replaceSubrange(0..<kept, with: Array(storage[start..<end])) }
            start = 0
            end = kept
            if storage.count - end >= number { return }
        }
        let wanted = max(end + number, min(storage.count * 2, Self.keptBytesMax))
        storage += [UInt8](repeating: 0, count: wanted - storage.count)
    }

    /// Lets `read` write into the room of at least `room` bytes and counts what it says it wrote.
    mutating func fill(room: Int, _ read: (UnsafeMutableRawBufferPointer) -> IOResult) -> IOResult {
        reserve(room)
        let end = end
        // Safe: the pointer does not leave the closure, and only the free tail is handed out.
        let result = unsafe storage.withUnsafeMutableBytes { bytes in
            unsafe read(UnsafeMutableRawBufferPointer(rebasing: bytes[end...]))
        }
        if case .bytes(let number) = result { self.end += number }
        return result
    }

    /// An empty buffer keeps at most this much memory.
    static let keptBytesMax = 65_536
}

/// What one non-blocking read, write or handshake step did.
enum IOResult: Equatable {
    /// So many bytes moved, at least one.
    case bytes(Int)
    /// Nothing now; wait until the socket is readable.
    case wantsRead
    /// Nothing now; wait until the socket is writable.
    case wantsWrite
    /// The peer will send nothing more.
    case end
    case failed(TransportError)
}
