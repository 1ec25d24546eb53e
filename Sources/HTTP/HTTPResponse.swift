import Codec

/// A complete response: what a handler answers and what a client gets.
///
/// `Content-Length`, `Connection` and `Date` belong to the server: it adds them and ignores what
/// `headers` says of the first two.
package struct HTTPResponse: Sendable {
    package var status: Int
    package var headers: HTTPHeaders
    package var body: [UInt8]
    /// Whether whoever made it has counted it as a refusal already. Not sent; the server's observer is told.
    package var isCounted = false

    package init(status: Int = 200, headers: HTTPHeaders = HTTPHeaders(), body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// A body with its type.
    package init(status: Int = 200, contentType: String, body: [UInt8]) {
        self.init(status: status, headers: contentType == Self.json ? Self.jsonHeaders : ["Content-Type": contentType], body: body)
    }

    private static let json = "application/json"
    /// Made once, as most answers have them.
    private static let jsonHeaders: HTTPHeaders = ["Content-Type": json]

    /// A JSON body in canonical form.
    package static func json(_ value: JSONValue, status: Int = 200) -> HTTPResponse {
        HTTPResponse(status: status, contentType: "application/json", body: value.canonicalBytes())
    }

    /// UTF-8 text.
    package static func text(_ text: String, status: Int = 200) -> HTTPResponse {
        HTTPResponse(
            status: status, contentType: "text/plain; charset=utf-8", body: Array(text.utf8))
    }

    /// `{"error": message}`, the form of every error (Open Inference Protocol). The message must
    /// repeat no input value.
    package static func error(_ status: Int, _ message: String) -> HTTPResponse {
        json(.object(["error": .string(message)]), status: status)
    }

    package init(_ refusal: HTTPRefusal) { self = .error(refusal.status, refusal.message) }

    /// True for 2xx.
    package var isSuccess: Bool { (200..<300).contains(status) }

    /// The `error` text of an error body, for a client's own message; nil if it has none. At most
    /// 500 characters.
    package var errorMessage: String? {
        guard let value = try? JSONValue.parse(body, dialect: .strict),
            let text = value["error"]?.stringValue
        else { return nil }
        return String(text.prefix(500))
    }
}

/// Status codes (RFC 9110 §15).
enum HTTPStatus {
    static func reason(_ status: Int) -> String {
        switch status {
        case 100: "Continue"
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 204: "No Content"
        case 206: "Partial Content"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 304: "Not Modified"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 406: "Not Acceptable"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 410: "Gone"
        case 411: "Length Required"
        case 412: "Precondition Failed"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 415: "Unsupported Media Type"
        case 417: "Expectation Failed"
        case 421: "Misdirected Request"
        case 422: "Unprocessable Content"
        case 425: "Too Early"
        case 428: "Precondition Required"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        case 507: "Insufficient Storage"
        default: "Status"
        }
    }

    /// 1xx, 204 and 304 end with their head.
    static func hasBody(_ status: Int) -> Bool { status >= 200 && status != 204 && status != 304 }
}
