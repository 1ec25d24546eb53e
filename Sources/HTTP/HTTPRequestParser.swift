import Transport

/// Strict HTTP/1.1 requests from a stream of bytes (RFC 9112, stricter as `protocol/http.md` §3
/// says). No I/O.
///
/// Lines are parsed in place as they become complete, so a bad line is refused although the rest
/// never comes, and no byte is looked at twice however the stream is cut. After a refusal the
/// parser must not be used again.
package struct HTTPRequestParser: Sendable {
    /// What the bytes so far amount to.
    package enum Outcome: Sendable {
        /// Call again when more has arrived.
        case needsMore
        /// The head is there, and more bytes of the body are to come than have arrived: so many, nil for chunks. Call again, or
        /// ``discardBody()`` before.
        case head(HTTPRequest, bodyBytes: Int?)
        /// The client waits for `100 Continue` before it sends the body. Call again.
        case continueExpected
        /// The end of a body that was to be discarded. Call again.
        case discarded
        case request(HTTPRequest)
        /// Answer with the status and close.
        case refused(HTTPRefusal)
    }

    /// How far the next request has come; what a deadline depends on.
    package enum Stage: Sendable, Equatable {
        /// No byte of it has arrived.
        case idle
        case head
        case body
    }

    private let limits: HTTPLimits
    private let bodyLimit: @Sendable (_ path: String) -> Int
    private var fields = FieldParser()
    private var line: RequestLine?
    /// Where the unfinished line begins and how far it was searched, from the start of the message.
    private var lineStart = 0
    private var searched = 0
    private var pending: (request: HTTPRequest, body: BodyDecoder)?
    private var mustContinue = false
    private var mustAnnounce = false
    package private(set) var stage = Stage.idle

    /// Whether the connection may carry another request after the last one returned.
    package private(set) var keepsAlive = true

    /// - Parameter bodyLimit: how many body bytes a path takes; asked once per request with a body.
    package init(limits: HTTPLimits = HTTPLimits(), bodyLimit: (@Sendable (String) -> Int)? = nil) {
        self.limits = limits
        let bodyBytesMax = limits.bodyBytesMax
        self.bodyLimit = bodyLimit ?? { _ in bodyBytesMax }
    }

    /// Body bytes of the unfinished request that have arrived, for rate limits.
    package var bodyBytesReceived: Int { pending?.body.received ?? 0 }

    /// Whether the client will not send the body before it is told to.
    package var isWaitedFor: Bool { mustContinue }

    /// The body of the request whose head was announced is read over; ``Outcome/discarded`` tells when it has ended.
    package mutating func discardBody() { pending?.body.discard() }

    /// Bytes of the request that is being read, or of the last one.
    package private(set) var messageBytes = 0

    /// Consumes at most one request.
    package mutating func next(_ input: inout ReceiveBuffer) -> Outcome {
        if stage == .idle { messageBytes = 0 }
        let before = input.count
        defer { messageBytes += before - input.count }
        do throws(HTTPRefusal) {
            if pending == nil {
                guard try takeHead(&input) else { return .needsMore }
            }
            return try takeBody(&input)
        } catch { return .refused(error) }
    }

    /// False while the head is incomplete. Consumes the head only when it is complete.
    private mutating func takeHead(_ input: inout ReceiveBuffer) throws(HTTPRefusal) -> Bool {
        guard !input.isEmpty else { return false }
        stage = .head
        let headEnd = try parseLines(input.span)
        guard let headEnd else { return false }
        try finishHead(input, headEnd)
        input.consume(headEnd)
        return true
    }

    /// Parses every complete line. Returns the number of bytes of the head once its empty line is
    /// there.
    private mutating func parseLines(_ bytes: Span<UInt8>) throws(HTTPRefusal) -> Int? {
        while true {
            while searched < bytes.count, bytes[searched] != UInt8(ascii: "\n") { searched += 1 }
            guard searched < bytes.count else {
                try checkUnfinished(bytes)
                return nil
            }
            let end = searched - 1
            searched += 1
            guard end >= lineStart, bytes[end] == UInt8(ascii: "\r") else {
                throw HTTPRefusal(400, "a line must end with CR LF")
            }
            let range = lineStart..<end
            lineStart = searched
            if line == nil {
                guard range.count + 2 <= limits.lineBytesMax else { throw lineTooLong }
                line = try RequestLine(bytes, range, limits)
            } else if range.isEmpty {
                return searched
            } else {
                try fields.take(range, of: bytes, limits: limits)
            }
        }
    }

    private var lineTooLong: HTTPRefusal {
        HTTPRefusal(414, "the request line is longer than \(limits.lineBytesMax) bytes")
    }

    private func checkUnfinished(_ bytes: Span<UInt8>) throws(HTTPRefusal) {
        let unfinished = bytes.count - lineStart
        if line == nil {
            guard CharacterClass.isToken(bytes[0]) else {
                throw HTTPRefusal(400, "this is not an HTTP request")
            }
            guard unfinished <= limits.lineBytesMax else { throw lineTooLong }
        } else if fields.isOverLimit(unfinished: unfinished, limits: limits) {
            throw HTTPRefusal(
                431, "the header fields are larger than \(limits.headerBytesMax) bytes")
        }
    }

    private mutating func finishHead(_ input: ReceiveBuffer, _ headEnd: Int) throws(HTTPRefusal) {
        guard let line else { preconditionFailure("a head has a request line") }
        guard fields.hosts == 1 || line.minorVersion == 0 else {
            throw HTTPRefusal(400, "the Host field is missing")
        }
        if fields.isChunked {
            guard fields.contentLength == nil else {
                throw HTTPRefusal(400, "both Content-Length and Transfer-Encoding")
            }
            guard line.minorVersion == 1 else {
                throw HTTPRefusal(400, "Transfer-Encoding needs HTTP/1.1")
            }
        }
        let storage = input.copy(0..<headEnd)
        let target = String(decoding: storage[line.target], as: UTF8.self)
        let request = HTTPRequest(
            method: line.method, target: target, path: try RequestTarget.path(of: target),
            minorVersion: line.minorVersion,
            headers: HTTPHeaders(storage: storage, fields: fields.fields))
        let body = try bodyDecoder(request.path)
        keepsAlive = !fields.saysClose && (line.minorVersion == 1 || fields.saysKeepAlive)
        mustContinue = fields.expectsContinue && line.minorVersion == 1 && !body.isComplete
        mustAnnounce = !body.isComplete
        pending = (request, body)
        stage = .body
    }

    private func bodyDecoder(_ path: String) throws(HTTPRefusal) -> BodyDecoder {
        if fields.isChunked { return .chunked(bytesMax: bodyLimit(path)) }
        guard let length = fields.contentLength, length > 0 else { return BodyDecoder(count: 0) }
        let bytesMax = bodyLimit(path)
        guard length <= bytesMax else {
            throw HTTPRefusal(413, "the body is larger than \(bytesMax) bytes")
        }
        return BodyDecoder(count: length)
    }

    private mutating func takeBody(_ input: inout ReceiveBuffer) throws(HTTPRefusal) -> Outcome {
        try pending?.body.take(&input, limits: limits)
        guard let pending, pending.body.isComplete else {
            if mustAnnounce, let pending {
                mustAnnounce = false
                return .head(pending.request, bodyBytes: fields.contentLength)
            }
            guard mustContinue else { return .needsMore }
            mustContinue = false
            return .continueExpected
        }
        if pending.body.isDiscarded {
            startOver()
            return .discarded
        }
        var request = pending.request
        request.body = pending.body.body
        startOver()
        return .request(request)
    }

    private mutating func startOver() {
        pending = nil
        line = nil
        fields = FieldParser()
        lineStart = 0
        searched = 0
        mustContinue = false
        mustAnnounce = false
        stage = .idle
    }
}

/// `method SP target SP HTTP/1.x`, exactly so.
private struct RequestLine: Sendable {
    var method: String
    var target: Range<Int>
    var minorVersion: Int

    init(_ bytes: Span<UInt8>, _ line: Range<Int>, _ limits: HTTPLimits) throws(HTTPRefusal) {
        var position = line.lowerBound
        while position < line.upperBound, CharacterClass.isToken(bytes[position]) { position += 1 }
        let methodRange = line.lowerBound..<position
        guard !methodRange.isEmpty, methodRange.count <= limits.methodBytesMax,
            position < line.upperBound,
            bytes[position] == UInt8(ascii: " ")
        else { throw HTTPRefusal(400, "the request line must begin with a method and one space") }
        let start = position + 1
        position = start
        while position < line.upperBound, bytes[position] > 0x20, bytes[position] < 0x7f,
            bytes[position] != UInt8(ascii: "#")
        {
            position += 1
        }
        target = start..<position
        guard !target.isEmpty, position < line.upperBound, bytes[position] == UInt8(ascii: " ")
        else {
            throw HTTPRefusal(
                400,
                "the request line must be \"method target HTTP/1.1\" with single spaces and a target of visible ASCII"
            )
        }
        minorVersion = try Self.version(bytes, (position + 1)..<line.upperBound)
        method = try Self.method(bytes.extracting(methodRange))
        guard bytes[target.lowerBound] == UInt8(ascii: "/") else {
            throw HTTPRefusal(400, "the request target must be a path")
        }
    }

    private static func version(_ bytes: Span<UInt8>, _ range: Range<Int>) throws(HTTPRefusal)
        -> Int
    {
        let isVersion =
            range.count == 8 && spells("HTTP/", bytes, range.lowerBound)
            && CharacterClass.isDigit(bytes[range.lowerBound + 5])
            && bytes[range.lowerBound + 6] == UInt8(ascii: ".")
            && CharacterClass.isDigit(bytes[range.lowerBound + 7])
        guard isVersion else {
            throw HTTPRefusal(400, "the request line must end with HTTP/1.1 or HTTP/1.0")
        }
        let minor = Int(bytes[range.lowerBound + 7] - 0x30)
        guard bytes[range.lowerBound + 5] == UInt8(ascii: "1"), minor <= 1 else {
            throw HTTPRefusal(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
        }
        return minor
    }

    /// One of ``HTTPRequest/methods``, without an allocation.
    private static func method(_ bytes: Span<UInt8>) throws(HTTPRefusal) -> String {
        switch bytes.count {
        case 3 where spells("GET", bytes, 0): return "GET"
        case 3 where spells("PUT", bytes, 0): return "PUT"
        case 4 where spells("POST", bytes, 0): return "POST"
        case 4 where spells("HEAD", bytes, 0): return "HEAD"
        case 5 where spells("PATCH", bytes, 0): return "PATCH"
        case 5 where spells("TRACE", bytes, 0): return "TRACE"
        case 5 where spells("QUERY", bytes, 0): return "QUERY"
        case 6 where spells("DELETE", bytes, 0): return "DELETE"
        case 7 where spells("OPTIONS", bytes, 0): return "OPTIONS"
        default:
            throw HTTPRefusal(
                501, "the method is not one of \(HTTPRequest.methods.joined(separator: ", "))")
        }
    }

    /// Whether `bytes` has `text` at `start`, and room for it.
    private static func spells(_ text: StaticString, _ bytes: Span<UInt8>, _ start: Int) -> Bool {
        guard start + text.utf8CodeUnitCount <= bytes.count else { return false }
        // Safe: a static string's bytes live for ever.
        return text.withUTF8Buffer { wanted in
            for index in wanted.indices where unsafe bytes[start + index] != wanted[index] {
                return false
            }
            return true
        }
    }
}
