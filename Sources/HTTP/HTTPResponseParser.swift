import Transport

/// One response after another from a stream of bytes, for clients. No I/O. As strict as the request
/// parser.
package struct HTTPResponseParser: Sendable {
    /// What the bytes so far amount to.
    package enum Outcome: Sendable {
        case needsMore
        case response(HTTPResponse)
        /// The server does not speak HTTP/1.1 as it should; the connection must be closed.
        case refused(HTTPRefusal)
    }

    private let limits: HTTPLimits
    private let answersHead: Bool
    private var fields = FieldParser()
    private var status: (code: Int, minorVersion: Int)?
    private var lineStart = 0
    private var searched = 0
    private var pending: (response: HTTPResponse, body: BodyDecoder)?

    /// Whether the connection may carry another request after the response.
    package private(set) var keepsAlive = true

    /// - Parameters:
    ///   - limits: `bodyBytesMax` is the response's.
    ///   - answersHead: whether the request was HEAD (or CONNECT), whose response has no body.
    package init(limits: HTTPLimits, answersHead: Bool) {
        self.limits = limits
        self.answersHead = answersHead
    }

    /// Consumes at most one final response; interim ones (1xx) are skipped.
    /// - Parameter isEnd: whether the server has ended the stream.
    package mutating func next(_ input: inout ReceiveBuffer, isEnd: Bool = false) -> Outcome {
        do throws(HTTPRefusal) {
            while pending == nil {
                guard try takeHead(&input) else {
                    if isEnd { throw HTTPRefusal(502, "the connection ended inside a response") }
                    return .needsMore
                }
            }
            try pending?.body.take(&input, limits: limits)
            guard let pending, pending.body.isComplete || (isEnd && pending.body.endsWithStream)
            else {
                if isEnd { throw HTTPRefusal(502, "the connection ended inside a response") }
                return .needsMore
            }
            var response = pending.response
            response.body = pending.body.body
            return .response(response)
        } catch { return .refused(error) }
    }

    private mutating func takeHead(_ input: inout ReceiveBuffer) throws(HTTPRefusal) -> Bool {
        guard let headEnd = try parseLines(input.span) else { return false }
        guard let status else { preconditionFailure("a head has a status line") }
        let headers = HTTPHeaders(storage: input.copy(0..<headEnd), fields: fields.fields)
        input.consume(headEnd)
        let parsed = fields
        fields = FieldParser()
        self.status = nil
        lineStart = 0
        searched = 0
        guard status.code >= 200 else { return true }
        keepsAlive = !parsed.saysClose && (status.minorVersion == 1 || parsed.saysKeepAlive)
        pending = (
            HTTPResponse(status: status.code, headers: headers),
            try bodyDecoder(status.code, parsed)
        )
        return true
    }

    private mutating func bodyDecoder(_ status: Int, _ fields: FieldParser) throws(HTTPRefusal)
        -> BodyDecoder
    {
        if answersHead || !HTTPStatus.hasBody(status) { return BodyDecoder(count: 0) }
        if fields.isChunked {
            guard fields.contentLength == nil else {
                throw HTTPRefusal(502, "both Content-Length and Transfer-Encoding")
            }
            return .chunked(bytesMax: limits.bodyBytesMax)
        }
        guard let length = fields.contentLength else {
            keepsAlive = false
            return .untilEnd(bytesMax: limits.bodyBytesMax)
        }
        guard length <= limits.bodyBytesMax else {
            throw HTTPRefusal(413, "the body is larger than \(limits.bodyBytesMax) bytes")
        }
        return BodyDecoder(count: length)
    }

    private mutating func parseLines(_ bytes: Span<UInt8>) throws(HTTPRefusal) -> Int? {
        while true {
            while searched < bytes.count, bytes[searched] != UInt8(ascii: "\n") { searched += 1 }
            guard searched < bytes.count else {
                let unfinished = bytes.count - lineStart
                if status == nil
                    ? unfinished > limits.lineBytesMax
                    : fields.isOverLimit(unfinished: unfinished, limits: limits)
                {
                    throw HTTPRefusal(502, "the head of the response is too large")
                }
                return nil
            }
            let end = searched - 1
            searched += 1
            guard end >= lineStart, bytes[end] == UInt8(ascii: "\r") else {
                throw HTTPRefusal(502, "a line must end with CR LF")
            }
            let range = lineStart..<end
            lineStart = searched
            if status == nil {
                status = try Self.statusLine(bytes, range, limits)
            } else if range.isEmpty {
                return searched
            } else {
                try fields.take(range, of: bytes, limits: limits)
            }
        }
    }

    /// `HTTP/1.x SP three digits [SP reason]`.
    private static func statusLine(_ bytes: Span<UInt8>, _ line: Range<Int>, _ limits: HTTPLimits)
        throws(HTTPRefusal) -> (Int, Int)
    {
        let start = line.lowerBound
        let problem = HTTPRefusal(502, "the answer is not HTTP/1.1")
        guard line.count >= 12, line.count + 2 <= limits.lineBytesMax else { throw problem }
        let prefix: [UInt8] = Array("HTTP/1.".utf8)
        for index in prefix.indices where bytes[start + index] != prefix[index] { throw problem }
        let minor = Int(bytes[start + 7]) - 0x30
        guard minor == 0 || minor == 1, bytes[start + 8] == UInt8(ascii: " ") else { throw problem }
        var code = 0
        for index in (start + 9)..<(start + 12) {
            guard CharacterClass.isDigit(bytes[index]) else { throw problem }
            code = code * 10 + Int(bytes[index] - 0x30)
        }
        guard (100..<600).contains(code), line.count == 12 || bytes[start + 12] == UInt8(ascii: " ")
        else { throw problem }
        for index in (start + 12)..<line.upperBound where !CharacterClass.isFieldValue(bytes[index])
        { throw problem }
        return (code, minor)
    }
}
