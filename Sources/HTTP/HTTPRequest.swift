import Transport

/// A complete request: what a server's handler gets and what a client sends.
package struct HTTPRequest: Sendable {
    /// Upper case as sent; servers see only ``methods``.
    package var method: String
    /// Origin form as sent: path and query, percent-encoded.
    package var target: String
    /// The decoded path, without the query. Never contains `.`, `..` or
    /// inner empty segments, backslashes or control characters.
    package var path: String
    /// 1 for HTTP/1.1, 0 for HTTP/1.0.
    package var minorVersion = 1
    package var headers: HTTPHeaders
    /// Chunks joined.
    package var body: [UInt8]
    /// The verified client, with mutual TLS.
    package var peer: PeerIdentity?
    /// The ALPN name of the connection.
    package var negotiatedProtocol: String?
    /// When a server had read it whole, in monotonic nanoseconds; 0 for a request that came another way.
    package var receivedNanoseconds: UInt64 = 0
    /// Whether nothing else was under way at its loop when its turn came: nobody waits behind it yet.
    package var isAlone = false
    /// The client's numeric address.
    package var remoteAddress = ""
    /// Whether a client may send it again when a kept connection turns out to be closed before any
    /// byte of an answer.
    package var isIdempotent: Bool

    /// The methods that servers know; others are answered with 501. No route has
    /// TRACE or QUERY; they are known so that the answer is 405.
    package static let methods = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY",
    ]

    /// A request to be sent.
    /// - Parameters:
    ///   - target: origin form, already percent-encoded (see ``percentEncoded(_:)``).
    ///   - isIdempotent: by default true for all methods but POST and PATCH.
    package init(
        method: String, target: String, headers: HTTPHeaders = HTTPHeaders(), body: [UInt8] = [],
        isIdempotent: Bool? = nil
    ) {
        self.method = method
        self.target = target
        path = (try? RequestTarget.path(of: target)) ?? target
        self.headers = headers
        self.body = body
        self.isIdempotent = isIdempotent ?? !["POST", "PATCH"].contains(method)
    }

    /// A parsed request.
    init(method: String, target: String, path: String, minorVersion: Int, headers: HTTPHeaders) {
        self.method = method
        self.target = target
        self.path = path
        self.minorVersion = minorVersion
        self.headers = headers
        body = []
        isIdempotent = false
    }

    /// The decoded pairs of the query, in order. Decoded on each call.
    package var query: [(String, String)] { RequestTarget.query(of: target) }

    /// The first value of a query parameter.
    package func queryValue(_ name: String) -> String? { query.first { $0.0 == name }?.1 }

    /// `text` as it may stand in a target's path segment or query.
    package static func percentEncoded(_ text: String) -> String { RequestTarget.encode(text) }
}
