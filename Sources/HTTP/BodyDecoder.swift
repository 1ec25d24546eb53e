import Transport

/// Collects one message body: a known length, chunks (RFC 9112 §7.1), or everything until the end
/// of the stream.
///
/// Chunk extensions are read over, trailers are refused.
struct BodyDecoder: Sendable {
    private enum Stage {
        case counted(remaining: Int)
        case chunkSize
        case chunkData(remaining: Int)
        case chunkEnd
        case trailerEnd
        case untilEnd
        case complete
    }

    private var stage: Stage
    private let bytesMax: Int
    private(set) var body: [UInt8] = []
    /// What arrives is counted and not kept.
    private(set) var isDiscarded = false
    private(set) var received = 0

    /// A body of `count` bytes, which is within the limit.
    init(count: Int) {
        stage = count == 0 ? .complete : .counted(remaining: count)
        bytesMax = count
        body.reserveCapacity(min(count, Self.reservedBytesMax))
    }

    static func chunked(bytesMax: Int) -> BodyDecoder {
        BodyDecoder(.chunkSize, bytesMax: bytesMax)
    }
    static func untilEnd(bytesMax: Int) -> BodyDecoder {
        BodyDecoder(.untilEnd, bytesMax: bytesMax)
    }

    private init(_ stage: Stage, bytesMax: Int) {
        self.stage = stage
        self.bytesMax = bytesMax
    }

    var isComplete: Bool {
        if case .complete = stage { true } else { false }
    }

    /// Whether the end of the stream ends this body.
    var endsWithStream: Bool {
        if case .untilEnd = stage { true } else { false }
    }

    /// Forgets the body, what has arrived and what will.
    mutating func discard() {
        isDiscarded = true
        body = []
    }

    /// Consumes what belongs to the body. Leaves the buffer at the byte after it.
    mutating func take(_ input: inout ReceiveBuffer, limits: HTTPLimits) throws(HTTPRefusal) {
        while true {
            switch stage {
            case .complete: return
            case .counted(let remaining):
                let count = min(remaining, input.count)
                guard count > 0 else { return }
                move(count, from: &input)
                stage = count == remaining ? .complete : .counted(remaining: remaining - count)
            case .untilEnd:
                guard !input.isEmpty else { return }
                guard input.count <= bytesMax - received else { throw tooLarge }
                move(input.count, from: &input)
            case .chunkSize:
                guard let size = try takeChunkSize(&input, limits: limits) else { return }
                stage = size == 0 ? .trailerEnd : .chunkData(remaining: size)
            case .chunkData(let remaining):
                let count = min(remaining, input.count)
                guard count > 0 else { return }
                move(count, from: &input)
                stage = count == remaining ? .chunkEnd : .chunkData(remaining: remaining - count)
            case .chunkEnd:
                guard try takeLineEnd(&input, "a chunk is longer than its size") else { return }
                stage = .chunkSize
            case .trailerEnd:
                guard try takeLineEnd(&input, "trailer fields are not accepted") else { return }
                stage = .complete
            }
        }
    }

    private var tooLarge: HTTPRefusal {
        HTTPRefusal(413, "the body is larger than \(bytesMax) bytes")
    }

    private mutating func move(_ count: Int, from input: inout ReceiveBuffer) {
        received += count
        if isDiscarded {
            // Nobody wants it.
        } else if body.isEmpty, isWhole(count) {
            body = input.copy(0..<count)
        } else {
            reserve(count)
            input.append(0..<count, to: &body)
        }
        input.consume(count)
    }

    /// Makes room for `count` more bytes: for the whole of a body of known length once a part of it that counts has arrived.
    private mutating func reserve(_ count: Int) {
        guard case .counted(let remaining) = stage, body.count + count > body.capacity else { return }
        let whole = body.count + remaining
        if whole / Self.trustedFactor <= body.count + count { body.reserveCapacity(whole) }
    }

    /// Whether these bytes are the whole body, which then needs no growing array.
    private func isWhole(_ count: Int) -> Bool {
        if case .counted(remaining: count) = stage { true } else { false }
    }

    /// Nil when the line is not complete yet.
    private func takeChunkSize(_ input: inout ReceiveBuffer, limits: HTTPLimits) throws(HTTPRefusal)
        -> Int?
    {
        guard let line = try chunkSizeLine(input.span, limits: limits) else { return nil }
        input.consume(line.bytes)
        return line.size
    }

    private func chunkSizeLine(_ bytes: Span<UInt8>, limits: HTTPLimits) throws(HTTPRefusal) -> (
        size: Int, bytes: Int
    )? {
        var size = 0
        var digits = 0
        while digits < bytes.count, let digit = CharacterClass.hexValue(bytes[digits]) {
            guard digits < limits.chunkSizeDigitsMax else {
                throw HTTPRefusal(
                    400, "a chunk size has more than \(limits.chunkSizeDigitsMax) digits")
            }
            // A size beyond every limit stays beyond it.
            size = size >= 1 << 56 ? size : size << 4 | Int(digit)
            digits += 1
        }
        guard digits < bytes.count else { return nil }
        guard digits > 0 else { throw HTTPRefusal(400, "a chunk size is not a hexadecimal number") }
        var end = digits
        if bytes[end] == UInt8(ascii: ";") {
            while end < bytes.count, CharacterClass.isFieldValue(bytes[end]) { end += 1 }
            guard end - digits <= limits.chunkExtensionBytesMax else {
                throw HTTPRefusal(
                    400, "a chunk extension is longer than \(limits.chunkExtensionBytesMax) bytes")
            }
            guard end < bytes.count else { return nil }
        }
        guard bytes[end] == UInt8(ascii: "\r") else {
            throw HTTPRefusal(400, "a chunk size is not followed by CR LF")
        }
        guard end + 1 < bytes.count else { return nil }
        guard bytes[end + 1] == UInt8(ascii: "\n") else {
            throw HTTPRefusal(400, "a chunk size is not followed by CR LF")
        }
        guard size <= bytesMax - received else { throw tooLarge }
        return (size, end + 2)
    }

    /// False when CR LF has not arrived yet.
    private func takeLineEnd(_ input: inout ReceiveBuffer, _ problem: String) throws(HTTPRefusal)
        -> Bool
    {
        guard try startsWithLineEnd(input.span, problem) else { return false }
        input.consume(2)
        return true
    }

    private func startsWithLineEnd(_ bytes: Span<UInt8>, _ problem: String) throws(HTTPRefusal)
        -> Bool
    {
        if bytes.isEmpty { return false }
        guard bytes[0] == UInt8(ascii: "\r") else { throw HTTPRefusal(400, problem) }
        if bytes.count == 1 { return false }
        guard bytes[1] == UInt8(ascii: "\n") else { throw HTTPRefusal(400, problem) }
        return true
    }

    /// A declared length reserves no more than this before the bytes arrive.
    static let reservedBytesMax = 65_536
    /// Memory for a whole body is taken when this part of it is there.
    static let trustedFactor = 16
}
